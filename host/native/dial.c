/* dial.c: one attempt to reach a server, over all the addresses that its name has.
 *
 * The addresses are tried one after the other in the order of the resolver, which knows
 * what this machine can reach (RFC 6724). An address that does not answer at all must not
 * use up the whole time while another would have answered, so each but the last gets only a
 * head start (as in RFC 8305, but without racing two). */
#include "dial.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEAD_START_MS = 1500, TIMEOUT_MS = 10 * 1000 };

struct aq_dial {
    uv_loop_t *loop;
    const aq_url *url;
    aq_dial_done *done; /* NULL once called or cancelled */
    void *context;
    uv_getaddrinfo_t lookup;
    bool looking_up;
    struct addrinfo *addresses;
    struct addrinfo *next;
    aq_net_address current;
    int fd;
    uv_poll_t *poll; /* of the attempt under way; freed by its close */
    uv_timer_t head_start;
    uv_timer_t timeout;
    int handles;
    aq_fault fault; /* what the last address said */
};

static void free_when_idle(aq_dial *dial)
{
    if (dial->handles == 0 && !dial->looking_up) {
        if (dial->addresses) {
            uv_freeaddrinfo(dial->addresses);
        }
        free(dial);
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    aq_dial *dial = handle->data;
    dial->handles--;
    free_when_idle(dial);
}

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle);
}

/* Ends the attempt under way; the socket is closed unless it is given away. */
static void attempt_end(aq_dial *dial, bool keep_socket)
{
    if (dial->poll) {
        (void)uv_poll_stop(dial->poll);
        uv_close((uv_handle_t *)dial->poll, on_poll_closed);
        dial->poll = NULL;
    }
    if (dial->fd >= 0 && !keep_socket) {
        (void)close(dial->fd);
    }
    dial->fd = -1;
}

void aq_dial_cancel(aq_dial *dial)
{
    dial->done = NULL;
    attempt_end(dial, false);
    if (dial->looking_up) {
        (void)uv_cancel((uv_req_t *)&dial->lookup);
    }
    uv_close((uv_handle_t *)&dial->head_start, on_timer_closed);
    uv_close((uv_handle_t *)&dial->timeout, on_timer_closed);
}

static void finish(aq_dial *dial, int fd)
{
    aq_dial_done *done = dial->done;
    attempt_end(dial, fd >= 0);
    aq_net_address peer = dial->current;
    aq_fault fault = dial->fault;
    void *context = dial->context;
    aq_dial_cancel(dial);
    done(context, fd, &peer, &fault);
}

static void attempt_next(aq_dial *dial);

static void attempt_failed(aq_dial *dial, int error)
{
    char address[AQ_NET_ADDRESS_SIZE];
    aq_net_address_print(&dial->current, address);
    (void)aq_fault_set(&dial->fault, aq_net_status(error), "cannot connect to %s: %s%s",
                       address, strerror(error),
                       error == ECONNREFUSED ? " (nothing listens there)" : "");
    attempt_end(dial, false);
    attempt_next(dial);
}

static void on_writable(uv_poll_t *poll, int status, int events)
{
    aq_dial *dial = poll->data;
    (void)status; /* of an error libuv says only that there is one */
    (void)events;
    int error = aq_net_connect_result(dial->fd);
    if (error) {
        attempt_failed(dial, error);
    } else {
        finish(dial, dial->fd);
    }
}

static void on_head_start(uv_timer_t *timer)
{
    attempt_failed(timer->data, ETIMEDOUT);
}

static void attempt_next(aq_dial *dial)
{
    const struct addrinfo *address = dial->next;
    if (!address) {
        finish(dial, -1);
        return;
    }
    dial->next = address->ai_next;
    dial->current.size = address->ai_addrlen;
    memcpy(&dial->current.storage, address->ai_addr, address->ai_addrlen);
    dial->fd = aq_net_connect(&dial->current);
    dial->poll = malloc(sizeof *dial->poll);
    if (dial->fd < 0 || !dial->poll || uv_poll_init(dial->loop, dial->poll, dial->fd)) {
        int error = dial->fd < 0 ? errno : ENOMEM;
        free(dial->poll);
        dial->poll = NULL;
        attempt_failed(dial, error); /* as deep as there are addresses: a few */
        return;
    }
    dial->poll->data = dial;
    (void)uv_poll_start(dial->poll, UV_WRITABLE, on_writable);
    (void)uv_timer_stop(&dial->head_start);
    if (dial->next) {
        (void)uv_timer_start(&dial->head_start, on_head_start, HEAD_START_MS, 0);
    }
}

static void on_timeout(uv_timer_t *timer)
{
    aq_dial *dial = timer->data;
    (void)aq_fault_set(&dial->fault, AQ_TIMEOUT, "%s:%u did not answer in time",
                       dial->url->host, dial->url->port);
    finish(dial, -1);
}

static void on_lookup(uv_getaddrinfo_t *lookup, int status, struct addrinfo *addresses)
{
    aq_dial *dial = lookup->data;
    dial->looking_up = false;
    dial->addresses = addresses;
    if (!dial->done) {
        free_when_idle(dial);
        return;
    }
    if (status < 0) {
        (void)aq_fault_set(&dial->fault, AQ_CONNECT, "no address is known for %s: %s",
                           dial->url->host, uv_strerror(status));
    }
    dial->next = addresses;
    attempt_next(dial);
}

aq_dial *aq_dial_open(uv_loop_t *loop, const aq_url *url, uint64_t timeout_ns,
                      aq_dial_done *done, void *context)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                          .ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG};
    /* Without a network at all, loopback must still be found (AI_ADDRCONFIG leaves it out).
     */
    static const struct addrinfo numeric = {.ai_socktype = SOCK_STREAM,
                                            .ai_flags = AI_NUMERICSERV};
    char port[8];
    aq_dial *dial = calloc(1, sizeof *dial);
    if (!dial) {
        return NULL;
    }
    dial->loop = loop;
    dial->url = url;
    dial->done = done;
    dial->context = context;
    dial->fd = -1;
    dial->lookup.data = dial;
    (void)snprintf(port, sizeof port, "%u", url->port);
    bool plain_host = strchr(url->host, ':') || !strcmp(url->host, "localhost");
    if (uv_getaddrinfo(loop, &dial->lookup, on_lookup, url->host, port,
                       plain_host ? &numeric : &hints)) {
        free(dial);
        return NULL;
    }
    dial->looking_up = true;
    dial->handles = 2;
    (void)uv_timer_init(loop, &dial->head_start);
    (void)uv_timer_init(loop, &dial->timeout);
    dial->head_start.data = dial;
    dial->timeout.data = dial;
    (void)uv_timer_start(&dial->timeout, on_timeout,
                         timeout_ns ? timeout_ns / 1000000 : TIMEOUT_MS, 0);
    return dial;
}
