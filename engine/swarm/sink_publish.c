/* sink_publish.c: durability groups. What is staged whole waits for others, so that one
 * flush serves many; then all of them become visible.
 *
 *   OPEN ──32 MiB, 5 s, or nothing else to do──► FLUSHING ─► PUBLISHING ─► gone
 */
#include "engine/swarm/sink.h"
#include "engine/base/assert.h"
#include "engine/base/bytes.h"
#include "engine/sync/path.h"

#define GROUP_NS UINT64_C(5000000000)

enum {
    GROUP_BYTES = 32 << 20,
    GROUP_ITEMS = 4096,
    PUBLISH_ITEMS = 128,
    PUBLISH_MAX = 3, /* ops of one group */
    METAS_MAX = 256
};

void aq_sink_publish(aq_sink *sink, aq_ref ref, uint64_t slot, uint64_t size)
{
    aq_heap *heap = &sink->s.core->heap;
    if (sink->groups == NULL || sink->groups->state != GROUP_OPEN) {
        aq_group *group = aq_heap_take_zeroed(heap, sizeof *group);
        AQ_ASSERT(group != NULL);
        group->sink = sink;
        group->opened_ns = sink->s.core->now_ns;
        group->next = sink->groups;
        sink->groups = group;
        aq_core_wake_at(sink->s.core, group->opened_ns + GROUP_NS);
    }
    AQ_VECTOR_PUSH(heap, sink->groups->items, (aq_ready){ref, slot, size});
    sink->groups->bytes += size;
}

static void discarded(void *owner, aq_op *op)
{
    (void)op;
    aq_sink_op_done(owner);
}

/* After a failed flush nobody knows what is on the disk, and a second flush would lie:
 * nothing of it is shown, nor gone on with. */
static void group_give_up(aq_group *group)
{
    aq_sink *sink = group->sink;
    aq_op *op = aq_sink_op(sink, AQ_OP_DISCARD, group->items.count, discarded, sink);
    for (uint32_t i = 0; i < group->items.count; i++) {
        op->items[i].slot = group->items.at[i].slot;
    }
    group->at = group->items.count;
    aq_sink_op_queue(sink, op);
}

static void flushed(void *owner, aq_op *op)
{
    aq_group *group = owner;
    aq_sink *sink = group->sink;
    aq_sink_op_done(sink);
    group->flight--;
    group->state = GROUP_PUBLISHING;
    for (uint32_t i = 0; i < op->item_count; i++) {
        if (op->items[i].status != AQ_OK) {
            group_give_up(group);
            aq_sink_problem(sink, group->items.at[i].ref, op->items[i].status);
            aq_sink_fail(sink, op->items[i].status);
            return;
        }
    }
    if (sink->s.link != NULL && !sink->s.ended) {
        aq_writer w = aq_session_frame(&sink->s);
        aq_writer_varint(&w, group->bytes);
        aq_link_frame_end(sink->s.link, AQ_FRAME_ACK, &w);
    }
}

static void flush(aq_sink *sink, aq_group *group)
{
    aq_op *op = aq_sink_op(sink, AQ_OP_FLUSH, group->items.count, flushed, group);
    for (uint32_t i = 0; i < group->items.count; i++) {
        op->items[i].slot = group->items.at[i].slot;
    }
    group->state = GROUP_FLUSHING;
    group->flight++;
    aq_sink_op_queue(sink, op);
}

/* ---- making visible ---- */

typedef struct publish_work {
    aq_work_head head;
    uint32_t first;
} publish_work;

static void item_published(aq_sink *sink, const aq_ready *ready, const aq_item *item)
{
    aq_stats *stats = &sink->s.stats;
    const aq_entry *entry = aq_sink_entry(sink, ready->ref);
    if (item->status == AQ_CHANGED) {
        /* It was published; what the plan had not seen lies beside it. */
        aq_sink_problem_at(sink, item->path, AQ_CHANGED);
    } else if (item->status != AQ_OK) {
        aq_sink_problem_at(sink, item->path, item->status);
        return;
    }
    if (entry->stamp.type == AQ_TYPE_FILE) {
        stats->files_done++;
    } else {
        stats->links_made++;
    }
    if (ready->size < sink->s.core->profile->chunk_min) {
        stats->bytes_done += entry->stamp.type == AQ_TYPE_FILE ? ready->size : 0;
    }
    aq_text_set(stats->current, sizeof stats->current, item->path,
                aq_string_size(item->path));
    aq_change change = item->expect.type == AQ_TYPE_NONE        ? AQ_CHANGE_NEW
                       : item->expect.type != entry->stamp.type ? AQ_CHANGE_TYPE
                                                                : AQ_CHANGE_CONTENT;
    aq_session_change(&sink->s, change, entry->stamp.type, item->path, "",
                      entry->stamp.size);
}

static void published(void *owner, aq_op *op)
{
    aq_group *group = owner;
    const publish_work *work = op->work;
    aq_sink_op_done(group->sink);
    group->flight--;
    for (uint32_t i = 0; i < op->item_count; i++) {
        item_published(group->sink, &group->items.at[work->first + i], &op->items[i]);
    }
}

static void publish_some(aq_sink *sink, aq_group *group)
{
    aq_ops *ops = &sink->s.core->ops;
    uint32_t left = group->items.count - group->at;
    uint32_t count = left < PUBLISH_ITEMS ? left : PUBLISH_ITEMS;
    aq_op *op = aq_sink_op(sink, AQ_OP_PUBLISH, count, published, group);
    publish_work *work = aq_ops_room(ops, op, sizeof *work);
    *work = (publish_work){.first = group->at};
    op->work = work;
    for (uint32_t i = 0; i < count; i++) {
        const aq_ready *ready = &group->items.at[group->at + i];
        const aq_entry *entry = aq_sink_entry(sink, ready->ref);
        const aq_entry *own = aq_sink_local(sink, ready->ref);
        char path[AQ_PATH_MAX + 1];
        aq_sink_path(sink, ready->ref, path);
        aq_item *item = &op->items[i];
        item->path = aq_ops_string(ops, op, path);
        item->slot = ready->slot;
        item->size = ready->size;
        item->type = entry->stamp.type;
        item->mtime_ns = entry->stamp.mtime_ns;
        item->exec = entry->stamp.exec;
        if (own != NULL && own->stamp.type != AQ_TYPE_DIRECTORY) {
            item->expect = own->stamp;
            item->target = aq_sink_backup(sink, op, item->path);
        }
    }
    group->at += count;
    group->flight++;
    aq_sink_op_queue(sink, op);
}

static bool group_is_due(const aq_sink *sink, const aq_group *group)
{
    bool nothing_else = sink->small_open == 0 && sink->fetches == NULL;
    return group->bytes >= GROUP_BYTES || group->items.count >= GROUP_ITEMS ||
           sink->s.core->now_ns >= group->opened_ns + GROUP_NS || nothing_else ||
           sink->s.ended;
}

void aq_sink_step_groups(aq_sink *sink)
{
    for (aq_group **at = &sink->groups; *at != NULL;) {
        aq_group *group = *at;
        if (group->state == GROUP_OPEN && group_is_due(sink, group)) {
            flush(sink, group);
        }
        while (group->state == GROUP_PUBLISHING && group->at < group->items.count &&
               group->flight < PUBLISH_MAX) {
            publish_some(sink, group);
        }
        if (group->state == GROUP_PUBLISHING && group->flight == 0 &&
            group->at == group->items.count) {
            *at = group->next;
            AQ_VECTOR_RESET(&sink->s.core->heap, group->items);
            aq_heap_give(&sink->s.core->heap, group);
        } else {
            if (group->state == GROUP_OPEN) {
                aq_core_wake_at(sink->s.core, group->opened_ns + GROUP_NS);
            }
            at = &group->next;
        }
    }
}

/* ---- times and the executable bit alone ---- */

static void metas_done(void *owner, aq_op *op)
{
    aq_sink *sink = owner;
    aq_sink_op_done(sink);
    for (uint32_t i = 0; i < op->item_count; i++) {
        const aq_item *item = &op->items[i];
        if (item->status != AQ_OK) {
            aq_sink_problem_at(sink, item->path, item->status);
        } else {
            aq_session_change(&sink->s, AQ_CHANGE_META, item->expect.type, item->path, "",
                              0);
        }
    }
}

/* Times that only the modify window makes equal stay apart: nobody compared the contents,
 * and a later sync may want to. */
static int64_t meta_time(const aq_sink *sink, aq_ref ref)
{
    const aq_entry *own = aq_sink_local(sink, ref);
    int64_t theirs = aq_sink_entry(sink, ref)->stamp.mtime_ns;
    int64_t ours = own != NULL ? own->stamp.mtime_ns : theirs;
    uint64_t apart = theirs > ours ? (uint64_t)theirs - (uint64_t)ours
                                   : (uint64_t)ours - (uint64_t)theirs;
    return apart <= (uint64_t)sink->s.options.modify_window_ns ? ours : theirs;
}

void aq_sink_step_metas(aq_sink *sink)
{
    while (sink->metas.count != 0 && aq_sink_may_start(sink)) {
        uint32_t count = sink->metas.count < METAS_MAX ? sink->metas.count : METAS_MAX;
        aq_op *op = aq_sink_op(sink, AQ_OP_META, count, metas_done, sink);
        for (uint32_t i = 0; i < count; i++) {
            aq_ref ref = sink->metas.at[--sink->metas.count];
            const aq_entry *entry = aq_sink_entry(sink, ref);
            char path[AQ_PATH_MAX + 1];
            aq_sink_path(sink, ref, path);
            aq_item *item = &op->items[i];
            item->path = aq_ops_string(&sink->s.core->ops, op, path);
            item->expect.type = entry->stamp.type;
            item->mtime_ns = meta_time(sink, ref);
            item->exec = entry->stamp.exec;
        }
        aq_sink_op_queue(sink, op);
    }
}
