/* conn.c: from a connected socket to a stream of bytes, and back.
 *
 *                  handshake      101          hangup         all sent
 *     (socket) ──▶ TLS ──▶ HTTP ──▶ OPEN ──────▶ DRAIN ─────────▶ LINGER ──▶ DOWN
 *                   plain ──▲  └── refused ──────────────────────▲
 *
 * and from everywhere to DOWN when the socket, the peer or the clock says so.
 *
 * Two things make it fast. The socket is watched, not wrapped (uv_poll): bytes are received
 * into one big buffer that all connections share, since each one uses up all it received
 * before it returns to the loop (GnuTLS keeps the parts of records). And what is to be sent
 * is encrypted where the owner has it, in frames that fill whole TLS records, of which
 * several frames go to the kernel in one call.
 *
 * A client masks its frames, as the RFC demands. The mask is there to keep what an attacker
 * chooses from looking like HTTP to a proxy on the way (RFC 6455, section 10.3). Inside TLS
 * there is no proxy that could be fooled, so there the mask is zero, which costs neither
 * end anything; plain connections get a random one for each frame.
 *
 * LINGER: a socket that is closed while received bytes are unread resets the connection,
 * and the peer may then lose the last bytes that were sent, which say why. So the end is
 * announced, and the peer's end awaited, for a moment. */
#include "conn.h"

#include "engine/base/assert.h"
#include "http.h"
#include "net.h"
#include "ws.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    IN_SIZE = 256 * 1024,
    TURN_MAX = 1024 * 1024,             /* received or sent before others get their turn */
    FRAME_SIZE = 4 * AQ_TLS_RECORD_MAX, /* header and payload */
    PAYLOAD_MAX = FRAME_SIZE - 8,       /* less the header, with a mask */
    FRAME_WIRE_MAX = FRAME_SIZE + 5 * AQ_TLS_RECORD_OVERHEAD,
    OUT_RESERVE = 4096, /* kept free of data, for control frames */
    OUT_SIZE = 4 * FRAME_WIRE_MAX + OUT_RESERVE,
    HANDSHAKE_MS = 10 * 1000,
    HANGUP_MS = 5 * 1000,
    LINGER_MS = 2 * 1000
};

typedef enum conn_state {
    CONN_TLS,
    CONN_HTTP,
    CONN_OPEN,
    CONN_DRAIN,
    CONN_LINGER,
    CONN_DOWN
} conn_state;

struct aq_conn_pool {
    uv_loop_t *loop;
    uint8_t in[IN_SIZE];
    uint8_t frame[FRAME_SIZE];
};

struct aq_conn {
    aq_conn_pool *pool;
    aq_conn_owner owner;
    aq_conn_config config;
    conn_state state;
    bool refused; /* an HTTP answer is under way, no link came to be */
    bool started;
    bool broken; /* the socket takes no more bytes; it may still give some */
    bool more;   /* the owner may have more to send, but others had to get their turn */
    aq_tls *tls;
    char key[32]; /* client: the WebSocket key */
    uint8_t binding[AQ_TLS_BINDING_SIZE];
    aq_http http;
    aq_ws_reader reader;
    const uint8_t *in; /* what of the shared buffer TLS has not taken yet */
    size_t in_size;
    uint8_t *out; /* bytes for the socket: out[out_start..out_end) */
    size_t out_start;
    size_t out_end;
    uv_poll_t poll;
    uv_timer_t timer;
    int events;
    int handles; /* that are not closed yet */
};

static void on_poll(uv_poll_t *poll, int status, int events);

/* ---- ending
 * ------------------------------------------------------------------------------ */

static void on_handle_closed(uv_handle_t *handle)
{
    aq_conn *conn = handle->data;
    if (--conn->handles == 0) {
        aq_tls_close(conn->tls);
        free(conn->out);
        free(conn);
    }
}

static void state_set(aq_conn *conn, conn_state state)
{
    AQ_ASSERT(state > conn->state);
    conn->state = state;
}

void aq_conn_drop(aq_conn *conn)
{
    if (conn->state == CONN_DOWN) {
        return;
    }
    state_set(conn, CONN_DOWN);
    (void)uv_poll_stop(&conn->poll);
    uv_close((uv_handle_t *)&conn->poll, on_handle_closed);
    uv_close((uv_handle_t *)&conn->timer, on_handle_closed);
    (void)close(conn->config.fd);
}

/* The fault may be the connection's own; nothing is touched after this by the caller. */
static void down(aq_conn *conn, const aq_fault *fault)
{
    if (conn->state != CONN_DOWN) {
        aq_conn_drop(conn);
        conn->owner.on_down(conn->owner.context, fault);
    }
}

static void down_because(aq_conn *conn, aq_status status, const char *text)
{
    aq_fault fault;
    (void)aq_fault_set(&fault, status, "%s", text);
    down(conn, &fault);
}

/* The socket failed or ended: what that means depends on how far it had got. */
static void down_socket(aq_conn *conn, int error)
{
    const char *text = error ? strerror(error) : "the other end closed the connection";
    switch (conn->state) {
    case CONN_TLS:
    case CONN_HTTP:
        text = error ? text : "the other end closed the connection before it said anything";
        down_because(conn, AQ_CLOSED, text);
        break;
    case CONN_OPEN:
    case CONN_DRAIN:
        down_because(conn, AQ_CLOSED, text);
        break;
    case CONN_LINGER:
        down_because(conn, AQ_OK, "");
        break;
    case CONN_DOWN:
        break;
    }
}

static void on_timer(uv_timer_t *timer)
{
    aq_conn *conn = timer->data;
    switch (conn->state) {
    case CONN_TLS:
        down_because(conn, AQ_TIMEOUT, "the TLS handshake took too long");
        break;
    case CONN_HTTP:
        down_because(conn, AQ_TIMEOUT, "the WebSocket handshake took too long");
        break;
    case CONN_DRAIN:
    case CONN_LINGER:
        down_because(conn, AQ_OK, "");
        break;
    case CONN_OPEN:
    case CONN_DOWN:
        break;
    }
}

static void timer_set(aq_conn *conn, uint64_t milliseconds)
{
    (void)uv_timer_start(&conn->timer, on_timer, milliseconds, 0);
}

/* ---- sending
 * ----------------------------------------------------------------------------- */

static size_t out_room(aq_conn *conn)
{
    if (conn->out_start == conn->out_end) {
        conn->out_start = conn->out_end = 0;
    } else if (conn->out_start > OUT_SIZE / 2) {
        memmove(conn->out, conn->out + conn->out_start, conn->out_end - conn->out_start);
        conn->out_end -= conn->out_start;
        conn->out_start = 0;
    }
    return OUT_SIZE - conn->out_end;
}

static bool out_put(void *context, const void *data, size_t size)
{
    aq_conn *conn = context;
    if (size > out_room(conn)) {
        return false;
    }
    memcpy(conn->out + conn->out_end, data, size);
    conn->out_end += size;
    return true;
}

static void out_flush(aq_conn *conn)
{
    while (conn->out_start < conn->out_end && !conn->broken) {
        ssize_t n = send(conn->config.fd, conn->out + conn->out_start,
                         conn->out_end - conn->out_start, MSG_NOSIGNAL);
        if (n >= 0) {
            conn->out_start += (size_t)n;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            break;
        } else if (errno != EINTR) {
            /* Not the end yet: what the peer sent before it went says why, and is still
             * to be received. Receiving then fails soon. */
            conn->broken = true;
        }
    }
}

/* Queues plain bytes, through TLS if there is. False: the connection is down. */
static bool put(aq_conn *conn, const void *data, size_t size)
{
    const uint8_t *next = data;
    if (!conn->tls) {
        return out_put(conn, data, size);
    }
    while (size) {
        size_t take = size < AQ_TLS_RECORD_MAX ? size : AQ_TLS_RECORD_MAX;
        aq_fault fault;
        if (aq_tls_send(conn->tls, next, take, &fault) != AQ_TLS_OK) {
            down(conn, &fault);
            return false;
        }
        next += take;
        size -= take;
    }
    return true;
}

/* Puts a frame's header and the payload after it into the pool's frame, as much as is to be
 * copied; returns how much payload that is. */
static size_t frame_begin(aq_conn *conn, aq_ws_opcode opcode, const uint8_t *payload,
                          size_t size, size_t *header_size)
{
    uint8_t *frame = conn->pool->frame;
    uint8_t mask[4] = {0};
    bool client = conn->config.url != NULL;
    bool masked = client && !conn->tls;
    if (masked) {
        (void)gnutls_rnd(GNUTLS_RND_NONCE, mask, sizeof mask);
    }
    *header_size = aq_ws_header_put(frame, opcode, size, client ? mask : NULL);
    size_t room = masked      ? FRAME_SIZE - *header_size
                  : conn->tls ? AQ_TLS_RECORD_MAX - *header_size
                              : 0;
    size_t take = size < room ? size : room;
    memcpy(frame + *header_size, payload, take);
    aq_ws_mask(frame + *header_size, take, mask, 0);
    return take;
}

/* Queues one frame. The payload is copied only as far as it shares a record with the
 * header, or must be masked. */
static bool frame_put(aq_conn *conn, aq_ws_opcode opcode, const uint8_t *payload,
                      size_t size)
{
    size_t header_size;
    size_t copied = frame_begin(conn, opcode, payload, size, &header_size);
    return put(conn, conn->pool->frame, header_size + copied) &&
           put(conn, payload + copied, size - copied);
}

/* Takes what the owner has next, as far as there is room, and queues it in frames; returns
 * how many bytes it took. All of it at once: asked in between, the owner would move it. */
static size_t fill(aq_conn *conn)
{
    const uint8_t *data;
    size_t size = conn->owner.peek(conn->owner.context, &data);
    size_t taken = 0;
    while (taken < size && out_room(conn) >= FRAME_WIRE_MAX + OUT_RESERVE) {
        size_t part = size - taken < PAYLOAD_MAX ? size - taken : PAYLOAD_MAX;
        if (!frame_put(conn, AQ_WS_BINARY, data + taken, part)) {
            return 0; /* it is down */
        }
        taken += part;
    }
    if (taken) {
        conn->owner.sent(conn->owner.context, taken);
    }
    return taken;
}

static void events_set(aq_conn *conn)
{
    bool waiting = (conn->more || conn->out_start < conn->out_end) && !conn->broken;
    int events = UV_READABLE | (waiting ? UV_WRITABLE : 0);
    if (events != conn->events) {
        conn->events = events;
        (void)uv_poll_start(&conn->poll, events, on_poll);
    }
}

/* Everything is sent: says goodbye. */
static void linger(aq_conn *conn)
{
    static const uint8_t normal[2] = {1000 >> 8, 1000 & 255};
    if (!conn->refused && !frame_put(conn, AQ_WS_CLOSE, normal, sizeof normal)) {
        return;
    }
    if (conn->tls) {
        aq_tls_bye(conn->tls);
    }
    state_set(conn, CONN_LINGER);
    timer_set(conn, LINGER_MS);
}

/* Sends what there is, as far as the socket takes it. What the owner has is not taken all
 * at once, however much that is: the threads that fetch more want to be told in between. */
static void pump(aq_conn *conn)
{
    bool open = conn->state == CONN_OPEN || (conn->state == CONN_DRAIN && !conn->refused);
    size_t total = 0;
    size_t size = 1;
    out_flush(conn);
    while (open && size && total < TURN_MAX && !conn->broken &&
           conn->out_start == conn->out_end) {
        size = fill(conn);
        total += size;
        out_flush(conn);
    }
    conn->more = open && size && !conn->broken;
    if (conn->state == CONN_DRAIN && !conn->more && conn->out_start == conn->out_end) {
        linger(conn);
        out_flush(conn);
    }
    if (conn->state == CONN_LINGER && conn->out_start == conn->out_end) {
        (void)shutdown(conn->config.fd, SHUT_WR);
    }
    if (conn->state != CONN_DOWN) {
        events_set(conn);
    }
}

void aq_conn_pump(aq_conn *conn)
{
    if (conn->state == CONN_OPEN || conn->state == CONN_DRAIN) {
        pump(conn);
    }
}

void aq_conn_hangup(aq_conn *conn)
{
    if (conn->state < CONN_OPEN) {
        down_because(conn, AQ_OK, "");
    } else if (conn->state == CONN_OPEN) {
        state_set(conn, CONN_DRAIN);
        timer_set(conn, HANGUP_MS);
        pump(conn);
    }
}

static void on_down_ignored(void *context, const aq_fault *fault)
{
    (void)context;
    (void)fault;
}

void aq_conn_leave(aq_conn *conn)
{
    conn->owner.on_down = on_down_ignored;
    if (conn->state == CONN_OPEN) {
        aq_conn_hangup(conn);
    }
    aq_conn_drop(conn);
}

/* ---- receiving
 * --------------------------------------------------------------------------- */

static size_t in_take(void *context, void *out, size_t size)
{
    aq_conn *conn = context;
    size_t take = size < conn->in_size ? size : conn->in_size;
    memcpy(out, conn->in, take);
    conn->in += take;
    conn->in_size -= take;
    return take;
}

static void up(aq_conn *conn)
{
    (void)uv_timer_stop(&conn->timer);
    state_set(conn, CONN_OPEN);
    conn->owner.on_up(conn->owner.context, conn->binding);
}

/* The peer broke the rules, or goes: the last words, as far as they get. */
static void close_now(aq_conn *conn, unsigned code, aq_status status, const char *text)
{
    uint8_t payload[2] = {(uint8_t)(code >> 8), (uint8_t)code};
    if (frame_put(conn, AQ_WS_CLOSE, payload, sizeof payload)) {
        if (conn->tls) {
            aq_tls_bye(conn->tls);
        }
        out_flush(conn);
        down_because(conn, status, text);
    }
}

static void ws_process(aq_conn *conn, uint8_t *data, size_t size)
{
    while (size && conn->state == CONN_OPEN) {
        const uint8_t *piece = NULL;
        size_t piece_size = 0;
        size_t used = 0;
        aq_ws_event event =
            aq_ws_read(&conn->reader, data, size, &used, &piece, &piece_size);
        data += used;
        size -= used;
        switch (event) {
        case AQ_WS_MORE:
        case AQ_WS_PONGED:
            break;
        case AQ_WS_DATA:
            conn->owner.on_bytes(conn->owner.context, piece, piece_size);
            break;
        case AQ_WS_PINGED:
            /* A peer that asks faster than it listens gets fewer answers. */
            if (out_room(conn) >= OUT_RESERVE / 2) {
                (void)frame_put(conn, AQ_WS_PONG, piece, piece_size);
            }
            break;
        case AQ_WS_CLOSED:
            close_now(conn, 1000, AQ_CLOSED, "the other end closed the connection");
            break;
        case AQ_WS_BAD:
            close_now(conn, 1002, AQ_PROTOCOL, "the other end breaks the WebSocket rules");
            break;
        case AQ_WS_BAD_TYPE:
            close_now(conn, 1003, AQ_PROTOCOL, "the other end sent text, not bytes");
            break;
        }
    }
}

static void response_process(aq_conn *conn, aq_http_result result)
{
    const char *problem = result == AQ_HTTP_DONE
                              ? aq_http_response_problem(&conn->http, conn->key)
                              : "what listens there speaks no HTTP, so it is no Acequia "
                                "server (does it expect TLS?)";
    if (problem) {
        down_because(conn, AQ_PROTOCOL, problem);
    } else {
        up(conn);
    }
}

static void request_process(aq_conn *conn, aq_http_result result)
{
    char answer[AQ_HTTP_TEXT_SIZE];
    size_t size;
    bool welcome =
        aq_http_answer_put(&conn->http, result, conn->config.pages_allowed, answer, &size);
    if (!put(conn, answer, size)) {
        return;
    }
    if (welcome) {
        up(conn);
    } else {
        conn->refused = true;
        state_set(conn, CONN_DRAIN);
        timer_set(conn, HANGUP_MS);
    }
}

static void plain_process(aq_conn *conn, uint8_t *data, size_t size)
{
    if (conn->state == CONN_HTTP) {
        size_t used;
        aq_http_result result = aq_http_read(&conn->http, data, size, &used);
        if (result == AQ_HTTP_MORE) {
            return;
        }
        data += used;
        size -= used;
        if (conn->config.url) {
            response_process(conn, result);
        } else {
            request_process(conn, result);
        }
    }
    if (conn->state == CONN_OPEN) {
        ws_process(conn, data, size);
    }
}

/* TLS is done, or there is none. */
static void http_begin(aq_conn *conn)
{
    const aq_url *url = conn->config.url;
    state_set(conn, CONN_HTTP);
    aq_http_init(&conn->http, url != NULL);
    aq_ws_reader_init(&conn->reader, url == NULL);
    if (url) {
        uint8_t nonce[16];
        char request[AQ_HTTP_TEXT_SIZE];
        gnutls_datum_t binary = {nonce, sizeof nonce};
        gnutls_datum_t text = {0};
        (void)gnutls_rnd(GNUTLS_RND_NONCE, nonce, sizeof nonce);
        if (gnutls_base64_encode2(&binary, &text)) {
            down_because(conn, AQ_MEMORY, "out of memory");
            return;
        }
        memcpy(conn->key, text.data, text.size);
        gnutls_free(text.data);
        (void)put(conn, request,
                  aq_http_request_put(request, url->host, url->port, conn->key));
    }
}

static void tls_step(aq_conn *conn)
{
    aq_fault fault;
    switch (aq_tls_handshake(conn->tls, &fault)) {
    case AQ_TLS_AGAIN:
        break;
    case AQ_TLS_OK:
        if (aq_tls_binding(conn->tls, conn->binding)) {
            http_begin(conn);
        } else {
            down_because(conn, AQ_PROTOCOL, "TLS gave no channel binding");
        }
        break;
    case AQ_TLS_END:
    case AQ_TLS_FAILED:
        out_flush(conn); /* an alert */
        down(conn, &fault);
        break;
    }
}

static void records_process(aq_conn *conn)
{
    aq_tls_result result = AQ_TLS_OK;
    while (result == AQ_TLS_OK && (conn->state == CONN_HTTP || conn->state == CONN_OPEN)) {
        aq_fault fault;
        uint8_t *data = NULL;
        size_t size = 0;
        result = aq_tls_recv(conn->tls, &data, &size, &fault);
        switch (result) {
        case AQ_TLS_OK:
            plain_process(conn, data, size);
            break;
        case AQ_TLS_AGAIN:
            break;
        case AQ_TLS_END:
            down_socket(conn, 0);
            break;
        case AQ_TLS_FAILED:
            out_flush(conn);
            down(conn, &fault);
            break;
        }
    }
}

/* Uses up data[0..size), which was received, and answers what is to be answered. */
static void process(aq_conn *conn, uint8_t *data, size_t size)
{
    conn->in = data;
    conn->in_size = size;
    if (conn->state == CONN_TLS && !conn->tls) {
        http_begin(conn);
    }
    if (conn->state == CONN_TLS) {
        tls_step(conn);
    }
    if (conn->tls) {
        records_process(conn);
    } else {
        plain_process(conn, data, size);
    }
    conn->in_size = 0;
    if (conn->state != CONN_DOWN && conn->out_start < conn->out_end) {
        pump(conn);
    }
}

static void receive(aq_conn *conn)
{
    size_t total = 0;
    while (conn->state != CONN_DOWN && total < TURN_MAX) {
        ssize_t n = recv(conn->config.fd, conn->pool->in, IN_SIZE, 0);
        if (n > 0) {
            process(conn, conn->pool->in, (size_t)n);
            total += (size_t)n;
            if (n < IN_SIZE) {
                return; /* that was all; the next call would only say so */
            }
        } else if (n == 0 || (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)) {
            down_socket(conn, n == 0 ? 0 : errno);
        } else if (errno != EINTR) {
            return;
        }
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    aq_conn *conn = poll->data;
    if (status < 0) {
        /* An error is pending; what came before it is still to be had. */
        receive(conn);
        down_socket(conn, aq_net_connect_result(conn->config.fd));
        return;
    }
    if (!conn->started) {
        conn->started = true;
        process(conn, conn->pool->in, 0);
    }
    if (events & UV_WRITABLE && conn->state != CONN_DOWN) {
        pump(conn);
    }
    if (events & UV_READABLE && conn->state != CONN_DOWN) {
        receive(conn);
    }
}

/* ---- opening
 * ----------------------------------------------------------------------------- */

aq_conn_pool *aq_conn_pool_open(uv_loop_t *loop)
{
    aq_conn_pool *pool = malloc(sizeof *pool);
    if (pool) {
        pool->loop = loop;
    }
    return pool;
}

void aq_conn_pool_close(aq_conn_pool *pool)
{
    free(pool);
}

static bool tls_begin(aq_conn *conn)
{
    const aq_conn_config *config = &conn->config;
    const aq_tls_io io = {conn, in_take, out_put};
    if (config->url ? !config->url->tls : !config->identity) {
        return true;
    }
    conn->tls = config->url ? aq_tls_open_client(config->url, config->trust, &io)
                            : aq_tls_open_server(config->identity, &io);
    return conn->tls != NULL;
}

aq_conn *aq_conn_open(aq_conn_pool *pool, const aq_conn_config *config,
                      const aq_conn_owner *owner)
{
    aq_conn *conn = calloc(1, sizeof *conn);
    if (!conn) {
        (void)close(config->fd);
        return NULL;
    }
    conn->pool = pool;
    conn->owner = *owner;
    conn->config = *config;
    conn->out = malloc(OUT_SIZE);
    if (!conn->out || !tls_begin(conn) ||
        uv_poll_init(pool->loop, &conn->poll, config->fd)) {
        aq_tls_close(conn->tls);
        free(conn->out);
        free(conn);
        (void)close(config->fd);
        return NULL;
    }
    (void)uv_timer_init(pool->loop, &conn->timer);
    conn->poll.data = conn;
    conn->timer.data = conn;
    conn->handles = 2;
    timer_set(conn, config->timeout_ns ? config->timeout_ns / 1000000 : HANDSHAKE_MS);
    /* The first word is the client's: it is writable at once. A server waits. */
    conn->events = config->url ? UV_READABLE | UV_WRITABLE : UV_READABLE;
    (void)uv_poll_start(&conn->poll, conn->events, on_poll);
    return conn;
}
