/* conn.h: one WebSocket connection over TLS or plain TCP, as a stream of bytes. It knows
 * nothing of the engine: its owner gives it bytes and takes bytes. */
#ifndef AQ_CONN_H
#define AQ_CONN_H

#include "fault.h"
#include "tls.h"
#include "url.h"

#include <uv.h>

typedef struct aq_conn aq_conn;

/* What connections of one loop share. */
typedef struct aq_conn_pool aq_conn_pool;
aq_conn_pool *aq_conn_pool_open(uv_loop_t *loop);
void aq_conn_pool_close(aq_conn_pool *pool);

/* What a connection asks and tells its owner. None of them may close it. */
typedef struct aq_conn_owner {
    void *context;
    /* The handshakes are done. `binding`: 32 bytes, zero without TLS. */
    void (*on_up)(void *context, const uint8_t *binding);
    void (*on_bytes)(void *context, const uint8_t *data, size_t size);
    /* The next bytes to send, lent until `sent` says how many were taken; 0: none. */
    size_t (*peek)(void *context, const uint8_t **data);
    void (*sent)(void *context, size_t size);
    /* It is over, by itself or after aq_conn_hangup (status OK). The last call; the
     * connection frees itself. */
    void (*on_down)(void *context, const aq_fault *fault);
} aq_conn_owner;

typedef struct aq_conn_config {
    int fd;                      /* a connected stream socket, taken */
    const aq_identity *identity; /* server: with TLS; lent. NULL: without */
    const aq_url *url;           /* client: whom to reach; lent. NULL: this is a server */
    aq_tls_trust *trust;         /* client: lent, used if the URL has no fingerprint */
    bool pages_allowed;          /* server: see http.h */
    uint64_t timeout_ns;         /* for all handshakes together; 0: 10 s */
} aq_conn_config;

/* NULL: out of memory; the socket is closed then, and nothing is called. */
aq_conn *aq_conn_open(aq_conn_pool *pool, const aq_conn_config *config,
                      const aq_conn_owner *owner);

/* There is something to send again. */
void aq_conn_pump(aq_conn *conn);

/* Sends what peek still gives, then says goodbye and ends with on_down. Not for ever: it
 * takes 5 s at most. */
void aq_conn_hangup(aq_conn *conn);

/* Ends at once, without on_down, with a goodbye if it can be said without waiting. */
void aq_conn_leave(aq_conn *conn);

/* Ends at once, without on_down. */
void aq_conn_drop(aq_conn *conn);

#endif
