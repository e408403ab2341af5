/* clock.h: virtual time, and what is to happen when. */
#ifndef SIM_CLOCK_H
#define SIM_CLOCK_H

#include "arena.h"

#include <stdbool.h>
#include <stdint.h>

enum { SIM_US = 1000, SIM_MS = 1000000, SIM_S = 1000000000 };

typedef void sim_action(void *context, uint64_t a, uint64_t b);

typedef struct sim_event {
    uint64_t at_ns;
    uint64_t order; /* breaks ties: first planned, first done */
    sim_action *action;
    void *context;
    uint64_t a, b;
} sim_event;

typedef struct sim_clock {
    sim_arena *arena;
    uint64_t now_ns;
    uint64_t order;
    sim_event *heap;
    size_t count;
    size_t room;
} sim_clock;

/* Plans action(context, a, b). There is no way to take it back: whoever plans numbers its
 * plans and ignores the stale ones. */
void sim_clock_plan(sim_clock *clock, uint64_t at_ns, sim_action *action, void *context,
                    uint64_t a, uint64_t b);
/* Moves time on to the next event and does it. False: nothing is planned. */
bool sim_clock_step(sim_clock *clock);

#endif
