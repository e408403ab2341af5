/* sink.c: the session that changes a folder: phases, requests, progress.
 *
 *   PREPARE ─► WORK ─────────────────► REMOVE ─► TIMES ─► CLEAN ─► END
 *   own scan   lists, plans, content   extras    mtimes   staging
 *              ▲______ parked: moves, type changes, once the root is complete
 *
 * Nothing is deleted and no type changes before the source's root is complete, so a scan
 * that stalls or dies half-way takes nothing away. When the work cannot go on (link lost,
 * disk full, interrupted) what is staged whole is still flushed and published; partly
 * fetched large files stay in staging for the next run. */
#include "engine/swarm/sink.h"
#include "engine/base/assert.h"
#include "engine/base/bytes.h"
#include "engine/sync/path.h"

#define STATS_NS UINT64_C(200000000)
#define RATE_NS UINT64_C(50000000)
/* How long to wait for hashes of directories that exist here, before looking into them. */
#define PATIENCE_NS UINT64_C(400000000)

enum { AHEAD_MIN = 1 << 20 };

/* ---- small services ---- */

void aq_sink_path(const aq_sink *sink, aq_ref ref, char *path)
{
    aq_tree_path(&sink->remote, ref.dir, aq_sink_entry(sink, ref)->name, path);
}

aq_entry *aq_sink_local(const aq_sink *sink, aq_ref ref)
{
    uint32_t local = sink->rdirs.at[ref.dir].local;
    if (local == AQ_NOWHERE) {
        return NULL;
    }
    const aq_entry *entry = aq_sink_entry(sink, ref);
    aq_entry *own = aq_tree_find(&sink->scan.tree, local, entry->name, entry->name_size);
    bool moved =
        own != NULL && own->stamp.type != AQ_TYPE_DIRECTORY && own->child == AQ_MARK_MOVED;
    return moved ? NULL : own;
}

void aq_sink_fail(aq_sink *sink, aq_status status)
{
    if (sink->fatal == AQ_OK) {
        sink->fatal = status;
    }
}

void aq_sink_problem_at(aq_sink *sink, const char *path, aq_status status)
{
    sink->s.stats.errors++;
    sink->vanished += status == AQ_NOT_FOUND;
    aq_session_problem(&sink->s, path, status);
    if (status == AQ_NO_SPACE || status == AQ_READ_ONLY) {
        aq_sink_fail(sink, status);
    }
}

void aq_sink_problem(aq_sink *sink, aq_ref ref, aq_status status)
{
    char path[AQ_PATH_MAX + 1];
    aq_sink_path(sink, ref, path);
    aq_sink_problem_at(sink, path, status);
}

aq_op *aq_sink_op(aq_sink *sink, aq_op_kind kind, uint32_t item_count,
                  aq_op_handler *handler, void *owner)
{
    return aq_ops_new(&sink->s.core->ops, kind, sink->s.root, item_count, handler, owner);
}

void aq_sink_op_queue(aq_sink *sink, aq_op *op)
{
    sink->ops++;
    aq_ops_queue(&sink->s.core->ops, op);
}

void aq_sink_op_done(aq_sink *sink)
{
    AQ_ASSERT(sink->ops > 0);
    sink->ops--;
}

uint8_t *aq_sink_buffer(aq_sink *sink, uint64_t size)
{
    aq_core *core = sink->s.core;
    uint64_t footprint = aq_heap_footprint((size_t)size);
    if (core->sink_used != 0 && core->sink_used + footprint > core->config.buffer_max) {
        return NULL;
    }
    uint8_t *data = aq_heap_take(&core->heap, (size_t)size);
    if (data != NULL) {
        core->sink_used += footprint;
    } else {
        aq_sink_fail(sink, AQ_MEMORY); /* the heap is smaller than the budget */
    }
    return data;
}

void aq_sink_buffer_give(aq_sink *sink, uint8_t *data, uint64_t size)
{
    if (data != NULL) {
        sink->s.core->sink_used -= aq_heap_footprint((size_t)size);
        aq_heap_give(&sink->s.core->heap, data);
    }
}

/* Two seconds' worth of what lately arrives is asked for ahead, as far as memory goes: a
 * long fat link stays full, and a thin one does not owe us minutes. */
static uint64_t outstanding_max(const aq_sink *sink)
{
    uint64_t ahead = 2 * sink->rate;
    return ahead > AHEAD_MIN ? ahead : AHEAD_MIN;
}

static void rate_measure(aq_sink *sink)
{
    uint64_t now = sink->s.core->now_ns;
    uint64_t passed = now - sink->rate_ns;
    if (passed < RATE_NS) {
        return;
    }
    uint64_t latest = sink->rate_bytes * 1000 / (passed / 1000000);
    sink->rate = (sink->rate + latest) / 2;
    sink->rate_bytes = 0;
    sink->rate_ns = now;
}

bool aq_sink_may_start(const aq_sink *sink)
{
    bool limited = sink->s.options.transfer_max != 0 &&
                   sink->s.stats.bytes_literal >= sink->s.options.transfer_max;
    return !sink->s.ended && !sink->s.stopping && !sink->s.paused && !limited &&
           sink->fatal == AQ_OK && sink->outstanding < outstanding_max(sink);
}

/* ---- requests ---- */

bool aq_sink_may_request(const aq_sink *sink, uint32_t count)
{
    return sink->request_count + count <= AQ_SINK_REQUESTS_MAX * 3 / 4;
}

uint32_t aq_sink_request(aq_sink *sink, aq_request_kind kind, void *owner, uint32_t index,
                         uint8_t *to, uint64_t size)
{
    AQ_ASSERT(sink->request_count < AQ_SINK_REQUESTS_MAX);
    uint32_t i = sink->request_next;
    while (sink->requests[i].kind != AQ_REQUEST_FREE) {
        i = (i + 1) % AQ_SINK_REQUESTS_MAX;
    }
    sink->request_next = (i + 1) % AQ_SINK_REQUESTS_MAX;
    sink->request_count++;
    if (sink->outstanding == 0) {
        sink->content_ns = sink->s.core->now_ns;
    }
    sink->outstanding += size;
    aq_request *request = &sink->requests[i];
    uint32_t generation = (request->generation + 1) & (UINT32_MAX >> AQ_SINK_REQUEST_BITS);
    *request = (aq_request){.kind = (uint8_t)kind,
                            .generation = generation,
                            .owner = owner,
                            .index = index,
                            .to = to,
                            .size = size};
    return i | generation << AQ_SINK_REQUEST_BITS;
}

static aq_request *request_find(aq_sink *sink, uint32_t number)
{
    aq_request *request = &sink->requests[number % AQ_SINK_REQUESTS_MAX];
    bool open = request->kind != AQ_REQUEST_FREE &&
                request->generation == number >> AQ_SINK_REQUEST_BITS;
    return open ? request : NULL;
}

static void request_close(aq_sink *sink, aq_request *request)
{
    sink->outstanding -= request->size - request->received;
    request->kind = AQ_REQUEST_FREE;
    request->owner = NULL;
    sink->request_count--;
}

void aq_sink_requests_forget(aq_sink *sink, const void *owner)
{
    for (uint32_t i = 0; i < AQ_SINK_REQUESTS_MAX; i++) {
        aq_request *request = &sink->requests[i];
        if (request->kind == AQ_REQUEST_FREE || request->owner != owner) {
            continue;
        }
        if (sink->s.link != NULL && !sink->s.ended) {
            aq_writer w = aq_session_frame(&sink->s);
            aq_writer_varint(&w, i | request->generation << AQ_SINK_REQUEST_BITS);
            aq_link_frame_end(sink->s.link, AQ_FRAME_CANCEL, &w);
        }
        request_close(sink, request);
    }
}

void aq_sink_want(aq_sink *sink, uint32_t request, aq_ref ref, uint8_t flags,
                  uint64_t offset, uint64_t size)
{
    /* One frame a want: the link packs them; a want is some ten bytes. */
    aq_writer w = aq_session_frame(&sink->s);
    aq_writer_varint(&w, request);
    aq_writer_varint(&w, sink->rdirs.at[ref.dir].wire);
    aq_writer_varint(&w, ref.index);
    aq_writer_byte(&w, flags);
    if (flags == 0) {
        aq_writer_varint(&w, offset);
        aq_writer_varint(&w, size);
    }
    aq_link_frame_end(sink->s.link, AQ_FRAME_WANT, &w);
}

void aq_sink_changed(aq_sink *sink, aq_ref ref, uint32_t tries, const aq_answer *answer)
{
    aq_entry *entry = aq_sink_entry(sink, ref);
    bool again = answer->status == AQ_CHANGED && answer->stamp.type == AQ_TYPE_FILE &&
                 tries + 1 < AQ_SINK_TRIES_MAX;
    if (!again) {
        aq_sink_problem(sink, ref, answer->status);
        return;
    }
    entry->stamp.size = answer->stamp.size;
    entry->stamp.mtime_ns = answer->stamp.mtime_ns;
    entry->stamp.exec = answer->stamp.exec;
    AQ_VECTOR_PUSH(&sink->s.core->heap, sink->retries, (aq_retry){ref, tries + 1});
}

static void answer_give(aq_sink *sink, const aq_request *request, const aq_answer *answer)
{
    switch ((aq_request_kind)request->kind) {
    case AQ_REQUEST_SMALL:
        aq_sink_small_answer(sink, request->owner, answer, request->received);
        break;
    case AQ_REQUEST_CHUNK:
    case AQ_REQUEST_PROBE:
        aq_sink_fetch_answer(sink, request->owner, request, answer);
        break;
    case AQ_REQUEST_DELTA:
        aq_sink_delta_answer(sink, request->owner, request, answer);
        break;
    case AQ_REQUEST_BLOCKS:
    case AQ_REQUEST_HASHES:
    case AQ_REQUEST_FREE:
        AQ_ASSERT(false);
    }
}

static void got_data(aq_sink *sink, aq_reader *r)
{
    uint32_t number = (uint32_t)aq_reader_bounded(r, UINT32_MAX);
    uint8_t flags = aq_reader_byte(r);
    aq_answer answer = {.status = AQ_OK};
    if (flags & AQ_DATA_STATUS) {
        answer.status = (aq_status)aq_reader_bounded(r, AQ_STATUS_COUNT - 1);
        answer.stamp.type = aq_reader_byte(r);
        answer.stamp.exec = aq_reader_byte(r) != 0;
        answer.stamp.size = aq_reader_bounded(r, INT64_MAX);
        answer.stamp.mtime_ns = aq_reader_signed(r);
        r->failed |= answer.status == AQ_OK;
    }
    if (flags & AQ_DATA_HASH) {
        answer.has_hash = true;
        aq_reader_copy(r, answer.hash.bytes, sizeof answer.hash);
    }
    size_t size = aq_reader_left(r);
    const uint8_t *bytes = aq_reader_bytes(r, size);
    aq_request *request = request_find(sink, number);
    if (r->failed || request == NULL) {
        return; /* not wanted any more: dropped unhashed */
    }
    bool content = request->kind <= AQ_REQUEST_PROBE;
    if (!content || size > request->size - request->received) {
        r->failed = true;
        return;
    }
    if (request->to != NULL) {
        aq_copy(request->to + request->received, bytes, size);
    }
    request->received += size;
    sink->outstanding -= size;
    sink->content_ns = sink->s.core->now_ns;
    sink->rate_bytes += size;
    sink->s.stats.bytes_literal += size;
    if ((flags & AQ_DATA_LAST) == 0) {
        return;
    }
    if (answer.status == AQ_OK && request->received != request->size) {
        answer.status = AQ_CORRUPT; /* less than was asked for */
    }
    aq_request copy = *request;
    request_close(sink, request);
    answer_give(sink, &copy, &answer);
}

static void got_reply(aq_sink *sink, aq_reader *r, aq_request_kind kind)
{
    aq_request *request = request_find(sink, (uint32_t)aq_reader_bounded(r, UINT32_MAX));
    if (r->failed || request == NULL) {
        return;
    }
    if (request->kind != kind) {
        r->failed = true;
        return;
    }
    void *owner = request->owner;
    request_close(sink, request);
    if (kind == AQ_REQUEST_BLOCKS) {
        aq_sink_got_blocks(sink, owner, r);
    } else {
        aq_sink_got_hashes(sink, owner, r);
    }
}

/* ---- frames ---- */

static void got_problem(aq_sink *sink, aq_reader *r)
{
    uint64_t status = aq_reader_bounded(r, AQ_STATUS_COUNT - 1);
    size_t size;
    const uint8_t *path = aq_reader_string(r, AQ_PATH_MAX, &size);
    if (r->failed) {
        return;
    }
    sink->s.stats.errors++;
    sink->vanished += status == AQ_NOT_FOUND;
    if (!sink->s.client) {
        return; /* the source's side has said it */
    }
    aq_note *note = aq_core_note(sink->s.core, AQ_NOTE_PROBLEM, sink->s.link_id);
    if (note != NULL) {
        note->sync = sink->s.sync;
        note->status = (aq_status)status;
        note->remote = true;
        aq_text_set(note->path, sizeof note->path, (const char *)path, size);
    }
}

static void frame(aq_session *s, uint8_t type, aq_reader *r)
{
    aq_sink *sink = aq_sink_of(s);
    switch ((aq_frame_type)type) {
    case AQ_FRAME_ROOT:
        aq_sink_got_root(sink, r);
        break;
    case AQ_FRAME_LISTING:
        aq_sink_got_listing(sink, r);
        break;
    case AQ_FRAME_IDS:
        aq_sink_got_ids(sink, r);
        break;
    case AQ_FRAME_DIR_DONE:
        aq_sink_got_dir_done(sink, r);
        break;
    case AQ_FRAME_DATA:
        got_data(sink, r);
        break;
    case AQ_FRAME_MAP:
        aq_sink_got_map(sink, r);
        break;
    case AQ_FRAME_BLOCKS:
        got_reply(sink, r, AQ_REQUEST_BLOCKS);
        break;
    case AQ_FRAME_HASHES:
        got_reply(sink, r, AQ_REQUEST_HASHES);
        break;
    case AQ_FRAME_PROBLEM:
        got_problem(sink, r);
        break;
    case AQ_FRAME_STOP:
        s->stopping = true;
        break;
    case AQ_FRAME_HELLO:
    case AQ_FRAME_AUTH:
    case AQ_FRAME_PING:
    case AQ_FRAME_PONG:
    case AQ_FRAME_GOODBYE:
    case AQ_FRAME_OPEN:
    case AQ_FRAME_OPENED:
    case AQ_FRAME_END:
    case AQ_FRAME_LIST:
    case AQ_FRAME_ENTRIES:
    case AQ_FRAME_WANT:
    case AQ_FRAME_MAP_WANT:
    case AQ_FRAME_PAGES:
    case AQ_FRAME_FORGET:
    case AQ_FRAME_BLOCKS_WANT:
    case AQ_FRAME_HASH_WANT:
    case AQ_FRAME_ACK:
    case AQ_FRAME_NOTE:
    case AQ_FRAME_STATS:
    case AQ_FRAME_CANCEL:
        r->failed = true;
        break;
    }
}

/* ---- preparing ---- */

static void own_scan_problem(void *owner, const char *path, aq_status status)
{
    aq_sink_problem_at(owner, path, status);
}

static void discarded(void *owner, aq_op *op)
{
    (void)op;
    aq_sink_op_done(owner);
}

/* Slots of large files (top bit set) may be gone on with; others are of no use. */
static void slots_listed(void *owner, aq_op *op)
{
    aq_sink *sink = owner;
    aq_heap *heap = &sink->s.core->heap;
    aq_item *item = &op->items[0];
    aq_sink_op_done(sink);
    AQ_VECTOR(uint64_t) useless = {0};
    for (size_t at = 0; item->status == AQ_OK && at < item->done;) {
        const aq_entry *entry = (const aq_entry *)(void *)(item->data + at);
        at += aq_entry_size(entry->name_size, entry->target_size);
        uint64_t slot = 0;
        for (size_t i = 0; i < entry->name_size; i++) {
            char c = entry->name[i];
            slot = slot << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
        }
        if (slot >> 63) {
            AQ_VECTOR_PUSH(heap, sink->leftovers, slot);
        } else {
            AQ_VECTOR_PUSH(heap, useless, slot);
        }
    }
    /* What could not be listed may be there. */
    sink->staged_any |=
        item->done != 0 || (item->status != AQ_OK && item->status != AQ_NOT_FOUND);
    bool only_look = sink->s.options.dry_run || sink->s.options.verify_only;
    if (useless.count != 0 && !sink->s.ended && !only_look) {
        aq_op *discard = aq_sink_op(sink, AQ_OP_DISCARD, useless.count, discarded, sink);
        for (uint32_t i = 0; i < useless.count; i++) {
            discard->items[i].slot = useless.at[i];
        }
        aq_sink_op_queue(sink, discard);
    }
    AQ_VECTOR_RESET(heap, useless);
    aq_heap_give(heap, item->data);
    sink->slots_listed = true;
}

static bool root_is_in_use(const aq_sink *sink)
{
    for (const aq_session *o = sink->s.core->sessions; o != NULL; o = o->next_live) {
        if (o != &sink->s && o->role == AQ_ROLE_SINK && o->root == sink->s.root &&
            o->started && (!o->ended || !o->kind->is_idle(o)) &&
            ((const aq_sink *)(const void *)o)->scan_begun) {
            return true;
        }
    }
    return false;
}

static void prepare(aq_sink *sink)
{
    aq_core *core = sink->s.core;
    enum { SLOTS_SIZE = 256 << 10 };
    if (!sink->scan_begun) {
        if (root_is_in_use(sink)) {
            return; /* another session works on it, or is still saving what it has */
        }
        sink->scan_begun = true;
        sink->begun_ns = core->now_ns;
        aq_scan_init(&sink->scan, &core->ops, sink->s.root, sink->s.options.filter, sink,
                     own_scan_problem, NULL);
        aq_op *op = aq_sink_op(sink, AQ_OP_LIST, 1, slots_listed, sink);
        op->items[0].flags = AQ_ITEM_SLOT;
        op->items[0].path = "";
        op->items[0].data = aq_heap_take(&core->heap, SLOTS_SIZE);
        AQ_ASSERT(op->items[0].data != NULL);
        op->items[0].size = SLOTS_SIZE;
        aq_sink_op_queue(sink, op);
        aq_sink_quiet_load(sink);
    }
    aq_scan_step(&sink->scan);
    if (sink->scan.status != AQ_OK) {
        aq_sink_fail(sink, sink->scan.status);
    } else if (aq_scan_is_over(&sink->scan) && sink->slots_listed && sink->quiet_loaded &&
               sink->root_known) {
        /* The source's tree is likely to be much like ours, and to take as long. */
        uint64_t own_ns = core->now_ns - sink->begun_ns;
        sink->patience_ns = core->now_ns + own_ns + PATIENCE_NS;
        sink->phase = AQ_SINK_WORK;
        core->again = true;
        aq_sink_dir_decide(sink, 0);
    }
}

/* ---- the session ---- */

static void start(aq_session *s)
{
    aq_sink *sink = aq_sink_of(s);
    aq_heap *heap = &s->core->heap;
    uint8_t random[32];
    aq_core_random(s->core, random);
    sink->slot_next = aq_load64(random) >> 1;
    aq_tree_init(&sink->remote, heap);
    aq_map_init(&sink->wires, aq_load64(random + 8));
    aq_map_init(&sink->by_stamp, aq_load64(random + 16));
    aq_map_init(&sink->by_hash, aq_load64(random + 24));
    aq_map_init(&sink->quiet_set, aq_load64(random + 24));
    AQ_VECTOR_PUSH(heap, sink->rdirs, (aq_rdir){0});
    AQ_ASSERT(aq_map_put(&sink->wires, heap, 0, 0));
    sink->open_dirs = 1;
    sink->requests =
        aq_heap_take_zeroed(heap, AQ_SINK_REQUESTS_MAX * sizeof *sink->requests);
    AQ_ASSERT(sink->requests != NULL);
}

static void stats_step(aq_sink *sink)
{
    aq_session *s = &sink->s;
    s->stats.scanning = !sink->root_complete;
    s->stats.complete =
        sink->root_complete && sink->open_dirs == 0 && sink->parked.count == 0;
    if (s->client || s->link == NULL || s->core->now_ns < sink->stats_due_ns) {
        return;
    }
    sink->stats_due_ns = s->core->now_ns + STATS_NS;
    aq_core_wake_at(s->core, sink->stats_due_ns);
    aq_writer w = aq_session_frame(s);
    aq_stats_write(&w, &s->stats);
    aq_link_frame_end(s->link, AQ_FRAME_STATS, &w);
}

static bool work_is_over(const aq_sink *sink)
{
    return sink->ops == 0 && sink->groups == NULL && sink->fetches == NULL &&
           sink->small_open == 0 && sink->batch.count == 0 && sink->checks == NULL;
}

/* Interrupted, or failed: what is under way is finished as far as it is ours to finish. */
static void wind_down(aq_sink *sink)
{
    aq_status status = sink->fatal != AQ_OK ? sink->fatal : AQ_CANCELLED;
    if (sink->fetches != NULL || sink->checks != NULL || sink->small_open != 0) {
        aq_sink_drop_fetches(sink);
        aq_sink_drop_checks(sink);
        aq_sink_drop_small(sink);
    }
    aq_sink_step_small(sink);
    aq_sink_step_groups(sink);
    if (work_is_over(sink)) {
        aq_session_end(&sink->s, status);
    }
}

/* A peer that answers pings but not requests is as good as silent. */
static bool stall_ends_link(aq_sink *sink)
{
    uint64_t due = sink->content_ns + 2 * sink->s.core->config.timeout_ns;
    if (sink->outstanding == 0) {
        return false;
    }
    if (sink->s.core->now_ns >= due) {
        aq_link_doom(sink->s.link, AQ_TIMEOUT);
        return true;
    }
    aq_core_wake_at(sink->s.core, due);
    return false;
}

static void step(aq_session *s)
{
    aq_sink *sink = aq_sink_of(s);
    if (!s->started) {
        return;
    }
    if (s->ended) {
        if (sink->scan_begun) {
            aq_sink_drop_fetches(sink);
            aq_sink_drop_checks(sink);
            aq_sink_step_small(sink);
            aq_sink_step_groups(sink);
        }
        return;
    }
    rate_measure(sink);
    bool limited =
        s->options.transfer_max != 0 && s->stats.bytes_literal >= s->options.transfer_max;
    if (limited) {
        s->stopping = true;
    }
    if (sink->fatal != AQ_OK || s->stopping) {
        wind_down(sink);
        return;
    }
    if (stall_ends_link(sink)) {
        return;
    }
    if (sink->phase == AQ_SINK_PREPARE) {
        prepare(sink);
    } else if (sink->phase == AQ_SINK_WORK) {
        aq_sink_step_lists(sink);
        aq_sink_step_checks(sink);
        aq_sink_step_small(sink);
        aq_sink_step_fetches(sink);
        aq_sink_step_metas(sink);
        aq_sink_step_groups(sink);
    }
    stats_step(sink);
    if (sink->phase != AQ_SINK_PREPARE) {
        bool idle = work_is_over(sink) && sink->open_dirs == 0 && sink->root_complete &&
                    sink->ready_at == sink->ready.count && sink->retries.count == 0 &&
                    sink->large_at == sink->large.count && sink->to_check.count == 0 &&
                    sink->moves.count == 0 && sink->metas.count == 0;
        if (idle || sink->phase > AQ_SINK_WORK) {
            aq_sink_step_tail(sink);
        }
    }
}

static bool fill(aq_session *s)
{
    (void)s;
    return false; /* everything that a sink says is control */
}

static void drop(aq_session *s)
{
    aq_sink *sink = aq_sink_of(s);
    if (!s->started) {
        return;
    }
    if (sink->scan_begun) {
        aq_scan_stop(&sink->scan);
    }
    aq_sink_drop_fetches(sink);
    aq_sink_drop_checks(sink);
    aq_sink_drop_small(sink);
}

static bool is_idle(const aq_session *s)
{
    const aq_sink *sink = (const aq_sink *)(const void *)s;
    return !s->started || (work_is_over(sink) && sink->scan.flight == 0);
}

static void sink_free(aq_session *s)
{
    aq_sink *sink = aq_sink_of(s);
    aq_heap *heap = &s->core->heap;
    if (!s->started) {
        return;
    }
    aq_sink_free_lists(sink);
    aq_heap_give(heap, sink->requests);
    aq_map_reset(&sink->wires, heap);
    aq_map_reset(&sink->by_stamp, heap);
    aq_map_reset(&sink->by_hash, heap);
    aq_map_reset(&sink->quiet_set, heap);
    AQ_VECTOR_RESET(heap, sink->quiet);
    AQ_VECTOR_RESET(heap, sink->waiting);
    AQ_VECTOR_RESET(heap, sink->queue);
    AQ_VECTOR_RESET(heap, sink->ready);
    AQ_VECTOR_RESET(heap, sink->retries);
    AQ_VECTOR_RESET(heap, sink->batch);
    AQ_VECTOR_RESET(heap, sink->large);
    AQ_VECTOR_RESET(heap, sink->to_check);
    AQ_VECTOR_RESET(heap, sink->metas);
    AQ_VECTOR_RESET(heap, sink->moves);
    AQ_VECTOR_RESET(heap, sink->leftovers);
    AQ_VECTOR_RESET(heap, sink->parked);
    AQ_VECTOR_RESET(heap, sink->conflicts);
    AQ_VECTOR_RESET(heap, sink->after_removal);
    AQ_VECTOR_RESET(heap, sink->extras);
    AQ_VECTOR_RESET(heap, sink->doomed);
    AQ_VECTOR_RESET(heap, sink->candidates);
    aq_tree_reset(&sink->remote);
    if (sink->scan_begun) {
        aq_scan_reset(&sink->scan);
    }
}

const aq_session_kind aq_sink_kind = {start, frame, step, fill, drop, is_idle, sink_free};

aq_session *aq_sink_new(aq_core *core)
{
    aq_sink *sink = aq_heap_take_zeroed(&core->heap, sizeof *sink);
    AQ_ASSERT(sink != NULL);
    sink->s.kind = &aq_sink_kind;
    sink->s.role = AQ_ROLE_SINK;
    return &sink->s;
}
