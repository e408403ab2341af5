/* scan.h: makes a tree of a folder, depth first, a few directories at a time. */
#ifndef AQ_SYNC_SCAN_H
#define AQ_SYNC_SCAN_H

#include "engine/base/ops.h"
#include "engine/sync/filter.h"
#include "engine/sync/tree.h"

typedef struct aq_scan {
    aq_tree tree;
    aq_ops *ops;
    uint32_t root;
    aq_filter filter;
    void *owner;
    /* Something could not be read, or cannot be synced; it goes on. path is lent. */
    void (*problem)(void *owner, const char *path, aq_status status);
    aq_tree_completed *completed;
    AQ_VECTOR(uint32_t) stack; /* directories still to be listed */
    uint32_t flight;           /* LIST ops under way */
    bool stopped;
    aq_status status; /* not AQ_OK: the root itself could not be read, or memory is short */
} aq_scan;

/* `filter` (NULL: everything) is lent and valid. The scan starts with the first
 * aq_scan_step. With `completed` NULL nobody is told. */
void aq_scan_init(aq_scan *scan, aq_ops *ops, uint32_t root, const char *filter,
                  void *owner,
                  void (*problem)(void *owner, const char *path, aq_status status),
                  aq_tree_completed *completed);
/* Queues what can be queued now. */
void aq_scan_step(aq_scan *scan);
/* Lists this directory next, if it is unlisted. */
void aq_scan_hurry(aq_scan *scan, uint32_t dir);
/* Every directory is complete, or the scan failed. */
bool aq_scan_is_over(const aq_scan *scan);
/* No more ops; aq_scan_reset only when flight is 0. */
void aq_scan_stop(aq_scan *scan);
void aq_scan_reset(aq_scan *scan);

#endif
