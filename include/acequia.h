/* acequia.h: the engine's one public header.
 *
 * The engine is all of Acequia's meaning and none of its I/O. It owns no socket, file,
 * clock, thread or random source; a *host* turns its crank:
 *
 *     for (;;) {
 *         aq_tick(e, now_ns, wall_ns);              time enters here, only here
 *         ... aq_done(), aq_link_recv(), aq_link_closed(): what the world did
 *         while ((op = aq_poll(e)))          start(op);
 *         while ((link = aq_poll_link(e)))   pump(link);
 *         while (aq_poll_note(e, &note))     show(&note);
 *         sleep_until(aq_deadline(e));
 *     }
 *
 * Inputs record; only aq_poll decides. There are no callbacks, so there is no reentrancy.
 * The engine is deterministic: the same configuration and the same calls give the same ops
 * and the same bytes on every target. One engine is used by one thread at a time; aq_work
 * alone is pure and may run on any thread while the op is with the host.
 *
 * Units: sizes and offsets in bytes, times in nanoseconds. Wall times count from the Unix
 * epoch. Paths are relative to a root, names joined by '/', NUL-terminated UTF-8; "" is the
 * root itself. The engine has validated every path that it hands to a host
 * (docs/SEMANTICS.md, "Paths").
 */
#ifndef ACEQUIA_H
#define ACEQUIA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- statuses --------------------------------------------------------------------------
 */

/* X(NAME, exit code of the command, text for people). The wire carries the position in this
 * list, so new codes go to the end. The exit codes are rsync's where the meaning agrees. */
#define AQ_STATUS_LIST(X)                                                                  \
    X(OK, 0, "success")                                                                    \
    X(CHANGED, 23, "it changed while it was being worked on")                              \
    X(NOT_FOUND, 24, "it does not exist")                                                  \
    X(EXISTS, 23, "something else is there already")                                       \
    X(ACCESS, 23, "permission denied")                                                     \
    X(NO_SPACE, 42, "the disk is full or the quota is used up")                            \
    X(IO, 11, "input/output error")                                                        \
    X(NAME, 23, "the name is not possible here")                                           \
    X(NOT_DIRECTORY, 23, "it is not a directory")                                          \
    X(NOT_EMPTY, 23, "the directory is not empty")                                         \
    X(READ_ONLY, 11, "the file system is read-only")                                       \
    X(UNSUPPORTED, 23, "this file system or device cannot do it")                          \
    X(CORRUPT, 41, "the bytes do not match their hash")                                    \
    X(CANCELLED, 20, "cancelled")                                                          \
    X(PROTOCOL, 2, "the peer does not speak this protocol correctly")                      \
    X(VERSION, 2, "the peer speaks no protocol version that this program knows")           \
    X(DENIED, 5, "access denied")                                                          \
    X(TIMEOUT, 30, "the peer did not answer in time")                                      \
    X(CLOSED, 12, "the connection was lost")                                               \
    X(CONNECT, 35, "the connection could not be made")                                     \
    X(IDENTITY, 44, "the server's identity does not match")                                \
    X(BUSY, 45, "the folder is in use by another process")                                 \
    X(MEMORY, 23, "out of memory")                                                         \
    X(DELETE_LIMIT, 25, "the deletion limit was reached")                                  \
    X(PARTIAL, 23, "some files could not be transferred")                                  \
    X(ROOT, 11, "the folder is missing or unreadable")                                     \
    X(USAGE, 1, "the request makes no sense")

typedef enum aq_status {
#define X(name, exit_code, text) AQ_##name,
    AQ_STATUS_LIST(X)
#undef X
        AQ_STATUS_COUNT
} aq_status;

/* Static texts; any value is accepted. */
const char *aq_status_name(aq_status status); /* "NO_SPACE" */
const char *aq_status_text(aq_status status);
int aq_status_exit(aq_status status);

/* ---- plain data ------------------------------------------------------------------------
 */

typedef struct aq_hash {
    uint8_t bytes[32];
} aq_hash;

typedef enum aq_type {
    AQ_TYPE_NONE, /* nothing is there */
    AQ_TYPE_FILE,
    AQ_TYPE_DIRECTORY,
    AQ_TYPE_SYMLINK,
    AQ_TYPE_OTHER /* device, socket, fifo: never synced, never removed */
} aq_type;

/* What a file system says of an object without reading it. Two equal stamps are taken as
 * the same content (rule R6). A host that lacks a field keeps it 0. */
typedef struct aq_stamp {
    uint64_t size; /* a file's bytes; a symlink's target length; 0 for a directory */
    int64_t mtime_ns;
    int64_t ctime_ns;
    uint64_t inode;
    uint8_t type; /* aq_type */
    uint8_t exec; /* 1: the owner may execute it; files only */
} aq_stamp;

/* ---- ops: what the engine asks of the host ----------------------------------------------
 */

/* Every op is answered exactly once, by aq_done, in any order. Until then its items and
 * their buffers are lent to the host. Each item is answered by its own status; an op with
 * one failed item still does the others. Ops may run on any thread and side by side; the
 * engine never has two ops in flight whose order would matter.
 *
 * A *slot* is a staging place named by a number, on the same file system as its root,
 * invisible to users (native: `.acequia/` below the root). It is created by its first
 * WRITE, COPY or STAGE and survives the process. No handle crosses this border, so a crash
 * leaves nothing open. */
typedef enum aq_op_kind {
    /* items[0].path is a directory (or, with AQ_ITEM_SLOT, unused: lists the slots, each
     * with its number in hexadecimal as the name). In: offset 0, or the value of the call
     * before, to go on; data, size: an aligned buffer to be filled by aq_list_put, in the
     * host's order. Out: done = bytes filled, offset = where to go on or 0 at the end,
     * stamp = the directory's own. "." and "..", and the staging directory, are not listed.
     */
    AQ_OP_LIST,
    /* Out: stamp. A missing object is OK with type NONE. */
    AQ_OP_STAT,
    /* Reads size bytes at offset of path (or slot) into data; out: done (short at the end
     * of the file), stamp. If expect.type is not NONE the stamp must equal it both before
     * and after the reading, else CHANGED (rule R22). Then the host calls aq_work(op). This
     * is the requirement's readRange, and with work attached its hashRange. */
    AQ_OP_READ,
    /* First aq_work(op), which verifies: items whose status is not OK then are skipped. The
     * rest is written as complete objects into their slots: a file (data, size, mtime_ns,
     * exec) or a symlink (data = target). An existing slot is replaced. */
    AQ_OP_STAGE,
    /* First aq_work(op), as for STAGE. Writes data at offset of the slot, creating it when
     * needed; long aligned runs of zeros may become holes. */
    AQ_OP_WRITE,
    /* Copies size bytes at offset of path (expect as in READ) to to_offset of the slot,
     * within the file system where it can (reflink, copy_file_range). */
    AQ_OP_COPY,
    /* The slots' bytes are on the disk when it is answered. */
    AQ_OP_FLUSH,
    /* Each slot atomically becomes its path; first truncated to size, given mtime_ns and
     * exec. expect is what the plan saw there (type NONE: nothing). What is displaced is
     * checked after an atomic exchange (R3): if it is as expected it is moved to `target`
     * when that is not NULL (directories made as needed), else dropped; if it is not, it is
     * kept beside as `NAME.displaced-<slot>` and the item says CHANGED: published all the
     * same. A directory that is in the way is not replaced: EXISTS. Out: stamp of what is
     * now at path. */
    AQ_OP_PUBLISH,
    /* Removes path if it still is as expect says, else CHANGED. A directory must be empty
     * (NOT_EMPTY). With target the object is moved there instead. */
    AQ_OP_REMOVE,
    /* Moves path to target (same root); nothing may be at target (EXISTS). */
    AQ_OP_RENAME,
    /* Makes a directory; one that exists is OK. Parents exist already. */
    AQ_OP_MKDIR,
    /* Sets mtime_ns and, for a file, exec of path, if type still is expect.type. Out:
       stamp. */
    AQ_OP_META,
    /* Removes the slots; with item_count 0 all of them, and the staging directory. */
    AQ_OP_DISCARD,
    /* Key/value state of the root. path is the key. LOAD: value into data, size = its room;
     * done = the value's size (more than size: nothing was copied; ask again), NOT_FOUND.
     * SAVE: an atomic, ordered batch: each key gets data[0..size), or is deleted if data is
     * NULL. State is a cache of facts: losing it costs time, never data. */
    AQ_OP_LOAD,
    AQ_OP_SAVE,
    /* aq_work(op), nothing else. */
    AQ_OP_WORK,
    /* Close op.link, after what aq_link_out still holds is sent; the reason is
       items[0].status. */
    AQ_OP_HANGUP
} aq_op_kind;

enum {
    AQ_ITEM_SLOT = 1 /* the object is the staging slot, not the path */
};

typedef struct aq_item {
    const char *path;   /* lent, NUL-terminated */
    const char *target; /* lent, or NULL */
    uint64_t slot;
    uint64_t offset;
    uint64_t to_offset;
    uint8_t *data; /* lent */
    uint64_t size; /* of data, of the range, or of the file to publish */
    uint64_t done; /* out */
    aq_stamp expect;
    aq_stamp stamp; /* out */
    int64_t mtime_ns;
    aq_hash hash; /* for aq_work only */
    uint8_t type; /* aq_type of what STAGE makes */
    uint8_t exec;
    uint8_t flags;    /* AQ_ITEM_… */
    aq_status status; /* out; the engine sets AQ_OK before it hands the op out */
} aq_item;

typedef struct aq_op {
    aq_op_kind kind;
    uint32_t id;   /* unique among ops in flight */
    uint32_t root; /* from aq_root_add */
    uint32_t link; /* HANGUP */
    uint32_t item_count;
    aq_item *items;
    void *work; /* the engine's own */
} aq_op;

/* Packs one entry into a LIST item (item->done grows). False when the buffer is full: then
 * the host stops, and leaves in item->offset where to go on. `target`: a symlink's, else
 * NULL. */
bool aq_list_put(aq_item *item, const char *name, size_t name_size, const aq_stamp *stamp,
                 const char *target, size_t target_size);

/* The pure CPU part of an op (hashing, chunking, verifying). Any thread; touches only the
 * op, its items and their buffers. An op without such a part: nothing happens. */
void aq_work(aq_op *op);

/* ---- opening ----------------------------------------------------------------------------
 */

typedef struct aq_engine aq_engine;

typedef enum aq_profile_id {
    AQ_PROFILE_STANDARD, /* chunks of 1–8 MiB */
    AQ_PROFILE_SMALL     /* chunks of 64–1,024 B, for simulators and tests */
} aq_profile_id;

enum {
    AQ_READ = 1, /* rights on a root */
    AQ_WRITE = 2
};

typedef struct aq_config {
    uint8_t seed[32]; /* from a true random source; nonces and node id come from it */
    aq_profile_id profile;
    uint64_t buffer_max; /* memory for transfer buffers of all links together; 0: 48 MiB */
    uint32_t op_max;     /* ops in flight at once; 0: 16 */
    uint64_t timeout_ns; /* a silent link is dropped after it; 0: 60 s */
    const char *token;   /* shared secret for auth, copied; NULL: none */
    bool auth_required;  /* as a server: refuse peers without the token */
} aq_config;

/* Memory in use never exceeds `size` bytes at `memory` (aligned to 64, zeroed or not;
 * native hosts map it lazily). NULL if it is too small. aq_close frees nothing: the memory
 * is the host's. */
aq_engine *aq_open(const aq_config *config, void *memory, uint64_t size);

/* Bytes of engine memory in use now, and at the most so far. */
uint64_t aq_memory_used(const aq_engine *e);
uint64_t aq_memory_peak(const aq_engine *e);

/* Adds a folder. `name` is how peers ask for it (may be ""), copied; rights: what peers may
 * do. */
uint32_t aq_root_add(aq_engine *e, const char *name, unsigned rights);

/* ---- time, ops, notes -------------------------------------------------------------------
 */

/* The first call after aq_open; then whenever time has passed. */
void aq_tick(aq_engine *e, uint64_t now_ns, int64_t wall_ns);
uint64_t aq_deadline(const aq_engine *e); /* when to tick again; UINT64_MAX: no need */
aq_op *aq_poll(aq_engine *e);             /* NULL: nothing to start now */
void aq_done(aq_engine *e, aq_op *op);    /* items hold the results */

/* ---- links ------------------------------------------------------------------------------
 */

/* A link is one connection to one peer. The host numbers links (never 0, never reused). */
typedef struct aq_link_config {
    bool client;  /* this side dialled */
    bool trusted; /* no auth needed: in-process, or a loopback peer of a server that
                     asks for none */
    uint8_t
        binding[32]; /* the same on both ends, different for every connection: TLS exporter
                        value; zero when plain. Ties auth to this connection. */
} aq_link_config;

void aq_link_open(aq_engine *e, uint32_t link, const aq_link_config *config);
/* Bytes from the peer, in order; all are consumed. */
void aq_link_recv(aq_engine *e, uint32_t link, const void *data, size_t size);
/* The transport is gone (also answers a HANGUP, besides aq_done). */
void aq_link_closed(aq_engine *e, uint32_t link, aq_status reason);
uint32_t
aq_poll_link(aq_engine *e); /* a link with bytes to send; 0: none. Each is named once
                               until more bytes are queued after it ran empty. */
/* The next bytes to send: a lent pointer, valid until the next call on this engine; 0:
 * none. */
size_t aq_link_out(aq_engine *e, uint32_t link, const uint8_t **data);
void aq_link_sent(aq_engine *e, uint32_t link,
                  size_t size); /* that many of them are taken */

/* ---- syncing ----------------------------------------------------------------------------
 */

typedef enum aq_direction {
    AQ_PULL, /* the remote folder is the source */
    AQ_PUSH
} aq_direction;

typedef struct aq_sync_options {
    bool dry_run;
    bool delete_extra;    /* --delete */
    bool checksum;        /* -c: compare contents, not size and mtime */
    bool size_only;       /* equal size is equal */
    bool update;          /* -u: skip what is newer here */
    bool ignore_existing; /* never touch what exists */
    bool existing;        /* never create */
    bool itemize;         /* a note for each change */
    bool verify_only;     /* acequia check: compare contents, change nothing */
    int64_t modify_window_ns;
    uint64_t delete_max;         /* files; UINT64_MAX: no limit */
    uint32_t delete_max_percent; /* of the files here; 0: no limit */
    uint64_t transfer_max;       /* content bytes; 0: no limit */
    const char *backup;          /* path below the destination root, or NULL */
    const char *filter;      /* rules, one a line (docs/SEMANTICS.md, "Filters"), or NULL */
    uint64_t bytes_per_s_in; /* 0: no limit */
    uint64_t bytes_per_s_out;
} aq_sync_options;

/* On the dialling side: syncs `root` with the folder of that name at the link's other end.
 * The link may be opening still. Ends with one AQ_NOTE_END. Returns the sync's number. */
uint32_t aq_sync_start(aq_engine *e, uint32_t link, uint32_t root, const char *folder,
                       aq_direction direction, const aq_sync_options *options);
/* Finishes what is in flight, saves it, then ends; a second call ends at once. */
void aq_sync_stop(aq_engine *e, uint32_t sync);
/* No new bytes are asked for while paused. */
void aq_sync_pause(aq_engine *e, uint32_t sync, bool paused);

/* As of now; `complete` totals never shrink. Works during and (until the next start) after.
 */
typedef struct aq_stats {
    uint64_t files_total; /* seen at the source so far */
    uint64_t bytes_total; /* their sizes */
    uint64_t files_changed;
    uint64_t bytes_changed; /* sizes of the files that needed work, so far */
    uint64_t files_done;    /* of the changed ones */
    uint64_t bytes_done;    /* likewise, also the part of files still under way */
    uint64_t files_deleted;
    uint64_t files_moved;
    uint64_t directories_made;
    uint64_t links_made;
    uint64_t bytes_literal; /* content that crossed the wire */
    uint64_t bytes_matched; /* content that was here already */
    uint64_t bytes_sent;    /* on the link, above TLS */
    uint64_t bytes_received;
    uint64_t errors;
    bool scanning;     /* totals still grow */
    bool complete;     /* both scans are over and everything is planned */
    char current[256]; /* a file under way, cut to fit */
} aq_stats;

void aq_sync_stats(const aq_engine *e, uint32_t sync, aq_stats *stats);

/* ---- notes: facts for people, losable --------------------------------------------------
 */

typedef enum aq_note_kind {
    AQ_NOTE_CHANGE,    /* itemized change: `change` says what, path where */
    AQ_NOTE_PROBLEM,   /* status about path; the rest goes on */
    AQ_NOTE_WARNING,   /* text */
    AQ_NOTE_LINK_UP,   /* handshake and auth are done */
    AQ_NOTE_LINK_DOWN, /* status says why */
    AQ_NOTE_BEGIN,     /* server side: a peer opened `folder` */
    AQ_NOTE_END        /* a sync ended with status; never lost */
} aq_note_kind;

typedef enum aq_change {
    AQ_CHANGE_NEW,     /* '+' */
    AQ_CHANGE_CONTENT, /* content differs */
    AQ_CHANGE_META,    /* only mtime or exec */
    AQ_CHANGE_DELETE,
    AQ_CHANGE_MOVE, /* path → text */
    AQ_CHANGE_TYPE
} aq_change;

typedef struct aq_note {
    aq_note_kind kind;
    uint32_t link;
    uint32_t sync; /* 0: none */
    aq_status status;
    aq_change change;
    aq_type type;
    uint64_t size;
    bool remote;    /* a problem at the other end */
    char path[512]; /* cut to fit, NUL-terminated, not escaped */
    char text[512];
} aq_note;

bool aq_poll_note(aq_engine *e, aq_note *note);

#endif
