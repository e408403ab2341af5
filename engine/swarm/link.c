/* link.c: see link.h.
 *
 *   sessions ──fill──► out ──► host        control frames overtake bulk frames, so little
 * may control ───────────▲                   wait in `out`: OUT_LOW bytes and one frame
 *
 * Incoming bytes are parsed where they lie; only a frame that is cut by the end of the
 * host's buffer is put together in `in`. Nothing that a peer sends makes a link hold more
 * than one frame, and the queue of control frames is bounded: a peer that asks and never
 * reads the answers loses its link. That happens between steps (`doom`), since ending a
 * link frees what whoever was about to send works with. */
#include "engine/swarm/link.h"
#include "engine/base/assert.h"
#include "engine/base/bytes.h"
#include "engine/swarm/auth.h"
#include "engine/swarm/session.h"

enum {
    FRAME_ROOM = AQ_FRAME_MAX + AQ_FRAME_HEAD_MAX,
    OUT_LOW = 96 << 10, /* bulk frames are added below this */
    OUT_ROOM = OUT_LOW + 4 * FRAME_ROOM,
    CONTROL_MAX = 8 << 20,
    CONTROL_LONG = 4 << 20
};

#define SECOND_NS UINT64_C(1000000000)
#define HANDSHAKE_NS (10 * SECOND_NS)
#define KEEPALIVE_NS (15 * SECOND_NS)

static const uint8_t magic[8] = {'A', 'c', 'e', 'q', 'u', 'i', 'a', 0x0a};

enum { HELLO_AUTH_REQUIRED = 1 };

/* ---- frames out ---- */

void aq_link_doom(aq_link *link, aq_status reason)
{
    if (link->doom == AQ_OK) {
        link->doom = reason;
    }
    link->core->again = true;
}

/* Whoever does not take what is queued gets nothing more of it. */
static void control_overflow(aq_link *link)
{
    aq_link_doom(link, AQ_PROTOCOL);
    link->control_head = link->control.count = 0;
}

static bool control_grow(aq_link *link)
{
    uint32_t room = link->control.room == 0 ? FRAME_ROOM : link->control.room * 2;
    uint8_t *larger =
        aq_heap_grow(&link->core->heap, link->control.at, link->control.count, room);
    if (larger != NULL) {
        link->control.at = larger;
        link->control.room = room;
    }
    return larger != NULL;
}

aq_writer aq_link_frame(aq_link *link)
{
    uint32_t used = link->control.count - link->control_head;
    if (used == 0 || (link->control.room - link->control.count < FRAME_ROOM &&
                      link->control_head >= used)) {
        aq_copy(link->control.at, link->control.at + link->control_head, used);
        link->control_head = 0;
        link->control.count = used;
    }
    if (link->control.room - link->control.count < FRAME_ROOM && !control_grow(link)) {
        control_overflow(link);
    }
    AQ_ASSERT(link->control.room - link->control.count >= FRAME_ROOM);
    return aq_writer_over(link->control.at + link->control.count + AQ_FRAME_HEAD_MAX,
                          AQ_FRAME_MAX);
}

bool aq_link_is_congested(const aq_link *link)
{
    return link->control.count - link->control_head > CONTROL_LONG;
}

/* Puts size and type before a body that lies AQ_FRAME_HEAD_MAX behind `start`. */
static size_t frame_close(uint8_t *start, aq_frame_type type, const aq_writer *body)
{
    AQ_ASSERT(aq_writer_fits(body));
    uint8_t head[AQ_FRAME_HEAD_MAX];
    aq_writer w = aq_writer_over(head, sizeof head);
    aq_writer_varint(&w, body->size);
    aq_writer_byte(&w, (uint8_t)type);
    AQ_ASSERT(aq_writer_fits(&w));
    aq_copy(start, head, w.size);
    if (start + w.size != body->start) {
        aq_move(start + w.size, body->start, body->size);
    }
    return w.size + body->size;
}

void aq_link_frame_end(aq_link *link, aq_frame_type type, const aq_writer *w)
{
    uint8_t *start = link->control.at + link->control.count;
    link->control.count += (uint32_t)frame_close(start, type, w);
    if (link->control.count - link->control_head > CONTROL_MAX) {
        control_overflow(link);
    }
}

static void out_compact(aq_link *link)
{
    if (link->out_head == link->out_tail) {
        link->out_head = link->out_tail = 0;
    } else if (link->out_head > OUT_ROOM / 2) {
        aq_move(link->out, link->out + link->out_head, link->out_tail - link->out_head);
        link->out_tail -= link->out_head;
        link->out_head = 0;
    }
}

static void out_add_control(aq_link *link)
{
    while (link->control_head < link->control.count) {
        size_t ready = link->control.count - link->control_head;
        size_t room = OUT_ROOM - link->out_tail;
        aq_reader r = aq_reader_over(link->control.at + link->control_head, ready);
        size_t size = (size_t)aq_reader_varint(&r);
        size += ready - aq_reader_left(&r) + 1;
        if (size > room) {
            break;
        }
        aq_copy(link->out + link->out_tail, link->control.at + link->control_head, size);
        link->out_tail += size;
        link->control_head += (uint32_t)size;
    }
}

bool aq_link_bulk(aq_link *link, size_t body_max, aq_writer *w)
{
    AQ_ASSERT(body_max <= AQ_FRAME_MAX);
    if (link->out_tail - link->out_head >= OUT_LOW ||
        OUT_ROOM - link->out_tail < body_max + AQ_FRAME_HEAD_MAX) {
        return false;
    }
    *w = aq_writer_over(link->out + link->out_tail + AQ_FRAME_HEAD_MAX, body_max);
    return true;
}

void aq_link_bulk_end(aq_link *link, aq_frame_type type, const aq_writer *w)
{
    link->out_tail += frame_close(link->out + link->out_tail, type, w);
}

size_t aq_link_output(aq_link *link, const uint8_t **data)
{
    if (link->out_tail - link->out_head < OUT_LOW) {
        out_compact(link);
        out_add_control(link);
        if (link->state == AQ_LINK_UP) {
            aq_sessions_fill(link);
        }
    }
    *data = link->out + link->out_head;
    size_t size = link->out_tail - link->out_head;
    if (size == 0) {
        link->announced = false;
    }
    return size;
}

void aq_link_output_taken(aq_link *link, size_t size)
{
    AQ_ASSERT(size <= link->out_tail - link->out_head);
    link->out_head += size;
    link->bytes_out += size;
    link->spoke_ns = link->core->now_ns;
    if (link->out_head == link->out_tail) {
        link->announced = false;
    }
}

/* ---- life ---- */

static void send_hello(aq_link *link)
{
    aq_writer w = aq_link_frame(link);
    aq_writer_bytes(&w, magic, sizeof magic);
    aq_writer_varint(&w, AQ_VERSION_MIN);
    aq_writer_varint(&w, AQ_VERSION_MAX);
    aq_writer_varint(&w, 0); /* capabilities: none beyond version 1 */
    aq_writer_bytes(&w, link->nonce, sizeof link->nonce);
    aq_writer_varint(&w, link->core->config.profile);
    bool required = aq_auth_provider_of(link->core)->is_required(link->core);
    aq_writer_byte(&w, required && !link->config.trusted ? HELLO_AUTH_REQUIRED : 0);
    aq_link_frame_end(link, AQ_FRAME_HELLO, &w);
}

aq_link *aq_link_new(aq_core *core, uint32_t id, const aq_link_config *config)
{
    aq_link *link = aq_heap_take_zeroed(&core->heap, sizeof *link);
    AQ_ASSERT(link != NULL);
    link->core = core;
    link->id = id;
    link->config = *config;
    link->opened_ns = link->heard_ns = link->spoke_ns = core->now_ns;
    link->in = aq_heap_take(&core->heap, FRAME_ROOM);
    link->out = aq_heap_take(&core->heap, OUT_ROOM);
    AQ_ASSERT(link->in != NULL && link->out != NULL);
    aq_core_random(core, link->nonce);
    send_hello(link);
    aq_core_wake_at(core, core->now_ns + HANDSHAKE_NS);
    return link;
}

void aq_link_free(aq_link *link)
{
    aq_heap *heap = &link->core->heap;
    aq_heap_give(heap, link->in);
    aq_heap_give(heap, link->out);
    aq_heap_give(heap, link->control.at);
    aq_heap_give(heap, link);
}

static void hung_up(void *owner, aq_op *op)
{
    (void)owner;
    (void)op;
}

void aq_link_refuse(aq_core *core, uint32_t id, aq_status reason)
{
    aq_op *op = aq_ops_new(&core->ops, AQ_OP_HANGUP, 0, 1, hung_up, NULL);
    op->link = id;
    op->items[0].status = reason;
    aq_ops_queue(&core->ops, op);
}

void aq_link_fail(aq_link *link, aq_status reason)
{
    if (link->state >= AQ_LINK_CLOSING) {
        return;
    }
    if (reason != AQ_CLOSED) {
        aq_writer w = aq_link_frame(link);
        aq_writer_varint(&w, reason);
        aq_link_frame_end(link, AQ_FRAME_GOODBYE, &w);
    }
    link->state = AQ_LINK_CLOSING;
    link->reason = reason;
    aq_sessions_link_gone(link, reason);
    aq_note *note = aq_core_note(link->core, AQ_NOTE_LINK_DOWN, link->id);
    note->status = reason;
    aq_link_refuse(link->core, link->id, reason);
}

static void link_is_up(aq_link *link)
{
    link->state = AQ_LINK_UP;
    (void)aq_core_note(link->core, AQ_NOTE_LINK_UP, link->id);
    aq_sessions_link_up(link);
}

void aq_link_tick(aq_link *link)
{
    aq_core *core = link->core;
    if (link->state >= AQ_LINK_CLOSING) {
        return;
    }
    if (link->doom != AQ_OK) {
        aq_link_fail(link, link->doom);
        return;
    }
    uint64_t silent_max = core->config.timeout_ns;
    if (link->state < AQ_LINK_UP && core->now_ns >= link->opened_ns + HANDSHAKE_NS) {
        aq_link_fail(link, AQ_TIMEOUT);
        return;
    }
    if (core->now_ns >= link->heard_ns + silent_max) {
        aq_link_fail(link, AQ_TIMEOUT);
        return;
    }
    uint64_t keepalive_ns = silent_max / 4 < KEEPALIVE_NS ? silent_max / 4 : KEEPALIVE_NS;
    if (link->state == AQ_LINK_UP && core->now_ns >= link->spoke_ns + keepalive_ns) {
        link->spoke_ns = core->now_ns;
        aq_writer w = aq_link_frame(link);
        aq_writer_varint(&w, link->ping_count++);
        aq_link_frame_end(link, AQ_FRAME_PING, &w);
    }
    aq_core_wake_at(core, link->heard_ns + silent_max);
    aq_core_wake_at(core, link->state < AQ_LINK_UP ? link->opened_ns + HANDSHAKE_NS
                                                   : link->spoke_ns + keepalive_ns);
}

/* ---- handshake ---- */

static aq_auth_scene scene_of(const aq_link *link, bool by_client)
{
    bool client = link->config.client;
    return (aq_auth_scene){.by_client = by_client,
                           .binding = link->config.binding,
                           .client_nonce = client ? link->nonce : link->peer_nonce,
                           .server_nonce = client ? link->peer_nonce : link->nonce};
}

static void send_proof(aq_link *link)
{
    aq_auth_scene scene = scene_of(link, link->config.client);
    aq_hash proof;
    aq_auth_provider_of(link->core)->prove(link->core, &scene, &proof);
    aq_writer w = aq_link_frame(link);
    aq_writer_bytes(&w, proof.bytes, sizeof proof.bytes);
    aq_link_frame_end(link, AQ_FRAME_AUTH, &w);
}

/* Both HELLOs are known: who proves what? A client that has a token uses it when the server
 * asks for one; the server then proves the same, so that the client knows it met the right
 * one. */
static void hello_done(aq_link *link)
{
    bool requires =
        aq_auth_provider_of(link->core)->is_required(link->core) && !link->config.trusted;
    if (link->config.client) {
        if (!link->peer_requires_auth) {
            link_is_up(link);
        } else if (!link->core->has_token) {
            aq_link_fail(link, AQ_DENIED);
        } else {
            link->state = AQ_LINK_PROVING;
            send_proof(link);
        }
    } else if (requires) {
        link->state = AQ_LINK_PROVING;
    } else {
        link_is_up(link);
    }
}

static void got_hello(aq_link *link, aq_reader *r)
{
    uint8_t peer_magic[sizeof magic];
    aq_reader_copy(r, peer_magic, sizeof peer_magic);
    uint64_t low = aq_reader_varint(r);
    uint64_t high = aq_reader_varint(r);
    if (r->failed || aq_compare(peer_magic, magic, sizeof magic) != 0 || low > high) {
        aq_link_fail(link, AQ_PROTOCOL);
        return;
    }
    if (high < AQ_VERSION_MIN || low > AQ_VERSION_MAX) {
        aq_link_fail(link, AQ_VERSION);
        return;
    }
    link->version = (uint32_t)(high < AQ_VERSION_MAX ? high : AQ_VERSION_MAX);
    (void)aq_reader_varint(r); /* capabilities */
    aq_reader_copy(r, link->peer_nonce, sizeof link->peer_nonce);
    uint64_t profile = aq_reader_varint(r);
    link->peer_requires_auth = (aq_reader_byte(r) & HELLO_AUTH_REQUIRED) != 0;
    bool mirrored = aq_compare(link->peer_nonce, link->nonce, sizeof link->nonce) == 0;
    if (r->failed || mirrored || profile != link->core->config.profile) {
        aq_link_fail(link, AQ_PROTOCOL);
        return;
    }
    hello_done(link);
}

static void got_proof(aq_link *link, aq_reader *r)
{
    aq_hash proof;
    aq_reader_copy(r, proof.bytes, sizeof proof.bytes);
    aq_auth_scene scene = scene_of(link, !link->config.client);
    bool right =
        !r->failed && aq_auth_provider_of(link->core)->check(link->core, &scene, &proof);
    if (!right) {
        aq_link_fail(link, AQ_DENIED);
        return;
    }
    link->proven = true;
    if (!link->config.client) {
        send_proof(link);
    }
    link_is_up(link);
}

static void got_goodbye(aq_link *link, aq_reader *r)
{
    uint64_t reason = aq_reader_varint(r);
    bool known = !r->failed && reason != AQ_OK && reason < AQ_STATUS_COUNT;
    /* Without an answer of ours: the peer is closing already. */
    link->control_head = link->control.count;
    aq_link_fail(link, known ? (aq_status)reason : AQ_PROTOCOL);
    link->control_head = link->control.count;
}

/* ---- frames in ---- */

static void got_frame(aq_link *link, uint8_t type, const uint8_t *body, size_t size)
{
    aq_reader r = aq_reader_over(body, size);
    if (type == AQ_FRAME_HELLO && link->state == AQ_LINK_HELLO) {
        got_hello(link, &r);
    } else if (type == AQ_FRAME_AUTH && link->state == AQ_LINK_PROVING) {
        got_proof(link, &r);
    } else if (type == AQ_FRAME_GOODBYE) {
        got_goodbye(link, &r);
    } else if (link->state != AQ_LINK_UP) {
        aq_link_fail(link, AQ_PROTOCOL);
    } else if (type == AQ_FRAME_PING) {
        uint64_t number = aq_reader_varint(&r);
        aq_writer w = aq_link_frame(link);
        aq_writer_varint(&w, number);
        aq_link_frame_end(link, AQ_FRAME_PONG, &w);
    } else if (aq_frame_is_session(type)) {
        aq_sessions_frame(link, type, &r);
        if (r.failed) {
            aq_link_fail(link, AQ_PROTOCOL);
        }
    } else if (type != AQ_FRAME_PONG && type < AQ_FRAME_OPTIONAL) {
        aq_link_fail(link, AQ_PROTOCOL);
    }
}

/* One frame at the start of the bytes. Returns its size, or 0 if it is not there whole. */
static size_t frame_take(aq_link *link, const uint8_t *data, size_t size)
{
    aq_reader r = aq_reader_over(data, size < AQ_FRAME_HEAD_MAX ? size : AQ_FRAME_HEAD_MAX);
    uint64_t body_size = aq_reader_varint(&r);
    uint8_t type = aq_reader_byte(&r);
    if (r.failed) {
        if (size >= AQ_FRAME_HEAD_MAX) {
            aq_link_fail(link, AQ_PROTOCOL);
        }
        return 0;
    }
    if (body_size > AQ_FRAME_MAX) {
        aq_link_fail(link, AQ_PROTOCOL);
        return 0;
    }
    size_t head_size = (size_t)(r.at - data);
    if (size - head_size < body_size) {
        return 0;
    }
    got_frame(link, type, data + head_size, (size_t)body_size);
    if (link->doom != AQ_OK) {
        aq_link_fail(link, link->doom);
    }
    return head_size + (size_t)body_size;
}

void aq_link_input(aq_link *link, const uint8_t *data, size_t size)
{
    link->heard_ns = link->core->now_ns;
    link->bytes_in += size;
    while (size != 0 && link->state < AQ_LINK_CLOSING) {
        if (link->in_size == 0) {
            size_t taken = frame_take(link, data, size);
            if (taken != 0) {
                data += taken;
                size -= taken;
                continue;
            }
            if (link->state >= AQ_LINK_CLOSING) {
                break;
            }
        }
        size_t room = FRAME_ROOM - link->in_size;
        size_t part = size < room ? size : room;
        size_t before = link->in_size;
        aq_copy(link->in + before, data, part);
        link->in_size += part;
        size_t taken = frame_take(link, link->in, link->in_size);
        if (taken == 0) {
            AQ_ASSERT(part == size || link->state >= AQ_LINK_CLOSING);
            break;
        }
        AQ_ASSERT(taken > before);
        link->in_size = 0;
        data += taken - before;
        size -= taken - before;
    }
}
