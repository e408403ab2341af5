/* net.c: every call on addresses and sockets but sending and receiving. */
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    /* More unsent bytes than this in the kernel would only make control frames wait. */
    UNSENT_MAX = 256 * 1024,
    BACKLOG = 128
};

static const struct sockaddr_in *as_v4(const aq_net_address *address)
{
    return (const struct sockaddr_in *)(const void *)&address->storage;
}

static const struct sockaddr_in6 *as_v6(const aq_net_address *address)
{
    return (const struct sockaddr_in6 *)(const void *)&address->storage;
}

static const struct sockaddr *as_any(const aq_net_address *address)
{
    return (const struct sockaddr *)(const void *)&address->storage;
}

/* The IPv4 address in network order; IPv6 may carry one, too. */
static bool v4_take(const aq_net_address *address, uint8_t out[4])
{
    if (address->storage.ss_family == AF_INET) {
        memcpy(out, &as_v4(address)->sin_addr, 4);
        return true;
    }
    const struct in6_addr *in6 = &as_v6(address)->sin6_addr;
    if (address->storage.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(in6)) {
        memcpy(out, in6->s6_addr + 12, 4);
        return true;
    }
    return false;
}

void aq_net_host_print(const aq_net_address *address, char out[AQ_NET_ADDRESS_SIZE])
{
    uint8_t v4[4];
    char zone[IF_NAMESIZE + 1] = "";
    char text[INET6_ADDRSTRLEN] = "?";
    if (v4_take(address, v4)) {
        (void)inet_ntop(AF_INET, v4, text, sizeof text);
    } else if (address->storage.ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = as_v6(address);
        (void)inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
        if (v6->sin6_scope_id && if_indextoname(v6->sin6_scope_id, zone + 1)) {
            zone[0] = '%';
        }
    }
    (void)snprintf(out, AQ_NET_ADDRESS_SIZE, "%s%s", text, zone);
}

uint16_t aq_net_port(const aq_net_address *address)
{
    switch (address->storage.ss_family) {
    case AF_INET:
        return ntohs(as_v4(address)->sin_port);
    case AF_INET6:
        return ntohs(as_v6(address)->sin6_port);
    default:
        return 0;
    }
}

void aq_net_address_print(const aq_net_address *address, char out[AQ_NET_ADDRESS_SIZE])
{
    char host[AQ_NET_ADDRESS_SIZE];
    aq_net_host_print(address, host);
    bool bracket = strchr(host, ':') != NULL;
    (void)snprintf(out, AQ_NET_ADDRESS_SIZE, "%s%.70s%s:%u", bracket ? "[" : "", host,
                   bracket ? "]" : "", aq_net_port(address));
}

bool aq_net_is_loopback(const aq_net_address *address)
{
    uint8_t v4[4];
    if (v4_take(address, v4)) {
        return v4[0] == 127;
    }
    return address->storage.ss_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&as_v6(address)->sin6_addr);
}

bool aq_net_is_any(const aq_net_address *address)
{
    uint8_t v4[4];
    if (v4_take(address, v4)) {
        return !(v4[0] | v4[1] | v4[2] | v4[3]);
    }
    return address->storage.ss_family == AF_INET6 &&
           IN6_IS_ADDR_UNSPECIFIED(&as_v6(address)->sin6_addr);
}

bool aq_net_is_same_client(const aq_net_address *a, const aq_net_address *b)
{
    uint8_t a4[4], b4[4];
    bool a_is_v4 = v4_take(a, a4);
    if (a_is_v4 != v4_take(b, b4)) {
        return false;
    }
    return a_is_v4 ? !memcmp(a4, b4, 4)
                   : !memcmp(&as_v6(a)->sin6_addr, &as_v6(b)->sin6_addr, 8);
}

aq_status aq_net_status(int error)
{
    switch (error) {
    case 0:
        return AQ_OK;
    case ETIMEDOUT:
        return AQ_TIMEOUT;
    case ENOMEM:
    case ENOBUFS:
    case EMFILE:
    case ENFILE:
        return AQ_MEMORY;
    default:
        return AQ_CONNECT;
    }
}

static void option_set(int fd, int level, int name, int value)
{
    /* They only make it faster: on a socket that has no such option nothing is lost. */
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

void aq_net_stream_prepare(int fd)
{
    option_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    option_set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_MAX);
}

static int socket_open(const aq_net_address *address)
{
    return socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                  0);
}

static int close_keeping_errno(int fd)
{
    int error = errno;
    (void)close(fd);
    errno = error;
    return -1;
}

int aq_net_connect(const aq_net_address *address)
{
    int fd = socket_open(address);
    if (fd < 0) {
        return -1;
    }
    aq_net_stream_prepare(fd);
    if (connect(fd, as_any(address), address->size) && errno != EINPROGRESS) {
        return close_keeping_errno(fd);
    }
    return fd;
}

int aq_net_connect_result(int fd)
{
    int error = 0;
    socklen_t size = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) ? errno : error;
}

int aq_net_listen(const aq_net_address *address, aq_net_address *bound)
{
    int fd = socket_open(address);
    if (fd < 0) {
        return -1;
    }
    option_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (address->storage.ss_family == AF_INET6) {
        option_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, !aq_net_is_any(address));
    }
    bound->size = sizeof bound->storage;
    if (bind(fd, as_any(address), address->size) || listen(fd, BACKLOG) ||
        getsockname(fd, (struct sockaddr *)(void *)&bound->storage, &bound->size)) {
        return close_keeping_errno(fd);
    }
    return fd;
}

int aq_net_accept(int listener, aq_net_address *peer)
{
    peer->size = sizeof peer->storage;
    int fd = accept4(listener, (struct sockaddr *)(void *)&peer->storage, &peer->size,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        aq_net_stream_prepare(fd);
    }
    return fd;
}
