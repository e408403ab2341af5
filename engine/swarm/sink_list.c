/* sink_list.c: the source's directories, as far as they have to be seen.
 *
 *   WAITING ──hash differs, or patience is over──► QUEUED ─► ASKED ─► PLANNED
 *      │  └─ is not here ─► MAKING (mkdir) ───────────▲
 *      └──hash equal──► SKIPPED
 *
 * A directory that exists here is asked for by ids: four bytes an entry. What we have
 * ourselves is recognised by them, the rest is asked for, and the hash of the whole proves
 * the result; if it does not, everything is asked for. */
#include "engine/swarm/sink.h"
#include "engine/base/assert.h"
#include "engine/base/bytes.h"
#include "engine/data/blake3.h"
#include "engine/sync/path.h"

enum {
    ASKED_MAX = 48,   /* directories under way */
    BACKLOG_MAX = 64, /* planned directories whose files still wait */
};

/* A directory's children, in the order of their entries. */
typedef struct child_info {
    uint32_t wire;
    bool complete, broken;
    aq_hash hash;
} child_info;

typedef struct piece {
    struct piece *next;
    size_t used, room;
    _Alignas(16) uint8_t bytes[];
} piece;

struct aq_incoming {
    bool by_ids;   /* asked for ids; a full listing may come all the same */
    bool choosing; /* the entries that ids did not explain are on their way */
    bool broken;
    piece *pieces;                  /* entries that were received */
    AQ_VECTOR(aq_entry *) entries;  /* in order; NULL: on its way */
    AQ_VECTOR(child_info) children; /* of the received entries, in order */
    AQ_VECTOR(uint32_t) ids;
    AQ_VECTOR(uint32_t) chosen; /* indexes of the NULLs */
    uint32_t chosen_at;
};

/* ---- memory ---- */

static void incoming_free(aq_sink *sink, aq_rdir *rd)
{
    aq_heap *heap = &sink->s.core->heap;
    aq_incoming *in = rd->incoming;
    if (in == NULL) {
        return;
    }
    for (piece *p = in->pieces, *next; p != NULL; p = next) {
        next = p->next;
        aq_heap_give(heap, p);
    }
    AQ_VECTOR_RESET(heap, in->entries);
    AQ_VECTOR_RESET(heap, in->children);
    AQ_VECTOR_RESET(heap, in->ids);
    AQ_VECTOR_RESET(heap, in->chosen);
    aq_heap_give(heap, in);
    rd->incoming = NULL;
}

static aq_entry *entry_room(aq_sink *sink, aq_incoming *in, size_t name_size,
                            size_t target_size)
{
    enum { PIECE = 8 << 10 };
    size_t size = aq_entry_size(name_size, target_size);
    if (in->pieces == NULL || in->pieces->room - in->pieces->used < size) {
        piece *p = aq_heap_take(&sink->s.core->heap, sizeof *p + PIECE);
        AQ_ASSERT(p != NULL && size <= PIECE);
        p->next = in->pieces;
        p->used = 0;
        p->room = PIECE;
        in->pieces = p;
    }
    aq_entry *entry = (aq_entry *)(void *)(in->pieces->bytes + in->pieces->used);
    in->pieces->used += size;
    return entry;
}

/* ---- states ---- */

static void dir_state(aq_sink *sink, uint32_t dir, aq_rdir_state state)
{
    aq_rdir *rd = &sink->rdirs.at[dir];
    if (rd->state == AQ_RDIR_ASKED) {
        sink->asked--;
    }
    rd->state = (uint8_t)state;
    if (state == AQ_RDIR_ASKED) {
        sink->asked++;
    } else if (state >= AQ_RDIR_PLANNED) {
        AQ_ASSERT(sink->open_dirs > 0);
        sink->open_dirs--;
    }
}

void aq_sink_dir_open(aq_sink *sink, uint32_t dir)
{
    dir_state(sink, dir, AQ_RDIR_QUEUED);
    AQ_VECTOR_PUSH(&sink->s.core->heap, sink->queue, dir);
}

void aq_sink_dir_skip(aq_sink *sink, uint32_t dir)
{
    dir_state(sink, dir, AQ_RDIR_SKIPPED);
}

void aq_sink_dir_again(aq_sink *sink, uint32_t dir)
{
    AQ_ASSERT(sink->rdirs.at[dir].state == AQ_RDIR_SKIPPED);
    sink->rdirs.at[dir].state = AQ_RDIR_WAITING;
    sink->open_dirs++;
    aq_sink_dir_decide(sink, dir);
}

typedef struct making {
    aq_sink *sink;
    uint32_t dir;
} making;

static void dir_made(void *owner, aq_op *op)
{
    making *m = owner;
    aq_sink *sink = m->sink;
    uint32_t dir = m->dir;
    aq_heap_give(&sink->s.core->heap, m);
    aq_sink_op_done(sink);
    if (op->items[0].status != AQ_OK) {
        aq_sink_problem_at(sink, op->items[0].path, op->items[0].status);
        if (!sink->s.ended) {
            aq_sink_dir_skip(sink, dir);
        }
        return;
    }
    sink->s.stats.directories_made++;
    aq_session_change(&sink->s, AQ_CHANGE_NEW, AQ_TYPE_DIRECTORY, op->items[0].path, "", 0);
    if (!sink->s.ended) {
        aq_sink_dir_open(sink, dir);
    }
}

void aq_sink_dir_make(aq_sink *sink, uint32_t dir)
{
    char path[AQ_PATH_MAX + 1];
    aq_tree_path(&sink->remote, dir, NULL, path);
    if (sink->s.options.dry_run) {
        sink->s.stats.directories_made++;
        aq_session_change(&sink->s, AQ_CHANGE_NEW, AQ_TYPE_DIRECTORY, path, "", 0);
        aq_sink_dir_open(sink, dir);
        return;
    }
    dir_state(sink, dir, AQ_RDIR_MAKING);
    making *m = aq_heap_take(&sink->s.core->heap, sizeof *m);
    AQ_ASSERT(m != NULL);
    *m = (making){sink, dir};
    aq_op *op = aq_sink_op(sink, AQ_OP_MKDIR, 1, dir_made, m);
    op->items[0].path = aq_ops_string(&sink->s.core->ops, op, path);
    aq_sink_op_queue(sink, op);
}

static void list_send(aq_sink *sink, uint32_t dir)
{
    const aq_rdir *rd = &sink->rdirs.at[dir];
    aq_writer w = aq_session_frame(&sink->s);
    aq_writer_varint(&w, rd->wire);
    aq_writer_byte(&w, rd->incoming->by_ids);
    aq_link_frame_end(sink->s.link, AQ_FRAME_LIST, &w);
}

static void dir_ask(aq_sink *sink, uint32_t dir)
{
    aq_rdir *rd = &sink->rdirs.at[dir];
    rd->incoming = aq_heap_take_zeroed(&sink->s.core->heap, sizeof *rd->incoming);
    AQ_ASSERT(rd->incoming != NULL);
    rd->incoming->by_ids = rd->local != AQ_NOWHERE && rd->has_hash &&
                           sink->scan.tree.dirs.at[rd->local].count != 0;
    dir_state(sink, dir, AQ_RDIR_ASKED);
    list_send(sink, dir);
}

void aq_sink_step_lists(aq_sink *sink)
{
    aq_core *core = sink->s.core;
    if (!sink->impatient && core->now_ns >= sink->patience_ns) {
        sink->impatient = true;
        for (uint32_t i = 0; i < sink->waiting.count; i++) {
            if (sink->rdirs.at[sink->waiting.at[i]].state == AQ_RDIR_WAITING) {
                aq_sink_dir_decide(sink, sink->waiting.at[i]);
            }
        }
        sink->waiting.count = 0;
    }
    if (!sink->impatient) {
        aq_core_wake_at(core, sink->patience_ns);
    }
    /* Depth first, and not far ahead of the transfers: names wait at the source, not here.
     */
    while (sink->queue.count != 0 && sink->asked < ASKED_MAX &&
           sink->ready.count - sink->ready_at < BACKLOG_MAX) {
        uint32_t dir = sink->queue.at[--sink->queue.count];
        if (sink->rdirs.at[dir].state == AQ_RDIR_QUEUED) {
            dir_ask(sink, dir);
        }
    }
}

/* ---- receiving ---- */

void aq_sink_got_root(aq_sink *sink, aq_reader *r)
{
    uint8_t flags = aq_reader_byte(r);
    sink->root_mtime_ns = aq_reader_signed(r);
    sink->s.stats.files_total = aq_reader_varint(r);
    sink->s.stats.bytes_total = aq_reader_varint(r);
    sink->root_broken = (flags & AQ_ROOT_BROKEN) != 0;
    aq_rdir *rd = &sink->rdirs.at[0];
    if (flags & AQ_ROOT_COMPLETE) {
        r->failed |= sink->root_complete;
        aq_reader_copy(r, rd->hash.bytes, sizeof rd->hash);
        rd->has_hash = true;
        rd->broken = sink->root_broken;
        sink->root_complete = true;
    }
    if (r->failed) {
        return;
    }
    sink->root_known = true;
    if (sink->phase == AQ_SINK_WORK && rd->state == AQ_RDIR_WAITING) {
        aq_sink_dir_decide(sink, 0);
    }
}

static bool dir_of_wire(aq_sink *sink, uint64_t wire, uint32_t *dir)
{
    return aq_map_get(&sink->wires, wire, dir);
}

void aq_sink_got_dir_done(aq_sink *sink, aq_reader *r)
{
    uint64_t wire = aq_reader_varint(r);
    bool broken = aq_reader_byte(r) != 0;
    aq_hash hash;
    aq_reader_copy(r, hash.bytes, sizeof hash);
    uint32_t dir;
    if (r->failed || !dir_of_wire(sink, wire, &dir)) {
        return; /* it comes before the listing that it was promised with */
    }
    aq_rdir *rd = &sink->rdirs.at[dir];
    rd->hash = hash;
    rd->has_hash = true;
    rd->broken = broken;
    if (rd->state == AQ_RDIR_WAITING && sink->phase == AQ_SINK_WORK) {
        aq_sink_dir_decide(sink, dir);
    }
}

/* One entry of a LISTING frame; NULL: malformed. */
static aq_entry *entry_read(aq_sink *sink, aq_incoming *in, aq_reader *r, int64_t *mtime)
{
    uint8_t flags = aq_reader_byte(r);
    uint8_t type = flags & AQ_ENTRY_TYPE;
    size_t name_size, target_size = 0;
    const uint8_t *name = aq_reader_string(r, AQ_NAME_MAX, &name_size);
    *mtime = (int64_t)((uint64_t)*mtime + (uint64_t)aq_reader_signed(r));
    uint64_t size = 0;
    const uint8_t *target = NULL;
    child_info child = {.wire = AQ_NOWHERE};
    if (type == AQ_TYPE_FILE) {
        size = aq_reader_bounded(r, INT64_MAX);
    } else if (type == AQ_TYPE_SYMLINK) {
        target = aq_reader_string(r, AQ_PATH_MAX, &target_size);
        r->failed |=
            target == NULL || !aq_target_is_valid((const char *)target, target_size);
        size = target_size;
    } else if (type == AQ_TYPE_DIRECTORY) {
        child.wire = (uint32_t)aq_reader_bounded(r, UINT32_MAX - 1);
        child.complete = (flags & AQ_ENTRY_COMPLETE) != 0;
        child.broken = (flags & AQ_ENTRY_BROKEN) != 0;
        if (child.complete) {
            aq_reader_copy(r, child.hash.bytes, sizeof child.hash);
        }
    } else {
        r->failed = true;
    }
    if (r->failed || !aq_name_is_valid((const char *)name, name_size)) {
        r->failed = true;
        return NULL;
    }
    aq_entry *entry = entry_room(sink, in, name_size, target_size);
    *entry =
        (aq_entry){.stamp = {.size = size,
                             .mtime_ns = *mtime,
                             .type = type,
                             .exec = type == AQ_TYPE_FILE && (flags & AQ_ENTRY_EXEC) != 0},
                   .name_size = (uint16_t)name_size,
                   .target_size = (uint16_t)target_size};
    aq_copy(entry->name, name, name_size);
    entry->name[name_size] = 0;
    char *to = entry->name + name_size + 1;
    aq_copy(to, target, target_size);
    to[target_size] = 0;
    if (type == AQ_TYPE_DIRECTORY) {
        AQ_VECTOR_PUSH(&sink->s.core->heap, in->children, child);
    }
    return entry;
}

/* Our own entry, as the source would show it: to take the place of one it need not send. */
static aq_entry *entry_borrow(aq_sink *sink, aq_incoming *in, const aq_entry *own)
{
    aq_entry *entry = entry_room(sink, in, own->name_size, own->target_size);
    aq_copy(entry, own, aq_entry_size(own->name_size, own->target_size));
    return entry;
}

/* ---- putting together ---- */

static bool names_are_sound(const aq_sink *sink, uint32_t dir, const aq_incoming *in)
{
    unsigned depth = aq_tree_depth(&sink->remote, dir);
    char path[AQ_PATH_MAX + 1];
    size_t base = aq_tree_path(&sink->remote, dir, NULL, path);
    for (uint32_t i = 0; i < in->entries.count; i++) {
        const aq_entry *entry = in->entries.at[i];
        const aq_entry *before = i == 0 ? NULL : in->entries.at[i - 1];
        bool sorted = before == NULL || aq_name_compare(before->name, before->name_size,
                                                        entry->name, entry->name_size) < 0;
        bool reserved = dir == 0 && aq_name_is_reserved(entry->name, entry->name_size);
        bool fits = base + 1 + entry->name_size <= AQ_PATH_MAX && depth < AQ_DEPTH_MAX - 1;
        if (!sorted || reserved || !fits) {
            return false;
        }
    }
    return true;
}

/* The children's rdirs follow the tree's new directories one to one. */
static void children_adopt(aq_sink *sink, const child_info *children, uint32_t first)
{
    aq_heap *heap = &sink->s.core->heap;
    for (uint32_t i = first; i < sink->remote.dirs.count; i++) {
        const child_info *child = &children[i - first];
        aq_rdir rd = {.wire = child->wire,
                      .local = AQ_NOWHERE,
                      .has_hash = child->complete,
                      .broken = child->broken,
                      .hash = child->hash};
        AQ_ASSERT(sink->rdirs.count == i);
        AQ_VECTOR_PUSH(heap, sink->rdirs, rd);
        sink->open_dirs++;
        if (child->wire != AQ_NOWHERE) {
            AQ_ASSERT(aq_map_put(&sink->wires, heap, child->wire, i));
        }
    }
}

/* Does what we put together have the hash that the source said? */
static bool hash_is_right(const aq_sink *sink, uint32_t dir, const child_info *children)
{
    const aq_rdir *rd = &sink->rdirs.at[dir];
    const aq_incoming *in = rd->incoming;
    aq_blake3_hasher hasher;
    aq_blake3_init(&hasher);
    uint32_t child = 0;
    for (uint32_t i = 0; i < in->entries.count; i++) {
        uint8_t form[AQ_NAME_MAX + AQ_PATH_MAX + 64];
        aq_writer w = aq_writer_over(form, sizeof form);
        bool is_directory = in->entries.at[i]->stamp.type == AQ_TYPE_DIRECTORY;
        aq_entry_encode(&w, in->entries.at[i], is_directory ? &children[child].hash : NULL);
        child += is_directory;
        aq_blake3_update(&hasher, form, w.size);
    }
    uint8_t mark = 0xff;
    aq_blake3_update(&hasher, &mark, in->broken ? 1 : 0);
    aq_hash hash;
    aq_blake3_final(&hasher, &hash);
    return aq_compare(hash.bytes, rd->hash.bytes, sizeof hash) == 0;
}

/* Children in the order of the entries: received ones from the list, borrowed ones from our
 * own tree, whose hashes are the same or the whole would not fit. */
static child_info *children_collect(aq_sink *sink, uint32_t dir, uint32_t *count)
{
    aq_incoming *in = sink->rdirs.at[dir].incoming;
    const aq_tree *own = &sink->scan.tree;
    AQ_VECTOR(child_info) all = {0};
    uint32_t received = 0, chosen = 0;
    for (uint32_t i = 0; i < in->entries.count; i++) {
        bool was_chosen = chosen < in->chosen.count && in->chosen.at[chosen] == i;
        chosen += was_chosen;
        const aq_entry *entry = in->entries.at[i];
        if (entry->stamp.type != AQ_TYPE_DIRECTORY) {
            continue;
        }
        child_info child = {.wire = AQ_NOWHERE, .complete = true};
        if (!in->choosing || was_chosen) {
            child = in->children.at[received++];
        } else {
            child.hash = own->dirs.at[entry->child].hash;
        }
        AQ_VECTOR_PUSH(&sink->s.core->heap, all, child);
    }
    *count = all.count;
    return all.at;
}

/* Taking a listing over needs about as much again as it takes already. */
static bool has_room(const aq_sink *sink, const aq_incoming *in)
{
    const aq_heap *heap = &sink->s.core->heap;
    uint64_t size = (uint64_t)in->entries.count * 64;
    for (const piece *p = in->pieces; p != NULL; p = p->next) {
        size += p->room;
    }
    return heap->used + 2 * size < (uint64_t)heap->unit_count << AQ_HEAP_UNIT_BITS;
}

static void listing_finish(aq_sink *sink, uint32_t dir, aq_reader *r)
{
    aq_heap *heap = &sink->s.core->heap;
    aq_rdir *rd = &sink->rdirs.at[dir];
    aq_incoming *in = rd->incoming;
    if (!names_are_sound(sink, dir, in)) {
        r->failed = true;
        return;
    }
    if (!has_room(sink, in)) {
        aq_sink_fail(sink, AQ_MEMORY);
        return;
    }
    uint32_t count;
    child_info *children = children_collect(sink, dir, &count);
    if (in->choosing && !hash_is_right(sink, dir, children)) {
        /* Four bytes were not enough to tell them apart: once in full. */
        aq_heap_give(heap, children);
        incoming_free(sink, rd);
        rd->incoming = aq_heap_take_zeroed(heap, sizeof *rd->incoming);
        AQ_ASSERT(rd->incoming != NULL);
        list_send(sink, dir);
        return;
    }
    uint32_t first = sink->remote.dirs.count;
    rd->broken |= in->broken;
    bool listed = aq_tree_list(&sink->remote, dir, (const aq_entry **)in->entries.at,
                               in->entries.count);
    AQ_ASSERT(listed);
    children_adopt(sink, children, first);
    aq_heap_give(heap, children);
    rd = &sink->rdirs.at[dir];
    incoming_free(sink, rd);
    dir_state(sink, dir, AQ_RDIR_PLANNED);
    aq_sink_plan(sink, dir);
}

void aq_sink_got_listing(aq_sink *sink, aq_reader *r)
{
    uint64_t wire = aq_reader_varint(r);
    uint8_t flags = aq_reader_byte(r);
    uint32_t dir;
    if (r->failed || !dir_of_wire(sink, wire, &dir) ||
        sink->rdirs.at[dir].state != AQ_RDIR_ASKED) {
        r->failed = true;
        return;
    }
    aq_incoming *in = sink->rdirs.at[dir].incoming;
    in->broken = (flags & AQ_LIST_BROKEN) != 0;
    if (aq_heap_is_low(&sink->s.core->heap) || sink->fatal != AQ_OK ||
        !AQ_VECTOR_ENSURE(&sink->s.core->heap, in->entries, aq_reader_left(r) / 4 + 1)) {
        aq_sink_fail(sink, AQ_MEMORY);
        return;
    }
    int64_t mtime = 0;
    while (aq_reader_left(r) != 0) {
        aq_entry *entry = entry_read(sink, in, r, &mtime);
        if (entry == NULL) {
            return;
        }
        if (!in->choosing) {
            AQ_VECTOR_PUSH(&sink->s.core->heap, in->entries, entry);
        } else if (in->chosen_at < in->chosen.count) {
            in->entries.at[in->chosen.at[in->chosen_at++]] = entry;
        } else {
            r->failed = true;
            return;
        }
    }
    if (r->failed || (flags & AQ_LIST_LAST) == 0) {
        return;
    }
    if (in->choosing && in->chosen_at != in->chosen.count) {
        return; /* the answer to the next ENTRIES frame follows */
    }
    listing_finish(sink, dir, r);
}

/* Equal names are not enough to skip this directory of ours: the source's number for it
 * will be needed. */
static bool is_looked_into(const aq_sink *sink, const aq_entry *own)
{
    bool compares = sink->s.options.checksum || sink->s.options.verify_only;
    return own->stamp.type == AQ_TYPE_DIRECTORY &&
           (compares || sink->scan.tree.dirs.at[own->child].broken);
}

/* Which of our own entries do the ids mean? */
static void ids_match(aq_sink *sink, uint32_t dir)
{
    aq_heap *heap = &sink->s.core->heap;
    aq_rdir *rd = &sink->rdirs.at[dir];
    aq_incoming *in = rd->incoming;
    const aq_tree *own = &sink->scan.tree;
    const aq_dir *d = &own->dirs.at[rd->local];
    aq_map by_id;
    aq_map_init(&by_id, sink->wires.secret);
    for (uint32_t i = 0; i < d->count; i++) {
        bool is_directory = d->entries[i]->stamp.type == AQ_TYPE_DIRECTORY;
        const aq_hash *child =
            is_directory ? &own->dirs.at[d->entries[i]->child].hash : NULL;
        AQ_ASSERT(aq_map_put(&by_id, heap, aq_entry_id(d->entries[i], child), i));
    }
    uint32_t least = 0; /* names are sorted at both ends */
    for (uint32_t i = 0; i < in->ids.count; i++) {
        uint32_t at = 0, found, best = UINT32_MAX;
        while (aq_map_next(&by_id, in->ids.at[i], &at, &found)) {
            best = found >= least && found < best ? found : best;
        }
        aq_entry *entry = NULL;
        if (best != UINT32_MAX && !is_looked_into(sink, d->entries[best])) {
            entry = entry_borrow(sink, in, d->entries[best]);
            least = best + 1;
        } else {
            AQ_VECTOR_PUSH(heap, in->chosen, i);
        }
        AQ_VECTOR_PUSH(heap, in->entries, entry);
    }
    aq_map_reset(&by_id, heap);
}

void aq_sink_got_ids(aq_sink *sink, aq_reader *r)
{
    aq_heap *heap = &sink->s.core->heap;
    uint64_t wire = aq_reader_varint(r);
    uint8_t flags = aq_reader_byte(r);
    uint32_t dir;
    if (r->failed || !dir_of_wire(sink, wire, &dir) ||
        sink->rdirs.at[dir].state != AQ_RDIR_ASKED ||
        !sink->rdirs.at[dir].incoming->by_ids || sink->rdirs.at[dir].incoming->choosing ||
        sink->rdirs.at[dir].incoming->entries.count != 0) {
        r->failed = true;
        return;
    }
    aq_incoming *in = sink->rdirs.at[dir].incoming;
    if (!AQ_VECTOR_ENSURE(heap, in->ids, aq_reader_left(r) / 4 + 1) ||
        !AQ_VECTOR_ENSURE(heap, in->entries, in->ids.room) ||
        !AQ_VECTOR_ENSURE(heap, in->chosen, in->ids.room)) {
        aq_sink_fail(sink, AQ_MEMORY);
        return;
    }
    in->broken = (flags & AQ_LIST_BROKEN) != 0;
    while (aq_reader_left(r) != 0) {
        uint8_t id[4];
        aq_reader_copy(r, id, sizeof id);
        AQ_VECTOR_PUSH(heap, in->ids, aq_load32(id));
    }
    if (r->failed || (flags & AQ_LIST_LAST) == 0) {
        return;
    }
    ids_match(sink, dir);
    in->choosing = true;
    if (in->chosen.count == 0) {
        listing_finish(sink, dir, r);
        return;
    }
    enum { PER_FRAME = 12000 };
    for (uint32_t i = 0; i < in->chosen.count;) {
        aq_writer w = aq_session_frame(&sink->s);
        aq_writer_varint(&w, wire);
        uint32_t before = 0;
        for (uint32_t n = 0; n < PER_FRAME && i < in->chosen.count; n++, i++) {
            aq_writer_varint(&w, in->chosen.at[i] - before);
            before = in->chosen.at[i] + 1;
        }
        aq_link_frame_end(sink->s.link, AQ_FRAME_ENTRIES, &w);
    }
}

void aq_sink_free_lists(aq_sink *sink)
{
    for (uint32_t i = 0; i < sink->rdirs.count; i++) {
        incoming_free(sink, &sink->rdirs.at[i]);
        aq_heap_give(&sink->s.core->heap, sink->rdirs.at[i].actions);
    }
    AQ_VECTOR_RESET(&sink->s.core->heap, sink->rdirs);
}
