/* sink_plan.c: what has to be done, directory by directory. Decides, and counts; others do
 * it.
 *
 *   source has   we have      →
 *   file         nothing        NEW; PARKED while a file of ours may be the same, moved
 *   file         file           by size and mtime (or contents: CHECK): NONE, META, CONTENT
 *   file, link   the other      CONTENT, once the root is complete
 *   file, link   directory      only where deleting is allowed, once the root is complete
 *   link         link           by target and mtime: NONE, META, CONTENT
 *   directory    directory      look into it, unless the hashes are equal
 *   directory    nothing        make it; PARKED while a directory of ours may be it, moved
 *   directory    other          once the root is complete
 *   nothing      anything       extra: removed at the end, where deleting was asked for */
#include "engine/swarm/sink.h"
#include "engine/base/assert.h"
#include "engine/base/bytes.h"
#include "engine/sync/path.h"

enum {
    MOVE_MIN = 256 /* bytes: smaller files are cheaper to send than to ask about */
};

/* ---- what we have, by content ---- */

uint64_t aq_sink_stamp_key(const aq_stamp *stamp)
{
    return (stamp->size * UINT64_C(0x9e3779b97f4a7c15)) ^ (uint64_t)stamp->mtime_ns;
}

void aq_sink_index(aq_sink *sink)
{
    aq_heap *heap = &sink->s.core->heap;
    const aq_tree *own = &sink->scan.tree;
    if (sink->indexed) {
        return;
    }
    sink->indexed = true;
    for (uint32_t dir = 0; dir < own->dirs.count; dir++) {
        const aq_dir *d = &own->dirs.at[dir];
        if (dir != 0 && !d->broken) {
            AQ_ASSERT(aq_map_put(&sink->by_hash, heap, aq_load64(d->hash.bytes), dir));
        }
        for (uint32_t i = 0; i < d->count; i++) {
            aq_entry *entry = d->entries[i];
            if (entry->stamp.type != AQ_TYPE_FILE || entry->stamp.size < MOVE_MIN) {
                continue;
            }
            AQ_ASSERT(aq_map_put(&sink->by_stamp, heap, aq_sink_stamp_key(&entry->stamp),
                                 sink->candidates.count));
            AQ_VECTOR_PUSH(heap, sink->candidates, (aq_extra){dir, entry});
        }
    }
}

static bool file_may_be_here(aq_sink *sink, const aq_entry *entry)
{
    if (entry->stamp.size < MOVE_MIN || sink->scan.tree.file_count == 0) {
        return false;
    }
    aq_sink_index(sink);
    uint32_t found;
    return aq_map_get(&sink->by_stamp, aq_sink_stamp_key(&entry->stamp), &found);
}

static bool dir_may_be_here(aq_sink *sink, const aq_rdir *rd)
{
    if (!sink->s.options.delete_extra || sink->s.options.dry_run ||
        sink->scan.tree.dirs.count < 2) {
        return false;
    }
    aq_sink_index(sink);
    uint32_t found;
    return aq_map_get(&sink->by_hash, aq_load64(rd->hash.bytes), &found);
}

/* ---- directories ---- */

static bool compares_contents(const aq_sink *sink)
{
    return sink->s.options.checksum || sink->s.options.verify_only;
}

void aq_sink_dir_decide(aq_sink *sink, uint32_t dir)
{
    aq_heap *heap = &sink->s.core->heap;
    aq_rdir *rd = &sink->rdirs.at[dir];
    const aq_tree *own = &sink->scan.tree;
    AQ_ASSERT(rd->state == AQ_RDIR_WAITING);
    bool wait = !rd->has_hash && !sink->impatient;
    if (rd->local == AQ_NOWHERE) {
        bool moved = rd->has_hash && !rd->parked && dir_may_be_here(sink, rd);
        bool maybe = sink->s.options.delete_extra && own->dirs.count > 1 && !rd->parked;
        if (sink->s.options.existing) {
            aq_sink_dir_skip(sink, dir);
        } else if (moved) {
            rd->parked = true;
            AQ_VECTOR_PUSH(heap, sink->parked, (aq_ref){dir, AQ_NOWHERE});
            aq_sink_dir_skip(sink, dir);
        } else if (maybe && wait) {
            AQ_VECTOR_PUSH(heap, sink->waiting, dir);
        } else {
            aq_sink_dir_make(sink, dir);
        }
        return;
    }
    const aq_dir *mine = &own->dirs.at[rd->local];
    bool equal = rd->has_hash && !mine->broken &&
                 (aq_compare(rd->hash.bytes, mine->hash.bytes, sizeof rd->hash) == 0 ||
                  aq_sink_quiet_has(sink, &rd->hash, &mine->hash));
    if (equal && !compares_contents(sink)) {
        /* The root's own time is settled at the very end. */
        rd->retime = dir != 0 && mine->self->stamp.mtime_ns !=
                                     sink->remote.dirs.at[dir].self->stamp.mtime_ns;
        aq_sink_dir_skip(sink, dir);
    } else if (wait && mine->count != 0) {
        AQ_VECTOR_PUSH(heap, sink->waiting, dir);
    } else {
        aq_sink_dir_open(sink, dir);
    }
}

/* ---- entries ---- */

static void count_work(aq_sink *sink, const aq_entry *entry)
{
    if (entry->stamp.type == AQ_TYPE_FILE) {
        sink->s.stats.files_changed++;
        sink->s.stats.bytes_changed += entry->stamp.size;
    }
}

static bool mtimes_agree(const aq_sink *sink, const aq_stamp *a, const aq_stamp *b)
{
    int64_t low = a->mtime_ns < b->mtime_ns ? a->mtime_ns : b->mtime_ns;
    int64_t high = a->mtime_ns < b->mtime_ns ? b->mtime_ns : a->mtime_ns;
    return (uint64_t)high - (uint64_t)low <= (uint64_t)sink->s.options.modify_window_ns;
}

/* A file here and there. */
static aq_action compare_files(const aq_sink *sink, const aq_entry *entry,
                               const aq_entry *own)
{
    const aq_sync_options *options = &sink->s.options;
    bool times = mtimes_agree(sink, &entry->stamp, &own->stamp);
    if (options->ignore_existing ||
        (options->update && !times && own->stamp.mtime_ns > entry->stamp.mtime_ns)) {
        return AQ_ACTION_NONE;
    }
    if (entry->stamp.size != own->stamp.size) {
        return AQ_ACTION_CONTENT;
    }
    if (compares_contents(sink)) {
        return AQ_ACTION_CHECK;
    }
    if (!times && !options->size_only) {
        return AQ_ACTION_CONTENT;
    }
    return times && entry->stamp.exec == own->stamp.exec ? AQ_ACTION_NONE : AQ_ACTION_META;
}

static aq_action compare_links(const aq_sink *sink, const aq_entry *entry,
                               const aq_entry *own)
{
    bool same =
        entry->target_size == own->target_size &&
        aq_compare(aq_entry_target(entry), aq_entry_target(own), entry->target_size) == 0;
    if (!same) {
        return sink->s.options.ignore_existing ? AQ_ACTION_NONE : AQ_ACTION_CONTENT;
    }
    bool leave = sink->s.options.ignore_existing || sink->s.options.verify_only;
    return leave || mtimes_agree(sink, &entry->stamp, &own->stamp) ? AQ_ACTION_NONE
                                                                   : AQ_ACTION_META;
}

/* A file or a symlink of the source. */
static aq_action plan_entry(aq_sink *sink, aq_ref ref, const aq_entry *own)
{
    aq_heap *heap = &sink->s.core->heap;
    const aq_entry *entry = aq_sink_entry(sink, ref);
    if (own == NULL) {
        if (sink->s.options.existing) {
            return AQ_ACTION_NONE;
        }
        bool parked = entry->stamp.type == AQ_TYPE_FILE && !sink->s.options.dry_run &&
                      file_may_be_here(sink, entry);
        if (parked) {
            AQ_VECTOR_PUSH(heap, sink->parked, ref);
        }
        return parked ? AQ_ACTION_PARKED : AQ_ACTION_NEW;
    }
    if (own->stamp.type != entry->stamp.type) {
        if (sink->s.options.ignore_existing) {
            return AQ_ACTION_NONE;
        }
        AQ_VECTOR_PUSH(heap, sink->conflicts, ref);
        return AQ_ACTION_PARKED;
    }
    return entry->stamp.type == AQ_TYPE_FILE ? compare_files(sink, entry, own)
                                             : compare_links(sink, entry, own);
}

static aq_change change_of(aq_action action)
{
    return action == AQ_ACTION_NEW    ? AQ_CHANGE_NEW
           : action == AQ_ACTION_META ? AQ_CHANGE_META
                                      : AQ_CHANGE_CONTENT;
}

/* A dry run, or a check, only says what it found. */
static aq_action only_say(aq_sink *sink, aq_ref ref, aq_action action)
{
    const aq_entry *entry = aq_sink_entry(sink, ref);
    if (action == AQ_ACTION_CHECK || action == AQ_ACTION_PARKED ||
        action == AQ_ACTION_NONE) {
        return action;
    }
    char path[AQ_PATH_MAX + 1];
    aq_sink_path(sink, ref, path);
    count_work(sink, entry);
    if (entry->stamp.type == AQ_TYPE_SYMLINK) {
        sink->s.stats.links_made++;
    }
    aq_session_change(&sink->s, change_of(action), entry->stamp.type, path, "",
                      entry->stamp.size);
    return AQ_ACTION_TAKEN;
}

/* Takes the action up. True: the directory's cursor has to come by. */
static bool action_begin(aq_sink *sink, aq_ref ref, aq_action *action)
{
    aq_heap *heap = &sink->s.core->heap;
    if (sink->s.options.dry_run || sink->s.options.verify_only) {
        *action = only_say(sink, ref, *action);
    }
    switch (*action) {
    case AQ_ACTION_NEW:
    case AQ_ACTION_CONTENT:
        count_work(sink, aq_sink_entry(sink, ref));
        return true;
    case AQ_ACTION_META:
        AQ_VECTOR_PUSH(heap, sink->metas, ref);
        *action = AQ_ACTION_TAKEN;
        return false;
    case AQ_ACTION_CHECK:
        AQ_VECTOR_PUSH(heap, sink->to_check, ref);
        *action = AQ_ACTION_TAKEN;
        return false;
    case AQ_ACTION_PARKED:
        count_work(sink, aq_sink_entry(sink, ref));
        return false;
    case AQ_ACTION_NONE:
    case AQ_ACTION_TAKEN:
        return false;
    }
    return false;
}

/* A directory of the source: which of ours is it? */
static void plan_child(aq_sink *sink, aq_ref ref, const aq_entry *own)
{
    const aq_entry *entry = aq_sink_entry(sink, ref);
    aq_rdir *child = &sink->rdirs.at[entry->child];
    sink->rdirs.at[ref.dir].busy |= own == NULL && !sink->s.options.existing;
    if (own != NULL && own->stamp.type != AQ_TYPE_DIRECTORY) {
        if (sink->s.options.ignore_existing || sink->s.options.existing) {
            aq_sink_dir_skip(sink, entry->child); /* ours stays: nothing may replace it */
            return;
        }
        AQ_VECTOR_PUSH(&sink->s.core->heap, sink->conflicts, ref);
        child->parked = true;
        aq_sink_dir_skip(sink, entry->child);
        return;
    }
    child->local = own != NULL ? own->child : AQ_NOWHERE;
    aq_sink_dir_decide(sink, entry->child);
}

void aq_sink_plan(aq_sink *sink, uint32_t dir)
{
    aq_heap *heap = &sink->s.core->heap;
    uint32_t count = sink->remote.dirs.at[dir].count;
    uint32_t local = sink->rdirs.at[dir].local;
    const aq_tree *own = &sink->scan.tree;
    uint32_t own_count = local == AQ_NOWHERE ? 0 : own->dirs.at[local].count;
    uint32_t j = 0;
    uint8_t *actions = count == 0 ? NULL : aq_heap_take_zeroed(heap, count);
    AQ_ASSERT(actions != NULL || count == 0);
    sink->rdirs.at[dir].actions = actions;
    bool work = false;
    for (uint32_t i = 0; i <= count; i++) {
        const aq_entry *entry = i < count ? sink->remote.dirs.at[dir].entries[i] : NULL;
        aq_entry *match = NULL;
        for (; j < own_count && match == NULL; j++) {
            aq_entry *mine = own->dirs.at[local].entries[j];
            int order = entry == NULL ? -1
                                      : aq_name_compare(mine->name, mine->name_size,
                                                        entry->name, entry->name_size);
            if (order > 0) {
                break;
            }
            if (order == 0) {
                match = mine;
            } else {
                aq_sink_extra(sink, local, mine);
                sink->rdirs.at[dir].busy |= sink->s.options.delete_extra;
            }
        }
        aq_ref ref = {dir, i};
        if (entry == NULL) {
            break;
        }
        if (entry->stamp.type == AQ_TYPE_DIRECTORY) {
            plan_child(sink, ref, match);
            continue;
        }
        aq_action action = plan_entry(sink, ref, match);
        sink->rdirs.at[dir].busy |= action != AQ_ACTION_NONE;
        work |= action_begin(sink, ref, &action);
        actions[i] = (uint8_t)action;
    }
    if (work) {
        AQ_VECTOR_PUSH(heap, sink->ready, dir);
    }
}
