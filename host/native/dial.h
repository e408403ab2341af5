/* dial.h: from a URL's host and port to a connected socket. */
#ifndef AQ_DIAL_H
#define AQ_DIAL_H

#include "fault.h"
#include "net.h"
#include "url.h"

#include <uv.h>

typedef struct aq_dial aq_dial;

/* Called once, never from inside aq_dial_open: with a socket that is the callee's now, or
 * with -1 and the reason (CONNECT or TIMEOUT). The dial frees itself. */
typedef void aq_dial_done(void *context, int fd, const aq_net_address *peer,
                          const aq_fault *fault);

/* `url` is lent until it is done or cancelled. NULL: out of memory. */
aq_dial *aq_dial_open(uv_loop_t *loop, const aq_url *url, uint64_t timeout_ns,
                      aq_dial_done *done, void *context);

/* `done` will not be called. */
void aq_dial_cancel(aq_dial *dial);

#endif
