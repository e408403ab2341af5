/* A binary heap of events. Time stands still while an event is done: how long something
 * takes is said by planning its end. */
#include "clock.h"

static bool is_before(const sim_event *a, const sim_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

void sim_clock_plan(sim_clock *clock, uint64_t at_ns, sim_action *action, void *context,
                    uint64_t a, uint64_t b)
{
    sim_event event = {at_ns < clock->now_ns ? clock->now_ns : at_ns,
                       clock->order++,
                       action,
                       context,
                       a,
                       b};
    clock->heap = sim_arena_grow(clock->arena, clock->heap, clock->count, &clock->room,
                                 sizeof *clock->heap);
    size_t at = clock->count++;
    while (at > 0 && is_before(&event, &clock->heap[(at - 1) / 2])) {
        clock->heap[at] = clock->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    clock->heap[at] = event;
}

static void heap_pop(sim_clock *clock)
{
    sim_event last = clock->heap[--clock->count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= clock->count) {
            break;
        }
        if (child + 1 < clock->count &&
            is_before(&clock->heap[child + 1], &clock->heap[child])) {
            child++;
        }
        if (!is_before(&clock->heap[child], &last)) {
            break;
        }
        clock->heap[at] = clock->heap[child];
        at = child;
    }
    clock->heap[at] = last;
}

bool sim_clock_step(sim_clock *clock)
{
    if (clock->count == 0) {
        return false;
    }
    sim_event event = clock->heap[0];
    heap_pop(clock);
    clock->now_ns = event.at_ns;
    event.action(event.context, event.a, event.b);
    return true;
}
