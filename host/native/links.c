/* links.c: tying links to what carries them.
 *
 *     dialled:   WAITING ─▶ DIALLING ─▶ OPENING ─▶ UP ─▶ (gone)
 *                   ▲           │          │
 *                   └───────────┴──────────┘ failed, tries left
 *     accepted:                         OPENING ─▶ UP ─▶ (gone)
 *     paired:                                      UP ─▶ (gone)
 *
 * The engine hears of a link when it is UP (aq_link_open) and when it is gone
 * (aq_link_closed); of an accepted one that never came UP it hears nothing, so that what
 * strangers do before they are let in costs the engine nothing. Their number is limited, in
 * all and for each client.
 *
 * Only a failure that may pass is worth another try: nobody there, no answer, cut off. A
 * server with the wrong key is not asked twice. */
#include "links.h"

#include "conn.h"
#include "dial.h"
#include "listen.h"
#include "net.h"

#include "engine/base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BUCKETS = 256,
    LISTENERS_MAX = 16,
    ACCEPTED_MAX = 1024,
    ACCEPTED_CLIENT_MAX = 64, /* from one client */
    OPENING_MAX = 128,        /* accepted, and not let in yet */
    ENDS_KEPT = 64,           /* what ended links said */
    PAUSE_FIRST_MS = 250,
    PAUSE_MAX_MS = 8000,
    PAIR_PIECE = 64 * 1024,
    PAIR_TURN_MAX = 1024 * 1024 /* as in conn.c */
};

typedef enum link_state { LINK_WAITING, LINK_DIALLING, LINK_OPENING, LINK_UP } link_state;

typedef struct link_entry {
    struct link_entry *next; /* in its bucket */
    aq_links *links;
    uint32_t number;
    link_state state;
    bool accepted;
    bool trusted;
    aq_net_address address;
    char peer[AQ_NET_ADDRESS_SIZE];
    aq_conn *conn;
    aq_op *hangup;    /* to be answered when it is gone */
    uint32_t partner; /* a pair's other end, 0: none */
    bool more;        /* a pair's: it was not emptied */
    /* dialled */
    aq_url *url;
    aq_tls_trust *trust;     /* lent by the table, */
    aq_tls_trust *trust_own; /* or for this one alone */
    uint64_t timeout_ns;
    uint32_t tries_left;
    uint32_t pause_ms;
    aq_dial *dial;
    uv_timer_t *pause; /* freed by its close */
} link_entry;

typedef struct link_end {
    uint32_t number;
    char text[512];
} link_end;

struct aq_links {
    uv_loop_t *loop;
    aq_engine *engine;
    aq_links_owner owner;
    aq_conn_pool *pool;
    aq_tls_trust *trusts[2]; /* [0] nobody, [1] the system's CAs: that takes a while, so it
                                is done when first needed */
    uint32_t number;         /* of the last link */
    link_entry *buckets[BUCKETS];
    aq_listener *listeners[LISTENERS_MAX];
    uint32_t listener_count;
    link_end ends[ENDS_KEPT];
    uint32_t end_next;
    uint32_t more_count; /* of pairs' ends */
    uint8_t piece[PAIR_PIECE];
};

/* ---- the table
 * --------------------------------------------------------------------------- */

static link_entry *find(const aq_links *links, uint32_t number)
{
    link_entry *link = links->buckets[number % BUCKETS];
    while (link && link->number != number) {
        link = link->next;
    }
    return link;
}

static link_entry *add(aq_links *links, link_state state)
{
    link_entry *link = calloc(1, sizeof *link);
    if (link) {
        link->links = links;
        link->state = state;
        link->number = ++links->number;
        link->next = links->buckets[link->number % BUCKETS];
        links->buckets[link->number % BUCKETS] = link;
    }
    return link;
}

static void on_pause_closed(uv_handle_t *handle)
{
    free(handle);
}

/* Lets go of whatever carries it, and forgets it. */
static void forget(link_entry *link)
{
    link_entry **at = &link->links->buckets[link->number % BUCKETS];
    while (*at != link) {
        at = &(*at)->next;
    }
    *at = link->next;
    link->links->more_count -= link->more;
    if (link->conn) {
        aq_conn_drop(link->conn);
    }
    if (link->dial) {
        aq_dial_cancel(link->dial);
    }
    if (link->pause) {
        uv_close((uv_handle_t *)link->pause, on_pause_closed);
    }
    aq_tls_trust_close(link->trust_own);
    free(link->url);
    free(link);
}

static void end_keep(aq_links *links, uint32_t number, const char *text)
{
    link_end *end = &links->ends[links->end_next++ % ENDS_KEPT];
    end->number = number;
    (void)snprintf(end->text, sizeof end->text, "%s", text);
}

/* The link is over; if the engine asked for that, its own reason counts. */
static void gone(link_entry *link, aq_status reason, const char *text)
{
    aq_engine *engine = link->links->engine;
    aq_op *hangup = link->hangup;
    uint32_t number = link->number;
    bool known = link->state == LINK_UP || !link->accepted;
    /* That an open link is lost says all there is; the engine may know a better reason. */
    bool told = hangup || (link->state == LINK_UP && reason == AQ_CLOSED);
    end_keep(link->links, number, told ? "" : text);
    forget(link);
    if (known) {
        aq_link_closed(engine, number, hangup ? hangup->items[0].status : reason);
    }
    if (hangup) {
        aq_done(engine, hangup);
    }
}

const char *aq_links_error(const aq_links *links, uint32_t number)
{
    for (uint32_t i = 0; i < ENDS_KEPT; i++) {
        if (links->ends[i].number == number) {
            return links->ends[i].text;
        }
    }
    return "";
}

const char *aq_links_peer(const aq_links *links, uint32_t number)
{
    const link_entry *link = find(links, number);
    return link ? link->peer : "";
}

/* ---- connections
 * ------------------------------------------------------------------------- */

static void on_up(void *context, const uint8_t *binding)
{
    link_entry *link = context;
    aq_link_config config = {.client = !link->accepted, .trusted = link->trusted};
    memcpy(config.binding, binding, sizeof config.binding);
    link->state = LINK_UP;
    aq_link_open(link->links->engine, link->number, &config);
}

static void on_bytes(void *context, const uint8_t *data, size_t size)
{
    link_entry *link = context;
    if (!link->hangup) {
        aq_link_recv(link->links->engine, link->number, data, size);
    }
}

static size_t peek(void *context, const uint8_t **data)
{
    link_entry *link = context;
    return aq_link_out(link->links->engine, link->number, data);
}

static void sent(void *context, size_t size)
{
    link_entry *link = context;
    aq_link_sent(link->links->engine, link->number, size);
}

static bool try_again(link_entry *link, const aq_fault *fault);

static void on_down(void *context, const aq_fault *fault)
{
    link_entry *link = context;
    link->conn = NULL;
    if (link->state == LINK_UP || !try_again(link, fault)) {
        gone(link, fault->status, fault->text);
    }
}

static const aq_conn_owner *owner_of(link_entry *link, aq_conn_owner *owner)
{
    *owner = (aq_conn_owner){link, on_up, on_bytes, peek, sent, on_down};
    return owner;
}

/* ---- dialling
 * ---------------------------------------------------------------------------- */

static void on_dialled(void *context, int fd, const aq_net_address *peer,
                       const aq_fault *fault)
{
    link_entry *link = context;
    aq_links *links = link->links;
    aq_conn_owner owner;
    link->dial = NULL;
    if (fd < 0) {
        if (!try_again(link, fault)) {
            gone(link, fault->status, fault->text);
        }
        return;
    }
    link->state = LINK_OPENING;
    link->address = *peer;
    aq_net_address_print(peer, link->peer);
    aq_conn_config config = {
        .fd = fd, .url = link->url, .trust = link->trust, .timeout_ns = link->timeout_ns};
    link->conn = aq_conn_open(links->pool, &config, owner_of(link, &owner));
    if (!link->conn) {
        gone(link, AQ_MEMORY, "out of memory");
    }
}

static void dial_now(link_entry *link)
{
    link->state = LINK_DIALLING;
    link->dial =
        aq_dial_open(link->links->loop, link->url, link->timeout_ns, on_dialled, link);
    if (!link->dial) {
        gone(link, AQ_MEMORY, "out of memory");
    }
}

static void on_pause_over(uv_timer_t *timer)
{
    link_entry *link = timer->data;
    dial_now(link);
}

/* Waits, then dials. A pause of 0 still lets the caller go on first. */
static bool dial_after(link_entry *link, uint32_t pause_ms)
{
    link->state = LINK_WAITING;
    if (!link->pause) {
        link->pause = malloc(sizeof *link->pause);
        if (!link->pause) {
            return false;
        }
        (void)uv_timer_init(link->links->loop, link->pause);
        link->pause->data = link;
    }
    (void)uv_timer_start(link->pause, on_pause_over, pause_ms, 0);
    return true;
}

static bool may_pass(aq_status status)
{
    return status == AQ_CONNECT || status == AQ_TIMEOUT || status == AQ_CLOSED ||
           status == AQ_MEMORY;
}

static bool try_again(link_entry *link, const aq_fault *fault)
{
    if (link->accepted || link->hangup || link->tries_left == 0 ||
        !may_pass(fault->status)) {
        return false;
    }
    char text[sizeof fault->text + 64];
    link->tries_left--;
    (void)snprintf(text, sizeof text, "%s; trying again in %u.%02u s", fault->text,
                   link->pause_ms / 1000, link->pause_ms % 1000 / 10);
    if (!dial_after(link, link->pause_ms)) {
        return false;
    }
    link->pause_ms =
        link->pause_ms * 2 < PAUSE_MAX_MS ? link->pause_ms * 2 : (uint32_t)PAUSE_MAX_MS;
    link->links->owner.on_warning(link->links->owner.context, link->number, text);
    return true;
}

/* Which CAs a link goes by; a fingerprint needs none. */
static bool trust_prepare(link_entry *link, const char *ca_file, aq_fault *fault)
{
    aq_tls_trust **shared = &link->links->trusts[!link->url->pinned];
    if (!link->url->tls) {
        return true;
    }
    if (ca_file && !link->url->pinned) {
        link->trust = link->trust_own = aq_tls_trust_open(ca_file, fault);
        return link->trust != NULL;
    }
    if (!*shared) {
        *shared = aq_tls_trust_open(link->url->pinned ? "" : NULL, fault);
    }
    link->trust = *shared;
    return link->trust != NULL;
}

uint32_t aq_links_dial(aq_links *links, const aq_url *url, const aq_dial_config *config)
{
    aq_fault fault = {AQ_MEMORY, "out of memory"};
    link_entry *link = add(links, LINK_WAITING);
    if (!link) {
        aq_link_closed(links->engine, ++links->number, AQ_MEMORY);
        return links->number;
    }
    uint32_t number = link->number;
    link->tries_left = config && config->tries ? config->tries - 1 : 0;
    link->timeout_ns = config ? config->timeout_ns : 0;
    link->pause_ms = PAUSE_FIRST_MS;
    link->url = malloc(sizeof *link->url);
    if (link->url) {
        *link->url = *url;
    }
    if (!link->url || !trust_prepare(link, config ? config->ca_file : NULL, &fault) ||
        !dial_after(link, 0)) {
        gone(link, fault.status, fault.text);
    }
    return number;
}

/* ---- listening
 * --------------------------------------------------------------------------- */

static bool is_welcome(const aq_links *links, const aq_net_address *peer)
{
    uint32_t all = 0, same = 0, opening = 0;
    for (uint32_t i = 0; i < BUCKETS; i++) {
        for (const link_entry *link = links->buckets[i]; link; link = link->next) {
            if (link->accepted) {
                all++;
                opening += link->state == LINK_OPENING;
                same += aq_net_is_same_client(&link->address, peer);
            }
        }
    }
    return all < ACCEPTED_MAX && opening < OPENING_MAX && same < ACCEPTED_CLIENT_MAX;
}

static void on_accept(void *context, const aq_listener *listener, int fd,
                      const aq_net_address *peer)
{
    aq_links *links = context;
    const aq_listen_config *listening = aq_listener_config(listener);
    link_entry *link = is_welcome(links, peer) ? add(links, LINK_OPENING) : NULL;
    if (!link) {
        (void)close(fd);
        return;
    }
    aq_conn_owner owner;
    aq_conn_config config = {.fd = fd,
                             .identity = listening->identity,
                             .pages_allowed = !listening->trust_loopback};
    link->accepted = true;
    link->trusted = listening->trust_loopback && aq_net_is_loopback(peer);
    link->address = *peer;
    aq_net_address_print(peer, link->peer);
    link->conn = aq_conn_open(links->pool, &config, owner_of(link, &owner));
    if (!link->conn) {
        forget(link);
    }
}

aq_status aq_links_listen(aq_links *links, const aq_listen_config *config, aq_url *url,
                          aq_fault *fault)
{
    aq_fault own = {0};
    const aq_listener_owner owner = {links, on_accept};
    fault = fault ? fault : &own;
    if (links->listener_count == LISTENERS_MAX) {
        return aq_fault_set(fault, AQ_USAGE, "at most %d addresses can be listened on",
                            LISTENERS_MAX);
    }
    aq_listener *listener = aq_listener_open(links->loop, config, &owner, url, fault);
    if (!listener) {
        return fault->status;
    }
    links->listeners[links->listener_count++] = listener;
    return AQ_OK;
}

/* ---- pairs
 * ------------------------------------------------------------------------------- */

void aq_links_pair(aq_links *links, uint32_t out[2])
{
    link_entry *ends[2] = {add(links, LINK_UP), add(links, LINK_UP)};
    for (int i = 0; i < 2; i++) {
        aq_link_config config = {.client = i == 0, .trusted = true};
        out[i] = ends[i] ? ends[i]->number : ++links->number;
        if (ends[0] && ends[1]) {
            ends[i]->partner = ends[!i]->number;
            aq_link_open(links->engine, out[i], &config);
        } else {
            aq_link_closed(links->engine, out[i], AQ_MEMORY);
        }
    }
}

static void more_set(link_entry *link, bool more)
{
    link->links->more_count += (uint32_t)more - (uint32_t)link->more;
    link->more = more;
}

/* What is lent by aq_link_out ends with the next call, so it goes by a copy. */
static void pair_pump(aq_links *links, link_entry *from, size_t max)
{
    const uint8_t *data;
    size_t size;
    size_t total = 0;
    while ((size = aq_link_out(links->engine, from->number, &data)) > 0 && total < max) {
        size = size < PAIR_PIECE ? size : PAIR_PIECE;
        memcpy(links->piece, data, size);
        total += size;
        aq_link_sent(links->engine, from->number, size);
        if (find(links, from->partner)) {
            aq_link_recv(links->engine, from->partner, links->piece, size);
        }
    }
    more_set(from, size > 0);
}

bool aq_links_continue(aq_links *links)
{
    uint32_t left = links->more_count;
    for (uint32_t i = 0; i < BUCKETS && left; i++) {
        for (link_entry *link = links->buckets[i]; link && left; link = link->next) {
            if (link->more) {
                left--;
                pair_pump(links, link, PAIR_TURN_MAX);
            }
        }
    }
    return links->more_count > 0;
}

static void pair_end(link_entry *link)
{
    link_entry *partner = find(link->links, link->partner);
    pair_pump(link->links, link, SIZE_MAX);
    gone(link, AQ_CLOSED, "");
    if (partner) {
        gone(partner, AQ_CLOSED, "");
    }
}

/* ---- what the engine wants
 * --------------------------------------------------------------- */

void aq_links_pump(aq_links *links, uint32_t number)
{
    link_entry *link = find(links, number);
    if (link && link->partner) {
        pair_pump(links, link, PAIR_TURN_MAX);
    } else if (link && link->conn && link->state == LINK_UP) {
        aq_conn_pump(link->conn);
    }
}

void aq_links_hangup(aq_links *links, aq_op *op)
{
    link_entry *link = find(links, op->link);
    if (!link || link->hangup) {
        aq_done(links->engine, op);
        return;
    }
    link->hangup = op;
    if (link->partner) {
        pair_end(link);
    } else if (link->conn) {
        aq_conn_hangup(link->conn);
    } else {
        gone(link, AQ_CANCELLED, "");
    }
}

/* ---- opening
 * ----------------------------------------------------------------------------- */

aq_links *aq_links_open(uv_loop_t *loop, aq_engine *engine, const aq_links_owner *owner)
{
    aq_links *links = calloc(1, sizeof *links);
    if (!links) {
        return NULL;
    }
    links->pool = aq_conn_pool_open(loop);
    if (!links->pool) {
        free(links);
        return NULL;
    }
    links->loop = loop;
    links->engine = engine;
    links->owner = *owner;
    return links;
}

void aq_links_drop(aq_links *links)
{
    for (uint32_t i = 0; i < BUCKETS; i++) {
        for (link_entry *link = links->buckets[i], *next; link; link = next) {
            next = link->next;
            if (link->conn && link->state == LINK_UP) {
                aq_conn_leave(link->conn);
                link->conn = NULL;
            }
            forget(link);
        }
    }
    while (links->listener_count) {
        aq_listener_close(links->listeners[--links->listener_count]);
    }
}

void aq_links_close(aq_links *links)
{
    aq_tls_trust_close(links->trusts[0]);
    aq_tls_trust_close(links->trusts[1]);
    aq_conn_pool_close(links->pool);
    free(links);
}
