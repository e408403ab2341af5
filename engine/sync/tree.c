/* tree.c: see tree.h.
 *
 *   dirs[0] ── block: [ptr ptr ptr …][entry "a"][entry "b" child 1][entry "c"] …
 *   dirs[1] ── block: …
 *
 * A listing is immutable once taken; a directory's hash needs those of its child
 * directories, so hashes settle upwards from the leaves as a scan goes on. */
#include "engine/sync/tree.h"
#include "engine/base/assert.h"
#include "engine/base/bytes.h"
#include "engine/data/blake3.h"
#include "engine/sync/path.h"

size_t aq_entry_size(size_t name_size, size_t target_size)
{
    size_t size = offsetof(aq_entry, name) + name_size + 1 + target_size + 1;
    return (size + 7) & ~(size_t)7;
}

void aq_tree_init(aq_tree *tree, aq_heap *heap)
{
    *tree = (aq_tree){.heap = heap};
    AQ_VECTOR_PUSH(heap, tree->dirs, (aq_dir){0});
}

void aq_tree_reset(aq_tree *tree)
{
    for (uint32_t i = 0; i < tree->dirs.count; i++) {
        aq_heap_give(tree->heap, tree->dirs.at[i].entries);
    }
    AQ_VECTOR_RESET(tree->heap, tree->dirs);
}

size_t aq_tree_path(const aq_tree *tree, uint32_t dir, const char *name, char *path)
{
    const aq_entry *chain[AQ_DEPTH_MAX];
    unsigned depth = 0;
    for (uint32_t d = dir; d != 0; d = tree->dirs.at[d].parent) {
        AQ_ASSERT(depth < AQ_DEPTH_MAX);
        chain[depth++] = tree->dirs.at[d].self;
    }
    size_t size = 0;
    while (depth-- > 0) {
        AQ_ASSERT(size + chain[depth]->name_size + 1 <= AQ_PATH_MAX);
        aq_copy(path + size, chain[depth]->name, chain[depth]->name_size);
        size += chain[depth]->name_size;
        path[size++] = '/';
    }
    if (name != NULL) {
        size_t name_size = aq_string_size(name);
        AQ_ASSERT(size + name_size <= AQ_PATH_MAX);
        aq_copy(path + size, name, name_size);
        size += name_size;
    } else if (size > 0) {
        size--;
    }
    path[size] = 0;
    return size;
}

unsigned aq_tree_depth(const aq_tree *tree, uint32_t dir)
{
    unsigned depth = 0;
    for (uint32_t d = dir; d != 0; d = tree->dirs.at[d].parent) {
        depth++;
    }
    return depth;
}

aq_entry *aq_tree_find(const aq_tree *tree, uint32_t dir, const char *name, size_t size)
{
    const aq_dir *d = &tree->dirs.at[dir];
    uint32_t low = 0, high = d->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        aq_entry *entry = d->entries[middle];
        int order = aq_name_compare(entry->name, entry->name_size, name, size);
        if (order == 0) {
            return entry;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

aq_entry *aq_tree_lookup(const aq_tree *tree, const char *path, uint32_t *dir)
{
    uint32_t d = 0;
    for (size_t start = 0;;) {
        size_t end = start;
        while (path[end] != 0 && path[end] != '/') {
            end++;
        }
        aq_entry *entry = aq_tree_find(tree, d, path + start, end - start);
        if (entry == NULL || path[end] == 0) {
            *dir = d;
            return entry;
        }
        if (entry->stamp.type != AQ_TYPE_DIRECTORY) {
            return NULL;
        }
        d = entry->child;
        start = end + 1;
    }
}

static bool entry_is_before(const aq_entry *a, const aq_entry *b)
{
    return aq_name_compare(a->name, a->name_size, b->name, b->name_size) < 0;
}

/* Bottom-up merge sort; stable; `other` has the same room. Returns where the result is. */
static const aq_entry **entries_sort(const aq_entry **at, const aq_entry **other,
                                     uint32_t count)
{
    for (uint32_t width = 1; width < count; width *= 2) {
        for (uint32_t start = 0; start < count; start += 2 * width) {
            uint32_t middle = count - start < width ? count : start + width;
            uint32_t end = count - start < 2 * width ? count : start + 2 * width;
            uint32_t a = start, b = middle;
            for (uint32_t i = start; i < end; i++) {
                bool right = a == middle || (b < end && entry_is_before(at[b], at[a]));
                other[i] = right ? at[b++] : at[a++];
            }
        }
        const aq_entry **swap = at;
        at = other;
        other = swap;
    }
    return at;
}

static void count_entry(aq_tree *tree, const aq_entry *entry)
{
    if (entry->stamp.type == AQ_TYPE_FILE) {
        tree->file_count++;
        tree->file_bytes += entry->stamp.size;
    }
}

static void adopt_child(aq_tree *tree, uint32_t dir, aq_entry *entry)
{
    entry->child = tree->dirs.count;
    AQ_VECTOR_PUSH(tree->heap, tree->dirs, (aq_dir){.parent = dir, .self = entry});
    tree->dirs.at[dir].open_children++;
}

bool aq_tree_list(aq_tree *tree, uint32_t dir, const aq_entry **entries, uint32_t count)
{
    AQ_ASSERT(tree->dirs.at[dir].state < AQ_DIR_LISTED);
    const aq_entry **other = aq_heap_take(tree->heap, (size_t)count * sizeof *other + 1);
    if (other == NULL) {
        return false;
    }
    const aq_entry **sorted = entries_sort(entries, other, count);
    size_t size = (size_t)count * sizeof *sorted;
    for (uint32_t i = 0; i < count; i++) {
        size += aq_entry_size(sorted[i]->name_size, sorted[i]->target_size);
    }
    aq_entry **block = count == 0 ? NULL : aq_heap_take(tree->heap, size);
    if (block == NULL && count != 0) {
        aq_heap_give(tree->heap, other);
        return false;
    }
    uint8_t *at = (uint8_t *)(block + count);
    for (uint32_t i = 0; i < count; i++) {
        size_t entry_size = aq_entry_size(sorted[i]->name_size, sorted[i]->target_size);
        aq_copy(at, sorted[i], entry_size);
        aq_entry *entry = (aq_entry *)(void *)at;
        block[i] = entry;
        at += entry_size;
        count_entry(tree, entry);
        if (entry->stamp.type == AQ_TYPE_DIRECTORY) {
            adopt_child(tree, dir, entry);
        }
    }
    aq_heap_give(tree->heap, other);
    aq_dir *d = &tree->dirs.at[dir];
    d->entries = block;
    d->count = count;
    tree->entry_count += count;
    d->state = AQ_DIR_LISTED;
    return true;
}

void aq_entry_encode(aq_writer *w, const aq_entry *entry, const aq_hash *child)
{
    uint8_t type = entry->stamp.type;
    aq_writer_byte(w, (uint8_t)(type | (entry->stamp.exec ? 0x80 : 0)));
    aq_writer_string(w, entry->name, entry->name_size);
    aq_writer_signed(w, entry->stamp.mtime_ns);
    if (type == AQ_TYPE_FILE) {
        aq_writer_varint(w, entry->stamp.size);
    } else if (type == AQ_TYPE_SYMLINK) {
        aq_writer_string(w, aq_entry_target(entry), entry->target_size);
    } else if (type == AQ_TYPE_DIRECTORY) {
        aq_writer_bytes(w, child->bytes, sizeof child->bytes);
    }
}

void aq_tree_encode(const aq_tree *tree, aq_writer *w, const aq_entry *entry)
{
    bool is_directory = entry->stamp.type == AQ_TYPE_DIRECTORY;
    aq_entry_encode(w, entry, is_directory ? &tree->dirs.at[entry->child].hash : NULL);
}

uint32_t aq_entry_id(const aq_entry *entry, const aq_hash *child)
{
    uint8_t form[AQ_NAME_MAX + AQ_PATH_MAX + 64];
    aq_writer w = aq_writer_over(form, sizeof form);
    aq_entry_encode(&w, entry, child);
    aq_hash hash;
    aq_blake3(form, w.size, &hash);
    return aq_load32(hash.bytes);
}

static void dir_hash(aq_tree *tree, uint32_t dir)
{
    aq_dir *d = &tree->dirs.at[dir];
    uint8_t form[2 * (AQ_NAME_MAX + AQ_PATH_MAX + 64)];
    aq_blake3_hasher hasher;
    aq_blake3_init(&hasher);
    aq_writer w = aq_writer_over(form, sizeof form);
    for (uint32_t i = 0; i < d->count; i++) {
        aq_tree_encode(tree, &w, d->entries[i]);
        if (w.size > sizeof form / 2) {
            aq_blake3_update(&hasher, form, w.size);
            w.size = 0;
        }
    }
    /* What could not be read must never look like something that was. */
    if (d->broken) {
        aq_writer_byte(&w, 0xff);
    }
    aq_blake3_update(&hasher, form, w.size);
    aq_blake3_final(&hasher, &d->hash);
}

void aq_tree_settle(aq_tree *tree, uint32_t dir, aq_tree_completed *completed, void *owner)
{
    for (;;) {
        aq_dir *d = &tree->dirs.at[dir];
        if (d->state != AQ_DIR_LISTED || d->open_children != 0) {
            return;
        }
        dir_hash(tree, dir);
        d->state = AQ_DIR_COMPLETE;
        uint32_t parent = d->parent;
        bool broken = d->broken;
        completed(owner, dir);
        if (dir == 0) {
            return;
        }
        aq_dir *up = &tree->dirs.at[parent];
        AQ_ASSERT(up->open_children > 0);
        up->open_children--;
        up->broken |= broken;
        dir = parent;
    }
}
