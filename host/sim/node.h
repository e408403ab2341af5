/* node.h: one machine: a disk, an engine in memory of its own, and the ops in flight. */
#ifndef SIM_NODE_H
#define SIM_NODE_H

#include "clock.h"
#include "disk.h"
#include "trace.h"

enum { SIM_OPS_MAX = 64 };

typedef struct sim_pending {
    aq_op *op; /* NULL: free */
    uint32_t step;
    uint32_t steps;
    uint64_t number;
} sim_pending;

typedef struct sim_net sim_net;

typedef struct sim_node {
    const char *name;
    sim_arena *arena;
    sim_clock *clock;
    sim_net *net;
    sim_trace *trace;
    sim_disk disk;
    sim_chance chance;
    aq_engine *engine; /* NULL: the machine is down */
    void *memory;
    uint64_t memory_size;
    uint64_t life; /* counts starts: what was planned in an earlier one is void */
    uint64_t started_ns;
    uint32_t root;
    aq_config config;
    unsigned rights;
    bool read_only;     /* an op that changes the tree is a violation */
    int64_t skew_ns;    /* of the wall clock */
    uint64_t frozen_ns; /* the process is suspended until then */
    uint64_t tick_ns;   /* the planned tick */
    uint64_t number;
    sim_pending pending[SIM_OPS_MAX];
    uint64_t memory_peak;
    /* How ops behave: drawn by the world, calm when healed. */
    bool reorder;
    unsigned slow;     /* permille of ops that take seconds */
    unsigned crash_op; /* permille of ops during which it crashes */
    void *watcher;
    void (*on_note)(void *watcher, struct sim_node *node, const aq_note *note);
    void (*on_crash)(void *watcher, struct sim_node *node); /* wants to crash now */
    void (*on_step)(void *watcher, struct sim_node *node, const aq_op *op, uint32_t step);
    void (*on_violation)(void *watcher, const char *text);
} sim_node;

void sim_node_start(sim_node *node);
/* Drops the engine; ops in flight are done in part or not. With power loss the disk loses
 * what it was not told to keep. */
void sim_node_crash(sim_node *node, sim_chance *chance, bool power_loss);
/* Lets the engine decide and starts what it asks for, until it has nothing to say. */
void sim_node_crank(sim_node *node);
/* The process is stopped, as by SIGSTOP: the disk and the network go on without it. */
void sim_node_freeze(sim_node *node, uint64_t until_ns);
int64_t sim_node_wall(const sim_node *node);

#endif
