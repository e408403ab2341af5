/* world.h: everything that one seed means: machines, links, users, troubles, and jobs. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "check.h"
#include "job.h"
#include "net.h"
#include "user.h"

/* X(NAME, option, what it is): each is drawn per seed, and --no-<option> turns it off. */
#define SIM_TROUBLE_LIST(X)                                                                \
    X(CUT, "cut", "links break at some byte")                                              \
    X(STALL, "stall", "links stand still for a while")                                     \
    X(HALF, "half", "only one end learns that a link broke")                               \
    X(FRAGMENT, "fragment", "bytes arrive in pieces")                                      \
    X(CORRUPT, "corrupt", "a byte of a link arrives changed")                              \
    X(REFUSE, "refuse", "dialling fails")                                                  \
    X(CRASH, "crash", "programs are killed")                                               \
    X(POWER, "power", "unsynced data is lost at a crash")                                  \
    X(FULL, "full", "the destination's disk is full for a while")                          \
    X(READ, "read", "reads and listings fail")                                             \
    X(WRITE, "write", "writes and syncs fail")                                             \
    X(STATE, "state", "state cannot be read or written, or is lost")                       \
    X(FLIP, "flip", "reads at the destination are wrong by one bit")                       \
    X(CHANGE, "change", "files change while they are read")                                \
    X(EDIT, "edit", "the source's user goes on working")                                   \
    X(LOCAL, "local", "somebody works at the destination")                                 \
    X(GONE, "gone", "the source's root is not mounted for a while")                        \
    X(SLOW, "slow", "some ops take seconds")                                               \
    X(REORDER, "reorder", "ops overtake each other")                                       \
    X(COPY, "copy", "copying inside the disk is not supported")                            \
    X(SUSPEND, "suspend", "a program stands still for a while")                            \
    X(TIME, "time", "clocks jump by years")                                                \
    X(STOP, "stop", "syncs are stopped or paused")                                         \
    X(ODD, "odd", "options that make single syncs do less")                                \
    X(PUSH, "push", "the source dials")                                                    \
    X(DELETE, "delete", "extras are deleted")                                              \
    X(CHECKSUM, "checksum", "contents are compared")                                       \
    X(FILTER, "filter", "some names are excluded")                                         \
    X(BACKUP, "backup", "what is replaced or deleted is kept in a directory")              \
    X(DRY, "dry", "dry runs in between")                                                   \
    X(AUTH, "auth", "a token is needed")                                                   \
    X(THIRD, "third", "a second destination")

typedef enum sim_trouble {
#define X(name, option, text) SIM_##name,
    SIM_TROUBLE_LIST(X)
#undef X
        SIM_TROUBLE_COUNT
} sim_trouble;

enum { SIM_NODES_MAX = 3, SIM_MEMORY = 32 << 20 };

typedef struct sim_options {
    uint64_t seed;
    bool without[SIM_TROUBLE_COUNT];
    bool only_calm; /* no trouble at all */
    bool corrupt;   /* links may change bytes, as none over TLS does */
    bool print;
    uint64_t steps_max;
    uint64_t memory_size; /* of each engine, at most SIM_MEMORY */
    uint64_t crash_at;    /* whoever does the op step of that number crashes; 0: nobody */
    uint64_t cut_at;      /* the first link breaks at that byte; 0: it does not */
} sim_options;

typedef struct sim_world {
    sim_options options;
    sim_arena *arena;
    sim_clock clock;
    sim_trace trace;
    sim_net net;
    sim_node nodes[SIM_NODES_MAX]; /* [0] has the source */
    uint32_t node_count;
    sim_ledger ledger;
    sim_user users[SIM_NODES_MAX];
    sim_job jobs[SIM_NODES_MAX - 1]; /* one for each destination */
    uint32_t job_count;
    sim_chance draw;
    sim_chance crash;
    bool trouble[SIM_TROUBLE_COUNT];
    bool healed;
    uint64_t heal_ns;
    uint64_t steps;
    uint64_t op_steps;
    uint64_t crashes;
    bool failed;
    char failure[1000];
} sim_world;

/* What is left of a world. */
typedef struct sim_result {
    bool failed;
    char failure[1000];
    uint64_t hash;
    uint64_t steps;
    uint64_t op_steps;
    uint64_t ops;
    uint64_t bytes;
    uint64_t virtual_ns;
    uint64_t crashes;
    uint64_t cuts;
    uint64_t attempts;
    uint64_t memory_peak;
    uint64_t literal; /* content bytes that crossed links */
    uint64_t content; /* bytes of the source's files at the end */
} sim_result;

/* `memory`: SIM_NODES_MAX times SIM_MEMORY bytes. The arena is reset. */
void sim_world_run(const sim_options *options, sim_arena *arena, void *memory,
                   sim_result *result);

void sim_world_fail(sim_world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
