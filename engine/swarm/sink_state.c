/* sink_state.c: what a sink remembers from one run to the next. Losing it costs time only.
 *
 *   "quiet"         pairs (directory of the source, directory of ours) that differ and
 * still need nothing: ours has names that are kept without --delete, or that the options
 *                   leave alone. Eight bytes of a hash over both directory hashes and the
 * options stand for a pair; a pair that is met again is not looked into. "fetch/<slot>"
 * which ranges of an unfinished large file are verified and durable, for which version of
 * it. They are not read again on resuming; the hash of the whole file is still checked in
 * the end.
 */
#include "engine/swarm/sink_fetch.h"
#include "engine/base/assert.h"
#include "engine/base/bytes.h"
#include "engine/data/blake3.h"

enum {
    QUIET_MAX = 1 << 15, /* pairs kept */
    RECORD_MAX = 64 << 10,
    FLUSH_CHUNKS = 4 /* of the largest size: 32 MiB */
};

static aq_heap *heap_of(const aq_sink *sink)
{
    return &sink->s.core->heap;
}

/* ---- quiet directories ---- */

static const char quiet_key[] = "quiet";

/* Two syncs that leave different things alone have different pairs. */
static void options_digest(aq_sink *sink)
{
    uint8_t form[128];
    const aq_sync_options *o = &sink->s.options;
    aq_writer w = aq_writer_over(form, sizeof form);
    aq_writer_byte(&w, (uint8_t)(o->delete_extra | o->size_only << 1 | o->update << 2 |
                                 o->ignore_existing << 3 | o->existing << 4));
    aq_writer_signed(&w, o->modify_window_ns);
    aq_hash filter = {{0}};
    if (o->filter != NULL) {
        aq_blake3(o->filter, aq_string_size(o->filter), &filter);
    }
    aq_writer_bytes(&w, filter.bytes, sizeof filter);
    aq_blake3(form, w.size, &sink->options_digest);
}

static uint64_t pair_key(const aq_sink *sink, const aq_hash *source, const aq_hash *own)
{
    uint8_t form[3 * sizeof(aq_hash)];
    aq_copy(form, sink->options_digest.bytes, sizeof(aq_hash));
    aq_copy(form + sizeof(aq_hash), source->bytes, sizeof(aq_hash));
    aq_copy(form + 2 * sizeof(aq_hash), own->bytes, sizeof(aq_hash));
    aq_hash hash;
    aq_blake3(form, sizeof form, &hash);
    return aq_load64(hash.bytes);
}

static void quiet_loaded(void *owner, aq_op *op)
{
    aq_sink *sink = owner;
    aq_item *item = &op->items[0];
    aq_sink_op_done(sink);
    uint64_t size = item->status == AQ_OK && item->done <= item->size ? item->done : 0;
    for (uint64_t at = 0; at + 8 <= size; at += 8) {
        uint64_t key = aq_load64(item->data + at);
        AQ_VECTOR_PUSH(heap_of(sink), sink->quiet, key);
        AQ_ASSERT(aq_map_put(&sink->quiet_set, heap_of(sink), key, 0));
    }
    aq_heap_give(heap_of(sink), item->data);
    sink->quiet_loaded = true;
}

void aq_sink_quiet_load(aq_sink *sink)
{
    options_digest(sink);
    aq_op *op = aq_sink_op(sink, AQ_OP_LOAD, 1, quiet_loaded, sink);
    op->items[0].path = quiet_key;
    op->items[0].size = QUIET_MAX * 8;
    op->items[0].data = aq_heap_take(heap_of(sink), QUIET_MAX * 8);
    AQ_ASSERT(op->items[0].data != NULL);
    aq_sink_op_queue(sink, op);
}

bool aq_sink_quiet_has(const aq_sink *sink, const aq_hash *source, const aq_hash *own)
{
    uint32_t value;
    return aq_map_get(&sink->quiet_set, pair_key(sink, source, own), &value);
}

static void saved(void *owner, aq_op *op)
{
    aq_sink_op_done(owner);
    aq_heap_give(heap_of(owner), op->items[0].data);
}

/* A directory is quiet when nothing in it, or below, had to be done. */
static void busy_spread(aq_sink *sink)
{
    for (uint32_t i = sink->rdirs.count; i-- > 1;) {
        const aq_rdir *rd = &sink->rdirs.at[i];
        uint32_t parent = sink->remote.dirs.at[i].parent;
        bool moved_on = rd->local == AQ_NOWHERE ||
                        sink->scan.tree.dirs.at[rd->local].self->stamp.mtime_ns !=
                            sink->remote.dirs.at[i].self->stamp.mtime_ns;
        if (rd->busy || rd->parked || moved_on) {
            sink->rdirs.at[parent].busy = true;
        }
    }
}

void aq_sink_quiet_save(aq_sink *sink)
{
    const aq_sync_options *o = &sink->s.options;
    if (o->dry_run || o->verify_only || o->checksum || sink->s.stats.errors != 0) {
        return;
    }
    busy_spread(sink);
    uint32_t before = sink->quiet.count;
    for (uint32_t i = 0; i < sink->rdirs.count; i++) {
        const aq_rdir *rd = &sink->rdirs.at[i];
        if (rd->state != AQ_RDIR_PLANNED || rd->busy || rd->broken || !rd->has_hash ||
            rd->local == AQ_NOWHERE) {
            continue;
        }
        uint64_t key = pair_key(sink, &rd->hash, &sink->scan.tree.dirs.at[rd->local].hash);
        AQ_VECTOR_PUSH(heap_of(sink), sink->quiet, key);
    }
    if (sink->quiet.count == before) {
        return;
    }
    uint32_t skip = sink->quiet.count > QUIET_MAX ? sink->quiet.count - QUIET_MAX : 0;
    uint32_t count = sink->quiet.count - skip;
    uint8_t *value = aq_heap_take(heap_of(sink), (size_t)count * 8);
    AQ_ASSERT(value != NULL);
    for (uint32_t i = 0; i < count; i++) {
        aq_store64(value + (size_t)i * 8, sink->quiet.at[skip + i]);
    }
    aq_op *op = aq_sink_op(sink, AQ_OP_SAVE, 1, saved, sink);
    op->items[0].path = quiet_key;
    op->items[0].data = value;
    op->items[0].size = (uint64_t)count * 8;
    aq_sink_op_queue(sink, op);
}

/* ---- unfinished large files ---- */

static char *record_key(const aq_fetch *f, aq_op *op)
{
    static const char prefix[] = "fetch/";
    char *key = aq_ops_room(&f->sink->s.core->ops, op, sizeof prefix + 16);
    aq_copy(key, prefix, sizeof prefix);
    for (unsigned i = 0; i < 16; i++) {
        key[sizeof prefix - 1 + i] = "0123456789abcdef"[f->slot >> (60 - 4 * i) & 15];
    }
    key[sizeof prefix - 1 + 16] = 0;
    return key;
}

static void record_loaded(void *owner, aq_op *op)
{
    aq_fetch *f = owner;
    const aq_item *item = &op->items[0];
    const aq_entry *entry = aq_sink_entry(f->sink, f->ref);
    aq_sink_op_done(f->sink);
    f->flight--;
    f->record_waits = false;
    uint64_t size = item->status == AQ_OK && item->done <= item->size ? item->done : 0;
    aq_reader r = aq_reader_over(item->data, (size_t)size);
    bool same = aq_reader_varint(&r) == f->size &&
                aq_reader_signed(&r) == entry->stamp.mtime_ns && !r.failed;
    uint64_t at = 0;
    while (same && aq_reader_left(&r) != 0) {
        aq_durable range;
        range.start = at + aq_reader_bounded(&r, f->size - at);
        range.end = range.start + aq_reader_bounded(&r, f->size - range.start);
        if (r.failed) {
            break;
        }
        at = range.end;
        AQ_VECTOR_PUSH(heap_of(f->sink), f->durable, range);
    }
    f->recorded = size != 0;
    aq_heap_give(heap_of(f->sink), item->data);
}

void aq_fetch_record_load(aq_fetch *f)
{
    aq_op *op = aq_sink_op(f->sink, AQ_OP_LOAD, 1, record_loaded, f);
    op->items[0].path = record_key(f, op);
    op->items[0].size = RECORD_MAX;
    op->items[0].data = aq_heap_take(heap_of(f->sink), RECORD_MAX);
    AQ_ASSERT(op->items[0].data != NULL);
    f->flight++;
    f->record_waits = true;
    aq_sink_op_queue(f->sink, op);
}

bool aq_fetch_is_recorded(const aq_fetch *f, uint64_t offset, uint64_t size)
{
    for (uint32_t i = 0; i < f->durable.count; i++) {
        const aq_durable *range = &f->durable.at[i];
        if (offset >= range->start && offset + size <= range->end) {
            return true;
        }
    }
    return false;
}

typedef struct flush_work {
    aq_work_head head;
    uint64_t bytes;
    uint8_t *record; /* NULL: too long to be worth it */
    size_t record_size;
} flush_work;

static void record_saved(void *owner, aq_op *op)
{
    aq_fetch *f = owner;
    aq_sink_op_done(f->sink);
    f->flight--;
    f->flushing = false;
    aq_heap_give(heap_of(f->sink), op->items[0].data);
}

static void flushed(void *owner, aq_op *op)
{
    aq_fetch *f = owner;
    const flush_work *work = op->work;
    aq_sink_op_done(f->sink);
    f->flight--;
    if (op->items[0].status != AQ_OK) {
        aq_heap_give(heap_of(f->sink), work->record);
        f->flushing = false;
        f->untrusted = true;
        aq_fetch_fail(f, op->items[0].status);
        return;
    }
    if (f->sink->s.link != NULL && !f->sink->s.ended) {
        aq_writer w = aq_session_frame(&f->sink->s);
        aq_writer_varint(&w, work->bytes);
        aq_link_frame_end(f->sink->s.link, AQ_FRAME_ACK, &w);
    }
    if (work->record == NULL) {
        f->flushing = false;
        return;
    }
    aq_op *save = aq_sink_op(f->sink, AQ_OP_SAVE, 1, record_saved, f);
    save->items[0].path = record_key(f, save);
    save->items[0].data = work->record;
    save->items[0].size = work->record_size;
    f->flight++;
    f->recorded = true;
    aq_sink_op_queue(f->sink, save);
}

/* The ranges that are in the slot, as differences. */
static void record_write(const aq_fetch *f, aq_writer *w)
{
    aq_writer_varint(w, f->size);
    aq_writer_signed(w, aq_sink_entry(f->sink, f->ref)->stamp.mtime_ns);
    uint64_t last = 0;
    for (uint32_t i = 0; i < f->map.chunks.count;) {
        if (f->states.at[i] != AQ_CHUNK_HAVE) {
            i++;
            continue;
        }
        uint64_t start = f->map.chunks.at[i].offset, end = start;
        for (; i < f->map.chunks.count && f->states.at[i] == AQ_CHUNK_HAVE; i++) {
            end += f->map.chunks.at[i].size;
        }
        aq_writer_varint(w, start - last);
        aq_writer_varint(w, end - start);
        last = end;
    }
}

void aq_fetch_record_step(aq_fetch *f)
{
    uint64_t due = FLUSH_CHUNKS * (uint64_t)f->sink->s.core->profile->chunk_max;
    due = due > f->size / 256 ? due : f->size / 256;
    if (f->flushing || f->dead || f->undurable < due || f->have == f->map.chunks.count) {
        return;
    }
    aq_op *op = aq_sink_op(f->sink, AQ_OP_FLUSH, 1, flushed, f);
    flush_work *work = aq_ops_room(&f->sink->s.core->ops, op, sizeof *work);
    *work = (flush_work){.bytes = f->undurable};
    work->record = aq_heap_take(heap_of(f->sink), RECORD_MAX);
    AQ_ASSERT(work->record != NULL);
    aq_writer w = aq_writer_over(work->record, RECORD_MAX);
    record_write(f, &w);
    work->record_size = w.size;
    if (!aq_writer_fits(&w)) {
        aq_heap_give(heap_of(f->sink), work->record);
        work->record = NULL;
    }
    op->work = work;
    op->items[0].slot = f->slot;
    f->undurable = 0;
    f->flight++;
    f->flushing = true;
    aq_sink_op_queue(f->sink, op);
}

static void record_dropped(void *owner, aq_op *op)
{
    aq_fetch *f = owner;
    (void)op;
    aq_sink_op_done(f->sink);
    f->flight--;
}

void aq_fetch_record_drop(aq_fetch *f)
{
    if (!f->recorded) {
        return;
    }
    f->recorded = false;
    aq_op *op = aq_sink_op(f->sink, AQ_OP_SAVE, 1, record_dropped, f);
    op->items[0].path = record_key(f, op);
    f->flight++; /* the next fetch of this file does not save before it is done */
    aq_sink_op_queue(f->sink, op);
}
