/* listen.c: listening, and accepting within what the process can take.
 *
 * A name may stand for several addresses (localhost: ::1 and 127.0.0.1); all are listened
 * on, under one port. When the process runs out of descriptors, a waiting connection would
 * wake the loop for ever without being taken; so then nobody looks for a moment. */
#include "listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SOCKETS_MAX = 8,
    ACCEPT_TURN_MAX = 32, /* before others get their turn */
    PAUSE_MS = 100
};

typedef struct waiter {
    aq_listener *listener;
    int fd;
    uv_poll_t poll;
    uv_timer_t pause;
} waiter;

struct aq_listener {
    uv_loop_t *loop;
    aq_listen_config config;
    aq_listener_owner owner;
    int count;
    int handles;
    waiter waiters[SOCKETS_MAX];
};

static void on_poll(uv_poll_t *poll, int status, int events);

static void on_pause_over(uv_timer_t *timer)
{
    waiter *w = timer->data;
    (void)uv_poll_start(&w->poll, UV_READABLE, on_poll);
}

static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    waiter *w = poll->data;
    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPT_TURN_MAX; i++) {
        aq_net_address peer;
        int fd = aq_net_accept(w->fd, &peer);
        if (fd >= 0) {
            w->listener->owner.on_accept(w->listener->owner.context, w->listener, fd,
                                         &peer);
        } else if (is_shortage(errno)) {
            (void)uv_poll_stop(&w->poll);
            (void)uv_timer_start(&w->pause, on_pause_over, PAUSE_MS, 0);
            return;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } /* else that one client is gone already; the next may be there */
    }
}

static void on_closed(uv_handle_t *handle)
{
    waiter *w = handle->data;
    if (--w->listener->handles == 0) {
        free(w->listener);
    }
}

void aq_listener_close(aq_listener *listener)
{
    if (listener->count == 0) {
        free(listener);
        return;
    }
    for (int i = 0; i < listener->count; i++) {
        (void)uv_poll_stop(&listener->waiters[i].poll);
        uv_close((uv_handle_t *)&listener->waiters[i].poll, on_closed);
        uv_close((uv_handle_t *)&listener->waiters[i].pause, on_closed);
        (void)close(listener->waiters[i].fd);
    }
}

const aq_listen_config *aq_listener_config(const aq_listener *listener)
{
    return &listener->config;
}

static bool waiter_add(aq_listener *listener, int fd)
{
    waiter *w = &listener->waiters[listener->count];
    if (uv_poll_init(listener->loop, &w->poll, fd)) {
        return false;
    }
    (void)uv_timer_init(listener->loop, &w->pause);
    w->listener = listener;
    w->fd = fd;
    w->poll.data = w;
    w->pause.data = w;
    listener->count++;
    listener->handles += 2;
    (void)uv_poll_start(&w->poll, UV_READABLE, on_poll);
    return true;
}

static void port_set(aq_net_address *address, uint16_t port)
{
    if (address->storage.ss_family == AF_INET) {
        ((struct sockaddr_in *)(void *)&address->storage)->sin_port = htons(port);
    } else if (address->storage.ss_family == AF_INET6) {
        ((struct sockaddr_in6 *)(void *)&address->storage)->sin6_port = htons(port);
    }
}

/* Listens on one more address. `port` is 0 until the first one got one. */
static aq_status address_add(aq_listener *listener, const struct addrinfo *info,
                             uint16_t *port, aq_fault *fault)
{
    aq_net_address address, bound;
    char text[AQ_NET_ADDRESS_SIZE];
    address.size = info->ai_addrlen;
    memcpy(&address.storage, info->ai_addr, info->ai_addrlen);
    port_set(&address, *port);
    aq_net_address_print(&address, text);
    if (!listener->config.identity && !listener->config.force_plain &&
        !aq_net_is_loopback(&address)) {
        return aq_fault_set(fault, AQ_USAGE,
                            "%s can be reached from other machines, and a plain connection "
                            "can be read and changed on its way: leave TLS on, listen on "
                            "127.0.0.1 or ::1, or force it",
                            text);
    }
    int fd = aq_net_listen(&address, &bound);
    if (fd < 0) {
        return aq_fault_set(fault, errno == EACCES ? AQ_ACCESS : AQ_CONNECT,
                            "cannot listen on %s: %s", text, strerror(errno));
    }
    if (!waiter_add(listener, fd)) {
        (void)close(fd);
        return aq_fault_set(fault, AQ_MEMORY, "out of memory");
    }
    *port = aq_net_port(&bound);
    return AQ_OK;
}

static aq_status addresses_add(aq_listener *listener, aq_url *url, aq_fault *fault)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                          .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    const char *host = listener->config.host;
    uint16_t port = listener->config.port;
    struct addrinfo *infos = NULL;
    int error = getaddrinfo(host ? host : "::", "0", &hints, &infos);
    if (error) {
        return aq_fault_set(fault, AQ_CONNECT, "cannot listen on %s: %s",
                            host ? host : "::", gai_strerror(error));
    }
    aq_status status = AQ_OK;
    for (const struct addrinfo *i = infos; i && listener->count < SOCKETS_MAX;
         i = i->ai_next) {
        status = address_add(listener, i, &port, fault);
        if (status == AQ_USAGE) {
            break;
        }
    }
    freeaddrinfo(infos);
    url->port = port;
    /* One that works is enough: a machine may have only one of IPv6 and IPv4. */
    return status != AQ_USAGE && listener->count ? AQ_OK : status;
}

aq_listener *aq_listener_open(uv_loop_t *loop, const aq_listen_config *config,
                              const aq_listener_owner *owner, aq_url *url, aq_fault *fault)
{
    aq_listener *listener = calloc(1, sizeof *listener);
    if (!listener) {
        (void)aq_fault_set(fault, AQ_MEMORY, "out of memory");
        return NULL;
    }
    memset(url, 0, sizeof *url);
    listener->loop = loop;
    listener->config = *config;
    listener->owner = *owner;
    aq_status status = addresses_add(listener, url, fault);
    if (status == AQ_CONNECT && !config->host) { /* no IPv6 here */
        listener->config.host = "0.0.0.0";
        status = addresses_add(listener, url, fault);
    }
    listener->config.host = NULL; /* was lent for the call only */
    if (status != AQ_OK) {
        aq_listener_close(listener);
        return NULL;
    }
    (void)aq_fault_set(fault, AQ_OK, "%s", "");
    bool all =
        !config->host || !strcmp(config->host, "0.0.0.0") || !strcmp(config->host, "::");
    if (!all) {
        (void)snprintf(url->host, sizeof url->host, "%s", config->host);
    } else if (gethostname(url->host, sizeof url->host - 1)) {
        (void)snprintf(url->host, sizeof url->host, "localhost");
    }
    url->tls = config->identity != NULL;
    url->pinned = url->tls;
    if (url->tls) {
        memcpy(url->fingerprint, aq_identity_fingerprint(config->identity),
               sizeof url->fingerprint);
    }
    return listener;
}
