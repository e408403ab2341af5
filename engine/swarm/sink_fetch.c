/* sink_fetch.c: large files, chunk by chunk, in any order.
 *
 *   NEW ─► in the slot already? ─yes───────────────────────────────► HAVE
 *            └─► in the older version? ─► COPY ────────────────────► HAVE
 *                  └─► blocks of it there? ─► sink_delta.c ─► WRITE ► HAVE
 *                        └─► slices requested ─────────────► WRITE ► HAVE
 *
 * Every chunk is verified before it is written. The hash of the whole file is made as the
 * front of complete chunks moves on; where it moves by copying, the slot is read back. Only
 * a file whose hash is right is handed on to be published. The slot's name follows from the
 * path, so an interrupted transfer finds what it had: chunks are compared in place and not
 * sent again. */
#include "engine/swarm/sink_fetch.h"
#include "engine/base/assert.h"
#include "engine/base/bytes.h"
#include "engine/data/blake3.h"
#include "engine/sync/path.h"

enum {
    FETCHES_MAX = 4,
    OPS_MAX = 6, /* of one file */
    COPY_MAX = 64 << 20,
    HASH_WINDOW = 4 << 20,
    SLICES = 32,  /* of the largest chunk */
    HELD_MAX = 6, /* complete chunks that wait for the file's hash */
    CORRUPT_MAX = 8
};

static aq_heap *heap_of(const aq_fetch *f)
{
    return &f->sink->s.core->heap;
}

static void job_free(aq_fetch *f, aq_chunk_job *job)
{
    for (aq_chunk_job **at = &f->jobs; *at != NULL; at = &(*at)->next) {
        if (*at == job) {
            *at = job->next;
            break;
        }
    }
    aq_sink_buffer_give(f->sink, job->data, job->size);
    aq_heap_give(heap_of(f), job);
}

static aq_chunk_job *job_new(aq_fetch *f, uint32_t chunk, uint8_t *data)
{
    aq_chunk_job *job = aq_heap_take_zeroed(heap_of(f), sizeof *job);
    AQ_ASSERT(job != NULL);
    job->chunk = chunk;
    job->data = data;
    job->size = f->map.chunks.at[chunk].size;
    job->next = f->jobs;
    f->jobs = job;
    return job;
}

/* Ends as soon as nothing is with the host. */
static void fetch_stop(aq_fetch *f)
{
    if (f->dead) {
        return;
    }
    f->dead = true;
    f->mapper.stopped = true;
    aq_sink_requests_forget(f->sink, f);
    aq_sink_deltas_drop(f->sink, f);
    aq_fetch_map_forget(f);
}

void aq_fetch_fail(aq_fetch *f, aq_status status)
{
    if (!f->dead) {
        fetch_stop(f);
        aq_sink_problem(f->sink, f->ref, status);
    }
}

static void chunk_have(aq_fetch *f, uint32_t chunk, bool matched)
{
    AQ_ASSERT(f->states.at[chunk] != AQ_CHUNK_HAVE);
    f->states.at[chunk] = AQ_CHUNK_HAVE;
    f->have++;
    f->sink->s.stats.bytes_done += f->map.chunks.at[chunk].size;
    f->undurable += f->map.chunks.at[chunk].size;
    if (matched) {
        f->sink->s.stats.bytes_matched += f->map.chunks.at[chunk].size;
    }
}

/* It has to be looked for elsewhere. */
static void chunk_redo(aq_fetch *f, uint32_t chunk, aq_chunk_state state)
{
    f->states.at[chunk] = (uint8_t)state;
    AQ_VECTOR_PUSH(heap_of(f), f->redo, chunk);
}

/* ---- ops ---- */

typedef struct fetch_work {
    aq_work_head head;
    aq_blake3_hasher *hasher; /* NULL: not this one's turn */
    uint32_t chunk, count;
} fetch_work;

static aq_op *op_new(aq_fetch *f, aq_op_kind kind, aq_op_handler *handler,
                     void (*run)(aq_op *op), uint32_t chunk)
{
    aq_op *op = aq_sink_op(f->sink, kind, 1, handler, f);
    fetch_work *work = aq_ops_room(&f->sink->s.core->ops, op, sizeof *work);
    *work = (fetch_work){{run}, NULL, chunk, 1};
    op->work = work;
    op->items[0].slot = f->slot;
    f->flight++;
    return op;
}

static void op_ended(aq_fetch *f)
{
    aq_sink_op_done(f->sink);
    f->flight--;
}

/* ---- writing what arrived ---- */

static void write_run(aq_op *op)
{
    const fetch_work *work = op->work;
    aq_item *item = &op->items[0];
    aq_hash hash;
    aq_blake3(item->data, (size_t)item->size, &hash);
    if (aq_compare(hash.bytes, item->hash.bytes, sizeof hash) != 0) {
        item->status = AQ_CORRUPT;
    } else if (work->hasher != NULL) {
        aq_blake3_update(work->hasher, item->data, (size_t)item->size);
    }
}

static aq_chunk_job *job_of(const aq_fetch *f, uint32_t chunk)
{
    aq_chunk_job *job = f->jobs;
    while (job != NULL && job->chunk != chunk) {
        job = job->next;
    }
    return job;
}

static void job_write(aq_fetch *f, aq_chunk_job *job);

/* The hasher is free: the chunk that comes next goes, if it is here; if not, nobody waits.
 */
static void held_go(aq_fetch *f)
{
    while (f->held != 0 && !f->hash_busy) {
        aq_chunk_job *next = NULL;
        for (aq_chunk_job *job = f->jobs; job != NULL; job = job->next) {
            bool first = job->held && (next == NULL || job->chunk < next->chunk);
            next = first ? job : next;
        }
        AQ_ASSERT(next != NULL);
        next->held = false;
        f->held--;
        job_write(f, next);
    }
}

static void written(void *owner, aq_op *op)
{
    aq_fetch *f = owner;
    const fetch_work *work = op->work;
    const aq_item *item = &op->items[0];
    op_ended(f);
    job_free(f, job_of(f, work->chunk));
    if (work->hasher != NULL) {
        f->hash_busy = false;
        f->hashed += item->status == AQ_OK ? item->size : 0;
    }
    if (item->status == AQ_OK) {
        chunk_have(f, work->chunk, false);
    } else if (f->dead) {
        return;
    } else if (item->status == AQ_CORRUPT && f->corrupt++ < CORRUPT_MAX) {
        chunk_redo(f, work->chunk, AQ_CHUNK_MISSING);
    } else {
        aq_fetch_fail(f, item->status);
    }
    if (!f->dead) {
        held_go(f);
    }
}

/* Chunks that come in order are hashed for the file while they are at hand: one that
 * follows close behind the front waits for it, rather than being read back later. */
static void job_write(aq_fetch *f, aq_chunk_job *job)
{
    const aq_chunk *chunk = &f->map.chunks.at[job->chunk];
    if (f->hash_busy && chunk->offset >= f->hash_end && f->held < HELD_MAX) {
        job->held = true;
        f->held++;
        return;
    }
    aq_op *op = op_new(f, AQ_OP_WRITE, written, write_run, job->chunk);
    if (!f->hash_busy && f->hashed == chunk->offset) {
        ((fetch_work *)op->work)->hasher = &f->hasher;
        f->hash_busy = true;
        f->hash_end = chunk->offset + chunk->size;
    }
    op->items[0].offset = chunk->offset;
    op->items[0].data = job->data;
    op->items[0].size = chunk->size;
    op->items[0].hash = chunk->hash;
    f->sink->staged_any = true;
    aq_sink_op_queue(f->sink, op);
}

void aq_fetch_rebuilt(aq_fetch *f, uint32_t chunk, uint8_t *data)
{
    if (data == NULL) {
        chunk_redo(f, chunk, AQ_CHUNK_MISSING);
    } else {
        job_write(f, job_new(f, chunk, data));
    }
}

/* ---- requesting ---- */

static bool chunk_request(aq_fetch *f, uint32_t index)
{
    const aq_chunk *chunk = &f->map.chunks.at[index];
    uint64_t slice = f->sink->s.core->profile->chunk_max / SLICES;
    uint32_t count = (uint32_t)((chunk->size + slice - 1) / slice);
    if (!aq_sink_may_request(f->sink, count)) {
        return false;
    }
    uint8_t *data = aq_sink_buffer(f->sink, chunk->size);
    if (data == NULL) {
        return false;
    }
    aq_chunk_job *job = job_new(f, index, data);
    job->slices_left = count;
    f->states.at[index] = AQ_CHUNK_BUSY;
    for (uint64_t offset = 0; offset < chunk->size; offset += slice) {
        uint64_t left = chunk->size - offset;
        uint64_t size = left < slice ? left : slice;
        uint32_t request =
            aq_sink_request(f->sink, AQ_REQUEST_CHUNK, f, index, data + offset, size);
        aq_sink_want(f->sink, request, f->ref, 0, chunk->offset + offset, size);
    }
    return true;
}

void aq_fetch_probe(aq_fetch *f)
{
    if (f->dead || f->probing) {
        return;
    }
    f->probing = true;
    uint32_t request = aq_sink_request(f->sink, AQ_REQUEST_PROBE, f, 0, NULL, 0);
    aq_sink_want(f->sink, request, f->ref, AQ_WANT_STAMP, 0, 0);
}

void aq_sink_fetch_answer(aq_sink *sink, aq_fetch *f, const aq_request *request,
                          const aq_answer *answer)
{
    if (f->dead) {
        return;
    }
    bool probe = request->kind == AQ_REQUEST_PROBE;
    if (answer->status != AQ_OK || probe) {
        /* What was fetched so far stays in the slot: most of it may still be right. */
        aq_answer why = *answer;
        if (answer->status == AQ_OK) {
            const aq_entry *entry = aq_sink_entry(sink, f->ref);
            why.status = AQ_CHANGED;
            why.stamp = entry->stamp;
        }
        AQ_VECTOR_PUSH(heap_of(f), sink->leftovers, f->slot);
        fetch_stop(f);
        aq_sink_changed(sink, f->ref, f->tries, &why);
        return;
    }
    aq_chunk_job *job = job_of(f, request->index);
    AQ_ASSERT(job != NULL && job->slices_left > 0);
    if (--job->slices_left == 0) {
        job_write(f, job);
    }
}

/* ---- what is here already ---- */

static void compare_run(aq_op *op)
{
    aq_item *item = &op->items[0];
    if (item->status == AQ_OK) {
        aq_fill(item->data + item->done, 0, (size_t)(item->size - item->done));
        aq_blake3(item->data, (size_t)item->size, &item->hash);
    }
}

static void compared(void *owner, aq_op *op)
{
    aq_fetch *f = owner;
    uint32_t chunk = ((fetch_work *)op->work)->chunk;
    const aq_item *item = &op->items[0];
    op_ended(f);
    job_free(f, job_of(f, chunk));
    bool same = item->status == AQ_OK && item->done != 0 &&
                aq_compare(item->hash.bytes, f->map.chunks.at[chunk].hash.bytes,
                           sizeof item->hash) == 0;
    if (same) {
        chunk_have(f, chunk, false);
    } else {
        chunk_redo(f, chunk, AQ_CHUNK_NOT_IN_SLOT);
    }
}

static bool chunk_compare(aq_fetch *f, uint32_t index)
{
    const aq_chunk *chunk = &f->map.chunks.at[index];
    uint8_t *data = aq_sink_buffer(f->sink, chunk->size);
    if (data == NULL) {
        return false;
    }
    (void)job_new(f, index, data);
    aq_op *op = op_new(f, AQ_OP_READ, compared, compare_run, index);
    op->items[0].flags = AQ_ITEM_SLOT;
    op->items[0].offset = chunk->offset;
    op->items[0].data = data;
    op->items[0].size = chunk->size;
    f->states.at[index] = AQ_CHUNK_BUSY;
    aq_sink_op_queue(f->sink, op);
    return true;
}

static void copied(void *owner, aq_op *op)
{
    aq_fetch *f = owner;
    const fetch_work *work = op->work;
    op_ended(f);
    for (uint32_t i = 0; i < work->count; i++) {
        if (op->items[0].status == AQ_OK) {
            chunk_have(f, work->chunk + i, true);
        } else {
            chunk_redo(f, work->chunk + i, AQ_CHUNK_MISSING);
        }
    }
    if (op->items[0].status == AQ_NO_SPACE) {
        aq_fetch_fail(f, AQ_NO_SPACE);
    }
}

/* A run of chunks that stand in the older version in the same order. */
static void chunks_copy(aq_fetch *f, uint32_t index)
{
    aq_ops *ops = &f->sink->s.core->ops;
    const aq_chunk_map *own = &f->mapper.map;
    const aq_chunk *first = &own->chunks.at[f->match[index]];
    uint64_t size = 0;
    uint32_t count = 0;
    while (index + count < f->map.chunks.count &&
           (count == 0 || f->states.at[index + count] == AQ_CHUNK_NEW) &&
           f->match[index + count] == f->match[index] + count &&
           size + f->map.chunks.at[index + count].size <= COPY_MAX) {
        size += f->map.chunks.at[index + count].size;
        f->states.at[index + count] = AQ_CHUNK_BUSY;
        count++;
    }
    AQ_ASSERT(count != 0);
    aq_op *op = op_new(f, AQ_OP_COPY, copied, NULL, index);
    ((fetch_work *)op->work)->count = count;
    char path[AQ_PATH_MAX + 1];
    aq_sink_path(f->sink, f->ref, path);
    op->items[0].path = aq_ops_string(ops, op, path);
    op->items[0].expect = f->basis;
    op->items[0].offset = first->offset;
    op->items[0].size = size;
    op->items[0].to_offset = f->map.chunks.at[index].offset;
    f->sink->staged_any = true;
    aq_sink_op_queue(f->sink, op);
}

/* ---- the file's hash ---- */

static void hash_run(aq_op *op)
{
    const fetch_work *work = op->work;
    aq_item *item = &op->items[0];
    if (item->status == AQ_OK) {
        aq_fill(item->data + item->done, 0, (size_t)(item->size - item->done));
        aq_blake3_update(work->hasher, item->data, (size_t)item->size);
    }
}

static void hashed(void *owner, aq_op *op)
{
    aq_fetch *f = owner;
    const aq_item *item = &op->items[0];
    op_ended(f);
    f->hash_busy = false;
    aq_sink_buffer_give(f->sink, item->data, item->size);
    if (item->status == AQ_OK) {
        f->hashed += item->size;
    } else if (!f->dead) {
        aq_fetch_fail(f, item->status);
    }
    if (!f->dead) {
        held_go(f);
    }
}

/* Reads back what is complete behind the front, unless the front moves by itself. */
static void hash_step(aq_fetch *f)
{
    if (f->hash_busy || f->hashed == f->map.size) {
        return;
    }
    uint32_t chunk = aq_chunk_map_at(&f->map, f->hashed);
    uint64_t end = f->hashed;
    while (chunk < f->map.chunks.count && f->states.at[chunk] == AQ_CHUNK_HAVE &&
           end - f->hashed < HASH_WINDOW) {
        end = f->map.chunks.at[chunk].offset + f->map.chunks.at[chunk].size;
        chunk++;
    }
    uint64_t size = end - f->hashed < HASH_WINDOW ? end - f->hashed : HASH_WINDOW;
    uint8_t *data = size == 0 ? NULL : aq_sink_buffer(f->sink, size);
    if (data == NULL) {
        return;
    }
    aq_op *op = op_new(f, AQ_OP_READ, hashed, hash_run, 0);
    ((fetch_work *)op->work)->hasher = &f->hasher;
    op->items[0].flags = AQ_ITEM_SLOT;
    op->items[0].offset = f->hashed;
    op->items[0].data = data;
    op->items[0].size = size;
    f->hash_busy = true;
    f->hash_end = f->hashed + size;
    aq_sink_op_queue(f->sink, op);
}

static void discarded(void *owner, aq_op *op)
{
    (void)op;
    op_ended(owner);
}

static void fetch_finish(aq_fetch *f)
{
    aq_sink *sink = f->sink;
    aq_hash hash;
    aq_fetch_record_drop(f);
    aq_blake3_final(&f->hasher, &hash);
    if (aq_compare(hash.bytes, f->file_hash.bytes, sizeof hash) == 0) {
        aq_sink_publish(sink, f->ref, f->slot, f->size);
        fetch_stop(f);
        return;
    }
    /* Each chunk was right and the whole is not: start from nothing, once or twice. */
    aq_sink_op_queue(sink, op_new(f, AQ_OP_DISCARD, discarded, NULL, 0));
    for (uint32_t i = 0; i < sink->leftovers.count; i++) {
        if (sink->leftovers.at[i] == f->slot) {
            sink->leftovers.at[i] = 0;
        }
    }
    aq_ref ref = f->ref;
    uint32_t tries = f->tries;
    fetch_stop(f);
    if (tries + 1 < AQ_SINK_TRIES_MAX) {
        AQ_VECTOR_PUSH(heap_of(f), sink->large, (aq_retry){ref, tries + 1});
    } else {
        aq_sink_problem(sink, ref, AQ_CORRUPT);
    }
}

static void fetch_unchanged(aq_fetch *f)
{
    aq_sink *sink = f->sink;
    sink->s.stats.bytes_matched += f->size;
    sink->s.stats.bytes_done += f->size;
    sink->s.stats.files_done++;
    AQ_VECTOR_PUSH(heap_of(f), sink->metas, f->ref);
    fetch_stop(f);
}

/* ---- deciding ---- */

/* False: no memory for it now. */
static bool chunk_decide(aq_fetch *f, uint32_t i)
{
    aq_chunk_state state = (aq_chunk_state)f->states.at[i];
    if (state == AQ_CHUNK_NEW && f->resuming) {
        const aq_chunk *chunk = &f->map.chunks.at[i];
        if (aq_fetch_is_recorded(f, chunk->offset, chunk->size)) {
            chunk_have(f, i, false);
            return true;
        }
        return chunk_compare(f, i);
    }
    if (state == AQ_CHUNK_MISSING || f->match == NULL) {
        return chunk_request(f, i);
    }
    if (f->match[i] != AQ_NOWHERE) {
        chunks_copy(f, i);
        return true;
    }
    aq_delta_basis basis = aq_fetch_delta_basis(f, i);
    if (basis.size[0] + basis.size[1] == 0) {
        return chunk_request(f, i);
    }
    bool begun = aq_sink_delta_start(f->sink, f, i, &basis);
    if (begun) {
        f->states.at[i] = AQ_CHUNK_BUSY;
    }
    return begun;
}

static void fetch_decide(aq_fetch *f)
{
    while (f->redo.count != 0 && f->flight < OPS_MAX) {
        uint32_t chunk = f->redo.at[f->redo.count - 1];
        bool open = f->states.at[chunk] == AQ_CHUNK_MISSING ||
                    f->states.at[chunk] == AQ_CHUNK_NOT_IN_SLOT;
        if (open && !chunk_decide(f, chunk)) {
            return;
        }
        f->redo.count--;
    }
    while (f->at < f->map.chunks.count && f->flight < OPS_MAX) {
        if (f->states.at[f->at] == AQ_CHUNK_NEW && !chunk_decide(f, f->at)) {
            return;
        }
        f->at++;
    }
}

static void fetch_step(aq_fetch *f)
{
    aq_fetch_map_step(f);
    if (f->dead || f->probing || f->sink->s.link == NULL || !aq_sink_may_start(f->sink)) {
        return;
    }
    if (f->record_waits || (f->by_pages && !f->map_built)) {
        return;
    }
    if (f->at == 0 && f->by_pages && aq_fetch_is_unchanged(f)) {
        fetch_unchanged(f);
        return;
    }
    fetch_decide(f);
    aq_fetch_record_step(f);
    hash_step(f);
    if (f->map_built && f->have == f->map.chunks.count && f->hashed == f->size &&
        f->flight == 0) {
        fetch_finish(f);
    }
}

static void fetch_begin(aq_sink *sink, aq_retry next)
{
    aq_heap *heap = &sink->s.core->heap;
    aq_fetch *f = aq_heap_take_zeroed(heap, sizeof *f);
    AQ_ASSERT(f != NULL);
    f->sink = sink;
    f->ref = next.ref;
    f->tries = next.tries;
    f->size = aq_sink_entry(sink, next.ref)->stamp.size;
    aq_blake3_init(&f->hasher);
    char path[AQ_PATH_MAX + 1];
    aq_sink_path(sink, next.ref, path);
    aq_text_set(sink->s.stats.current, sizeof sink->s.stats.current, path,
                aq_string_size(path));
    aq_hash name;
    aq_blake3(path, aq_string_size(path), &name);
    f->slot = aq_load64(name.bytes) | UINT64_C(1) << 63;
    for (uint32_t i = 0; i < sink->leftovers.count; i++) {
        f->resuming |= sink->leftovers.at[i] == f->slot;
    }
    const aq_entry *own = aq_sink_local(sink, next.ref);
    f->has_basis = own != NULL && own->stamp.type == AQ_TYPE_FILE &&
                   own->stamp.size >= sink->s.core->profile->chunk_min / 4 &&
                   next.tries < 3;
    if (f->has_basis) {
        f->basis = own->stamp;
    }
    f->next = sink->fetches;
    sink->fetches = f;
    sink->fetch_count++;
    if (f->resuming) {
        aq_fetch_record_load(f);
    }
    aq_fetch_map_begin(f);
}

static void fetches_reap(aq_sink *sink)
{
    for (aq_fetch **at = &sink->fetches; *at != NULL;) {
        aq_fetch *f = *at;
        bool gone = f->dead && f->flight == 0 && !f->mapper.busy && f->deltas == NULL;
        if (gone && f->untrusted) {
            f->untrusted = gone = false;
            aq_sink_op_queue(sink, op_new(f, AQ_OP_DISCARD, discarded, NULL, 0));
        }
        if (!gone) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        sink->s.core->again = true;
        sink->fetch_count--;
        while (f->jobs != NULL) {
            job_free(f, f->jobs);
        }
        AQ_VECTOR_RESET(heap_of(f), f->redo);
        AQ_VECTOR_RESET(heap_of(f), f->durable);
        aq_fetch_map_free(f);
        aq_heap_give(heap_of(f), f);
    }
}

/* One file has one slot: a second fetch of it waits until the first is gone. */
static bool fetch_is_under_way(const aq_sink *sink, aq_ref ref)
{
    for (const aq_fetch *f = sink->fetches; f != NULL; f = f->next) {
        if (f->ref.dir == ref.dir && f->ref.index == ref.index) {
            return true;
        }
    }
    return false;
}

void aq_sink_step_fetches(aq_sink *sink)
{
    for (aq_fetch *f = sink->fetches; f != NULL && sink->s.link != NULL; f = f->next) {
        fetch_step(f);
    }
    fetches_reap(sink);
    while (sink->large_at < sink->large.count && sink->fetch_count < FETCHES_MAX &&
           aq_sink_may_start(sink) &&
           !fetch_is_under_way(sink, sink->large.at[sink->large_at].ref)) {
        fetch_begin(sink, sink->large.at[sink->large_at++]);
        sink->s.core->again = true;
    }
    if (sink->large_at == sink->large.count) {
        sink->large_at = sink->large.count = 0;
    }
}

void aq_sink_drop_fetches(aq_sink *sink)
{
    for (aq_fetch *f = sink->fetches; f != NULL; f = f->next) {
        fetch_stop(f);
    }
    fetches_reap(sink);
}
