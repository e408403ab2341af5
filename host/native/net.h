/* net.h: addresses and sockets. */
#ifndef AQ_NET_H
#define AQ_NET_H

#include "fault.h"
#include "url.h"

#include <sys/socket.h>

enum {
    AQ_NET_ADDRESS_SIZE = 80 /* room for "[address%zone]:port" */
};

typedef struct aq_net_address {
    struct sockaddr_storage storage;
    socklen_t size;
} aq_net_address;

void aq_net_address_print(const aq_net_address *address, char out[AQ_NET_ADDRESS_SIZE]);

/* The address without its port, as it stands in a URL's host. */
void aq_net_host_print(const aq_net_address *address, char out[AQ_NET_ADDRESS_SIZE]);

uint16_t aq_net_port(const aq_net_address *address);

/* IPv4-mapped ones, too. */
bool aq_net_is_loopback(const aq_net_address *address);

/* 0.0.0.0 or :: */
bool aq_net_is_any(const aq_net_address *address);

/* Counted together against the limits for one client: the same IPv4 address, or IPv6
 * addresses of the same /64, which one machine may have all of. */
bool aq_net_is_same_client(const aq_net_address *a, const aq_net_address *b);

/* What the kernel said of a connection attempt, as a status. */
aq_status aq_net_status(int error);

/* Sets up a connected stream socket: non-blocking, no delay, little unsent in the kernel.
 */
void aq_net_stream_prepare(int fd);

/* Starts to connect; -1 on failure, then errno says why. The socket is writable when the
 * attempt is over; aq_net_connect_result then says how it went (0 or an errno). */
int aq_net_connect(const aq_net_address *address);
int aq_net_connect_result(int fd);

/* Opens a listening socket for that address. -1 on failure, then errno says why. `bound` is
 * what it got. */
int aq_net_listen(const aq_net_address *address, aq_net_address *bound);

/* Takes the next waiting connection; -1 and errno when there is none. */
int aq_net_accept(int listener, aq_net_address *peer);

#endif
