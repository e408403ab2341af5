/* source_data.c: ranges of files, read and sent.
 *
 *   wants ─► kept window of a map?  ─yes──────────────► data ─► DATA frames, in order of
 * arrival └no─► READ op: many small files at once, or neighbouring ranges of one file ─┘
 *
 * Reading ahead stops when the buffers of all sources fill their share of memory; they
 * empty as fast as links take bytes. A file that is not as the tree said is not sent (rule
 * R22): the sink gets its stamp of now and may ask again. */
#include "engine/swarm/source.h"
#include "engine/base/assert.h"
#include "engine/base/bytes.h"
#include "engine/data/blake3.h"
#include "engine/data/block_list.h"
#include "engine/sync/path.h"

enum {
    READS_MAX = 6,
    BATCH_FILES = 64,
    BATCH_BYTES = 1 << 20,
    RANGE_MAX = 16 << 20, /* one want */
    DATA_HEAD_MAX = 128
};

/* ---- buffers ---- */

aq_source_buffer *aq_source_buffer_new(aq_source *source, uint8_t *data, size_t size)
{
    aq_source_buffer *buffer = aq_heap_take(&source->s.core->heap, sizeof *buffer);
    AQ_ASSERT(buffer != NULL);
    *buffer = (aq_source_buffer){data, aq_heap_footprint(size), 1};
    source->s.core->source_used += buffer->footprint;
    return buffer;
}

void aq_source_buffer_drop(aq_source *source, aq_source_buffer *buffer)
{
    if (buffer == NULL || --buffer->refs != 0) {
        return;
    }
    aq_core *core = source->s.core;
    AQ_ASSERT(core->source_used >= buffer->footprint);
    core->source_used -= buffer->footprint;
    aq_heap_give(&core->heap, buffer->data);
    aq_heap_give(&core->heap, buffer);
}

static aq_source_data *data_add(aq_source *source, const aq_source_want *want)
{
    aq_source_data *data = aq_heap_take_zeroed(&source->s.core->heap, sizeof *data);
    AQ_ASSERT(data != NULL);
    data->request = want->request;
    data->whole = want->whole;
    data->blocks = want->blocks;
    *source->data_end = data;
    source->data_end = &data->next;
    source->data_count++;
    return data;
}

static aq_source_data *data_add_bytes(aq_source *source, const aq_source_want *want,
                                      aq_source_buffer *buffer, const uint8_t *at,
                                      size_t size)
{
    aq_source_data *data = data_add(source, want);
    buffer->refs++;
    data->buffer = buffer;
    data->at = at;
    data->size = size;
    return data;
}

static void data_take(aq_source *source)
{
    aq_source_data *data = source->data;
    source->data = data->next;
    if (source->data == NULL) {
        source->data_end = &source->data;
    }
    source->data_count--;
    aq_source_buffer_drop(source, data->buffer);
    aq_heap_give(&source->s.core->heap, data);
}

/* ---- what the sink asks ---- */

static void want_add(aq_source *source, aq_source_want *want, aq_reader *r)
{
    const aq_entry *entry =
        r->failed ? NULL : aq_source_entry(source, want->dir, want->index);
    bool full = source->wants.count - source->wants_at >= AQ_SOURCE_WANTS_MAX;
    if (entry == NULL || full ||
        !AQ_VECTOR_ENSURE(&source->s.core->heap, source->wants, 1)) {
        r->failed = true;
        return;
    }
    if (want->whole) {
        want->size = entry->stamp.size;
    }
    AQ_VECTOR_PUSH(&source->s.core->heap, source->wants, *want);
    if (source->cancels != NULL) {
        source->cancels[want->request % AQ_SOURCE_CANCELS] = 0;
    }
}

void aq_source_got_want(aq_source *source, aq_reader *r)
{
    while (aq_reader_left(r) != 0) {
        aq_source_want want = {.request = (uint32_t)aq_reader_bounded(r, UINT32_MAX)};
        want.dir = (uint32_t)aq_reader_bounded(r, UINT32_MAX);
        want.index = (uint32_t)aq_reader_bounded(r, UINT32_MAX);
        uint8_t flags = aq_reader_byte(r);
        want.whole = flags == AQ_WANT_WHOLE;
        want.stamp = flags == AQ_WANT_STAMP;
        r->failed |= flags > AQ_WANT_STAMP;
        if (flags == 0) {
            want.offset = aq_reader_varint(r);
            want.size = aq_reader_bounded(r, RANGE_MAX);
        }
        want_add(source, &want, r);
    }
}

/* A hint, and cheap: where two numbers fall together one of them is answered in vain. */
void aq_source_got_cancel(aq_source *source, aq_reader *r)
{
    uint64_t request = aq_reader_bounded(r, UINT32_MAX);
    if (source->cancels == NULL) {
        size_t size = AQ_SOURCE_CANCELS * sizeof *source->cancels;
        source->cancels = aq_heap_take_zeroed(&source->s.core->heap, size);
    }
    if (source->cancels != NULL && !r->failed) {
        source->cancels[request % AQ_SOURCE_CANCELS] = request + 1;
    }
}

static bool is_cancelled(const aq_source *source, const aq_source_want *want)
{
    return source->cancels != NULL && source->cancels[want->request % AQ_SOURCE_CANCELS] ==
                                          want->request + UINT64_C(1);
}

/* ---- reading ---- */

typedef struct read_work {
    aq_work_head head;
    uint32_t want_count;
    aq_source_want *wants;
    const aq_profile *profile;
    aq_block_list blocks; /* of a block list's range */
} read_work;

static void hash_whole(aq_op *op)
{
    aq_blake3_message messages[BATCH_FILES];
    AQ_ASSERT(op->item_count <= BATCH_FILES);
    for (uint32_t i = 0; i < op->item_count; i++) {
        aq_item *item = &op->items[i];
        size_t size = item->status == AQ_OK ? (size_t)item->done : 0;
        messages[i] = (aq_blake3_message){item->data, size, &item->hash};
    }
    aq_blake3_batch(messages, op->item_count);
}

static void data_add_failed(aq_source *source, const aq_source_want *want, aq_status status,
                            const aq_stamp *stamp)
{
    aq_source_data *data = data_add(source, want);
    data->status = status;
    if (stamp != NULL) {
        data->stamp = *stamp;
    }
}

/* The file changed: what is it now? The tree is corrected, so that asking again can work.
 */
static void restat_done(void *owner, aq_op *op)
{
    aq_source *source = owner;
    const read_work *work = op->work;
    const aq_item *item = &op->items[0];
    source->reads--;
    if (source->s.ended) {
        return;
    }
    for (uint32_t i = 0; i < work->want_count; i++) {
        const aq_source_want *want = &work->wants[i];
        aq_entry *entry = aq_source_entry(source, want->dir, want->index);
        bool file = item->status == AQ_OK && item->stamp.type == AQ_TYPE_FILE;
        if (file && entry != NULL) {
            entry->stamp = item->stamp;
            data_add_failed(source, want, AQ_CHANGED, &item->stamp);
        } else {
            data_add_failed(source, want,
                            item->status == AQ_OK ? AQ_NOT_FOUND : item->status, NULL);
        }
    }
}

static aq_op *op_new(aq_source *source, aq_op_kind kind, aq_op_handler *handler,
                     uint32_t item_count, const aq_source_want *wants, uint32_t want_count)
{
    aq_ops *ops = &source->s.core->ops;
    aq_op *op = aq_ops_new(ops, kind, source->s.root, item_count, handler, source);
    read_work *work = aq_ops_room(ops, op, sizeof *work);
    *work = (read_work){.want_count = want_count};
    work->wants = aq_ops_room(ops, op, want_count * sizeof *wants);
    aq_copy(work->wants, wants, want_count * sizeof *wants);
    op->work = work;
    return op;
}

static void item_name(aq_source *source, aq_op *op, uint32_t i, const aq_source_want *want)
{
    const aq_dir *d = &source->scan.tree.dirs.at[want->dir];
    char path[AQ_PATH_MAX + 1];
    aq_tree_path(&source->scan.tree, want->dir, d->entries[want->index]->name, path);
    op->items[i].path = aq_ops_string(&source->s.core->ops, op, path);
    op->items[i].expect = d->entries[want->index]->stamp;
}

static void restat(aq_source *source, const aq_source_want *wants, uint32_t count)
{
    aq_op *op = op_new(source, AQ_OP_STAT, restat_done, 1, wants, count);
    item_name(source, op, 0, wants);
    source->reads++;
    aq_ops_queue(&source->s.core->ops, op);
}

static void small_done(void *owner, aq_op *op)
{
    aq_source *source = owner;
    const read_work *work = op->work;
    source->reads--;
    uint64_t room = 0;
    for (uint32_t i = 0; i < op->item_count; i++) {
        room += op->items[i].size;
    }
    aq_source_buffer *buffer =
        aq_source_buffer_new(source, op->items[0].data, (size_t)room + 1);
    source->s.core->source_used -= buffer->footprint; /* counted when it was queued */
    for (uint32_t i = 0; i < op->item_count && !source->s.ended; i++) {
        const aq_item *item = &op->items[i];
        const aq_source_want *want = &work->wants[i];
        if (item->status == AQ_OK && item->done == item->size) {
            aq_source_data *data =
                data_add_bytes(source, want, buffer, item->data, (size_t)item->done);
            data->hash = item->hash;
        } else if (item->status == AQ_CHANGED || item->status == AQ_OK) {
            restat(source, want, 1);
        } else {
            data_add_failed(source, want, item->status, NULL);
        }
    }
    aq_source_buffer_drop(source, buffer);
}

/* A want as the file is now: it may have changed since. */
static bool is_inside(aq_source *source, const aq_source_want *want)
{
    const aq_entry *entry = aq_source_entry(source, want->dir, want->index);
    if (want->whole) {
        return want->size == entry->stamp.size && want->size <= RANGE_MAX;
    }
    return want->size != 0 && want->offset <= entry->stamp.size &&
           want->size <= entry->stamp.size - want->offset;
}

/* Memory to read into, counted as source_used. NULL: it is used up, and the wants are
 * answered so. */
static uint8_t *room_take(aq_source *source, const aq_source_want *wants, uint32_t count,
                          uint64_t size)
{
    aq_core *core = source->s.core;
    uint8_t *data =
        aq_heap_is_low(&core->heap) ? NULL : aq_heap_take(&core->heap, (size_t)size);
    if (data != NULL) {
        core->source_used += aq_heap_footprint((size_t)size);
    }
    for (uint32_t i = 0; i < count && data == NULL; i++) {
        data_add_failed(source, &wants[i], AQ_MEMORY, NULL);
    }
    return data;
}

static uint32_t small_queue(aq_source *source, const aq_source_want *wants, uint32_t count)
{
    uint32_t n = 0;
    uint64_t bytes = 0;
    while (n < count && n < BATCH_FILES && wants[n].whole &&
           !is_cancelled(source, &wants[n]) && is_inside(source, &wants[n]) &&
           (n == 0 || bytes + wants[n].size <= BATCH_BYTES)) {
        bytes += wants[n++].size;
    }
    uint8_t *data = room_take(source, wants, n, bytes + 1);
    if (data == NULL) {
        return n;
    }
    aq_op *op = op_new(source, AQ_OP_READ, small_done, n, wants, n);
    ((read_work *)op->work)->head.run = hash_whole;
    for (uint32_t i = 0; i < n; i++) {
        item_name(source, op, i, &wants[i]);
        op->items[i].data = data;
        op->items[i].size = wants[i].size;
        data += wants[i].size;
    }
    source->reads++;
    aq_ops_queue(&source->s.core->ops, op);
    return n;
}

static bool is_range(const aq_source_want *want)
{
    return !want->whole && !want->stamp && !want->blocks;
}

static void range_done(void *owner, aq_op *op)
{
    aq_source *source = owner;
    aq_core *core = source->s.core;
    const read_work *work = op->work;
    const aq_item *item = &op->items[0];
    source->reads--;
    aq_source_buffer *buffer = aq_source_buffer_new(source, item->data, (size_t)item->size);
    core->source_used -= buffer->footprint;
    bool whole = item->status == AQ_OK && item->done == item->size;
    const uint8_t *at = item->data;
    if (source->s.ended) {
        whole = false;
    } else if (!whole && (item->status == AQ_OK || item->status == AQ_CHANGED)) {
        restat(source, work->wants, work->want_count);
    }
    for (uint32_t i = 0; i < work->want_count && !source->s.ended; i++) {
        const aq_source_want *want = &work->wants[i];
        if (whole) {
            (void)data_add_bytes(source, want, buffer, at, (size_t)want->size);
            at += want->size;
        } else if (item->status != AQ_OK && item->status != AQ_CHANGED) {
            data_add_failed(source, want, item->status, NULL);
        }
    }
    aq_source_buffer_drop(source, buffer);
}

static aq_op *range_op(aq_source *source, const aq_source_want *wants, uint32_t count,
                       uint64_t bytes, aq_op_handler *handler)
{
    uint8_t *data = room_take(source, wants, count, bytes);
    if (data == NULL) {
        return NULL;
    }
    aq_op *op = op_new(source, AQ_OP_READ, handler, 1, wants, count);
    item_name(source, op, 0, wants);
    op->items[0].offset = wants[0].offset;
    op->items[0].data = data;
    op->items[0].size = bytes;
    source->reads++;
    return op;
}

static uint32_t range_queue(aq_source *source, const aq_source_want *wants, uint32_t count)
{
    uint32_t n = 1;
    uint64_t bytes = wants[0].size;
    while (n < count && is_range(&wants[n]) && !is_cancelled(source, &wants[n]) &&
           wants[n].dir == wants[0].dir && wants[n].index == wants[0].index &&
           wants[n].offset == wants[0].offset + bytes && is_inside(source, &wants[n]) &&
           bytes + wants[n].size <= BATCH_BYTES) {
        bytes += wants[n++].size;
    }
    aq_op *op = range_op(source, wants, n, bytes, range_done);
    if (op != NULL) {
        aq_ops_queue(&source->s.core->ops, op);
    }
    return n;
}

static void blocks_queue(aq_source *source, const aq_source_want *want);

/* A want that needs no reading. */
static bool want_is_ready(aq_source *source, const aq_source_want *want)
{
    if (is_cancelled(source, want)) {
        return true;
    }
    if (want->stamp) {
        return false;
    }
    if (!is_inside(source, want)) {
        const aq_entry *entry = aq_source_entry(source, want->dir, want->index);
        data_add_failed(source, want, AQ_CHANGED, &entry->stamp);
        return true;
    }
    aq_source_window *window = is_range(want) ? aq_source_window_find(source, want) : NULL;
    if (window == NULL) {
        return false;
    }
    (void)data_add_bytes(source, want, window->buffer,
                         window->buffer->data + (want->offset - window->offset),
                         (size_t)want->size);
    window->served += (size_t)want->size;
    return true;
}

static void rate_wait(aq_source *source)
{
    if (source->data != NULL && source->rate != 0 && source->allowance <= 0) {
        uint64_t missing = (uint64_t)(1 - source->allowance);
        uint64_t wait_us =
            missing > source->rate * 60 ? 60000000 : missing * 1000000 / source->rate;
        aq_core_wake_at(source->s.core, source->s.core->now_ns + wait_us * 1000 + 1000000);
    }
}

/* Begins what the first of the wants needs; returns how many of them that answers. */
static uint32_t wants_begin(aq_source *source, const aq_source_want *wants, uint32_t count)
{
    if (wants->stamp) {
        restat(source, wants, 1);
        return 1;
    }
    if (wants->blocks) {
        blocks_queue(source, wants);
        return 1;
    }
    return wants->whole ? small_queue(source, wants, count)
                        : range_queue(source, wants, count);
}

void aq_source_step_data(aq_source *source)
{
    aq_core *core = source->s.core;
    rate_wait(source);
    while (source->wants_at < source->wants.count &&
           source->data_count < AQ_SOURCE_DATA_MAX) {
        const aq_source_want *wants = source->wants.at + source->wants_at;
        uint32_t count = source->wants.count - source->wants_at;
        if (want_is_ready(source, wants)) {
            source->wants_at++;
            continue;
        }
        bool room = core->source_used < core->config.buffer_max;
        if (source->reads >= READS_MAX ||
            (!room && source->reads + (source->data != NULL) > 0)) {
            break;
        }
        source->wants_at += wants_begin(source, wants, count);
    }
    if (source->wants_at == source->wants.count) {
        source->wants_at = source->wants.count = 0;
    } else if (source->wants_at > source->wants.count / 2 && source->wants_at > 1024) {
        aq_move(source->wants.at, source->wants.at + source->wants_at,
                (source->wants.count - source->wants_at) * sizeof *source->wants.at);
        source->wants.count -= source->wants_at;
        source->wants_at = 0;
    }
}

/* ---- block lists ---- */

static void blocks_run(aq_op *op)
{
    read_work *work = op->work;
    const aq_item *item = &op->items[0];
    if (item->status == AQ_OK && item->done == item->size) {
        aq_block_list_make(&work->blocks, work->profile, item->data, (size_t)item->size);
    }
}

/* The block list as BLOCKS carries it. NULL: memory is short. */
static aq_source_buffer *blocks_encode(aq_source *source, const read_work *work,
                                       size_t *size)
{
    size_t room = (size_t)work->blocks.count * (5 + AQ_BLOCK_HASH_SIZE);
    uint8_t *bytes = aq_heap_take(&source->s.core->heap, room);
    if (bytes == NULL) {
        return NULL;
    }
    aq_writer w = aq_writer_over(bytes, room);
    uint32_t start = 0;
    for (uint32_t i = 0; i < work->blocks.count; i++) {
        aq_writer_varint(&w, work->blocks.ends[i] - start);
        aq_writer_bytes(&w, work->blocks.hashes[i].bytes, AQ_BLOCK_HASH_SIZE);
        start = work->blocks.ends[i];
    }
    *size = w.size;
    return aq_source_buffer_new(source, bytes, room);
}

static void blocks_done(void *owner, aq_op *op)
{
    aq_source *source = owner;
    aq_core *core = source->s.core;
    const read_work *work = op->work;
    const aq_item *item = &op->items[0];
    source->reads--;
    core->source_used -= aq_heap_footprint((size_t)item->size);
    aq_heap_give(&core->heap, item->data);
    if (source->s.ended) {
        return;
    }
    if (work->blocks.count == 0) {
        data_add_failed(source, work->wants,
                        item->status != AQ_OK ? item->status : AQ_CHANGED, NULL);
        return;
    }
    size_t size;
    aq_source_buffer *buffer = blocks_encode(source, work, &size);
    if (buffer == NULL) {
        data_add_failed(source, work->wants, AQ_MEMORY, NULL);
        return;
    }
    (void)data_add_bytes(source, work->wants, buffer, buffer->data, size);
    aq_source_buffer_drop(source, buffer);
}

static void blocks_queue(aq_source *source, const aq_source_want *want)
{
    aq_ops *ops = &source->s.core->ops;
    aq_op *op = range_op(source, want, 1, want->size, blocks_done);
    if (op == NULL) {
        return;
    }
    read_work *work = op->work;
    work->profile = source->s.core->profile;
    work->head.run = blocks_run;
    size_t room = aq_block_list_room(work->profile, (size_t)want->size);
    work->blocks.room = room;
    work->blocks.ends = aq_ops_room(ops, op, room * sizeof(uint32_t));
    work->blocks.hashes = aq_ops_room(ops, op, room * sizeof(aq_hash));
    aq_ops_queue(ops, op);
}

void aq_source_got_blocks_want(aq_source *source, aq_reader *r)
{
    aq_source_want want = {.request = (uint32_t)aq_reader_bounded(r, UINT32_MAX),
                           .blocks = true};
    want.dir = (uint32_t)aq_reader_bounded(r, UINT32_MAX);
    want.index = (uint32_t)aq_reader_bounded(r, UINT32_MAX);
    want.offset = aq_reader_varint(r);
    want.size = aq_reader_bounded(r, source->s.core->profile->chunk_max);
    want_add(source, &want, r);
}

/* ---- sending ---- */

static void stamp_put(aq_writer *w, const aq_stamp *stamp)
{
    aq_writer_byte(w, stamp->type);
    aq_writer_byte(w, stamp->exec);
    aq_writer_varint(w, stamp->size);
    aq_writer_signed(w, stamp->mtime_ns);
}

/* A quarter of a second's bytes may go at once; a frame may overdraw, and is waited for. */
static bool rate_allows(aq_source *source)
{
    uint64_t now = source->s.core->now_ns;
    if (source->rate == 0) {
        return true;
    }
    uint64_t passed = now - source->allowance_ns;
    uint64_t quarter = UINT64_C(250000000);
    uint64_t burst = source->rate / 4 + 1;
    source->allowance_ns = now;
    if (passed >= 4 * quarter) {
        source->allowance = (int64_t)burst;
    } else {
        /* In microseconds, so that no product overflows. */
        uint64_t micros = passed / 1000;
        source->allowance += (int64_t)(source->rate / 1000000 * micros +
                                       source->rate % 1000000 * micros / 1000000);
        source->allowance_ns -= passed % 1000;
        source->allowance =
            source->allowance > (int64_t)burst ? (int64_t)burst : source->allowance;
    }
    return source->allowance > 0;
}

static void blocks_send(aq_source *source, aq_writer *w)
{
    const aq_source_data *data = source->data;
    aq_writer_varint(w, data->request);
    aq_writer_varint(w, data->status);
    aq_writer_bytes(w, data->at, data->size);
    aq_link_bulk_end(source->s.link, AQ_FRAME_BLOCKS, w);
    data_take(source);
}

bool aq_source_fill_data(aq_source *source)
{
    aq_source_data *data = source->data;
    aq_writer w;
    if (data == NULL || !rate_allows(source) ||
        !aq_session_bulk(&source->s, AQ_FRAME_MAX, &w)) {
        return false;
    }
    if (data->blocks) {
        blocks_send(source, &w);
        return true;
    }
    size_t part = AQ_FRAME_MAX - DATA_HEAD_MAX;
    bool last = data->size <= part;
    part = last ? data->size : part;
    bool failed = data->status != AQ_OK;
    bool hashed = last && data->whole && !failed;
    aq_writer_varint(&w, data->request);
    aq_writer_byte(&w, (uint8_t)((last ? AQ_DATA_LAST : 0) | (failed ? AQ_DATA_STATUS : 0) |
                                 (hashed ? AQ_DATA_HASH : 0)));
    if (failed) {
        aq_writer_varint(&w, data->status);
        stamp_put(&w, &data->stamp);
    }
    if (hashed) {
        aq_writer_bytes(&w, data->hash.bytes, sizeof data->hash);
    }
    aq_writer_bytes(&w, data->at, part);
    aq_link_bulk_end(source->s.link, AQ_FRAME_DATA, &w);
    source->s.stats.bytes_literal += part;
    source->allowance -= source->rate != 0 ? (int64_t)part : 0;
    data->at += part;
    data->size -= part;
    if (last) {
        data_take(source);
    }
    return true;
}

void aq_source_drop_data(aq_source *source)
{
    while (source->data != NULL) {
        data_take(source);
    }
    AQ_VECTOR_RESET(&source->s.core->heap, source->wants);
    source->wants_at = 0;
    aq_heap_give(&source->s.core->heap, source->cancels);
    source->cancels = NULL;
}
