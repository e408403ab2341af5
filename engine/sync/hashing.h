/* hashing.h: the hashes of the whole contents of many files of a tree, small ones in
 * batches. */
#ifndef AQ_SYNC_HASHING_H
#define AQ_SYNC_HASHING_H

#include "engine/base/ops.h"
#include "engine/data/blake3.h"
#include "engine/sync/tree.h"

typedef struct aq_hashing_item {
    uint32_t dir;
    const aq_entry *entry;
    aq_hash hash;     /* when the job is over */
    aq_status status; /* not AQ_OK: there is no hash */
} aq_hashing_item;

typedef struct aq_hashing {
    aq_ops *ops;
    const aq_tree *tree;
    uint32_t root;
    AQ_VECTOR(aq_hashing_item) items;
    uint32_t next;   /* the first that is not begun */
    uint64_t offset; /* in a large file under way */
    aq_blake3_hasher hasher;
    bool busy, stopped;
    aq_status status; /* not AQ_OK: there is no digest */
} aq_hashing;

void aq_hashing_init(aq_hashing *h, aq_ops *ops, const aq_tree *tree, uint32_t root);
/* Files only. Before the first step. */
void aq_hashing_add(aq_hashing *h, uint32_t dir, const aq_entry *entry);
/* Adds every file below a complete directory, in tree order. If that is more than max, or
 * than there is memory for, nothing will be hashed. */
void aq_hashing_add_below(aq_hashing *h, uint32_t dir, uint64_t max);
void aq_hashing_step(aq_hashing *h);
bool aq_hashing_is_over(const aq_hashing *h);
/* One hash for all of them, in order. The first failure is returned; AQ_OK: *out is set. */
aq_status aq_hashing_digest(const aq_hashing *h, aq_hash *out);
/* Only when not busy. */
void aq_hashing_reset(aq_hashing *h);

#endif
