/* sink.h: what the files that make up the sink share. It makes its folder equal to the
 * source's:
 *
 *   sink.c          the session: phases, requests, progress
 *   sink_list.c     the source's directories: asking, receiving, putting together
 *   sink_plan.c     comparing a directory with ours: what has to be done for each entry
 *   sink_small.c    small files and symlinks: batches
 *   sink_publish.c  durability groups: flush, then make visible
 *   sink_fetch.c    large files: maps, chunks, resuming, the file's hash
 *   sink_delta.c    a chunk rebuilt from blocks of an older version
 *   sink_check.c    comparing contents: -c, moves
 *   sink_state.c    what is remembered from one run to the next
 *   sink_tail.c     what waits for a complete root: type changes, deletions, times
 */
#ifndef AQ_SWARM_SINK_H
#define AQ_SWARM_SINK_H

#include "engine/base/map.h"
#include "engine/swarm/session.h"
#include "engine/sync/hashing.h"
#include "engine/sync/mapper.h"
#include "engine/sync/scan.h"

#define AQ_NOWHERE UINT32_MAX

enum {
    AQ_SINK_REQUEST_BITS = 13,
    AQ_SINK_REQUESTS_MAX = 1 << AQ_SINK_REQUEST_BITS,
    AQ_SINK_TRIES_MAX = 5
};

/* What is to be done for an entry of the source. */
typedef enum aq_action {
    AQ_ACTION_NONE,
    AQ_ACTION_NEW,     /* nothing is there */
    AQ_ACTION_CONTENT, /* something else is there, not a directory */
    AQ_ACTION_META,    /* only mtime or exec differ */
    AQ_ACTION_CHECK,   /* contents have to be compared */
    AQ_ACTION_PARKED,  /* waits for a complete root */
    AQ_ACTION_TAKEN    /* somebody works on it, or it is done */
} aq_action;

typedef enum aq_rdir_state {
    AQ_RDIR_WAITING, /* its hash may come and save looking */
    AQ_RDIR_MAKING,  /* the directory is being made here */
    AQ_RDIR_QUEUED,  /* to be asked for */
    AQ_RDIR_ASKED,
    AQ_RDIR_PLANNED,
    AQ_RDIR_SKIPPED, /* equal, or parked, or hopeless */
} aq_rdir_state;

/* A directory's listing on its way. */
typedef struct aq_incoming aq_incoming;

/* A directory of the source; beside the aq_dir of the same number in `remote`. */
typedef struct aq_rdir {
    uint32_t wire;  /* the source's number for it */
    uint32_t local; /* ours, or AQ_NOWHERE */
    uint8_t state;  /* aq_rdir_state */
    bool has_hash;
    bool broken;
    bool parked;
    bool retime; /* not looked into, but its own mtime differs */
    aq_hash hash;
    uint8_t *actions; /* when PLANNED: an aq_action for each entry */
    uint32_t cursor;  /* entries before it are under way */
    bool busy;        /* something in it had to be done */
    aq_incoming *incoming;
} aq_rdir;

/* An entry of the source. */
typedef struct aq_ref {
    uint32_t dir;
    uint32_t index;
} aq_ref;

typedef struct aq_retry {
    aq_ref ref;
    uint32_t tries;
} aq_retry;

typedef enum aq_request_kind {
    AQ_REQUEST_FREE,
    AQ_REQUEST_SMALL,  /* owner: aq_small */
    AQ_REQUEST_CHUNK,  /* owner: aq_fetch, index: chunk; bytes go to `to` */
    AQ_REQUEST_DELTA,  /* owner: aq_delta; likewise */
    AQ_REQUEST_PROBE,  /* owner: aq_fetch: only to learn how the file changed */
    AQ_REQUEST_BLOCKS, /* owner: aq_delta */
    AQ_REQUEST_HASHES  /* owner: aq_check */
} aq_request_kind;

typedef struct aq_request {
    uint8_t kind; /* aq_request_kind */
    uint32_t generation;
    void *owner;
    uint32_t index;
    uint8_t *to;
    uint64_t size, received;
} aq_request;

/* The end of an answer that carries content. */
typedef struct aq_answer {
    aq_status status;
    aq_stamp stamp; /* CHANGED: what it is now */
    bool has_hash;
    aq_hash hash;
} aq_answer;

/* A small file or symlink on its way into staging. */
typedef struct aq_small {
    struct aq_small *next;
    aq_ref ref;
    uint32_t tries;
    uint64_t slot;
    uint8_t *data; /* a symlink's is its target, lent by the entry */
    uint64_t size;
    aq_hash hash;
} aq_small;

/* Something staged whole, which only has to become visible. */
typedef struct aq_ready {
    aq_ref ref;
    uint64_t slot;
    uint64_t size;
} aq_ready;

typedef struct aq_group {
    struct aq_group *next;
    struct aq_sink *sink;
    AQ_VECTOR(aq_ready) items;
    uint32_t at;     /* items before it are being published */
    uint32_t flight; /* ops */
    uint64_t bytes;
    uint64_t opened_ns;
    enum { GROUP_OPEN, GROUP_FLUSHING, GROUP_PUBLISHING } state;
} aq_group;

typedef struct aq_fetch aq_fetch;
typedef struct aq_delta aq_delta;
typedef struct aq_check aq_check;

/* A local entry that the source does not have. */
typedef struct aq_extra {
    uint32_t dir;
    aq_entry *entry;
} aq_extra;

/* Something of the source that may be something of ours, moved. */
typedef struct aq_moving {
    aq_ref ref;
    aq_extra local;
} aq_moving;

typedef enum aq_sink_phase {
    AQ_SINK_PREPARE, /* our own scan, left-over slots */
    AQ_SINK_WORK,    /* comparing and transferring */
    AQ_SINK_REMOVE,
    AQ_SINK_TIMES,
    AQ_SINK_CLEAN,
    AQ_SINK_OVER
} aq_sink_phase;

typedef struct aq_sink {
    aq_session s; /* first */
    aq_sink_phase phase;
    aq_scan scan; /* of our folder */
    bool scan_begun, slots_listed;
    aq_tree remote; /* as far as it was shown */
    AQ_VECTOR(aq_rdir) rdirs;
    bool root_known, root_complete, root_broken;
    int64_t root_mtime_ns;
    uint64_t begun_ns;    /* when our own scan began */
    uint64_t patience_ns; /* until then unfinished directories may still become complete */
    bool impatient;
    uint32_t open_dirs;                 /* neither PLANNED nor SKIPPED */
    uint32_t asked;                     /* ASKED */
    AQ_VECTOR(uint32_t) waiting, queue; /* directories WAITING; QUEUED (a stack) */
    aq_map wires;                       /* the source's number → ours */

    AQ_VECTOR(uint32_t) ready; /* PLANNED directories with work left */
    uint32_t ready_at;
    AQ_VECTOR(aq_retry) retries;
    aq_request *requests; /* AQ_SINK_REQUESTS_MAX */
    uint32_t request_count, request_next;
    uint64_t outstanding; /* content bytes that were asked for and are not here */
    uint64_t rate;        /* content bytes a second, lately */
    uint64_t rate_bytes, rate_ns;
    uint64_t content_ns; /* when content came last, or was asked for after a pause */
    AQ_VECTOR(aq_small *) batch; /* complete, to be staged */
    uint64_t batch_bytes;
    uint32_t small_open;       /* requested or being staged */
    aq_group *groups;          /* the first may be open, the others are on their way */
    AQ_VECTOR(aq_retry) large; /* files to be fetched */
    uint32_t large_at;
    aq_fetch *fetches;
    uint32_t fetch_count;
    uint64_t map_count; /* questions for maps so far */
    aq_check *checks;
    uint32_t check_count;
    AQ_VECTOR(aq_ref) to_check, metas;
    AQ_VECTOR(aq_moving) moves; /* to be checked */
    uint64_t slot_next;
    AQ_VECTOR(uint64_t) leftovers; /* slots of interrupted large files */
    bool staged_any;

    AQ_VECTOR(aq_ref) parked;        /* moves perhaps, and directories that may be moves */
    AQ_VECTOR(aq_ref) conflicts;     /* of type */
    AQ_VECTOR(aq_ref) after_removal; /* files where a directory has to go first */
    AQ_VECTOR(aq_extra) extras;
    AQ_VECTOR(aq_extra) doomed; /* extras with everything below, deepest first */
    uint32_t doomed_at;
    bool doomed_listed, limit_hit;
    uint32_t times_at;
    bool cleaned;
    aq_map by_stamp; /* our files by size and mtime → candidates */
    aq_map by_hash;  /* our directories by hash */
    AQ_VECTOR(aq_extra) candidates;
    bool indexed;

    AQ_VECTOR(uint64_t) quiet; /* see sink_state.c */
    aq_map quiet_set;
    bool quiet_loaded, quiet_saved;
    aq_hash options_digest;

    uint32_t ops; /* with the host */
    uint64_t acked;
    uint64_t stats_due_ns;
    uint32_t vanished; /* of the errors */
    aq_status fatal;   /* why the work stops */
} aq_sink;

static inline aq_sink *aq_sink_of(aq_session *s)
{
    return (aq_sink *)(void *)s;
}

static inline aq_entry *aq_sink_entry(const aq_sink *sink, aq_ref ref)
{
    return sink->remote.dirs.at[ref.dir].entries[ref.index];
}

/* ---- sink.c ---- */
/* The work cannot go on: what is staged is still saved, then the session ends with this. */
void aq_sink_fail(aq_sink *sink, aq_status status);
/* Something about one entry failed; the rest goes on. */
void aq_sink_problem(aq_sink *sink, aq_ref ref, aq_status status);
void aq_sink_problem_at(aq_sink *sink, const char *path, aq_status status);
/* The path of an entry; room for AQ_PATH_MAX + 1. */
void aq_sink_path(const aq_sink *sink, aq_ref ref, char *path);
/* Our own entry of that name, unless it was moved away; NULL: none. */
aq_entry *aq_sink_local(const aq_sink *sink, aq_ref ref);
/* An op of the sink; `handler` calls aq_sink_op_done first. */
aq_op *aq_sink_op(aq_sink *sink, aq_op_kind kind, uint32_t item_count,
                  aq_op_handler *handler, void *owner);
void aq_sink_op_queue(aq_sink *sink, aq_op *op);
void aq_sink_op_done(aq_sink *sink);
/* Memory for content; counted. NULL: the budget is used up (one piece is always granted).
 */
uint8_t *aq_sink_buffer(aq_sink *sink, uint64_t size);
void aq_sink_buffer_give(aq_sink *sink, uint8_t *data, uint64_t size);
/* A number for a request; UINT32_MAX: too many are open. */
uint32_t aq_sink_request(aq_sink *sink, aq_request_kind kind, void *owner, uint32_t index,
                         uint8_t *to, uint64_t size);
bool aq_sink_may_request(const aq_sink *sink, uint32_t count);
/* Answers to it are dropped from now on. */
void aq_sink_requests_forget(aq_sink *sink, const void *owner);
/* Asks for a range of a file; or, with AQ_WANT_… flags, for all of it, or for its stamp. */
void aq_sink_want(aq_sink *sink, uint32_t request, aq_ref ref, uint8_t flags,
                  uint64_t offset, uint64_t size);
/* It changed at the source: is now `stamp` there. Tried again later, unless too often. */
void aq_sink_changed(aq_sink *sink, aq_ref ref, uint32_t tries, const aq_answer *answer);
bool aq_sink_may_start(const aq_sink *sink); /* new transfers */

/* ---- sink_list.c ---- */
void aq_sink_got_root(aq_sink *sink, aq_reader *r);
void aq_sink_got_listing(aq_sink *sink, aq_reader *r);
void aq_sink_got_ids(aq_sink *sink, aq_reader *r);
void aq_sink_got_dir_done(aq_sink *sink, aq_reader *r);
void aq_sink_step_lists(aq_sink *sink);
void aq_sink_free_lists(aq_sink *sink);
/* A directory that was SKIPPED is looked at again. */
void aq_sink_dir_again(aq_sink *sink, uint32_t dir);
/* The directory exists here now (or need not): look into it. */
void aq_sink_dir_open(aq_sink *sink, uint32_t dir);
void aq_sink_dir_skip(aq_sink *sink, uint32_t dir);
void aq_sink_dir_make(aq_sink *sink, uint32_t dir);

/* ---- sink_plan.c ---- */
void aq_sink_plan(aq_sink *sink, uint32_t dir);
/* A directory whose hash may just have become known: skip, wait or look? */
void aq_sink_dir_decide(aq_sink *sink, uint32_t dir);
bool aq_sink_is_equal_root(const aq_sink *sink);
/* Builds by_stamp and by_hash. */
void aq_sink_index(aq_sink *sink);
uint64_t aq_sink_stamp_key(const aq_stamp *stamp);

/* ---- sink_small.c ---- */
void aq_sink_step_small(aq_sink *sink);
void aq_sink_schedule(aq_sink *sink, aq_ref ref, uint32_t tries);
void aq_sink_small_answer(aq_sink *sink, aq_small *small, const aq_answer *answer,
                          uint64_t received);
void aq_sink_drop_small(aq_sink *sink);

/* ---- sink_publish.c ---- */
void aq_sink_publish(aq_sink *sink, aq_ref ref, uint64_t slot, uint64_t size);
void aq_sink_step_groups(aq_sink *sink);
void aq_sink_step_metas(aq_sink *sink);

/* ---- sink_fetch.c ---- */
void aq_sink_step_fetches(aq_sink *sink);
void aq_sink_fetch_answer(aq_sink *sink, aq_fetch *fetch, const aq_request *request,
                          const aq_answer *answer);
void aq_sink_got_map(aq_sink *sink, aq_reader *r);
void aq_sink_drop_fetches(aq_sink *sink);

/* ---- sink_delta.c ---- */
/* Where in the older version the bytes of a chunk may be found again; 0 to 2 ranges. */
typedef struct aq_delta_basis {
    uint64_t offset[2];
    uint64_t size[2];
} aq_delta_basis;

/* Rebuilds one chunk of `fetch`. False: no memory for it now. Ends by
 * aq_sink_chunk_rebuilt. */
bool aq_sink_delta_start(aq_sink *sink, aq_fetch *fetch, uint32_t chunk,
                         const aq_delta_basis *basis);
void aq_sink_delta_answer(aq_sink *sink, aq_delta *delta, const aq_request *request,
                          const aq_answer *answer);
void aq_sink_got_blocks(aq_sink *sink, aq_delta *delta, aq_reader *r);
void aq_sink_deltas_drop(aq_sink *sink, aq_fetch *fetch);

/* ---- sink_check.c ---- */
void aq_sink_step_checks(aq_sink *sink);
void aq_sink_got_hashes(aq_sink *sink, aq_check *check, aq_reader *r);
void aq_sink_drop_checks(aq_sink *sink);
/* Is `ref` (a file, or with index AQ_NOWHERE a complete directory) the same content as our
 * `local`? Then it is moved or copied from there, else made like any other. */
void aq_sink_check_move(aq_sink *sink, aq_ref ref, aq_extra local);

/* ---- sink_state.c ---- */
void aq_sink_quiet_load(aq_sink *sink);
/* This pair of directories needed nothing the last time, under the same options. */
bool aq_sink_quiet_has(const aq_sink *sink, const aq_hash *source, const aq_hash *own);
void aq_sink_quiet_save(aq_sink *sink);

/* ---- sink_tail.c ---- */
void aq_sink_step_tail(aq_sink *sink);
void aq_sink_extra(aq_sink *sink, uint32_t dir, aq_entry *entry);
/* Where a displaced object goes, with --backup-dir (lives as long as the op); else NULL. */
const char *aq_sink_backup(aq_sink *sink, aq_op *op, const char *path);

/* Marks in the `child` of our own files, and in the `mark` of our own directories: */
enum {
    AQ_MARK_EXTRA = 1, /* the source does not have it */
    AQ_MARK_MOVED = 2  /* it is elsewhere now */
};

#endif
