/* loop.h: the native host. It owns one engine, turns its crank on libuv, runs its ops on
 * the thread pool and ties its links to sockets. Everything here belongs to the thread that
 * called aq_loop_open; hooks are called on that thread from inside aq_loop_run, never from
 * inside another call, and may call anything here and on the engine but aq_loop_close.
 *
 *     loop = aq_loop_open(&config, &fault);
 *     aq_loop_root_add(loop, &root_config, &root, &fault);
 *     link = aq_loop_dial(loop, &url, &dial_config);
 *     aq_sync_start(aq_loop_engine(loop), link, root, …);
 *     aq_loop_run(loop, &hooks);            until a hook calls aq_loop_stop
 *     aq_loop_close(loop);
 */
#ifndef AQ_LOOP_H
#define AQ_LOOP_H

#include "fault.h"
#include "identity.h"
#include "url.h"

typedef struct aq_loop aq_loop;

typedef struct aq_loop_config {
    const char *state_directory; /* copied; NULL: aq_state_home() */
    aq_profile_id profile;
    uint64_t buffer_max; /* as in aq_config, 0: its default */
    uint32_t op_max;     /* likewise */
    uint64_t timeout_ns; /* likewise; handshakes have 10 s of their own */
    const char *token;   /* likewise */
    bool auth_required;  /* likewise */
} aq_loop_config;

/* Takes the seed from the kernel, reserves memory for the engine (address space only: pages
 * are taken when used) and sizes the thread pool, so it must be the process' first use of
 * libuv. SIGPIPE is ignored from here on. NULL on failure. */
aq_loop *aq_loop_open(const aq_loop_config *config, aq_fault *fault);

/* Ends links without waiting for their peers, waits for the ops that run, gives back all.
 */
void aq_loop_close(aq_loop *loop);

aq_engine *aq_loop_engine(aq_loop *loop);

/* ---- folders ---------------------------------------------------------------------------
 */

typedef struct aq_root_config {
    const char *path; /* of the directory */
    const char *name; /* how peers ask for it; may be "" */
    unsigned rights;  /* AQ_READ, AQ_WRITE: what peers may do */
    bool create;      /* make the directory when it is missing (not its parents) */
    bool writable;    /* it will be written to: by peers, or as the destination here */
    bool no_fsync;    /* do not wait for the disk: a crash of the machine may lose files */
} aq_root_config;

/* Opens the folder, its state and its lock. Failures: ROOT, BUSY (the text names the
 * holder), ACCESS, READ_ONLY, MEMORY. */
aq_status aq_loop_root_add(aq_loop *loop, const aq_root_config *config, uint32_t *root,
                           aq_fault *fault);

/* ---- links -----------------------------------------------------------------------------
 */

typedef struct aq_listen_config {
    const char *host;            /* an address or a name; NULL: all addresses */
    uint16_t port;               /* 0: a free one */
    const aq_identity *identity; /* lent while the loop is open; NULL: without TLS, */
    bool force_plain;            /* which beyond loopback must be asked for like this */
    bool trust_loopback;         /* peers on this machine need no token */
} aq_listen_config;

/* May be called several times. `url` gets scheme, host, port and fingerprint of where it
 * listens, with an empty folder; for all addresses the host is the machine's name. */
aq_status aq_loop_listen(aq_loop *loop, const aq_listen_config *config, aq_url *url,
                         aq_fault *fault);

typedef struct aq_dial_config {
    uint32_t tries;      /* connecting is tried that often, with a growing pause; 0: 1 */
    uint64_t timeout_ns; /* for each try, until the handshake is done; 0: 10 s */
    const char *ca_file; /* PEM, copied; trusted instead of the system's; NULL: those */
} aq_dial_config;

/* Returns the link's number at once. Then either AQ_NOTE_LINK_UP comes, or
 * AQ_NOTE_LINK_DOWN with CONNECT, TIMEOUT, IDENTITY (never tried again), PROTOCOL, or what
 * ended it later. A lost link is not dialled again: that is the caller's decision. */
uint32_t aq_loop_dial(aq_loop *loop, const aq_url *url, const aq_dial_config *config);

/* Two ends joined by memory, trusted: links[0] is the dialling one. */
void aq_loop_pair(aq_loop *loop, uint32_t links[2]);

/* What people should be told about how that link ended; "" if there is nothing to say but
 * the status. Kept for the last links that ended. */
const char *aq_loop_link_error(const aq_loop *loop, uint32_t link);

/* The other end's address ("192.0.2.1:7475"), "" when unknown or gone. */
const char *aq_loop_link_peer(const aq_loop *loop, uint32_t link);

/* ---- running ---------------------------------------------------------------------------
 */

typedef struct aq_loop_hooks {
    void *context;
    void (*on_note)(void *context, const aq_note *note);
    void (*on_tick)(void *context);                      /* about every 100 ms */
    void (*on_signal)(void *context, int signal_number); /* SIGINT, SIGTERM, SIGHUP */
} aq_loop_hooks;

/* Runs until aq_loop_stop. Hooks may be NULL each. Signals keep their defaults when there
 * is no hook for them. */
void aq_loop_run(aq_loop *loop, const aq_loop_hooks *hooks);

/* aq_loop_run returns soon after. Callable from a hook. */
void aq_loop_stop(aq_loop *loop);

#endif
