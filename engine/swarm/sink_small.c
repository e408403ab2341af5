/* sink_small.c: small files and symlinks, many at a time.
 *
 *   ready directories ─► WANT ─► DATA ─► batch ─► STAGE (hashes verified) ─► sink_publish.c
 *
 * Bytes are asked for only while the buffer for them is held. */
#include "engine/swarm/sink.h"
#include "engine/base/assert.h"
#include "engine/base/bytes.h"
#include "engine/data/blake3.h"
#include "engine/sync/path.h"

enum {
    BATCH_FILES = 128,
    BATCH_BYTES = 1 << 20,
    STAGE_MAX = 4 /* ops under way */
};

typedef struct stage_work {
    aq_work_head head;
    aq_sink *sink;
    uint32_t count;
    aq_small **smalls;
} stage_work;

static void small_free(aq_sink *sink, aq_small *small)
{
    if (aq_sink_entry(sink, small->ref)->stamp.type == AQ_TYPE_FILE) {
        aq_sink_buffer_give(sink, small->data, small->size);
    }
    aq_heap_give(&sink->s.core->heap, small);
    AQ_ASSERT(sink->small_open > 0);
    sink->small_open--;
}

static void small_ready(aq_sink *sink, aq_small *small)
{
    AQ_VECTOR_PUSH(&sink->s.core->heap, sink->batch, small);
    sink->batch_bytes += small->size;
}

/* False: not now. */
static bool small_begin(aq_sink *sink, aq_ref ref, uint32_t tries)
{
    aq_entry *entry = aq_sink_entry(sink, ref);
    bool is_link = entry->stamp.type == AQ_TYPE_SYMLINK;
    bool asks = !is_link && entry->stamp.size != 0;
    uint8_t *data = NULL;
    if (asks) {
        data =
            aq_sink_may_request(sink, 1) ? aq_sink_buffer(sink, entry->stamp.size) : NULL;
        if (data == NULL) {
            return false;
        }
    }
    aq_small *small = aq_heap_take_zeroed(&sink->s.core->heap, sizeof *small);
    AQ_ASSERT(small != NULL);
    small->ref = ref;
    small->tries = tries;
    small->slot = sink->slot_next++ & (UINT64_MAX >> 1);
    small->data = data;
    small->size = entry->stamp.size;
    sink->small_open++;
    if (asks) {
        uint32_t request =
            aq_sink_request(sink, AQ_REQUEST_SMALL, small, 0, data, small->size);
        aq_sink_want(sink, request, ref, AQ_WANT_WHOLE, 0, 0);
        return true;
    }
    if (is_link) {
        small->data = (uint8_t *)(uintptr_t)aq_entry_target(entry);
        small->size = entry->target_size;
    } else {
        aq_blake3(NULL, 0, &small->hash);
    }
    small_ready(sink, small);
    return true;
}

void aq_sink_small_answer(aq_sink *sink, aq_small *small, const aq_answer *answer,
                          uint64_t received)
{
    if (answer->status == AQ_OK && answer->has_hash && received == small->size) {
        small->hash = answer->hash;
        small_ready(sink, small);
        return;
    }
    aq_answer reported = *answer;
    if (reported.status == AQ_OK) {
        reported.status = AQ_CORRUPT;
    }
    aq_ref ref = small->ref;
    uint32_t tries = small->tries;
    small_free(sink, small);
    aq_sink_changed(sink, ref, tries, &reported);
}

/* ---- staging ---- */

static void stage_run(aq_op *op)
{
    aq_hash hashes[BATCH_FILES];
    aq_blake3_message messages[BATCH_FILES];
    uint32_t count = 0;
    for (uint32_t i = 0; i < op->item_count; i++) {
        const aq_item *item = &op->items[i];
        if (item->type == AQ_TYPE_FILE) {
            messages[count] =
                (aq_blake3_message){item->data, (size_t)item->size, &hashes[count]};
            count++;
        }
    }
    aq_blake3_batch(messages, count);
    count = 0;
    for (uint32_t i = 0; i < op->item_count; i++) {
        aq_item *item = &op->items[i];
        if (item->type == AQ_TYPE_FILE &&
            aq_compare(hashes[count++].bytes, item->hash.bytes, sizeof item->hash) != 0) {
            item->status = AQ_CORRUPT;
        }
    }
}

static void staged(void *owner, aq_op *op)
{
    aq_sink *sink = owner;
    const stage_work *work = op->work;
    aq_sink_op_done(sink);
    for (uint32_t i = 0; i < work->count; i++) {
        aq_small *small = work->smalls[i];
        aq_ref ref = small->ref;
        uint32_t tries = small->tries;
        aq_status status = op->items[i].status;
        if (status == AQ_OK) {
            aq_sink_publish(sink, ref, small->slot, small->size);
        } else if (status == AQ_CORRUPT && tries + 1 < AQ_SINK_TRIES_MAX) {
            AQ_VECTOR_PUSH(&sink->s.core->heap, sink->retries, (aq_retry){ref, tries + 1});
        } else {
            aq_sink_problem(sink, ref, status);
        }
        small_free(sink, small);
    }
}

static void batch_stage(aq_sink *sink)
{
    aq_ops *ops = &sink->s.core->ops;
    uint32_t count = sink->batch.count < BATCH_FILES ? sink->batch.count : BATCH_FILES;
    aq_op *op = aq_sink_op(sink, AQ_OP_STAGE, count, staged, sink);
    stage_work *work = aq_ops_room(ops, op, sizeof *work);
    *work = (stage_work){.head = {stage_run}, .sink = sink, .count = count};
    work->smalls = aq_ops_room(ops, op, count * sizeof(aq_small *));
    op->work = work;
    for (uint32_t i = 0; i < count; i++) {
        aq_small *small = sink->batch.at[sink->batch.count - count + i];
        const aq_entry *entry = aq_sink_entry(sink, small->ref);
        work->smalls[i] = small;
        aq_item *item = &op->items[i];
        item->slot = small->slot;
        item->data = small->data;
        item->size = small->size;
        item->hash = small->hash;
        item->type = entry->stamp.type;
        item->exec = entry->stamp.exec;
        item->mtime_ns = entry->stamp.mtime_ns;
        sink->batch_bytes -= small->size;
    }
    sink->batch.count -= count;
    sink->staged_any = true;
    aq_sink_op_queue(sink, op);
}

/* ---- which files ---- */

void aq_sink_schedule(aq_sink *sink, aq_ref ref, uint32_t tries)
{
    const aq_entry *entry = aq_sink_entry(sink, ref);
    bool large = entry->stamp.type == AQ_TYPE_FILE &&
                 entry->stamp.size >= sink->s.core->profile->chunk_min;
    sink->rdirs.at[ref.dir].actions[ref.index] = AQ_ACTION_TAKEN;
    if (large) {
        AQ_VECTOR_PUSH(&sink->s.core->heap, sink->large, (aq_retry){ref, tries});
    } else {
        AQ_VECTOR_PUSH(&sink->s.core->heap, sink->retries, (aq_retry){ref, tries});
    }
}

/* The next entries of one directory. False: no memory for more now. */
static bool dir_advance(aq_sink *sink, uint32_t dir)
{
    aq_rdir *rd = &sink->rdirs.at[dir];
    uint32_t count = sink->remote.dirs.at[dir].count;
    uint64_t large_min = sink->s.core->profile->chunk_min;
    for (; rd->cursor < count; rd->cursor++) {
        aq_action action = (aq_action)rd->actions[rd->cursor];
        if (action != AQ_ACTION_NEW && action != AQ_ACTION_CONTENT) {
            continue;
        }
        aq_ref ref = {dir, rd->cursor};
        const aq_entry *entry = aq_sink_entry(sink, ref);
        if (entry->stamp.type == AQ_TYPE_FILE && entry->stamp.size >= large_min) {
            aq_sink_schedule(sink, ref, 0);
        } else if (small_begin(sink, ref, 0)) {
            rd->actions[rd->cursor] = AQ_ACTION_TAKEN;
        } else {
            return false;
        }
    }
    return true;
}

static bool retries_advance(aq_sink *sink)
{
    while (sink->retries.count != 0) {
        aq_retry retry = sink->retries.at[sink->retries.count - 1];
        const aq_entry *entry = aq_sink_entry(sink, retry.ref);
        bool large = entry->stamp.type == AQ_TYPE_FILE &&
                     entry->stamp.size >= sink->s.core->profile->chunk_min;
        if (!large && !small_begin(sink, retry.ref, retry.tries)) {
            return false;
        }
        sink->retries.count--;
        if (large) {
            AQ_VECTOR_PUSH(&sink->s.core->heap, sink->large, retry);
        }
    }
    return true;
}

void aq_sink_step_small(aq_sink *sink)
{
    bool room = aq_sink_may_start(sink) && retries_advance(sink);
    while (room && sink->ready_at < sink->ready.count) {
        room = dir_advance(sink, sink->ready.at[sink->ready_at]);
        sink->ready_at += room;
    }
    if (sink->ready_at == sink->ready.count) {
        sink->ready_at = sink->ready.count = 0;
    }
    while (sink->batch.count != 0) {
        bool full = sink->batch.count >= BATCH_FILES || sink->batch_bytes >= BATCH_BYTES;
        bool last = sink->batch.count == sink->small_open;
        if ((!full && !last && sink->ops != 0) || sink->ops >= STAGE_MAX * 4) {
            break;
        }
        batch_stage(sink);
    }
}

/* Answers that are not here yet are given up; what is complete is still staged. */
void aq_sink_drop_small(aq_sink *sink)
{
    for (uint32_t i = 0; i < AQ_SINK_REQUESTS_MAX; i++) {
        aq_request *request = &sink->requests[i];
        if (request->kind == AQ_REQUEST_SMALL) {
            sink->outstanding -= request->size - request->received;
            request->kind = AQ_REQUEST_FREE;
            sink->request_count--;
            small_free(sink, request->owner);
        }
    }
}
