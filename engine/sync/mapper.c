/* mapper.c: see mapper.h.
 *
 *   window n     [chunk][chunk][chunk][part
 *   window n+1                        [chunk][chunk]…       begins at the last border
 *
 * Within a window each chunk is found, hashed, and given to the file's hash while it is
 * still in the processor's cache. */
#include "engine/sync/mapper.h"
#include "engine/base/assert.h"
#include "engine/base/bytes.h"

enum {
    ENDS_MAX = 40 /* chunks in a window: 2 × chunk_max / chunk_min, and the last one */
};

typedef struct map_work {
    aq_work_head head;
    const aq_profile *profile;
    aq_blake3_hasher *hasher; /* NULL: no file hash */
    uint64_t file_size;
    uint32_t count;
    uint32_t ends[ENDS_MAX];
    aq_hash hashes[ENDS_MAX];
} map_work;

static void map_run(aq_op *op)
{
    map_work *work = op->work;
    const aq_item *item = &op->items[0];
    if (item->status != AQ_OK) {
        return;
    }
    size_t size = (size_t)item->done;
    bool final = item->offset + size >= work->file_size;
    size_t start = 0;
    while (start < size && work->count < ENDS_MAX) {
        uint32_t end;
        if (aq_chunker_chunks(work->profile, item->data + start, size - start, final, &end,
                              1) == 0) {
            break;
        }
        aq_blake3(item->data + start, end, &work->hashes[work->count]);
        if (work->hasher != NULL) {
            aq_blake3_update(work->hasher, item->data + start, end);
        }
        start += end;
        work->ends[work->count++] = (uint32_t)start;
    }
}

size_t aq_mapper_window_size(const aq_profile *profile)
{
    return 2 * (size_t)profile->chunk_max;
}

void aq_mapper_init(aq_mapper *m, aq_ops *ops, const aq_profile *profile, uint32_t root,
                    const char *path, const aq_stamp *expect)
{
    *m = (aq_mapper){.ops = ops, .profile = profile, .root = root, .expect = *expect};
    size_t size = aq_string_size(path) + 1;
    m->path = aq_heap_take(ops->heap, size);
    AQ_ASSERT(m->path != NULL);
    aq_copy(m->path, path, size);
    aq_blake3_init(&m->hasher);
}

static void finish(aq_mapper *m)
{
    m->complete = true;
    aq_chunk_map_finish(&m->map, m->ops->heap);
    if (m->hash_file) {
        aq_blake3_final(&m->hasher, &m->file_hash);
    }
}

static void window_done(void *owner, aq_op *op)
{
    aq_mapper *m = owner;
    const map_work *work = op->work;
    const aq_item *item = &op->items[0];
    m->busy = false;
    size_t size = work->count == 0 ? 0 : work->ends[work->count - 1];
    if (item->status != AQ_OK || m->stopped || size == 0) {
        /* A file that ends before its size was cut in the meantime. */
        m->status = item->status != AQ_OK ? item->status : AQ_CHANGED;
        aq_heap_give(m->ops->heap, item->data);
        return;
    }
    uint32_t start = 0;
    for (uint32_t i = 0; i < work->count; i++) {
        aq_chunk_map_add(&m->map, m->ops->heap, &work->hashes[i], work->ends[i] - start);
        start = work->ends[i];
    }
    if (m->map.size == m->expect.size) {
        finish(m);
    }
    if (m->window != NULL) {
        m->window(m->owner, item->offset, item->data, size);
    } else {
        aq_heap_give(m->ops->heap, item->data);
    }
}

void aq_mapper_step(aq_mapper *m)
{
    if (m->busy || m->complete || m->stopped || m->status != AQ_OK) {
        return;
    }
    uint64_t left = m->expect.size - m->map.size;
    if (left == 0) {
        finish(m);
        return;
    }
    size_t window = aq_mapper_window_size(m->profile);
    uint8_t *data = aq_heap_take(m->ops->heap, window);
    if (data == NULL) {
        m->status = AQ_MEMORY;
        return;
    }
    aq_op *op = aq_ops_new(m->ops, AQ_OP_READ, m->root, 1, window_done, m);
    map_work *work = aq_ops_room(m->ops, op, sizeof *work);
    work->head.run = map_run;
    work->profile = m->profile;
    work->hasher = m->hash_file ? &m->hasher : NULL;
    work->file_size = m->expect.size;
    work->count = 0;
    op->work = work;
    aq_item *item = &op->items[0];
    item->path = aq_ops_string(m->ops, op, m->path);
    item->expect = m->expect;
    item->offset = m->map.size;
    item->data = data;
    item->size = left < window ? left : window;
    aq_ops_queue(m->ops, op);
    m->busy = true;
}

void aq_mapper_reset(aq_mapper *m)
{
    AQ_ASSERT(!m->busy);
    aq_chunk_map_reset(&m->map, m->ops->heap);
    aq_heap_give(m->ops->heap, m->path);
    m->path = NULL;
}
