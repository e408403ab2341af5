/* sink_tail.c: what waits until the source's root is complete and everything is compared.
 *
 *   parked       is a new name something of ours, moved? (sink_check.c)
 *   conflicts    a name has another type here
 *   extras       removed, deepest first, only what was listed (rule R13), within the limit
 *   times        directories get theirs after everything in them is done
 *   staging      goes; then the root's own time
 */
#include "engine/swarm/sink.h"
#include "engine/base/assert.h"
#include "engine/base/bytes.h"
#include "engine/sync/path.h"

enum { ITEMS_MAX = 256 };

static aq_heap *heap_of(const aq_sink *sink)
{
    return &sink->s.core->heap;
}

const char *aq_sink_backup(aq_sink *sink, aq_op *op, const char *path)
{
    const char *base = sink->s.options.backup;
    if (base == NULL) {
        return NULL;
    }
    size_t base_size = aq_string_size(base), size = aq_string_size(path);
    char *target = aq_ops_room(&sink->s.core->ops, op, base_size + size + 2);
    aq_copy(target, base, base_size);
    target[base_size] = '/';
    aq_copy(target + base_size + 1, path, size + 1);
    return target;
}

/* ---- extras ---- */

static void mark_below(aq_sink *sink, uint32_t dir)
{
    aq_tree *own = &sink->scan.tree;
    AQ_VECTOR(uint32_t) stack = {0};
    AQ_VECTOR_PUSH(heap_of(sink), stack, dir);
    while (stack.count != 0) {
        aq_dir *d = &own->dirs.at[stack.at[--stack.count]];
        d->mark = AQ_MARK_EXTRA;
        for (uint32_t i = 0; i < d->count; i++) {
            if (d->entries[i]->stamp.type == AQ_TYPE_DIRECTORY) {
                AQ_VECTOR_PUSH(heap_of(sink), stack, d->entries[i]->child);
            } else {
                d->entries[i]->child = AQ_MARK_EXTRA;
            }
        }
    }
    AQ_VECTOR_RESET(heap_of(sink), stack);
}

/* Is the directory the backup's, or on the way to it? */
static bool holds_backup(const aq_sink *sink, const char *path)
{
    const char *backup = sink->s.options.backup;
    if (backup == NULL) {
        return false;
    }
    size_t size = aq_string_size(path);
    return aq_string_size(backup) >= size && aq_compare(backup, path, size) == 0 &&
           (backup[size] == 0 || backup[size] == '/');
}

void aq_sink_extra(aq_sink *sink, uint32_t dir, aq_entry *entry)
{
    if (!sink->s.options.delete_extra) {
        return;
    }
    char path[AQ_PATH_MAX + 1];
    aq_tree_path(&sink->scan.tree, dir, entry->name, path);
    if (holds_backup(sink, path)) {
        return;
    }
    if (entry->stamp.type == AQ_TYPE_DIRECTORY) {
        mark_below(sink, entry->child);
    } else {
        entry->child = AQ_MARK_EXTRA;
    }
    AQ_VECTOR_PUSH(heap_of(sink), sink->extras, (aq_extra){dir, entry});
}

/* ---- parked ---- */

static bool dir_is_extra(const aq_sink *sink, uint32_t own)
{
    return own != 0 && sink->scan.tree.dirs.at[own].mark == AQ_MARK_EXTRA;
}

static void parked_dir(aq_sink *sink, uint32_t dir)
{
    const aq_hash *hash = &sink->rdirs.at[dir].hash;
    uint32_t at = 0, found;
    while (aq_map_next(&sink->by_hash, aq_load64(hash->bytes), &at, &found)) {
        const aq_dir *own = &sink->scan.tree.dirs.at[found];
        if (dir_is_extra(sink, found) &&
            aq_compare(own->hash.bytes, hash->bytes, sizeof *hash) == 0) {
            aq_extra local = {own->parent, (aq_entry *)(uintptr_t)own->self};
            aq_sink_check_move(sink, (aq_ref){dir, AQ_NOWHERE}, local);
            return;
        }
    }
    aq_sink_dir_again(sink, dir);
}

static void parked_file(aq_sink *sink, aq_ref ref)
{
    const aq_entry *entry = aq_sink_entry(sink, ref);
    uint32_t at = 0, found;
    aq_extra best = {AQ_NOWHERE, NULL};
    while (aq_map_next(&sink->by_stamp, aq_sink_stamp_key(&entry->stamp), &at, &found)) {
        aq_extra local = sink->candidates.at[found];
        bool same = local.entry->stamp.size == entry->stamp.size &&
                    local.entry->stamp.mtime_ns == entry->stamp.mtime_ns &&
                    local.entry->child != AQ_MARK_MOVED;
        bool better = best.entry == NULL || (best.entry->child != AQ_MARK_EXTRA &&
                                             local.entry->child == AQ_MARK_EXTRA);
        if (same && better) {
            best = local;
        }
    }
    if (best.entry != NULL) {
        sink->rdirs.at[ref.dir].actions[ref.index] = AQ_ACTION_TAKEN;
        aq_sink_check_move(sink, ref, best);
    } else {
        aq_sink_schedule(sink, ref, 0);
    }
}

/* ---- conflicts of type ---- */

typedef struct removal {
    aq_sink *sink;
    aq_ref ref;
} removal;

static void way_is_free(void *owner, aq_op *op)
{
    removal *rm = owner;
    aq_sink *sink = rm->sink;
    aq_ref ref = rm->ref;
    aq_heap_give(heap_of(sink), rm);
    aq_sink_op_done(sink);
    if (op->items[0].status != AQ_OK) {
        aq_sink_problem_at(sink, op->items[0].path, op->items[0].status);
    } else if (!sink->s.ended) {
        aq_sink_dir_again(sink, aq_sink_entry(sink, ref)->child);
    }
}

/* Ours is a file or a link, and the source has a directory there. */
static void make_way(aq_sink *sink, aq_ref ref, const aq_entry *own)
{
    removal *rm = aq_heap_take(heap_of(sink), sizeof *rm);
    AQ_ASSERT(rm != NULL);
    *rm = (removal){sink, ref};
    char path[AQ_PATH_MAX + 1];
    aq_sink_path(sink, ref, path);
    aq_op *op = aq_sink_op(sink, AQ_OP_REMOVE, 1, way_is_free, rm);
    op->items[0].path = aq_ops_string(&sink->s.core->ops, op, path);
    op->items[0].expect = own->stamp;
    op->items[0].target = aq_sink_backup(sink, op, path);
    aq_sink_op_queue(sink, op);
}

static void type_say(aq_sink *sink, aq_ref ref)
{
    const aq_entry *entry = aq_sink_entry(sink, ref);
    char path[AQ_PATH_MAX + 1];
    aq_sink_path(sink, ref, path);
    aq_session_change(&sink->s, AQ_CHANGE_TYPE, entry->stamp.type, path, "",
                      entry->stamp.size);
}

static void conflict_settle(aq_sink *sink, aq_ref ref)
{
    const aq_entry *entry = aq_sink_entry(sink, ref);
    uint32_t local = sink->rdirs.at[ref.dir].local;
    aq_entry *own = aq_tree_find(&sink->scan.tree, local, entry->name, entry->name_size);
    bool only_look = sink->s.options.dry_run || sink->s.options.verify_only;
    char path[AQ_PATH_MAX + 1];
    aq_sink_path(sink, ref, path);
    bool blocked = own->stamp.type == AQ_TYPE_DIRECTORY;
    bool removable = sink->s.options.delete_extra && !holds_backup(sink, path);
    if (blocked && removable) {
        mark_below(sink, own->child);
        AQ_VECTOR_PUSH(heap_of(sink), sink->extras, (aq_extra){local, own});
        AQ_VECTOR_PUSH(heap_of(sink), sink->after_removal, ref);
    } else if (blocked && !sink->s.options.verify_only) {
        aq_sink_problem(sink, ref, AQ_EXISTS);
    } else if (only_look && entry->stamp.type == AQ_TYPE_DIRECTORY) {
        sink->rdirs.at[entry->child].local = AQ_NOWHERE;
        aq_sink_dir_again(sink, entry->child);
    } else if (only_look) {
        type_say(sink, ref);
    } else if (entry->stamp.type == AQ_TYPE_DIRECTORY) {
        make_way(sink, ref, own);
    } else {
        aq_sink_schedule(sink, ref, 0);
    }
}

static void settle(aq_sink *sink)
{
    /* Settling may park more: take what is here now. */
    while (sink->parked.count != 0) {
        aq_ref ref = sink->parked.at[--sink->parked.count];
        if (ref.index == AQ_NOWHERE) {
            parked_dir(sink, ref.dir);
        } else {
            parked_file(sink, ref);
        }
    }
    while (sink->conflicts.count != 0) {
        conflict_settle(sink, sink->conflicts.at[--sink->conflicts.count]);
    }
}

/* ---- removing ---- */

static void doom(aq_sink *sink, aq_extra extra)
{
    const aq_tree *own = &sink->scan.tree;
    bool is_directory = extra.entry->stamp.type == AQ_TYPE_DIRECTORY;
    if (is_directory ? own->dirs.at[extra.entry->child].mark == AQ_MARK_MOVED
                     : extra.entry->child == AQ_MARK_MOVED) {
        return;
    }
    /* Before its children here, and the whole list is walked backwards. */
    AQ_VECTOR(aq_extra) stack = {0};
    AQ_VECTOR_PUSH(heap_of(sink), stack, extra);
    while (stack.count != 0) {
        aq_extra top = stack.at[--stack.count];
        bool top_is_directory = top.entry->stamp.type == AQ_TYPE_DIRECTORY;
        bool moved = top_is_directory ? own->dirs.at[top.entry->child].mark == AQ_MARK_MOVED
                                      : top.entry->child == AQ_MARK_MOVED;
        if (moved) {
            continue;
        }
        AQ_VECTOR_PUSH(heap_of(sink), sink->doomed, top);
        if (top_is_directory) {
            const aq_dir *d = &own->dirs.at[top.entry->child];
            for (uint32_t i = 0; i < d->count; i++) {
                AQ_VECTOR_PUSH(heap_of(sink), stack,
                               (aq_extra){top.entry->child, d->entries[i]});
            }
        }
    }
    AQ_VECTOR_RESET(heap_of(sink), stack);
}

/* A directory that holds something that takes no part stays, and so do those above it. */
static void doomed_spare(aq_sink *sink, uint32_t from)
{
    aq_tree *own = &sink->scan.tree;
    for (uint32_t i = sink->doomed.count; i-- > from;) {
        const aq_extra *extra = &sink->doomed.at[i];
        if (extra->entry->stamp.type == AQ_TYPE_DIRECTORY &&
            own->dirs.at[extra->entry->child].hidden) {
            own->dirs.at[extra->dir].hidden = true;
        }
    }
    uint32_t kept = from;
    for (uint32_t i = from; i < sink->doomed.count; i++) {
        aq_extra extra = sink->doomed.at[i];
        if (extra.entry->stamp.type != AQ_TYPE_DIRECTORY ||
            !own->dirs.at[extra.entry->child].hidden) {
            sink->doomed.at[kept++] = extra;
        }
    }
    sink->doomed.count = kept;
}

static void doomed_list(aq_sink *sink)
{
    const aq_sync_options *options = &sink->s.options;
    sink->doomed_listed = true;
    if (sink->root_broken) {
        aq_session_warn(&sink->s,
                        "nothing is deleted: parts of the source could not be read");
        sink->extras.count = 0;
        return;
    }
    uint32_t before = sink->doomed.count;
    for (uint32_t i = 0; i < sink->extras.count; i++) {
        doom(sink, sink->extras.at[i]);
    }
    sink->extras.count = 0;
    doomed_spare(sink, before);
    uint64_t count = sink->doomed.count - before;
    uint64_t percent_of = sink->scan.tree.file_count + sink->scan.tree.dirs.count - 1;
    bool over = count > options->delete_max ||
                (options->delete_max_percent != 0 &&
                 count * 100 > percent_of * options->delete_max_percent);
    if (over) {
        aq_session_warn(&sink->s,
                        "nothing is deleted: more than the deletion limit allows");
        sink->limit_hit = true;
        sink->doomed.count = before;
    }
}

static void removed(void *owner, aq_op *op)
{
    aq_sink *sink = owner;
    aq_sink_op_done(sink);
    for (uint32_t i = 0; i < op->item_count; i++) {
        const aq_item *item = &op->items[i];
        if (item->status == AQ_OK || item->status == AQ_NOT_FOUND) {
            sink->s.stats.files_deleted++;
            aq_session_change(&sink->s, AQ_CHANGE_DELETE, (aq_type)item->expect.type,
                              item->path, "", 0);
        } else if (item->status != AQ_NOT_EMPTY) {
            /* A directory that still holds something ignored or new stays, as it should. */
            aq_sink_problem_at(sink, item->path, item->status);
        }
    }
}

static void remove_some(aq_sink *sink)
{
    aq_ops *ops = &sink->s.core->ops;
    uint32_t count = sink->doomed.count < ITEMS_MAX ? sink->doomed.count : ITEMS_MAX;
    aq_op *op = aq_sink_op(sink, AQ_OP_REMOVE, count, removed, sink);
    sink->staged_any = true; /* hosts move what they remove through staging */
    for (uint32_t i = 0; i < count; i++) {
        aq_extra extra = sink->doomed.at[--sink->doomed.count];
        char path[AQ_PATH_MAX + 1];
        aq_tree_path(&sink->scan.tree, extra.dir, extra.entry->name, path);
        op->items[i].path = aq_ops_string(ops, op, path);
        op->items[i].expect = extra.entry->stamp;
        if (extra.entry->stamp.type != AQ_TYPE_DIRECTORY) {
            op->items[i].target = aq_sink_backup(sink, op, path);
        }
    }
    aq_sink_op_queue(sink, op);
}

static void remove_say(aq_sink *sink)
{
    while (sink->doomed.count != 0) {
        aq_extra extra = sink->doomed.at[--sink->doomed.count];
        char path[AQ_PATH_MAX + 1];
        aq_tree_path(&sink->scan.tree, extra.dir, extra.entry->name, path);
        sink->s.stats.files_deleted++;
        aq_session_change(&sink->s, AQ_CHANGE_DELETE, (aq_type)extra.entry->stamp.type,
                          path, "", 0);
    }
}

/* What had to wait until our directory of that name was removed. */
static void replace_removed(aq_sink *sink, aq_ref ref)
{
    const aq_entry *entry = aq_sink_entry(sink, ref);
    const aq_entry *own = aq_tree_find(&sink->scan.tree, sink->rdirs.at[ref.dir].local,
                                       entry->name, entry->name_size);
    bool stays =
        sink->limit_hit || sink->root_broken || sink->scan.tree.dirs.at[own->child].hidden;
    if (stays && !sink->s.options.verify_only) {
        aq_sink_problem(sink, ref, AQ_EXISTS);
    } else if (sink->s.options.dry_run) {
        type_say(sink, ref);
    } else {
        aq_sink_schedule(sink, ref, 0);
    }
}

static void step_remove(aq_sink *sink)
{
    if (!sink->doomed_listed) {
        doomed_list(sink);
    }
    if (sink->s.options.dry_run || sink->s.options.verify_only) {
        remove_say(sink);
    } else if (sink->ops == 0 && sink->doomed.count != 0) {
        remove_some(sink);
        return;
    }
    if (sink->ops != 0) {
        return;
    }
    if (sink->after_removal.count != 0) {
        for (uint32_t i = 0; i < sink->after_removal.count; i++) {
            replace_removed(sink, sink->after_removal.at[i]);
        }
        sink->after_removal.count = 0;
        sink->phase = AQ_SINK_WORK;
        sink->s.core->again = true;
        return;
    }
    sink->phase = AQ_SINK_TIMES;
}

/* ---- times ---- */

static void times_set(void *owner, aq_op *op)
{
    aq_sink *sink = owner;
    aq_sink_op_done(sink);
    for (uint32_t i = 0; i < op->item_count; i++) {
        const aq_item *item = &op->items[i];
        if (item->status != AQ_OK && item->status != AQ_NOT_FOUND) {
            aq_sink_problem_at(sink, item->path, item->status);
        }
    }
}

static void step_times(aq_sink *sink)
{
    bool only_look = sink->s.options.dry_run || sink->s.options.verify_only;
    AQ_VECTOR(uint32_t) dirs = {0};
    for (; sink->times_at < sink->rdirs.count && dirs.count < ITEMS_MAX; sink->times_at++) {
        const aq_rdir *rd = &sink->rdirs.at[sink->times_at];
        bool due = rd->state == AQ_RDIR_PLANNED || rd->retime;
        if (sink->times_at != 0 && due && !only_look) {
            AQ_VECTOR_PUSH(heap_of(sink), dirs, sink->times_at);
        }
    }
    if (dirs.count != 0) {
        aq_op *op = aq_sink_op(sink, AQ_OP_META, dirs.count, times_set, sink);
        for (uint32_t i = 0; i < dirs.count; i++) {
            char path[AQ_PATH_MAX + 1];
            aq_tree_path(&sink->remote, dirs.at[i], NULL, path);
            op->items[i].path = aq_ops_string(&sink->s.core->ops, op, path);
            op->items[i].expect.type = AQ_TYPE_DIRECTORY;
            op->items[i].mtime_ns = sink->remote.dirs.at[dirs.at[i]].self->stamp.mtime_ns;
        }
        aq_sink_op_queue(sink, op);
    }
    AQ_VECTOR_RESET(heap_of(sink), dirs);
    if (sink->times_at == sink->rdirs.count && sink->ops == 0) {
        sink->phase = AQ_SINK_CLEAN;
    }
}

/* ---- the end ---- */

static void cleaned(void *owner, aq_op *op)
{
    (void)op;
    aq_sink_op_done(owner);
}

static aq_status outcome(const aq_sink *sink)
{
    if (sink->limit_hit) {
        return AQ_DELETE_LIMIT;
    }
    if (sink->s.stats.errors == 0) {
        return AQ_OK;
    }
    return sink->s.stats.errors == sink->vanished ? AQ_NOT_FOUND : AQ_PARTIAL;
}

static void step_clean(aq_sink *sink)
{
    bool only_look = sink->s.options.dry_run || sink->s.options.verify_only;
    if (sink->ops != 0) {
        return;
    }
    if (!sink->quiet_saved) {
        sink->quiet_saved = true;
        aq_sink_quiet_save(sink);
        if (sink->ops != 0) {
            return;
        }
    }
    if (sink->staged_any && !sink->cleaned && !only_look) {
        sink->cleaned = true;
        aq_sink_op_queue(sink, aq_sink_op(sink, AQ_OP_DISCARD, 0, cleaned, sink));
        return;
    }
    bool root_time = sink->scan.tree.stamp.mtime_ns != sink->root_mtime_ns ||
                     sink->rdirs.at[0].state == AQ_RDIR_PLANNED;
    if (root_time && !only_look) {
        aq_op *op = aq_sink_op(sink, AQ_OP_META, 1, times_set, sink);
        op->items[0].path = "";
        op->items[0].expect.type = AQ_TYPE_DIRECTORY;
        op->items[0].mtime_ns = sink->root_mtime_ns;
        aq_sink_op_queue(sink, op);
    }
    sink->phase = AQ_SINK_OVER;
}

void aq_sink_step_tail(aq_sink *sink)
{
    if (sink->phase == AQ_SINK_WORK) {
        if (sink->parked.count + sink->conflicts.count != 0) {
            settle(sink);
            sink->s.core->again = true;
            return;
        }
        sink->phase = AQ_SINK_REMOVE;
    }
    if (sink->phase == AQ_SINK_REMOVE) {
        step_remove(sink);
    }
    if (sink->phase == AQ_SINK_TIMES) {
        step_times(sink);
    }
    if (sink->phase == AQ_SINK_CLEAN) {
        step_clean(sink);
    }
    if (sink->phase == AQ_SINK_OVER && sink->ops == 0) {
        aq_session_end(&sink->s, outcome(sink));
    }
}
