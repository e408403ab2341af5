/* listen.h: sockets that wait for clients. */
#ifndef AQ_LISTEN_H
#define AQ_LISTEN_H

#include "loop.h"
#include "net.h"

#include <uv.h>

typedef struct aq_listener aq_listener;

typedef struct aq_listener_owner {
    void *context;
    /* The socket is the callee's. */
    void (*on_accept)(void *context, const aq_listener *listener, int fd,
                      const aq_net_address *peer);
} aq_listener_owner;

/* As aq_loop_listen says. NULL on failure. */
aq_listener *aq_listener_open(uv_loop_t *loop, const aq_listen_config *config,
                              const aq_listener_owner *owner, aq_url *url, aq_fault *fault);

/* It frees itself. */
void aq_listener_close(aq_listener *listener);

const aq_listen_config *aq_listener_config(const aq_listener *listener);

#endif
