/* session.h: one folder, one direction, over one link. At one end a *source* shows its tree
 * and serves ranges of files; at the other a *sink* makes its own folder equal. Both are
 * sessions. */
#ifndef AQ_SWARM_SESSION_H
#define AQ_SWARM_SESSION_H

#include "engine/swarm/link.h"

typedef enum aq_role { AQ_ROLE_SOURCE = 1, AQ_ROLE_SINK = 2 } aq_role;

/* What the two roles do differently. */
typedef struct aq_session_kind {
    void (*start)(aq_session *s); /* the other side agreed */
    void (*frame)(aq_session *s, uint8_t type, aq_reader *r);
    /* Decides and queues what can go on now. */
    void (*step)(aq_session *s);
    /* Puts bulk frames on the link while there is room. False: has nothing to send. */
    bool (*fill)(aq_session *s);
    /* Gives everything up that is not with the host. */
    void (*drop)(aq_session *s);
    /* Nothing of it is with the host any more: it may be freed. */
    bool (*is_idle)(const aq_session *s);
    void (*free)(aq_session *s); /* what the kind owns */
} aq_session_kind;

struct aq_session {
    aq_session *next;      /* of the same link */
    aq_session *next_live; /* of the engine */
    const aq_session_kind *kind;
    aq_core *core;
    aq_link *link; /* NULL when it is gone */
    uint32_t link_id;
    uint32_t channel;
    uint32_t sync; /* the number that people know it by; 0 at the server */
    uint32_t root;
    aq_role role;
    bool client; /* this side opened it */
    bool started;
    bool ended; /* END was sent or received, or it failed */
    bool stopping, paused;
    bool notes_lost; /* not all changes and problems could be told to the client */
    aq_status status;
    aq_sync_options options; /* strings are ours */
    char *folder;
    aq_stats stats;
    uint64_t link_in, link_out; /* the link's counters when it began */
};

/* Frames of this session. Writers as in link.h, positioned behind the channel. */
aq_writer aq_session_frame(aq_session *s);
bool aq_session_bulk(aq_session *s, size_t body_max, aq_writer *w);

/* The session is over for this reason: tells the peer if there is one, drops the work. */
void aq_session_end(aq_session *s, aq_status status);

/* Facts for whoever started the sync: here, or through the peer. `path` is lent. */
void aq_session_warn(aq_session *s, const char *text);
void aq_session_problem(aq_session *s, const char *path, aq_status status);
void aq_session_change(aq_session *s, aq_change change, aq_type type, const char *path,
                       const char *text, uint64_t size);

aq_session *aq_source_new(aq_core *core);
aq_session *aq_sink_new(aq_core *core);

/* Fills the fields that sessions share; strings are copied. */
void aq_session_init(aq_session *s, aq_core *core, uint32_t root,
                     const aq_sync_options *options);
void aq_session_join(aq_session *s, aq_link *link);
void aq_session_free(aq_session *s);

/* ---- the sessions of a link ---- */

/* Client: opens `folder` at the peer as soon as the link of that number is there and up. */
void aq_session_open(aq_session *s, uint32_t link_id, const char *folder);
/* Client: the link never came to be. */
void aq_sessions_link_failed(aq_core *core, uint32_t link_id, aq_status reason);
void aq_sessions_link_up(aq_link *link);
void aq_sessions_link_gone(aq_link *link, aq_status reason);
/* A session frame arrived. */
void aq_sessions_frame(aq_link *link, uint8_t type, aq_reader *r);
/* Lets sessions put bulk frames on the link, in turn. */
void aq_sessions_fill(aq_link *link);

/* All live sessions of the engine, through next_live. */
extern const aq_session_kind aq_source_kind, aq_sink_kind;

#endif
