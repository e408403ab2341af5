/* tree.h: a snapshot of a folder's names and stamps, with one hash for every directory that
 * is complete. It answers "is anything different below here?" without looking below.
 *
 * The hash is the *one-way* one: names, types, sizes, modification times, the executable
 * bit, link targets; what can be known without reading contents. A directory's own
 * modification time stands in its parent's entry. Entries lie packed, about 50 bytes and
 * the name for each. */
#ifndef AQ_SYNC_TREE_H
#define AQ_SYNC_TREE_H

#include "acequia.h"
#include "engine/base/cursor.h"
#include "engine/base/heap.h"
#include "engine/base/vector.h"

/* One name in a directory. Also the record that aq_list_put writes. */
typedef struct aq_entry {
    aq_stamp stamp;
    uint32_t child; /* a directory's number in the tree */
    uint16_t name_size;
    uint16_t target_size;
    char name[]; /* NUL, then a symlink's target, NUL */
} aq_entry;

static inline const char *aq_entry_target(const aq_entry *entry)
{
    return entry->name + entry->name_size + 1;
}

/* Bytes that the record takes, a multiple of 8. */
size_t aq_entry_size(size_t name_size, size_t target_size);

typedef enum aq_dir_state {
    AQ_DIR_UNLISTED,
    AQ_DIR_LISTING,
    AQ_DIR_LISTED, /* its entries are here; something below is not */
    AQ_DIR_COMPLETE
} aq_dir_state;

typedef struct aq_dir {
    uint32_t parent; /* the root is its own */
    uint32_t count;
    const aq_entry *self;   /* in the parent; NULL for the root */
    aq_entry **entries;     /* sorted by name; one block together with the entries */
    uint32_t open_children; /* directories below that are not complete */
    uint8_t state;          /* aq_dir_state */
    bool broken;  /* something here or below could not be read: absence means nothing */
    bool hidden;  /* something in it takes no part: it is more than its entries */
    uint8_t mark; /* the owner's */
    aq_hash hash; /* when complete */
} aq_dir;

typedef struct aq_tree {
    aq_heap *heap;
    AQ_VECTOR(aq_dir) dirs; /* 0 is the root */
    aq_stamp stamp;         /* the root's own */
    uint64_t file_count, file_bytes;
    uint64_t entry_count;
} aq_tree;

void aq_tree_init(aq_tree *tree, aq_heap *heap);
void aq_tree_reset(aq_tree *tree);

/* Writes the path of the directory, or of `name` in it, with a NUL; returns its size.
 * `path` has room for AQ_PATH_MAX + 1 bytes; the caller has made sure that it fits (depth
 * and size are checked when a directory is listed). */
size_t aq_tree_path(const aq_tree *tree, uint32_t dir, const char *name, char *path);
unsigned aq_tree_depth(const aq_tree *tree, uint32_t dir);

/* The entry of that name in a listed directory, or NULL. */
aq_entry *aq_tree_find(const aq_tree *tree, uint32_t dir, const char *name, size_t size);
/* The entry at that path from the root, or NULL; also when a directory on the way is
 * unlisted. */
aq_entry *aq_tree_lookup(const aq_tree *tree, const char *path, uint32_t *dir);

/* Takes the entries (in any order; copied) as the directory's listing and makes its child
 * directories. It becomes LISTED, or COMPLETE if it has none. False: memory is short. */
bool aq_tree_list(aq_tree *tree, uint32_t dir, const aq_entry **entries, uint32_t count);

/* Called with every directory that became complete, deepest first. */
typedef void aq_tree_completed(void *owner, uint32_t dir);
/* The directory has no open children any more, perhaps: hash it, and so on upwards. */
void aq_tree_settle(aq_tree *tree, uint32_t dir, aq_tree_completed *completed, void *owner);

/* The canonical form that directory hashes are made of (docs/PROTOCOL.md). */
void aq_entry_encode(aq_writer *w, const aq_entry *entry, const aq_hash *child);
void aq_tree_encode(const aq_tree *tree, aq_writer *w, const aq_entry *entry);
/* Four bytes of the hash of that form: tells entries apart in one directory, well enough to
 * guess by; the directory's own hash proves the guess. */
uint32_t aq_entry_id(const aq_entry *entry, const aq_hash *child);

#endif
