/* Links as TCP shows them: bytes arrive in order, whole, or the link breaks; how late, in
 * which pieces and where it breaks is drawn when the link is dialled.
 *
 *     engine --pump--> pipe (window, bytes/s, delay, stall) --arrive--> engine
 *                        | cut at byte k: both ends learn it, or only one does
 */
#include "net.h"

static sim_link *link_find(const sim_net *net, uint32_t id)
{
    /* Numbers are given in order, from 1. */
    return id >= 1 && id <= net->link_count ? net->links[id - 1] : NULL;
}

static bool end_is_live(const sim_end *end)
{
    return end->open && end->node->engine != NULL && end->node->life == end->life;
}

bool sim_net_is_open(const sim_net *net, uint32_t id)
{
    const sim_link *link = link_find(net, id);
    return link != NULL && end_is_live(&link->end[0]);
}

static int end_index(const sim_link *link, const sim_node *node)
{
    return link->end[0].node == node ? 0 : 1;
}

/* One end's engine learns that the link is gone. */
static void end_close(sim_net *net, sim_link *link, int side, aq_status reason)
{
    sim_end *end = &link->end[side];
    if (!end_is_live(end)) {
        end->open = false;
        return;
    }
    end->open = false;
    sim_trace_event(net->trace, "%s loses link %u: %s", end->node->name, link->id,
                    aq_status_name(reason));
    aq_link_closed(end->node->engine, link->id, reason);
    sim_node_crank(end->node);
}

/* a: link, b: side and reason. */
static void close_event(void *context, uint64_t a, uint64_t b)
{
    sim_net *net = context;
    end_close(net, net->links[a - 1], (int)(b & 1), (aq_status)(b >> 1));
}

static void close_plan(sim_net *net, sim_link *link, int side, uint64_t after_ns,
                       aq_status reason)
{
    sim_clock_plan(net->clock, net->clock->now_ns + after_ns, close_event, net, link->id,
                   (uint64_t)reason << 1 | (uint64_t)side);
}

static void link_break(sim_net *net, sim_link *link)
{
    if (link->broken) {
        return;
    }
    sim_trace_event(net->trace, "link %u breaks%s", link->id,
                    link->half_open ? ", half-open" : "");
    link->broken = true;
    net->cuts++;
    int quiet = link->half_open ? (int)sim_chance_below(&net->chance, 2) : 2;
    for (int side = 0; side < 2; side++) {
        if (side != quiet) {
            close_plan(net, link, side, sim_chance_skewed(&net->chance, 50 * SIM_MS),
                       AQ_CLOSED);
        }
    }
}

/* ---- bytes ----
 */

struct sim_parcel {
    sim_parcel *next;
    size_t size;
    uint8_t data[];
};

static void deliver(sim_net *net, sim_link *link, sim_end *to, const uint8_t *data,
                    size_t size)
{
    while (size > 0 && end_is_live(to)) {
        size_t piece = size;
        if (link->fragment != 0) {
            piece = (size_t)sim_chance_skewed(&net->chance, link->fragment);
            piece = piece < size ? piece : size;
        }
        aq_link_recv(to->node->engine, link->id, data, piece);
        data += piece;
        size -= piece;
        if (link->fragment != 0 && sim_chance_hit(&net->chance, 100)) {
            sim_node_crank(to->node);
        }
    }
    sim_node_crank(to->node);
}

/* Nothing is delivered before it; 0: now is fine. */
static uint64_t held_until(const sim_link *link, int to, uint64_t now)
{
    uint64_t until = now >= link->stall_from_ns ? link->stall_to_ns : 0;
    uint64_t frozen = link->end[to].node->frozen_ns;
    until = frozen > until ? frozen : until;
    return until > now ? until : 0;
}

/* a: link, b: from which end. Events only count parcels: the first is always next. */
static void arrive_event(void *context, uint64_t a, uint64_t b)
{
    sim_net *net = context;
    sim_link *link = net->links[a - 1];
    sim_pipe *pipe = &link->pipe[b];
    if (link->broken) {
        return;
    }
    uint64_t held = held_until(link, !b, net->clock->now_ns);
    if (held != 0) {
        uint64_t soon = net->clock->now_ns + 100ULL * SIM_MS;
        sim_clock_plan(net->clock, held < soon ? held : soon, arrive_event, net, a, b);
        return;
    }
    sim_parcel *parcel = pipe->first;
    pipe->first = parcel->next;
    if (pipe->first == NULL) {
        pipe->last = NULL;
    }
    pipe->in_flight -= parcel->size;
    deliver(net, link, &link->end[!b], parcel->data, parcel->size);
    if (end_is_live(&link->end[b])) {
        sim_net_pump(net, link->end[b].node, link->id);
    }
}

/* Takes size bytes from the engine into the pipe. */
static void send(sim_net *net, sim_link *link, int from, const uint8_t *data, size_t size)
{
    sim_pipe *pipe = &link->pipe[from];
    sim_node *node = link->end[from].node;
    sim_trace_bytes(net->trace, node->name, link->id, data, size);
    sim_parcel *sent = sim_arena_take(net->arena, sizeof *sent + size);
    sent->size = size;
    if (pipe->last != NULL) {
        pipe->last->next = sent;
    } else {
        pipe->first = sent;
    }
    pipe->last = sent;
    memcpy(sent->data, data, size);
    if (pipe->wrong_byte >= pipe->sent && pipe->wrong_byte < pipe->sent + size) {
        sim_trace_event(net->trace, "link %u: byte %llu arrives wrong", link->id,
                        (unsigned long long)pipe->wrong_byte);
        sent->data[pipe->wrong_byte - pipe->sent] ^=
            (uint8_t)(1 << sim_chance_below(&net->chance, 8));
    }
    aq_link_sent(node->engine, link->id, size);
    uint64_t now = net->clock->now_ns;
    uint64_t start = pipe->free_ns > now ? pipe->free_ns : now;
    pipe->free_ns = start + (uint64_t)size * SIM_S / link->bytes_per_s + 1;
    pipe->sent += size;
    pipe->in_flight += size;
    sim_clock_plan(net->clock, pipe->free_ns + link->delay_ns, arrive_event, net, link->id,
                   (uint64_t)from);
    if (pipe->sent >= pipe->cut_byte) {
        link_break(net, link);
    }
}

void sim_net_pump(sim_net *net, sim_node *node, uint32_t id)
{
    sim_link *link = link_find(net, id);
    int from = end_index(link, node);
    sim_pipe *pipe = &link->pipe[from];
    const uint8_t *data;
    size_t size;
    while (end_is_live(&link->end[from]) && !link->broken &&
           pipe->in_flight < link->window &&
           (size = aq_link_out(node->engine, id, &data)) > 0) {
        uint64_t room = link->window - pipe->in_flight;
        if (pipe->cut_byte - pipe->sent < room) {
            room = pipe->cut_byte - pipe->sent;
        }
        send(net, link, from, data, size < room ? size : (size_t)room);
    }
}

void sim_net_hangup(sim_net *net, sim_node *node, uint32_t id, aq_status reason)
{
    sim_link *link = link_find(net, id);
    int from = end_index(link, node);
    if (!end_is_live(&link->end[from])) {
        return;
    }
    link->window = UINT64_MAX / 2;
    sim_net_pump(net, node, id);
    uint64_t left = link->pipe[from].free_ns;
    uint64_t now = net->clock->now_ns;
    uint64_t wait = link->delay_ns + (left > now ? left - now : 0) + 1;
    if (now + wait < link->stall_to_ns && now + wait >= link->stall_from_ns) {
        wait = link->stall_to_ns - now + 1;
    }
    if (!link->broken) {
        close_plan(net, link, !from, wait, AQ_CLOSED);
    }
    end_close(net, link, from, reason);
}

void sim_net_node_down(sim_net *net, sim_node *node)
{
    for (size_t i = 0; i < net->link_count; i++) {
        sim_link *link = net->links[i];
        int side = end_index(link, node);
        if (link->end[side].node != node || !link->end[side].open) {
            continue;
        }
        link->end[side].open = false;
        if (!link->broken) {
            link->broken = true;
            net->cuts++;
            if (!link->half_open) {
                close_plan(net, link, !side, sim_chance_skewed(&net->chance, 50 * SIM_MS),
                           AQ_CLOSED);
            }
        }
    }
}

/* ---- dialling ----
 */

static uint64_t cut_draw(sim_net *net)
{
    if (!sim_chance_hit(&net->chance, net->faults.cut)) {
        return UINT64_MAX;
    }
    return sim_chance_skewed(&net->chance, 1 << 18);
}

static sim_link *link_make(sim_net *net, sim_node *client, sim_node *server)
{
    sim_link *link = sim_arena_take(net->arena, sizeof *link);
    net->links = sim_arena_grow(net->arena, net->links, net->link_count, &net->link_room,
                                sizeof(sim_link *));
    net->links[net->link_count++] = link;
    sim_chance *chance = &net->chance;
    const sim_net_faults *faults = &net->faults;
    link->id = (uint32_t)net->link_count;
    link->end[0] = (sim_end){client, client->life, false};
    link->end[1] = (sim_end){server, server->life, false};
    link->delay_ns = sim_chance_skewed(chance, 100 * SIM_MS);
    link->bytes_per_s = 2000 + sim_chance_skewed(chance, 20000000);
    link->window = 500 + sim_chance_skewed(chance, 1 << 18);
    link->half_open = sim_chance_hit(chance, faults->half_open);
    if (sim_chance_hit(chance, faults->fragment)) {
        link->fragment =
            sim_chance_hit(chance, 200) ? 1 : (unsigned)sim_chance_skewed(chance, 1000);
    }
    if (sim_chance_hit(chance, faults->stall)) {
        link->stall_from_ns = net->clock->now_ns + sim_chance_skewed(chance, 10ULL * SIM_S);
        link->stall_to_ns = link->stall_from_ns + sim_chance_skewed(chance, 100ULL * SIM_S);
    }
    for (int side = 0; side < 2; side++) {
        sim_pipe *pipe = &link->pipe[side];
        pipe->cut_byte = cut_draw(net);
        if (net->cut_at != 0 && link->id == 1 && side == (int)(net->cut_at % 2)) {
            pipe->cut_byte = net->cut_at / 2;
        }
        bool wrong = sim_chance_hit(chance, faults->corrupt);
        pipe->wrong_byte = wrong ? sim_chance_skewed(chance, 1 << 16) : UINT64_MAX;
        link->config[side].client = side == 0;
        link->config[side].trusted = net->trusted;
    }
    for (size_t i = 0; i < sizeof link->config[0].binding; i++) {
        uint8_t byte = (uint8_t)sim_chance_next(chance);
        link->config[0].binding[i] = link->config[1].binding[i] = byte;
    }
    return link;
}

/* a: link, b: side. The accepting end opens first. */
static void open_event(void *context, uint64_t a, uint64_t b)
{
    sim_net *net = context;
    sim_link *link = net->links[a - 1];
    sim_end *end = &link->end[b];
    if (end->node->engine == NULL || end->node->life != end->life) {
        if (b == 0) {
            link->broken = true;
            end_close(net, link, 1, AQ_CLOSED);
        }
        return;
    }
    if (link->broken && b == 0) {
        net->on_dialled(net->watcher, link->tag, 0);
        return;
    }
    end->open = true;
    aq_link_open(end->node->engine, link->id, &link->config[b]);
    if (b == 0) {
        net->on_dialled(net->watcher, link->tag, link->id);
    }
    sim_node_crank(end->node);
}

/* a: the link that nobody answers. */
static void refuse_event(void *context, uint64_t a, uint64_t b)
{
    sim_net *net = context;
    sim_link *link = net->links[a - 1];
    (void)b;
    if (link->end[0].node->engine != NULL && link->end[0].node->life == link->end[0].life) {
        net->on_dialled(net->watcher, link->tag, 0);
    }
}

void sim_net_dial(sim_net *net, sim_node *client, sim_node *server, uint64_t tag)
{
    sim_link *link = link_make(net, client, server);
    link->tag = tag;
    uint64_t now = net->clock->now_ns;
    if (server->engine == NULL || sim_chance_hit(&net->chance, net->faults.refuse)) {
        link->broken = true;
        sim_clock_plan(net->clock, now + link->delay_ns, refuse_event, net, link->id, 0);
        return;
    }
    sim_trace_event(net->trace,
                    "%s dials link %u: %llu us, %llu B/s, window %llu, pieces of %u",
                    client->name, link->id, (unsigned long long)link->delay_ns / SIM_US,
                    (unsigned long long)link->bytes_per_s, (unsigned long long)link->window,
                    link->fragment);
    sim_clock_plan(net->clock, now + link->delay_ns, open_event, net, link->id, 1);
    sim_clock_plan(net->clock, now + 2 * link->delay_ns, open_event, net, link->id, 0);
}

void sim_net_heal(sim_net *net)
{
    net->faults = (sim_net_faults){0};
    for (size_t i = 0; i < net->link_count; i++) {
        sim_link *link = net->links[i];
        link->stall_to_ns = link->stall_from_ns = 0;
        for (int side = 0; side < 2; side++) {
            link->pipe[side].cut_byte = link->pipe[side].wrong_byte = UINT64_MAX;
            if (link->broken && link->end[side].open) {
                close_plan(net, link, side, SIM_MS, AQ_CLOSED);
            }
        }
    }
}

void sim_net_close(sim_net *net, uint32_t id)
{
    sim_link *link = link_find(net, id);
    if (sim_chance_hit(&net->chance, 700)) {
        sim_net_hangup(net, link->end[0].node, id, AQ_CLOSED);
        return;
    }
    link->broken = true;
    close_plan(net, link, 0, 0, AQ_CLOSED);
    close_plan(net, link, 1, link->delay_ns, AQ_CLOSED);
}
