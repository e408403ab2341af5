/* links.h: the engine's links and what carries them: connections, dials, memory. */
#ifndef AQ_LINKS_H
#define AQ_LINKS_H

#include "loop.h"

#include <uv.h>

typedef struct aq_links aq_links;

typedef struct aq_links_owner {
    void *context;
    /* For people: what failed and will be tried again. */
    void (*on_warning)(void *context, uint32_t link, const char *text);
} aq_links_owner;

/* NULL: out of memory. */
aq_links *aq_links_open(uv_loop_t *loop, aq_engine *engine, const aq_links_owner *owner);

/* Drops all without waiting, and without a word to the engine. The loop must run once more
 * for it. */
void aq_links_drop(aq_links *links);

/* After that. */
void aq_links_close(aq_links *links);

/* As in loop.h. */
aq_status aq_links_listen(aq_links *links, const aq_listen_config *config, aq_url *url,
                          aq_fault *fault);
uint32_t aq_links_dial(aq_links *links, const aq_url *url, const aq_dial_config *config);
void aq_links_pair(aq_links *links, uint32_t out[2]);
const char *aq_links_error(const aq_links *links, uint32_t number);
const char *aq_links_peer(const aq_links *links, uint32_t number);

/* The engine has bytes for that link. */
void aq_links_pump(aq_links *links, uint32_t number);

/* Goes on with what pumping left, where no event of the loop would. True: call again. */
bool aq_links_continue(aq_links *links);

/* Does a HANGUP op: aq_done follows, now or later. */
void aq_links_hangup(aq_links *links, aq_op *op);

#endif
