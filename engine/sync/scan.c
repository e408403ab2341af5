/* scan.c: see scan.h.
 *
 *   stack ─► LIST (parts until the end) ─► sort, filter, validate ─► tree ─► children on
 * stack
 *
 * A directory that fails stays in the tree without entries and `broken`, so that nobody
 * takes absence for deletion. The root failing is the scan failing (rule R20). */
#include "engine/sync/scan.h"
#include "engine/base/assert.h"
#include "engine/base/bytes.h"
#include "engine/sync/filter.h"
#include "engine/sync/path.h"

enum {
    FLIGHT_MAX = 6,
    PART_SIZE = 64 << 10,
    PART_SIZE_SMALL = 8 << 10 /* most directories are small */
};

typedef struct part part;
struct part {
    part *next;
    size_t used;
    _Alignas(16) uint8_t bytes[];
};

/* One directory being listed. */
typedef struct listing {
    aq_scan *scan;
    uint32_t dir;
    uint64_t cookie;
    part *parts;
} listing;

static void no_one(void *owner, uint32_t dir)
{
    (void)owner;
    (void)dir;
}

void aq_scan_init(aq_scan *scan, aq_ops *ops, uint32_t root, const char *filter,
                  void *owner,
                  void (*problem)(void *owner, const char *path, aq_status status),
                  aq_tree_completed *completed)
{
    *scan = (aq_scan){.ops = ops,
                      .root = root,
                      .owner = owner,
                      .problem = problem,
                      .completed = completed != NULL ? completed : no_one};
    bool valid = aq_filter_open(&scan->filter, filter, NULL);
    AQ_ASSERT(valid); /* a peer's was checked when it came */
    aq_tree_init(&scan->tree, ops->heap);
    AQ_VECTOR_PUSH(ops->heap, scan->stack, 0);
}

static void listing_free(listing *l)
{
    aq_heap *heap = l->scan->ops->heap;
    for (part *p = l->parts, *next; p != NULL; p = next) {
        next = p->next;
        aq_heap_give(heap, p);
    }
    aq_heap_give(heap, l);
}

static void scan_fail(aq_scan *scan, aq_status status)
{
    if (scan->status == AQ_OK) {
        scan->status = status;
    }
    scan->stopped = true;
}

/* Is this entry content? If it cannot be, says so. */
static bool entry_is_wanted(aq_scan *scan, uint32_t dir, const char *base, size_t base_size,
                            const aq_entry *entry)
{
    bool reserved = dir == 0 && aq_name_is_reserved(entry->name, entry->name_size);
    if (reserved || entry->stamp.type == AQ_TYPE_OTHER) {
        return false;
    }
    char path[AQ_PATH_MAX + AQ_NAME_MAX + 2];
    aq_copy(path, base, base_size);
    size_t size = base_size;
    if (size != 0) {
        path[size++] = '/';
    }
    /* Some file systems have longer names; they are only told about. */
    size_t name_size = entry->name_size < AQ_NAME_MAX ? entry->name_size : AQ_NAME_MAX;
    aq_copy(path + size, entry->name, name_size);
    size += name_size;
    path[size] = 0;
    bool is_directory = entry->stamp.type == AQ_TYPE_DIRECTORY;
    if (!aq_filter_passes_below(&scan->filter, path, is_directory)) {
        return false;
    }
    bool valid = aq_name_is_valid(entry->name, entry->name_size) && size <= AQ_PATH_MAX &&
                 aq_tree_depth(&scan->tree, dir) < AQ_DEPTH_MAX - 1 &&
                 (entry->stamp.type != AQ_TYPE_SYMLINK ||
                  aq_target_is_valid(aq_entry_target(entry), entry->target_size));
    if (!valid) {
        scan->problem(scan->owner, path, AQ_NAME);
    }
    return valid;
}

static void listing_finish(listing *l)
{
    aq_scan *scan = l->scan;
    aq_heap *heap = scan->ops->heap;
    uint32_t count = 0;
    for (part *p = l->parts; p != NULL; p = p->next) {
        for (size_t at = 0; at < p->used; count++) {
            const aq_entry *entry = (const aq_entry *)(void *)(p->bytes + at);
            at += aq_entry_size(entry->name_size, entry->target_size);
        }
    }
    const aq_entry **entries = aq_heap_take(heap, (size_t)count * sizeof *entries + 1);
    if (entries == NULL || aq_heap_is_low(heap)) {
        aq_heap_give(heap, entries);
        scan_fail(scan, AQ_MEMORY);
        return;
    }
    char base[AQ_PATH_MAX + 1];
    size_t base_size = aq_tree_path(&scan->tree, l->dir, NULL, base);
    uint32_t kept = 0;
    for (part *p = l->parts; p != NULL; p = p->next) {
        for (size_t at = 0; at < p->used;) {
            const aq_entry *entry = (const aq_entry *)(void *)(p->bytes + at);
            at += aq_entry_size(entry->name_size, entry->target_size);
            if (entry_is_wanted(scan, l->dir, base, base_size, entry)) {
                entries[kept++] = entry;
            } else {
                aq_dir *d = &scan->tree.dirs.at[l->dir];
                d->hidden = true;
                d->broken |= entry->stamp.type != AQ_TYPE_OTHER &&
                             !aq_name_is_valid(entry->name, entry->name_size);
            }
        }
    }
    bool listed = aq_tree_list(&scan->tree, l->dir, entries, kept);
    aq_heap_give(heap, entries);
    if (!listed) {
        scan_fail(scan, AQ_MEMORY);
        return;
    }
    const aq_dir *d = &scan->tree.dirs.at[l->dir];
    for (uint32_t i = d->count; i-- > 0;) {
        if (d->entries[i]->stamp.type == AQ_TYPE_DIRECTORY) {
            AQ_VECTOR_PUSH(heap, scan->stack, d->entries[i]->child);
        }
    }
    aq_tree_settle(&scan->tree, l->dir, scan->completed, scan->owner);
}

static void listing_failed(listing *l, aq_status status)
{
    aq_scan *scan = l->scan;
    if (l->dir == 0) {
        scan_fail(scan, status == AQ_MEMORY ? AQ_MEMORY : AQ_ROOT);
        return;
    }
    char path[AQ_PATH_MAX + 1];
    aq_tree_path(&scan->tree, l->dir, NULL, path);
    scan->problem(scan->owner, path, status);
    scan->tree.dirs.at[l->dir].broken = true;
    if (aq_tree_list(&scan->tree, l->dir, NULL, 0)) {
        aq_tree_settle(&scan->tree, l->dir, scan->completed, scan->owner);
    } else {
        scan_fail(scan, AQ_MEMORY);
    }
}

static void part_queue(listing *l);

static void part_done(void *owner, aq_op *op)
{
    listing *l = owner;
    aq_scan *scan = l->scan;
    const aq_item *item = &op->items[0];
    scan->flight--;
    if (item->status != AQ_OK || scan->stopped) {
        if (!scan->stopped) {
            listing_failed(l, item->status);
        }
        listing_free(l);
        return;
    }
    if (l->dir == 0 && l->cookie == 0) {
        scan->tree.stamp = item->stamp;
    }
    l->parts->used = (size_t)item->done;
    l->cookie = item->offset;
    if (l->cookie != 0) {
        part_queue(l);
        return;
    }
    listing_finish(l);
    listing_free(l);
}

static void part_queue(listing *l)
{
    aq_scan *scan = l->scan;
    size_t size = l->parts == NULL ? PART_SIZE_SMALL : PART_SIZE;
    part *fresh =
        aq_heap_is_low(scan->ops->heap) ? NULL : aq_heap_take(scan->ops->heap, size);
    if (fresh == NULL) {
        scan_fail(scan, AQ_MEMORY);
        listing_free(l);
        return;
    }
    *fresh = (part){.next = l->parts};
    l->parts = fresh;
    aq_op *op = aq_ops_new(scan->ops, AQ_OP_LIST, scan->root, 1, part_done, l);
    char path[AQ_PATH_MAX + 1];
    aq_tree_path(&scan->tree, l->dir, NULL, path);
    op->items[0].path = aq_ops_string(scan->ops, op, path);
    op->items[0].offset = l->cookie;
    op->items[0].data = fresh->bytes;
    op->items[0].size = size - sizeof *fresh;
    aq_ops_queue(scan->ops, op);
    scan->flight++;
}

void aq_scan_step(aq_scan *scan)
{
    while (!scan->stopped && scan->stack.count != 0 && scan->flight < FLIGHT_MAX) {
        uint32_t dir = scan->stack.at[--scan->stack.count];
        if (scan->tree.dirs.at[dir].state != AQ_DIR_UNLISTED) {
            continue;
        }
        scan->tree.dirs.at[dir].state = AQ_DIR_LISTING;
        listing *l = aq_heap_take(scan->ops->heap, sizeof *l);
        AQ_ASSERT(l != NULL);
        *l = (listing){.scan = scan, .dir = dir};
        part_queue(l);
    }
}

void aq_scan_hurry(aq_scan *scan, uint32_t dir)
{
    if (scan->tree.dirs.at[dir].state == AQ_DIR_UNLISTED) {
        AQ_VECTOR_PUSH(scan->ops->heap, scan->stack, dir);
    }
}

bool aq_scan_is_over(const aq_scan *scan)
{
    return scan->status != AQ_OK || scan->tree.dirs.at[0].state == AQ_DIR_COMPLETE;
}

void aq_scan_stop(aq_scan *scan)
{
    scan->stopped = true;
}

void aq_scan_reset(aq_scan *scan)
{
    AQ_ASSERT(scan->flight == 0);
    aq_tree_reset(&scan->tree);
    AQ_VECTOR_RESET(scan->ops->heap, scan->stack);
}
