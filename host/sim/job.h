/* job.h: somebody who wants a folder synced and tries until it is. */
#ifndef SIM_JOB_H
#define SIM_JOB_H

#include "check.h"
#include "node.h"

struct sim_world;

typedef enum sim_job_state {
    SIM_JOB_IDLE,
    SIM_JOB_DIALS,
    SIM_JOB_RUNS,
    SIM_JOB_OVER
} sim_job_state;

/* After all is healed: */
typedef enum sim_job_stage {
    SIM_STAGE_DRY,    /* changes nothing */
    SIM_STAGE_REAL,   /* ends well, and the trees are equal */
    SIM_STAGE_EMPTY,  /* a dry run has nothing to say */
    SIM_STAGE_AGAIN,  /* nothing is sent or changed */
    SIM_STAGE_VERIFY, /* contents are equal */
    SIM_STAGE_OVER
} sim_job_stage;

typedef struct sim_job {
    struct sim_world *world;
    uint64_t index;
    sim_node *source, *destination;
    sim_node *client, *server;
    aq_sync_options options; /* as drawn */
    aq_sync_options now;     /* of this attempt */
    aq_stats seen;           /* its progress when it was last looked at */
    bool is_odd;             /* its options make it leave something out */
    sim_job_state state;
    sim_job_stage stage;
    uint32_t link, sync;
    uint64_t life; /* of the client when it began */
    bool counts;   /* the attempt began when all was well */
    uint64_t number;
    uint64_t attempts;
    uint64_t stage_attempts;
    uint64_t attempt_ns;
    uint64_t attempt_before_ns;
    uint64_t tree_hash; /* the destination's when the attempt began */
    uint64_t changes;   /* notes of change in this attempt */
    uint64_t literal;
    uint64_t refused; /* items of this attempt whose backup was impossible */
    uint64_t blocked; /* places that a directory keeps against a file */
    sim_keeps keeps;
    const char *excluded;
    const char *backup;
} sim_job;

void sim_job_open(sim_job *job, struct sim_world *world, uint64_t index);
void sim_job_plan(sim_job *job, uint64_t after_ns);
/* From now on each attempt must end, and well. */
void sim_job_heal(sim_job *job);
void sim_job_dialled(sim_job *job, uint32_t link);
void sim_job_note(sim_job *job, const aq_note *note);
/* What people see of it never runs backwards. */
void sim_job_watch(sim_job *job);
/* The client's engine is gone. */
void sim_job_down(sim_job *job);

#endif
