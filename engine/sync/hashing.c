/* hashing.c: see hashing.h. One op is under way at a time: either a batch of small files,
 * hashed side by side, or the next window of a large one. */
#include "engine/sync/hashing.h"
#include "engine/base/assert.h"
#include "engine/base/bytes.h"
#include "engine/sync/path.h"

enum { BATCH_FILES = 64, BATCH_BYTES = 2 << 20, SMALL_MAX = 256 << 10 };

typedef struct hash_work {
    aq_work_head head;
    aq_blake3_hasher *hasher; /* a large file's; NULL: a batch */
} hash_work;

static void hash_run(aq_op *op)
{
    const hash_work *work = op->work;
    if (work->hasher != NULL) {
        if (op->items[0].status == AQ_OK) {
            aq_blake3_update(work->hasher, op->items[0].data, (size_t)op->items[0].done);
        }
        return;
    }
    aq_blake3_message messages[BATCH_FILES];
    for (uint32_t i = 0; i < op->item_count; i++) {
        aq_item *item = &op->items[i];
        size_t size = item->status == AQ_OK ? (size_t)item->done : 0;
        messages[i] = (aq_blake3_message){item->data, size, &item->hash};
    }
    aq_blake3_batch(messages, op->item_count);
}

void aq_hashing_init(aq_hashing *h, aq_ops *ops, const aq_tree *tree, uint32_t root)
{
    *h = (aq_hashing){.ops = ops, .tree = tree, .root = root};
}

void aq_hashing_add(aq_hashing *h, uint32_t dir, const aq_entry *entry)
{
    aq_hashing_item item = {.dir = dir, .entry = entry};
    AQ_VECTOR_PUSH(h->ops->heap, h->items, item);
}

void aq_hashing_add_below(aq_hashing *h, uint32_t dir, uint64_t max)
{
    AQ_VECTOR(uint32_t) stack = {0};
    aq_heap *heap = h->ops->heap;
    AQ_VECTOR_PUSH(heap, stack, dir);
    while (stack.count != 0 && h->status == AQ_OK) {
        uint32_t top = stack.at[--stack.count];
        const aq_dir *d = &h->tree->dirs.at[top];
        if (!AQ_VECTOR_ENSURE(heap, h->items, d->count)) {
            h->status = AQ_MEMORY;
            break;
        }
        for (uint32_t i = 0; i < d->count; i++) {
            if (d->entries[i]->stamp.type == AQ_TYPE_FILE) {
                aq_hashing_add(h, top, d->entries[i]);
            }
        }
        for (uint32_t i = d->count; i-- > 0;) {
            if (d->entries[i]->stamp.type == AQ_TYPE_DIRECTORY) {
                AQ_VECTOR_PUSH(heap, stack, d->entries[i]->child);
            }
        }
    }
    AQ_VECTOR_RESET(heap, stack);
    if (h->items.count > max) {
        h->status = AQ_MEMORY;
    }
    if (h->status != AQ_OK) {
        AQ_VECTOR_RESET(heap, h->items);
    }
}

static void item_ended(aq_hashing *h, const aq_item *item, uint32_t index)
{
    aq_hashing_item *result = &h->items.at[index];
    result->status = item->status;
    result->hash = item->hash;
    if (item->status == AQ_OK && h->offset + item->done != result->entry->stamp.size) {
        result->status = AQ_CHANGED;
    }
}

static void batch_done(void *owner, aq_op *op)
{
    aq_hashing *h = owner;
    h->busy = false;
    for (uint32_t i = 0; i < op->item_count; i++) {
        item_ended(h, &op->items[i], h->next + i);
    }
    h->next += op->item_count;
    aq_heap_give(h->ops->heap, op->items[0].data);
}

static void window_done(void *owner, aq_op *op)
{
    aq_hashing *h = owner;
    h->busy = false;
    aq_item *item = &op->items[0];
    uint64_t end = h->offset + item->done;
    bool more = item->status == AQ_OK && item->done != 0 &&
                end < h->items.at[h->next].entry->stamp.size;
    if (more) {
        h->offset = end;
    } else {
        aq_blake3_final(&h->hasher, &item->hash);
        item_ended(h, item, h->next);
        h->next++;
        h->offset = 0;
    }
    aq_heap_give(h->ops->heap, item->data);
}

static aq_op *op_new(aq_hashing *h, uint32_t count, aq_op_handler *handler)
{
    aq_op *op = aq_ops_new(h->ops, AQ_OP_READ, h->root, count, handler, h);
    hash_work *work = aq_ops_room(h->ops, op, sizeof *work);
    work->head.run = hash_run;
    work->hasher = NULL;
    op->work = work;
    return op;
}

static void item_fill(aq_hashing *h, aq_op *op, uint32_t i, uint32_t index, uint8_t *data,
                      uint64_t size)
{
    const aq_hashing_item *it = &h->items.at[index];
    char path[AQ_PATH_MAX + 1];
    aq_tree_path(h->tree, it->dir, it->entry->name, path);
    op->items[i].path = aq_ops_string(h->ops, op, path);
    op->items[i].expect = it->entry->stamp;
    op->items[i].offset = h->offset;
    op->items[i].data = data;
    op->items[i].size = size;
}

/* There is no memory to read them into. */
static void items_skip(aq_hashing *h, uint32_t count)
{
    for (; count != 0; count--) {
        h->items.at[h->next++].status = AQ_MEMORY;
    }
    h->offset = 0;
    h->busy = false;
}

static void window_queue(aq_hashing *h)
{
    uint64_t left = h->items.at[h->next].entry->stamp.size - h->offset;
    uint64_t size = left < BATCH_BYTES ? left : BATCH_BYTES;
    uint8_t *data = aq_heap_take(h->ops->heap, (size_t)size);
    if (data == NULL) {
        items_skip(h, 1);
        return;
    }
    if (h->offset == 0) {
        aq_blake3_init(&h->hasher);
    }
    aq_op *op = op_new(h, 1, window_done);
    ((hash_work *)op->work)->hasher = &h->hasher;
    item_fill(h, op, 0, h->next, data, size);
    aq_ops_queue(h->ops, op);
}

static void batch_queue(aq_hashing *h)
{
    uint32_t count = 0;
    size_t bytes = 0;
    while (count < BATCH_FILES && h->next + count < h->items.count) {
        uint64_t size = h->items.at[h->next + count].entry->stamp.size;
        if (size > SMALL_MAX || bytes + size > BATCH_BYTES) {
            break;
        }
        bytes += (size_t)size;
        count++;
    }
    AQ_ASSERT(count != 0);
    uint8_t *data = aq_heap_take(h->ops->heap, bytes + 1);
    if (data == NULL) {
        items_skip(h, count);
        return;
    }
    aq_op *op = op_new(h, count, batch_done);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t size = h->items.at[h->next + i].entry->stamp.size;
        item_fill(h, op, i, h->next + i, data, size);
        data += size;
    }
    aq_ops_queue(h->ops, op);
}

void aq_hashing_step(aq_hashing *h)
{
    while (!h->busy && !h->stopped && h->next != h->items.count) {
        h->busy = true;
        if (h->items.at[h->next].entry->stamp.size > SMALL_MAX) {
            window_queue(h);
        } else {
            batch_queue(h);
        }
    }
}

bool aq_hashing_is_over(const aq_hashing *h)
{
    return !h->busy && (h->stopped || h->next == h->items.count);
}

aq_status aq_hashing_digest(const aq_hashing *h, aq_hash *out)
{
    aq_blake3_hasher hasher;
    aq_blake3_init(&hasher);
    if (h->status != AQ_OK) {
        return h->status;
    }
    for (uint32_t i = 0; i < h->items.count; i++) {
        if (h->items.at[i].status != AQ_OK) {
            return h->items.at[i].status;
        }
        aq_blake3_update(&hasher, h->items.at[i].hash.bytes, sizeof(aq_hash));
    }
    aq_blake3_final(&hasher, out);
    return AQ_OK;
}

void aq_hashing_reset(aq_hashing *h)
{
    AQ_ASSERT(!h->busy);
    AQ_VECTOR_RESET(h->ops->heap, h->items);
}
