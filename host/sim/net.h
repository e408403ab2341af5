/* net.h: the virtual network: links that are late, narrow, stalled, cut or wrong. */
#ifndef SIM_NET_H
#define SIM_NET_H

#include "node.h"

typedef struct sim_parcel sim_parcel;

typedef struct sim_pipe {
    sim_parcel *first, *last; /* under way */
    uint64_t sent;            /* bytes so far */
    uint64_t in_flight;       /* sent and not yet arrived */
    uint64_t free_ns;         /* when the last byte so far has left */
    uint64_t cut_byte;        /* the link breaks here; UINT64_MAX: it does not */
    uint64_t wrong_byte;      /* this one arrives changed; UINT64_MAX: none */
} sim_pipe;

typedef struct sim_end {
    sim_node *node;
    uint64_t life;
    bool open; /* the engine there has the link */
} sim_end;

typedef struct sim_link {
    uint32_t id;
    uint64_t tag;     /* the dialler's own */
    sim_end end[2];   /* 0 dialled */
    sim_pipe pipe[2]; /* [0]: from end 0 to end 1 */
    bool broken;
    bool half_open; /* only one end learns that it broke */
    uint64_t delay_ns;
    uint64_t bytes_per_s;
    uint64_t window;
    uint64_t stall_from_ns; /* nothing arrives between these */
    uint64_t stall_to_ns;
    unsigned fragment; /* largest piece that is delivered at once; 0: as sent */
    aq_link_config config[2];
} sim_link;

/* Troubles to draw for each new link, in permille of the links. */
typedef struct sim_net_faults {
    unsigned cut;
    unsigned stall;
    unsigned half_open;
    unsigned fragment;
    unsigned corrupt;
    unsigned refuse;
} sim_net_faults;

struct sim_net {
    sim_arena *arena;
    sim_clock *clock;
    sim_trace *trace;
    sim_chance chance;
    sim_link **links;
    size_t link_count;
    size_t link_room;
    sim_net_faults faults;
    bool trusted;
    uint64_t cut_at; /* the first link breaks there; 0: it does not */
    uint64_t cuts;
    void *watcher;
    /* The dialling engine has the link now, or (link 0) it could not be made. */
    void (*on_dialled)(void *watcher, uint64_t tag, uint32_t link);
};

void sim_net_dial(sim_net *net, sim_node *client, sim_node *server, uint64_t tag);
/* The dialling host closes the link; what is under way is lost. */
void sim_net_close(sim_net *net, uint32_t link);
/* Does the dialling engine have it still? */
bool sim_net_is_open(const sim_net *net, uint32_t link);
void sim_net_pump(sim_net *net, sim_node *node, uint32_t link);
void sim_net_hangup(sim_net *net, sim_node *node, uint32_t link, aq_status reason);
void sim_net_node_down(sim_net *net, sim_node *node);
/* From now on all is well; links that were broken by halves are reported to both ends. */
void sim_net_heal(sim_net *net);

#endif
