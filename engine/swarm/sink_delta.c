/* sink_delta.c: one chunk rebuilt from blocks.
 *
 *   here:    READ where the older version's bytes were ─► blocks, short hashes ┐
 *   source:  BLOCKS_WANT ─► lengths, short hashes of the chunk's blocks ───────┴► copy
 * those we have, WANT the rest ─► the whole chunk, which its own hash proves
 *
 * Short hashes only guess. If a guess was wrong the chunk's hash says so, and it is
 * requested. */
#include "engine/swarm/sink_fetch.h"
#include "engine/base/assert.h"
#include "engine/base/bytes.h"
#include "engine/data/block_list.h"
#include "engine/sync/path.h"

typedef struct block {
    uint64_t hash; /* AQ_BLOCK_HASH_SIZE bytes */
    uint32_t offset;
    uint32_t size;
} block;

struct aq_delta {
    aq_delta *next;
    aq_sink *sink;
    aq_fetch *fetch;
    uint32_t chunk;
    bool dead;
    bool reading;        /* an op is with the host */
    bool failed;         /* the older version could not be read */
    bool listed;         /* the source's blocks are here */
    uint32_t wants_left; /* ranges that were asked for */
    uint8_t *data;
    uint64_t size;
    uint8_t *basis;
    uint64_t basis_size;
    AQ_VECTOR(block) own;    /* blocks of the basis; offsets into it */
    AQ_VECTOR(block) wanted; /* blocks of the chunk */
};

static aq_heap *heap_of(const aq_delta *d)
{
    return &d->sink->s.core->heap;
}

static uint64_t short_hash(const uint8_t *bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < AQ_BLOCK_HASH_SIZE; i++) {
        value |= (uint64_t)bytes[i] << (8 * i);
    }
    return value;
}

static void delta_free(aq_delta *d)
{
    for (aq_delta **at = &d->fetch->deltas; *at != NULL; at = &(*at)->next) {
        if (*at == d) {
            *at = d->next;
            break;
        }
    }
    aq_sink_buffer_give(d->sink, d->data, d->size);
    aq_sink_buffer_give(d->sink, d->basis, d->basis_size);
    AQ_VECTOR_RESET(heap_of(d), d->own);
    AQ_VECTOR_RESET(heap_of(d), d->wanted);
    aq_heap_give(heap_of(d), d);
}

static void delta_end(aq_delta *d, bool rebuilt)
{
    aq_fetch *f = d->fetch;
    uint32_t chunk = d->chunk;
    uint8_t *data = rebuilt ? d->data : NULL;
    if (rebuilt) {
        d->data = NULL; /* the fetch's from here on, counted as it is */
    } else {
        aq_sink_requests_forget(d->sink, d);
    }
    delta_free(d);
    aq_fetch_rebuilt(f, chunk, data);
}

/* ---- the older version's blocks ---- */

typedef struct basis_work {
    aq_work_head head;
    const aq_profile *profile;
    aq_block_list blocks[2]; /* of each range */
} basis_work;

static void basis_run(aq_op *op)
{
    basis_work *work = op->work;
    for (uint32_t i = 0; i < op->item_count; i++) {
        const aq_item *item = &op->items[i];
        size_t size = item->status == AQ_OK ? (size_t)item->done : 0;
        aq_block_list_make(&work->blocks[i], work->profile, item->data, size);
    }
}

static void delta_assemble(aq_delta *d);

static void basis_read(void *owner, aq_op *op)
{
    aq_delta *d = owner;
    const basis_work *work = op->work;
    aq_sink_op_done(d->sink);
    d->fetch->flight--;
    d->reading = false;
    if (d->dead) {
        delta_free(d);
        return;
    }
    uint64_t base = 0;
    for (uint32_t r = 0; r < op->item_count; r++) {
        d->failed |= op->items[r].status != AQ_OK;
        const aq_block_list *list = &work->blocks[r];
        uint32_t start = 0;
        for (size_t i = 0; i < list->count; i++) {
            block b = {short_hash(list->hashes[i].bytes), (uint32_t)base + start,
                       list->ends[i] - start};
            AQ_VECTOR_PUSH(heap_of(d), d->own, b);
            start = list->ends[i];
        }
        base += op->items[r].size;
    }
    delta_assemble(d);
}

bool aq_sink_delta_start(aq_sink *sink, aq_fetch *fetch, uint32_t chunk,
                         const aq_delta_basis *basis)
{
    aq_core *core = sink->s.core;
    aq_ops *ops = &core->ops;
    uint64_t size = fetch->map.chunks.at[chunk].size;
    uint64_t basis_size = basis->size[0] + basis->size[1];
    uint64_t footprint =
        aq_heap_footprint((size_t)size) + aq_heap_footprint((size_t)basis_size);
    bool fits =
        core->sink_used == 0 || core->sink_used + footprint <= core->config.buffer_max;
    if (!fits || !aq_sink_may_request(sink, 1)) {
        return false;
    }
    uint8_t *data = aq_heap_take(&core->heap, (size_t)size);
    uint8_t *old = aq_heap_take(&core->heap, (size_t)basis_size);
    aq_delta *d = aq_heap_take_zeroed(&core->heap, sizeof *d);
    if (data == NULL || old == NULL || d == NULL) {
        aq_heap_give(&core->heap, data);
        aq_heap_give(&core->heap, old);
        aq_heap_give(&core->heap, d);
        aq_sink_fail(sink, AQ_MEMORY);
        return false;
    }
    d->sink = sink;
    d->fetch = fetch;
    d->chunk = chunk;
    d->size = size;
    d->basis_size = basis_size;
    d->data = data;
    d->basis = old;
    core->sink_used += footprint;
    d->next = fetch->deltas;
    fetch->deltas = d;

    uint32_t ranges = basis->size[0] != 0 && basis->size[1] != 0 ? 2 : 1;
    aq_op *op = aq_sink_op(sink, AQ_OP_READ, ranges, basis_read, d);
    basis_work *work = aq_ops_room(ops, op, sizeof *work);
    *work = (basis_work){.head = {basis_run}, .profile = core->profile};
    op->work = work;
    char path[AQ_PATH_MAX + 1];
    aq_sink_path(sink, fetch->ref, path);
    uint64_t at = 0;
    for (uint32_t i = 0, r = 0; i < 2; i++) {
        if (basis->size[i] == 0) {
            continue;
        }
        size_t room = aq_block_list_room(core->profile, (size_t)basis->size[i]);
        work->blocks[r].room = room;
        work->blocks[r].ends = aq_ops_room(ops, op, room * sizeof(uint32_t));
        work->blocks[r].hashes = aq_ops_room(ops, op, room * sizeof(aq_hash));
        op->items[r].path = aq_ops_string(ops, op, path);
        op->items[r].expect = fetch->basis;
        op->items[r].offset = basis->offset[i];
        op->items[r].size = basis->size[i];
        op->items[r].data = d->basis + at;
        at += basis->size[i];
        r++;
    }
    fetch->flight++;
    d->reading = true;
    aq_sink_op_queue(sink, op);

    uint32_t request = aq_sink_request(sink, AQ_REQUEST_BLOCKS, d, 0, NULL, 0);
    aq_writer w = aq_session_frame(&sink->s);
    aq_writer_varint(&w, request);
    aq_writer_varint(&w, sink->rdirs.at[fetch->ref.dir].wire);
    aq_writer_varint(&w, fetch->ref.index);
    aq_writer_varint(&w, fetch->map.chunks.at[chunk].offset);
    aq_writer_varint(&w, size);
    aq_link_frame_end(sink->s.link, AQ_FRAME_BLOCKS_WANT, &w);
    return true;
}

/* ---- the source's blocks ---- */

void aq_sink_got_blocks(aq_sink *sink, aq_delta *d, aq_reader *r)
{
    uint64_t status = aq_reader_bounded(r, AQ_STATUS_COUNT - 1);
    uint64_t offset = 0;
    const aq_profile *profile = sink->s.core->profile;
    while (status == AQ_OK && aq_reader_left(r) != 0) {
        uint64_t size = aq_reader_bounded(r, profile->block_max);
        uint8_t hash[AQ_BLOCK_HASH_SIZE];
        aq_reader_copy(r, hash, sizeof hash);
        if (r->failed || size == 0 || size > d->size - offset) {
            r->failed = true;
            return;
        }
        block b = {short_hash(hash), (uint32_t)offset, (uint32_t)size};
        AQ_VECTOR_PUSH(heap_of(d), d->wanted, b);
        offset += size;
    }
    if (r->failed) {
        return;
    }
    d->listed = true;
    d->failed |= status != AQ_OK || offset != d->size;
    delta_assemble(d);
}

/* ---- putting together ---- */

/* Copies what the basis has; returns the number of ranges that are missing. */
static uint32_t blocks_copy(aq_delta *d)
{
    aq_map by_hash;
    aq_map_init(&by_hash, d->sink->wires.secret);
    for (uint32_t i = 0; i < d->own.count; i++) {
        AQ_ASSERT(aq_map_put(&by_hash, heap_of(d), d->own.at[i].hash, i));
    }
    uint32_t gaps = 0;
    bool in_gap = false;
    for (uint32_t i = 0; i < d->wanted.count; i++) {
        block *b = &d->wanted.at[i];
        uint32_t at = 0, found = 0;
        bool have = false;
        while (!have && aq_map_next(&by_hash, b->hash, &at, &found)) {
            have = d->own.at[found].size == b->size;
        }
        if (have) {
            aq_copy(d->data + b->offset, d->basis + d->own.at[found].offset, b->size);
            d->sink->s.stats.bytes_matched += b->size;
            b->size = 0; /* done */
        }
        gaps += !have && !in_gap;
        in_gap = !have;
    }
    aq_map_reset(&by_hash, heap_of(d));
    return gaps;
}

static void gap_want(aq_delta *d, uint32_t start, uint32_t end)
{
    uint32_t request =
        aq_sink_request(d->sink, AQ_REQUEST_DELTA, d, 0, d->data + start, end - start);
    uint64_t base = d->fetch->map.chunks.at[d->chunk].offset;
    aq_sink_want(d->sink, request, d->fetch->ref, 0, base + start, end - start);
    d->wants_left++;
}

static void delta_assemble(aq_delta *d)
{
    if (d->reading || !d->listed) {
        return;
    }
    uint32_t gaps = d->failed ? 0 : blocks_copy(d);
    if (d->failed || !aq_sink_may_request(d->sink, gaps)) {
        delta_end(d, false);
        return;
    }
    uint32_t start = UINT32_MAX;
    for (uint32_t i = 0; i < d->wanted.count; i++) {
        const block *b = &d->wanted.at[i];
        if (b->size != 0 && start == UINT32_MAX) {
            start = b->offset;
        } else if (b->size == 0 && start != UINT32_MAX) {
            gap_want(d, start, b->offset);
            start = UINT32_MAX;
        }
    }
    if (start != UINT32_MAX) {
        gap_want(d, start, (uint32_t)d->size);
    }
    if (d->wants_left == 0) {
        delta_end(d, true);
    }
}

void aq_sink_delta_answer(aq_sink *sink, aq_delta *d, const aq_request *request,
                          const aq_answer *answer)
{
    if (answer->status != AQ_OK) {
        aq_fetch *f = d->fetch;
        aq_sink_fetch_answer(sink, f, request, answer);
        return;
    }
    AQ_ASSERT(d->wants_left > 0);
    if (--d->wants_left == 0) {
        delta_end(d, true);
    }
}

void aq_sink_deltas_drop(aq_sink *sink, aq_fetch *fetch)
{
    for (aq_delta *d = fetch->deltas, *next; d != NULL; d = next) {
        next = d->next;
        aq_sink_requests_forget(sink, d);
        d->dead = true;
        if (!d->reading) {
            delta_free(d);
        }
    }
}
