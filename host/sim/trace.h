/* trace.h: a running hash over all that an engine asked for and said, to prove that a seed
 * means one world; and the same as text for people. */
#ifndef SIM_TRACE_H
#define SIM_TRACE_H

#include "chance.h"
#include "clock.h"

#include "acequia.h"

typedef struct sim_trace {
    bool print;
    uint64_t hash;
    uint64_t ops;
    uint64_t bytes;
    const sim_clock *clock;
} sim_trace;

void sim_trace_start(sim_trace *trace, const char *node, const aq_op *op);
void sim_trace_done(sim_trace *trace, const char *node, const aq_op *op);
void sim_trace_bytes(sim_trace *trace, const char *node, uint32_t link, const uint8_t *data,
                     size_t size);
void sim_trace_note(sim_trace *trace, const char *node, const aq_note *note);
/* Something the world did. */
void sim_trace_event(sim_trace *trace, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

const char *sim_op_name(aq_op_kind kind);

#endif
