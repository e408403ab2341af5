/* ops.h: the queue between the engine's parts, which want something done, and the host,
 * which does it. Whoever makes an op names a handler; it runs once, when the engine next
 * takes a decision after the host's answer. Items, strings and the op itself go when the
 * handler has run; data buffers belong to whoever made the op. */
#ifndef AQ_BASE_OPS_H
#define AQ_BASE_OPS_H

#include "acequia.h"
#include "engine/base/heap.h"

typedef void aq_op_handler(void *owner, aq_op *op);

/* The first member of what op->work points to; see aq_work. NULL: there is nothing to run. */
typedef struct aq_work_head {
    void (*run)(aq_op *op);
} aq_work_head;

typedef struct aq_op_record aq_op_record;

typedef struct aq_op_list {
    aq_op_record *first, *last;
} aq_op_list;

typedef struct aq_ops {
    aq_heap *heap;
    aq_op_list waiting, done;
    uint32_t flight_max;
    uint32_t flight_count;
    uint32_t waiting_count;
    uint32_t next_id;
} aq_ops;

void aq_ops_init(aq_ops *ops, aq_heap *heap, uint32_t flight_max);
/* Items are zeroed. Never NULL: memory for ops is what the heap's low mark reserves. */
aq_op *aq_ops_new(aq_ops *ops, aq_op_kind kind, uint32_t root, uint32_t item_count,
                  aq_op_handler *handler, void *owner);
/* Memory that lives as long as the op. */
void *aq_ops_room(aq_ops *ops, aq_op *op, size_t size);
char *aq_ops_string(aq_ops *ops, aq_op *op, const char *text);
void aq_ops_queue(aq_ops *ops, aq_op *op);
/* The next op for the host; NULL: none, or too many are in flight. */
aq_op *aq_ops_poll(aq_ops *ops);
void aq_ops_done(aq_ops *ops, aq_op *op);
/* Runs the handlers of answered ops. False: there were none. */
bool aq_ops_dispatch(aq_ops *ops);

#endif
