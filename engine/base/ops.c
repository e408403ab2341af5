/* ops.c: see ops.h.
 *
 *   new ─► queue ─► waiting ─► poll ─► with the host ─► done ─► dispatch: handler, freed
 */
#include "engine/base/ops.h"
#include "engine/base/assert.h"
#include "engine/base/bytes.h"

enum { ROOM_MIN = 1000 };

typedef struct room room;
struct room {
    room *next;
    size_t used, size;
    _Alignas(16) uint8_t bytes[];
};

struct aq_op_record {
    aq_op op; /* first: the host's pointer is ours */
    aq_op_record *next;
    aq_op_handler *handler;
    void *owner;
    room *rooms;
    enum { MADE, WAITING, FLYING, DONE } state;
};

static void list_add(aq_op_list *list, aq_op_record *record)
{
    record->next = NULL;
    if (list->last == NULL) {
        list->first = record;
    } else {
        list->last->next = record;
    }
    list->last = record;
}

static aq_op_record *list_take(aq_op_list *list)
{
    aq_op_record *record = list->first;
    if (record != NULL) {
        list->first = record->next;
        if (list->first == NULL) {
            list->last = NULL;
        }
    }
    return record;
}

void aq_ops_init(aq_ops *ops, aq_heap *heap, uint32_t flight_max)
{
    *ops = (aq_ops){.heap = heap, .flight_max = flight_max, .next_id = 1};
}

aq_op *aq_ops_new(aq_ops *ops, aq_op_kind kind, uint32_t root, uint32_t item_count,
                  aq_op_handler *handler, void *owner)
{
    aq_op_record *record = aq_heap_take_zeroed(ops->heap, sizeof *record);
    AQ_ASSERT(record != NULL);
    record->op.kind = kind;
    record->op.id = ops->next_id++;
    record->op.root = root;
    record->op.item_count = item_count;
    record->handler = handler;
    record->owner = owner;
    if (item_count != 0) {
        record->op.items =
            aq_heap_take_zeroed(ops->heap, item_count * sizeof *record->op.items);
        AQ_ASSERT(record->op.items != NULL);
    }
    return &record->op;
}

void *aq_ops_room(aq_ops *ops, aq_op *op, size_t size)
{
    aq_op_record *record = (aq_op_record *)(void *)op;
    size = (size + 15) & ~(size_t)15;
    if (record->rooms == NULL || record->rooms->size - record->rooms->used < size) {
        size_t room_size = size > ROOM_MIN ? size : ROOM_MIN;
        room *fresh = aq_heap_take(ops->heap, sizeof(room) + room_size);
        AQ_ASSERT(fresh != NULL);
        *fresh = (room){.next = record->rooms, .size = room_size};
        record->rooms = fresh;
    }
    void *memory = record->rooms->bytes + record->rooms->used;
    record->rooms->used += size;
    return memory;
}

char *aq_ops_string(aq_ops *ops, aq_op *op, const char *text)
{
    size_t size = aq_string_size(text) + 1;
    char *copy = aq_ops_room(ops, op, size);
    aq_copy(copy, text, size);
    return copy;
}

void aq_ops_queue(aq_ops *ops, aq_op *op)
{
    aq_op_record *record = (aq_op_record *)(void *)op;
    AQ_ASSERT(record->state == MADE);
    record->state = WAITING;
    ops->waiting_count++;
    list_add(&ops->waiting, record);
}

aq_op *aq_ops_poll(aq_ops *ops)
{
    if (ops->flight_count >= ops->flight_max) {
        return NULL;
    }
    aq_op_record *record = list_take(&ops->waiting);
    if (record == NULL) {
        return NULL;
    }
    record->state = FLYING;
    ops->waiting_count--;
    ops->flight_count++;
    return &record->op;
}

void aq_ops_done(aq_ops *ops, aq_op *op)
{
    aq_op_record *record = (aq_op_record *)(void *)op;
    AQ_ASSERT(record->state == FLYING);
    record->state = DONE;
    AQ_ASSERT(ops->flight_count > 0);
    ops->flight_count--;
    list_add(&ops->done, record);
}

bool aq_ops_dispatch(aq_ops *ops)
{
    bool any = false;
    for (aq_op_record *record; (record = list_take(&ops->done)) != NULL; any = true) {
        record->handler(record->owner, &record->op);
        for (room *r = record->rooms, *next; r != NULL; r = next) {
            next = r->next;
            aq_heap_give(ops->heap, r);
        }
        aq_heap_give(ops->heap, record->op.items);
        aq_heap_give(ops->heap, record);
    }
    return any;
}
