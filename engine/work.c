/* work.c: the two pure functions that hosts call on their own threads. */
#include "acequia.h"
#include "engine/base/bytes.h"
#include "engine/base/ops.h"
#include "engine/sync/tree.h"

void aq_work(aq_op *op)
{
    const aq_work_head *work = op->work;
    if (work != NULL && work->run != NULL) {
        work->run(op);
    }
}

bool aq_list_put(aq_item *item, const char *name, size_t name_size, const aq_stamp *stamp,
                 const char *target, size_t target_size)
{
    if (name_size > UINT16_MAX || target_size > UINT16_MAX) {
        return true; /* no file system has such; nothing could be done with it */
    }
    size_t size = aq_entry_size(name_size, target_size);
    if (size > item->size - item->done) {
        return false;
    }
    aq_entry *entry = (aq_entry *)(void *)(item->data + item->done);
    aq_fill(entry, 0, size);
    entry->stamp = *stamp;
    entry->name_size = (uint16_t)name_size;
    entry->target_size = (uint16_t)target_size;
    aq_copy(entry->name, name, name_size);
    aq_copy(entry->name + name_size + 1, target, target_size);
    item->done += size;
    return true;
}
