/* engine.c: the engine's face: inputs are recorded, aq_poll decides, outputs wait to be
 * taken.
 *
 *   aq_tick, aq_done, aq_link_* ─► changed ─► aq_poll: handlers, then a step of every
 * session
 *
 * A step only looks at what is so; calling it once more changes nothing. */
#include "acequia.h"
#include "engine/base/assert.h"
#include "engine/base/bytes.h"
#include "engine/data/blake3.h"
#include "engine/swarm/session.h"

enum { OP_MAX = 16 };

#define BUFFER_MAX (UINT64_C(48) << 20)
#define TIMEOUT_NS UINT64_C(60000000000)

struct aq_engine {
    aq_core core;
    bool changed; /* something happened since the last step */
};

aq_engine *aq_open(const aq_config *config, void *memory, uint64_t size)
{
    if (size < sizeof(aq_engine) + (1 << 20)) {
        return NULL;
    }
    aq_engine *e = memory;
    aq_fill(e, 0, sizeof *e);
    uint64_t head = (sizeof *e + 63) & ~UINT64_C(63);
    aq_core *core = &e->core;
    if (!aq_heap_init(&core->heap, (uint8_t *)memory + head, size - head)) {
        return NULL;
    }
    core->config = *config;
    core->config.buffer_max = config->buffer_max != 0 ? config->buffer_max : BUFFER_MAX;
    core->config.op_max = config->op_max != 0 ? config->op_max : OP_MAX;
    core->config.timeout_ns = config->timeout_ns != 0 ? config->timeout_ns : TIMEOUT_NS;
    core->config.token = NULL;
    if (config->token != NULL) {
        aq_blake3_derive_key("acequia 2026-11-22 shared token v1", config->token,
                             aq_string_size(config->token), &core->token_key);
        core->has_token = true;
    }
    core->profile = aq_profile_get(config->profile);
    core->deadline_ns = UINT64_MAX;
    aq_ops_init(&core->ops, &core->heap, core->config.op_max);
    return e;
}

uint64_t aq_memory_used(const aq_engine *e)
{
    return e->core.heap.used;
}

uint64_t aq_memory_peak(const aq_engine *e)
{
    return e->core.heap.peak;
}

uint32_t aq_root_add(aq_engine *e, const char *name, unsigned rights)
{
    aq_core *core = &e->core;
    size_t size = aq_string_size(name) + 1;
    aq_root root = {aq_heap_take(&core->heap, size), rights};
    AQ_ASSERT(root.name != NULL);
    aq_copy(root.name, name, size);
    AQ_VECTOR_PUSH(&core->heap, core->roots, root);
    return core->roots.count - 1;
}

/* ---- time and ops ---- */

void aq_tick(aq_engine *e, uint64_t now_ns, int64_t wall_ns)
{
    aq_core *core = &e->core;
    core->now_ns = now_ns > core->now_ns ? now_ns : core->now_ns;
    core->wall_ns = wall_ns;
    if (core->now_ns >= core->deadline_ns) {
        e->changed = true;
    }
}

uint64_t aq_deadline(const aq_engine *e)
{
    return e->core.deadline_ns;
}

static void links_tick(aq_engine *e)
{
    e->core.deadline_ns = UINT64_MAX;
    for (aq_link *link = e->core.links; link != NULL; link = link->next) {
        aq_link_tick(link);
    }
}

static void sessions_step(aq_engine *e)
{
    for (aq_session *s = e->core.sessions, *next; s != NULL; s = next) {
        next = s->next_live;
        s->kind->step(s);
    }
    for (aq_session *s = e->core.sessions, *next; s != NULL; s = next) {
        next = s->next_live;
        /* The last sync of a client stays for its statistics until another starts. */
        if (s->ended && s->sync == 0 && s->kind->is_idle(s)) {
            aq_session_free(s);
            e->changed = true;
        }
    }
}

aq_op *aq_poll(aq_engine *e)
{
    while (e->changed) {
        e->changed = false;
        (void)aq_ops_dispatch(&e->core.ops);
        links_tick(e);
        sessions_step(e);
        e->changed |= e->core.again;
        e->core.again = false;
    }
    return aq_ops_poll(&e->core.ops);
}

void aq_done(aq_engine *e, aq_op *op)
{
    aq_ops_done(&e->core.ops, op);
    e->changed = true;
}

bool aq_poll_note(aq_engine *e, aq_note *note)
{
    return aq_core_note_take(&e->core, note);
}

/* ---- links ---- */

static aq_link *link_find(const aq_engine *e, uint32_t id)
{
    aq_link *link = e->core.links;
    while (link != NULL && link->id != id) {
        link = link->next;
    }
    return link;
}

void aq_link_open(aq_engine *e, uint32_t link, const aq_link_config *config)
{
    AQ_ASSERT(link != 0 && link_find(e, link) == NULL);
    e->changed = true;
    /* Strangers may come in any number; our own links are few. */
    if (!config->client && aq_heap_is_low(&e->core.heap)) {
        aq_link_refuse(&e->core, link, AQ_MEMORY);
        return;
    }
    aq_link *fresh = aq_link_new(&e->core, link, config);
    fresh->next = e->core.links;
    e->core.links = fresh;
    for (aq_session *s = e->core.sessions; s != NULL; s = s->next_live) {
        if (s->client && !s->ended && s->link == NULL && s->link_id == link) {
            aq_session_join(s, fresh);
        }
    }
}

void aq_link_recv(aq_engine *e, uint32_t link, const void *data, size_t size)
{
    aq_link *l = link_find(e, link);
    if (l != NULL) {
        aq_link_input(l, data, size);
        e->changed = true;
    }
}

void aq_link_closed(aq_engine *e, uint32_t link, aq_status reason)
{
    for (aq_link **at = (aq_link **)&e->core.links; *at != NULL; at = &(*at)->next) {
        aq_link *l = *at;
        if (l->id != link) {
            continue;
        }
        if (l->state < AQ_LINK_CLOSING) {
            l->state = AQ_LINK_GONE;
            aq_sessions_link_gone(l, reason);
            aq_core_note(&e->core, AQ_NOTE_LINK_DOWN, link)->status = reason;
        }
        *at = l->next;
        aq_link_free(l);
        e->changed = true;
        return;
    }
    aq_sessions_link_failed(&e->core, link, reason);
    aq_core_note(&e->core, AQ_NOTE_LINK_DOWN, link)->status = reason;
    e->changed = true;
}

uint32_t aq_poll_link(aq_engine *e)
{
    for (aq_link *link = e->core.links; link != NULL; link = link->next) {
        const uint8_t *data;
        if (!link->announced && aq_link_output(link, &data) != 0) {
            link->announced = true;
            return link->id;
        }
    }
    return 0;
}

size_t aq_link_out(aq_engine *e, uint32_t link, const uint8_t **data)
{
    aq_link *l = link_find(e, link);
    return l == NULL ? 0 : aq_link_output(l, data);
}

void aq_link_sent(aq_engine *e, uint32_t link, size_t size)
{
    aq_link *l = link_find(e, link);
    if (l != NULL) {
        aq_link_output_taken(l, size);
        e->changed = true; /* buffers became free */
    }
}

/* ---- syncs ---- */

static aq_session *sync_find(const aq_engine *e, uint32_t sync)
{
    aq_session *s = e->core.sessions;
    while (s != NULL && s->sync != sync) {
        s = s->next_live;
    }
    return s;
}

uint32_t aq_sync_start(aq_engine *e, uint32_t link, uint32_t root, const char *folder,
                       aq_direction direction, const aq_sync_options *options)
{
    aq_core *core = &e->core;
    AQ_ASSERT(root < core->roots.count);
    for (aq_session *s = core->sessions; s != NULL; s = s->next_live) {
        if (s->ended) {
            s->sync = 0; /* may be freed now */
        }
    }
    uint32_t number = ++core->sync_count;
    aq_session *s = direction == AQ_PULL ? aq_sink_new(core) : aq_source_new(core);
    aq_session_init(s, core, root, options);
    s->sync = number;
    aq_session_open(s, link, folder);
    e->changed = true;
    return number;
}

void aq_sync_stop(aq_engine *e, uint32_t sync)
{
    aq_session *s = sync_find(e, sync);
    if (s == NULL || s->ended) {
        return;
    }
    if (s->stopping || !s->started) {
        aq_session_end(s, AQ_CANCELLED);
    }
    s->stopping = true;
    e->changed = true;
}

void aq_sync_pause(aq_engine *e, uint32_t sync, bool paused)
{
    aq_session *s = sync_find(e, sync);
    if (s != NULL) {
        s->paused = paused;
        e->changed = true;
    }
}

void aq_sync_stats(const aq_engine *e, uint32_t sync, aq_stats *stats)
{
    const aq_session *s = sync_find(e, sync);
    if (s == NULL) {
        aq_fill(stats, 0, sizeof *stats);
        return;
    }
    *stats = s->stats;
    if (stats->bytes_done > stats->bytes_changed) {
        stats->bytes_done = stats->bytes_changed; /* what was done twice counts once */
    }
    if (s->link != NULL) {
        stats->bytes_received = s->link->bytes_in - s->link_in;
        stats->bytes_sent = s->link->bytes_out - s->link_out;
    }
}
