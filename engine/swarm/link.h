/* link.h: one connection to one peer: frames in, frames out, the handshake, keep-alive.
 *
 *   HELLO ──both HELLOs──► UP                       (no proof needed)
 *     │                     ▲
 *     └──────► PROVING ─────┘ proofs exchanged      any error or silence: CLOSING ──► gone
 *
 * What a link carries beyond that belongs to its sessions (session.h). */
#ifndef AQ_SWARM_LINK_H
#define AQ_SWARM_LINK_H

#include "engine/swarm/core.h"
#include "engine/swarm/wire.h"

typedef enum aq_link_state {
    AQ_LINK_HELLO,
    AQ_LINK_PROVING,
    AQ_LINK_UP,
    AQ_LINK_CLOSING, /* the host was asked to hang up */
    AQ_LINK_GONE
} aq_link_state;

typedef struct aq_session aq_session;

typedef struct aq_link aq_link;
struct aq_link {
    aq_link *next;
    aq_core *core;
    uint32_t id;
    aq_link_config config;
    aq_link_state state;
    aq_status reason; /* of CLOSING and GONE */
    bool proven;      /* the peer proved that it knows the token */
    bool announced;   /* the host knows that there are bytes */
    aq_status doom;   /* not AQ_OK: the link ends for this reason before the next step */
    uint32_t version;
    uint8_t nonce[AQ_NONCE_SIZE], peer_nonce[AQ_NONCE_SIZE];
    bool peer_requires_auth;
    /* A frame that has not arrived whole. */
    uint8_t *in;
    size_t in_size;
    /* Bytes for the peer: [out_head, out_tail). */
    uint8_t *out;
    size_t out_head, out_tail;
    AQ_VECTOR(uint8_t) control; /* frames that go before anything else */
    uint32_t control_head;
    uint64_t opened_ns, heard_ns, spoke_ns;
    uint64_t ping_count;
    uint64_t bytes_in, bytes_out;
    aq_session *sessions;
    aq_session *turn; /* whose bulk frames come next */
};

aq_link *aq_link_new(aq_core *core, uint32_t id, const aq_link_config *config);
void aq_link_free(aq_link *link);
/* Has the host hang up on a link that was never taken. */
void aq_link_refuse(aq_core *core, uint32_t id, aq_status reason);

/* Starts a frame in the queue of control frames; its body is written to the writer, which
 * has room for AQ_FRAME_MAX bytes; end with aq_link_frame_end. Never fails, and never ends
 * the link under its caller: a peer that lets the queue grow beyond its bound is doomed. */
aq_writer aq_link_frame(aq_link *link);
void aq_link_frame_end(aq_link *link, aq_frame_type type, const aq_writer *w);

/* Room for a bulk frame in the bytes that go out next; false: later. */
bool aq_link_bulk(aq_link *link, size_t body_max, aq_writer *w);
void aq_link_bulk_end(aq_link *link, aq_frame_type type, const aq_writer *w);

/* The queue of control frames is long: what may be lost should be. */
bool aq_link_is_congested(const aq_link *link);

/* Ends the link for this reason, telling the peer why. Idempotent. Its sessions end at
 * once: never call it from inside of one. */
void aq_link_fail(aq_link *link, aq_status reason);
/* The same for everybody: it happens before the next step, or the next frame. */
void aq_link_doom(aq_link *link, aq_status reason);

void aq_link_input(aq_link *link, const uint8_t *data, size_t size);
size_t aq_link_output(aq_link *link, const uint8_t **data);
void aq_link_output_taken(aq_link *link, size_t size);
/* Timeouts and keep-alive. */
void aq_link_tick(aq_link *link);

#endif
