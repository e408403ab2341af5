/* sink_check.c: are two contents equal? Both ends hash what they have, 32 bytes cross the
 * wire.
 *
 *   -c, check    the source's file and ours of the same path: equal, or content to be
 * fetched moves        the source's new file and one of ours of the same size and time:
 * equal, then ours is renamed (if the source has it no more and deleting is allowed) or
 * copied directories  likewise, one hash for all contents below
 */
#include "engine/swarm/sink.h"
#include "engine/base/assert.h"
#include "engine/base/bytes.h"
#include "engine/data/blake3.h"
#include "engine/sync/path.h"

enum { CHECKS_MAX = 4, CHECK_FILES = 128 };

typedef struct check_file {
    aq_ref ref;
    aq_extra local;
    aq_status remote_status;
    aq_hash remote;
} check_file;

struct aq_check {
    aq_check *next;
    aq_sink *sink;
    enum { CHECK_SAME_PATH, CHECK_MOVES, CHECK_DIRECTORY } kind;
    bool answered;
    bool dead;
    AQ_VECTOR(check_file) files;
    aq_hashing own;
};

static aq_check *check_new(aq_sink *sink, int kind)
{
    aq_check *check = aq_heap_take_zeroed(&sink->s.core->heap, sizeof *check);
    AQ_ASSERT(check != NULL);
    check->sink = sink;
    check->kind = kind;
    aq_hashing_init(&check->own, &sink->s.core->ops, &sink->scan.tree, sink->s.root);
    check->next = sink->checks;
    sink->checks = check;
    sink->check_count++;
    return check;
}

static void check_send(aq_check *check)
{
    aq_sink *sink = check->sink;
    uint32_t request = aq_sink_request(sink, AQ_REQUEST_HASHES, check, 0, NULL, 0);
    aq_writer w = aq_session_frame(&sink->s);
    aq_writer_varint(&w, request);
    aq_writer_byte(&w, check->kind == CHECK_DIRECTORY);
    for (uint32_t i = 0; i < check->files.count; i++) {
        aq_ref ref = check->files.at[i].ref;
        aq_writer_varint(&w, sink->rdirs.at[ref.dir].wire);
        if (check->kind != CHECK_DIRECTORY) {
            aq_writer_varint(&w, ref.index);
        }
    }
    aq_link_frame_end(sink->s.link, AQ_FRAME_HASH_WANT, &w);
}

static void file_add(aq_check *check, aq_ref ref, aq_extra local)
{
    check_file file = {.ref = ref, .local = local};
    AQ_VECTOR_PUSH(&check->sink->s.core->heap, check->files, file);
    if (check->kind == CHECK_DIRECTORY) {
        aq_hashing_add_below(&check->own, local.entry->child, UINT64_MAX);
    } else {
        aq_hashing_add(&check->own, local.dir, local.entry);
    }
}

void aq_sink_check_move(aq_sink *sink, aq_ref ref, aq_extra local)
{
    AQ_VECTOR_PUSH(&sink->s.core->heap, sink->moves, (aq_moving){ref, local});
}

void aq_sink_got_hashes(aq_sink *sink, aq_check *check, aq_reader *r)
{
    (void)sink;
    for (uint32_t i = 0; i < check->files.count; i++) {
        check_file *file = &check->files.at[i];
        file->remote_status = (aq_status)aq_reader_bounded(r, AQ_STATUS_COUNT - 1);
        if (file->remote_status == AQ_OK) {
            aq_reader_copy(r, file->remote.bytes, sizeof file->remote);
        }
    }
    check->answered = true;
}

/* ---- what follows ---- */

/* Not the same after all: like anything else that is new. */
static void make_anew(aq_sink *sink, aq_ref ref)
{
    if (ref.index == AQ_NOWHERE) {
        aq_sink_dir_again(sink, ref.dir);
    } else {
        aq_sink_schedule(sink, ref, 0);
    }
}

typedef struct moving {
    aq_sink *sink;
    aq_ref ref;
    aq_extra local;
    uint64_t slot;
} moving;

static void mark_set(aq_sink *sink, const moving *m, uint8_t mark)
{
    aq_tree *own = &sink->scan.tree;
    if (m->ref.index == AQ_NOWHERE) {
        own->dirs.at[m->local.entry->child].mark = mark;
    } else {
        m->local.entry->child = mark;
    }
}

static void renamed(void *owner, aq_op *op)
{
    moving *m = owner;
    aq_sink *sink = m->sink;
    const aq_item *item = &op->items[0];
    aq_sink_op_done(sink);
    if (item->status != AQ_OK) {
        mark_set(sink, m, AQ_MARK_EXTRA);
        if (!sink->s.ended) {
            make_anew(sink, m->ref);
        }
        aq_heap_give(&sink->s.core->heap, m);
        return;
    }
    aq_type type = m->ref.index == AQ_NOWHERE ? AQ_TYPE_DIRECTORY : AQ_TYPE_FILE;
    sink->s.stats.files_moved++;
    if (type == AQ_TYPE_DIRECTORY) {
        sink->rdirs.at[m->ref.dir].retime = true;
    } else {
        const aq_entry *entry = aq_sink_entry(sink, m->ref);
        sink->s.stats.files_done++;
        sink->s.stats.bytes_done += entry->stamp.size;
        sink->s.stats.bytes_matched += entry->stamp.size;
        if (entry->stamp.exec != m->local.entry->stamp.exec) {
            AQ_VECTOR_PUSH(&sink->s.core->heap, sink->metas, m->ref);
        }
    }
    aq_session_change(&sink->s, AQ_CHANGE_MOVE, type, item->path, item->target, 0);
    aq_heap_give(&sink->s.core->heap, m);
}

static void copied(void *owner, aq_op *op)
{
    moving *m = owner;
    aq_sink *sink = m->sink;
    const aq_entry *entry = aq_sink_entry(sink, m->ref);
    aq_sink_op_done(sink);
    if (op->items[0].status == AQ_OK) {
        sink->s.stats.bytes_matched += entry->stamp.size;
        if (entry->stamp.size >= sink->s.core->profile->chunk_min) {
            sink->s.stats.bytes_done += entry->stamp.size;
        }
        aq_sink_publish(sink, m->ref, m->slot, entry->stamp.size);
    } else if (!sink->s.ended) {
        aq_sink_schedule(sink, m->ref, 0);
    }
    aq_heap_give(&sink->s.core->heap, m);
}

static bool lies_in_moved(const aq_tree *own, uint32_t dir)
{
    while (dir != 0 && own->dirs.at[dir].mark != AQ_MARK_MOVED) {
        dir = own->dirs.at[dir].parent;
    }
    return dir != 0;
}

/* A directory that something has left is not what it was; what takes no part stays. */
static bool is_divided(aq_sink *sink, uint32_t dir)
{
    const aq_tree *own = &sink->scan.tree;
    aq_heap *heap = &sink->s.core->heap;
    AQ_VECTOR(uint32_t) stack = {0};
    bool found = false;
    AQ_VECTOR_PUSH(heap, stack, dir);
    while (stack.count != 0 && !found) {
        const aq_dir *d = &own->dirs.at[stack.at[--stack.count]];
        found |= d->hidden;
        for (uint32_t i = 0; i < d->count && !found; i++) {
            const aq_entry *entry = d->entries[i];
            if (entry->stamp.type == AQ_TYPE_DIRECTORY) {
                found = own->dirs.at[entry->child].mark == AQ_MARK_MOVED;
                AQ_VECTOR_PUSH(heap, stack, entry->child);
            } else {
                found = entry->child == AQ_MARK_MOVED;
            }
        }
    }
    AQ_VECTOR_RESET(heap, stack);
    return found;
}

static void take_over(aq_sink *sink, aq_ref ref, aq_extra local)
{
    aq_core *core = sink->s.core;
    aq_tree *own = &sink->scan.tree;
    bool is_dir = ref.index == AQ_NOWHERE;
    uint32_t mark = is_dir ? own->dirs.at[local.entry->child].mark : local.entry->child;
    bool rename =
        mark == AQ_MARK_EXTRA && sink->s.options.delete_extra && !sink->root_broken;
    bool taken = mark == AQ_MARK_MOVED || lies_in_moved(own, local.dir) ||
                 (is_dir && is_divided(sink, local.entry->child));
    if (taken || (is_dir && !rename)) {
        make_anew(sink, ref);
        return;
    }
    moving *m = aq_heap_take(&core->heap, sizeof *m);
    AQ_ASSERT(m != NULL);
    *m = (moving){sink, ref, local, sink->slot_next++ & (UINT64_MAX >> 1)};
    char path[AQ_PATH_MAX + 1];
    aq_op *op = aq_sink_op(sink, rename ? AQ_OP_RENAME : AQ_OP_COPY, 1,
                           rename ? renamed : copied, m);
    aq_item *item = &op->items[0];
    aq_tree_path(own, local.dir, local.entry->name, path);
    item->path = aq_ops_string(&core->ops, op, path);
    item->expect = local.entry->stamp;
    if (rename) {
        mark_set(sink, m, AQ_MARK_MOVED); /* nobody else takes it; given back if it fails */
        if (is_dir) {
            aq_tree_path(&sink->remote, ref.dir, NULL, path);
        } else {
            aq_sink_path(sink, ref, path);
        }
        item->target = aq_ops_string(&core->ops, op, path);
    } else {
        item->slot = m->slot;
        item->size = local.entry->stamp.size;
        sink->staged_any = true;
    }
    aq_sink_op_queue(sink, op);
}

static void same_path_resolved(aq_sink *sink, const check_file *file, bool equal)
{
    const aq_entry *entry = aq_sink_entry(sink, file->ref);
    const aq_stamp *own = &file->local.entry->stamp;
    bool only_look = sink->s.options.dry_run || sink->s.options.verify_only;
    char path[AQ_PATH_MAX + 1];
    if (equal) {
        bool meta =
            entry->stamp.mtime_ns != own->mtime_ns || entry->stamp.exec != own->exec;
        sink->s.stats.bytes_matched += entry->stamp.size;
        if (meta && !only_look) {
            AQ_VECTOR_PUSH(&sink->s.core->heap, sink->metas, file->ref);
        } else if (meta && !sink->s.options.verify_only) {
            aq_sink_path(sink, file->ref, path);
            aq_session_change(&sink->s, AQ_CHANGE_META, AQ_TYPE_FILE, path, "", 0);
        }
        return;
    }
    sink->s.stats.files_changed++;
    sink->s.stats.bytes_changed += entry->stamp.size;
    if (only_look) {
        aq_sink_path(sink, file->ref, path);
        aq_session_change(&sink->s, AQ_CHANGE_CONTENT, AQ_TYPE_FILE, path, "",
                          entry->stamp.size);
    } else {
        aq_sink_schedule(sink, file->ref, 0);
    }
}

/* It could not be read: neither equal nor different. */
static bool tells_nothing(aq_status status)
{
    return status != AQ_OK && status != AQ_CHANGED && status != AQ_NOT_FOUND;
}

static void check_resolve(aq_check *check)
{
    aq_sink *sink = check->sink;
    for (uint32_t i = 0; i < check->files.count; i++) {
        const check_file *file = &check->files.at[i];
        aq_hash own = {{0}};
        aq_status own_status;
        if (check->kind == CHECK_DIRECTORY) {
            own_status = aq_hashing_digest(&check->own, &own);
        } else {
            own = check->own.items.at[i].hash;
            own_status = check->own.items.at[i].status;
        }
        bool equal = file->remote_status == AQ_OK && own_status == AQ_OK &&
                     aq_compare(own.bytes, file->remote.bytes, sizeof own) == 0;
        if (check->kind == CHECK_SAME_PATH && tells_nothing(file->remote_status)) {
            aq_sink_problem(sink, file->ref, file->remote_status);
        } else if (check->kind == CHECK_SAME_PATH && tells_nothing(own_status)) {
            aq_sink_problem(sink, file->ref, own_status);
        } else if (check->kind == CHECK_SAME_PATH) {
            same_path_resolved(sink, file, equal);
        } else if (equal) {
            take_over(sink, file->ref, file->local);
        } else {
            make_anew(sink, file->ref);
        }
    }
}

/* ---- the queue ---- */

static void checks_begin(aq_sink *sink)
{
    if (sink->to_check.count != 0 && aq_sink_may_request(sink, 1)) {
        aq_check *check = check_new(sink, CHECK_SAME_PATH);
        while (sink->to_check.count != 0 && check->files.count < CHECK_FILES) {
            aq_ref ref = sink->to_check.at[--sink->to_check.count];
            aq_extra local = {sink->rdirs.at[ref.dir].local, aq_sink_local(sink, ref)};
            AQ_ASSERT(local.entry != NULL);
            file_add(check, ref, local);
        }
        check_send(check);
    } else if (sink->moves.count != 0 && aq_sink_may_request(sink, 1)) {
        bool is_dir = sink->moves.at[sink->moves.count - 1].ref.index == AQ_NOWHERE;
        aq_check *check = check_new(sink, is_dir ? CHECK_DIRECTORY : CHECK_MOVES);
        while (sink->moves.count != 0 && check->files.count < (is_dir ? 1 : CHECK_FILES)) {
            aq_moving move = sink->moves.at[sink->moves.count - 1];
            if ((move.ref.index == AQ_NOWHERE) != is_dir) {
                break;
            }
            sink->moves.count--;
            file_add(check, move.ref, move.local);
        }
        check_send(check);
    }
}

static void checks_reap(aq_sink *sink)
{
    for (aq_check **at = &sink->checks; *at != NULL;) {
        aq_check *check = *at;
        bool over = aq_hashing_is_over(&check->own);
        if (!(check->dead && !check->own.busy) && !(over && check->answered)) {
            at = &check->next;
            continue;
        }
        *at = check->next;
        sink->check_count--;
        if (!check->dead) {
            check_resolve(check);
        }
        AQ_VECTOR_RESET(&sink->s.core->heap, check->files);
        aq_hashing_reset(&check->own);
        aq_heap_give(&sink->s.core->heap, check);
    }
}

void aq_sink_step_checks(aq_sink *sink)
{
    while (sink->to_check.count + sink->moves.count != 0 &&
           sink->check_count < CHECKS_MAX && aq_sink_may_start(sink) &&
           aq_sink_may_request(sink, 1)) {
        checks_begin(sink);
    }
    for (aq_check *check = sink->checks; check != NULL; check = check->next) {
        aq_hashing_step(&check->own);
    }
    checks_reap(sink);
}

void aq_sink_drop_checks(aq_sink *sink)
{
    for (aq_check *check = sink->checks; check != NULL; check = check->next) {
        if (!check->dead) {
            check->dead = true;
            check->own.stopped = true;
            aq_sink_requests_forget(sink, check);
        }
    }
    checks_reap(sink);
}
