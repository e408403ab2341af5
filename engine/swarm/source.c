/* source.c: the session that shows a folder: its scan, its root, problems, content hashes.
 *
 *   scan ─► ROOT (unfinished, then complete)      lists ─► jobs ─► LISTING, IDS
 *                                                 wants ─► reads ─► data ─► DATA
 *                                                 files ─► mapper ─► MAP
 * Answers about names go before content: a sink that knows more asks better. */
#include "engine/swarm/source.h"
#include "engine/base/assert.h"
#include "engine/base/bytes.h"
#include "engine/sync/path.h"

/* A scan that is over sooner is announced once, complete. */
#define ROOT_PATIENCE_NS UINT64_C(100000000)

/* Bytes a second; as good as none, and no product with it overflows. */
#define RATE_MAX (UINT64_C(1) << 38)

enum { HASH_FILES_MAX = 1024, HASH_SIDE_BY_SIDE = 2 };

aq_entry *aq_source_entry(aq_source *source, uint64_t dir, uint64_t index)
{
    const aq_tree *tree = &source->scan.tree;
    if (dir >= tree->dirs.count) {
        return NULL;
    }
    const aq_dir *d = &tree->dirs.at[dir];
    if (d->state < AQ_DIR_LISTED || index >= d->count ||
        d->entries[index]->stamp.type != AQ_TYPE_FILE) {
        return NULL;
    }
    return d->entries[index];
}

/* ---- the scan ---- */

static void scan_problem(void *owner, const char *path, aq_status status)
{
    aq_source *source = owner;
    aq_session *s = &source->s;
    s->stats.errors++;
    if (s->client) {
        aq_note *note = aq_core_note(s->core, AQ_NOTE_PROBLEM, s->link_id);
        if (note != NULL) {
            note->sync = s->sync;
            note->status = status;
            aq_text_set(note->path, sizeof note->path, path, aq_string_size(path));
        }
    }
    if (s->ended || s->link == NULL) {
        return;
    }
    aq_writer w = aq_session_frame(s);
    aq_writer_varint(&w, status);
    size_t size = aq_string_size(path);
    aq_writer_string(&w, path, size < AQ_PATH_MAX ? size : AQ_PATH_MAX);
    aq_link_frame_end(s->link, AQ_FRAME_PROBLEM, &w);
}

static void dir_completed(void *owner, uint32_t dir)
{
    aq_source *source = owner;
    aq_session *s = &source->s;
    const aq_dir *d = &source->scan.tree.dirs.at[dir];
    if (d->mark == 0 || s->ended || s->link == NULL) {
        return;
    }
    aq_writer w = aq_session_frame(s);
    aq_writer_varint(&w, dir);
    aq_writer_byte(&w, d->broken);
    aq_writer_bytes(&w, d->hash.bytes, sizeof d->hash);
    aq_link_frame_end(s->link, AQ_FRAME_DIR_DONE, &w);
}

static void root_send(aq_source *source, bool complete)
{
    aq_session *s = &source->s;
    const aq_tree *tree = &source->scan.tree;
    const aq_dir *root = &tree->dirs.at[0];
    aq_writer w = aq_session_frame(s);
    aq_writer_byte(&w, (uint8_t)((complete ? AQ_ROOT_COMPLETE : 0) |
                                 (root->broken ? AQ_ROOT_BROKEN : 0)));
    aq_writer_signed(&w, tree->stamp.mtime_ns);
    aq_writer_varint(&w, tree->file_count);
    aq_writer_varint(&w, tree->file_bytes);
    if (complete) {
        aq_writer_bytes(&w, root->hash.bytes, sizeof root->hash);
    }
    aq_link_frame_end(s->link, AQ_FRAME_ROOT, &w);
    source->root_announced = true;
    source->root_done = complete;
}

static void scan_step(aq_source *source)
{
    aq_core *core = source->s.core;
    aq_scan_step(&source->scan);
    if (source->scan.status != AQ_OK) {
        aq_session_end(&source->s, source->scan.status);
        return;
    }
    if (source->root_done || source->scan.tree.dirs.at[0].state < AQ_DIR_LISTED) {
        return;
    }
    if (source->scan.tree.dirs.at[0].state == AQ_DIR_COMPLETE) {
        root_send(source, true);
    } else if (core->now_ns >= source->root_due_ns) {
        root_send(source, false);
        source->root_due_ns = core->now_ns + 4 * ROOT_PATIENCE_NS;
    }
    if (!source->root_done) {
        aq_core_wake_at(core, source->root_due_ns);
    }
}

/* ---- content hashes ---- */

static void got_hash_want(aq_source *source, aq_reader *r)
{
    aq_heap *heap = &source->s.core->heap;
    const aq_tree *tree = &source->scan.tree;
    uint32_t request = (uint32_t)aq_reader_bounded(r, UINT32_MAX);
    bool digest = aq_reader_byte(r) != 0;
    if (r->failed || source->hashing_count >= AQ_SOURCE_HASHINGS_MAX) {
        r->failed = true;
        return;
    }
    aq_source_hashing *hashing = aq_heap_take_zeroed(heap, sizeof *hashing);
    AQ_ASSERT(hashing != NULL);
    hashing->request = request;
    hashing->digest = digest;
    aq_hashing_init(&hashing->job, &source->s.core->ops, tree, source->s.root);
    aq_source_hashing **end = &source->hashings;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = hashing;
    source->hashing_count++;
    if (digest) {
        uint64_t dir = aq_reader_varint(r);
        if (dir >= tree->dirs.count || tree->dirs.at[dir].state != AQ_DIR_COMPLETE) {
            r->failed = true;
            return;
        }
        aq_hashing_add_below(&hashing->job, (uint32_t)dir,
                             tree->file_count - source->hash_count);
        hashing->count = hashing->job.items.count;
        source->hash_count += hashing->count;
    }
    while (!digest && aq_reader_left(r) != 0) {
        uint64_t dir = aq_reader_varint(r);
        uint64_t index = aq_reader_varint(r);
        const aq_entry *entry = aq_source_entry(source, dir, index);
        if (r->failed || entry == NULL || hashing->job.items.count >= HASH_FILES_MAX) {
            r->failed = true;
            return;
        }
        aq_hashing_add(&hashing->job, (uint32_t)dir, entry);
    }
}

static void hashes_send(aq_source *source, const aq_source_hashing *hashing)
{
    aq_session *s = &source->s;
    aq_writer w = aq_session_frame(s);
    aq_writer_varint(&w, hashing->request);
    if (hashing->digest) {
        aq_hash digest;
        aq_status status = aq_hashing_digest(&hashing->job, &digest);
        aq_writer_varint(&w, status);
        if (status == AQ_OK) {
            aq_writer_bytes(&w, digest.bytes, sizeof digest);
        }
    }
    for (uint32_t i = 0; i < hashing->job.items.count && !hashing->digest; i++) {
        const aq_hashing_item *item = &hashing->job.items.at[i];
        aq_writer_varint(&w, item->status);
        if (item->status == AQ_OK) {
            aq_writer_bytes(&w, item->hash.bytes, sizeof item->hash);
        }
    }
    aq_link_frame_end(s->link, AQ_FRAME_HASHES, &w);
}

static void hashings_step(aq_source *source)
{
    aq_source_hashing **at = &source->hashings;
    for (unsigned busy = 0; *at != NULL && busy < HASH_SIDE_BY_SIDE;) {
        aq_source_hashing *hashing = *at;
        aq_hashing_step(&hashing->job);
        busy += hashing->job.busy;
        if (!aq_hashing_is_over(&hashing->job)) {
            at = &hashing->next;
            continue;
        }
        if (!source->s.ended) {
            hashes_send(source, hashing);
        }
        *at = hashing->next;
        source->hashing_count--;
        source->hash_count -= hashing->count;
        aq_hashing_reset(&hashing->job);
        aq_heap_give(&source->s.core->heap, hashing);
    }
}

/* ---- the session ---- */

static void start(aq_session *s)
{
    aq_source *source = aq_source_of(s);
    source->root_due_ns = s->core->now_ns + ROOT_PATIENCE_NS;
    source->rate = s->client ? s->options.bytes_per_s_out : s->options.bytes_per_s_in;
    if (source->rate > RATE_MAX) {
        source->rate = 0;
    }
    aq_scan_init(&source->scan, &s->core->ops, s->root, s->options.filter, source,
                 scan_problem, dir_completed);
}

static void got_stats(aq_session *s, aq_reader *r)
{
    aq_stats stats;
    aq_stats_read(r, &stats);
    if (!r->failed) {
        s->stats = stats;
    }
}

static void frame(aq_session *s, uint8_t type, aq_reader *r)
{
    aq_source *source = aq_source_of(s);
    switch ((aq_frame_type)type) {
    case AQ_FRAME_LIST:
        aq_source_got_list(source, r);
        break;
    case AQ_FRAME_ENTRIES:
        aq_source_got_entries(source, r);
        break;
    case AQ_FRAME_WANT:
        aq_source_got_want(source, r);
        break;
    case AQ_FRAME_CANCEL:
        aq_source_got_cancel(source, r);
        break;
    case AQ_FRAME_MAP_WANT:
        aq_source_got_map_want(source, r);
        break;
    case AQ_FRAME_PAGES:
        aq_source_got_pages(source, r);
        break;
    case AQ_FRAME_FORGET:
        aq_source_got_forget(source, r);
        break;
    case AQ_FRAME_BLOCKS_WANT:
        aq_source_got_blocks_want(source, r);
        break;
    case AQ_FRAME_HASH_WANT:
        got_hash_want(source, r);
        break;
    case AQ_FRAME_STATS:
        got_stats(s, r);
        break;
    case AQ_FRAME_ACK:
        break; /* durable there: the source keeps nothing that it could let go of */
    case AQ_FRAME_HELLO:
    case AQ_FRAME_AUTH:
    case AQ_FRAME_PING:
    case AQ_FRAME_PONG:
    case AQ_FRAME_GOODBYE:
    case AQ_FRAME_OPEN:
    case AQ_FRAME_OPENED:
    case AQ_FRAME_END:
    case AQ_FRAME_ROOT:
    case AQ_FRAME_LISTING:
    case AQ_FRAME_IDS:
    case AQ_FRAME_DIR_DONE:
    case AQ_FRAME_DATA:
    case AQ_FRAME_MAP:
    case AQ_FRAME_BLOCKS:
    case AQ_FRAME_HASHES:
    case AQ_FRAME_PROBLEM:
    case AQ_FRAME_NOTE:
    case AQ_FRAME_STOP:
        r->failed = true;
        break;
    }
}

static void stop_step(aq_source *source)
{
    aq_session *s = &source->s;
    if (s->stopping && !s->ended && s->client && source->root_due_ns != UINT64_MAX) {
        /* The sink has the saving to do; it ends the session. */
        source->root_due_ns = UINT64_MAX;
        source->root_done = true;
        aq_writer w = aq_session_frame(s);
        aq_link_frame_end(s->link, AQ_FRAME_STOP, &w);
    }
}

static void step(aq_session *s)
{
    aq_source *source = aq_source_of(s);
    if (!s->started || s->ended) {
        return;
    }
    stop_step(source);
    scan_step(source);
    if (s->ended) {
        return;
    }
    aq_source_step_lists(source);
    aq_source_step_maps(source);
    aq_source_step_data(source);
    hashings_step(source);
}

static bool fill(aq_session *s)
{
    aq_source *source = aq_source_of(s);
    return aq_source_fill_lists(source) || aq_source_fill_maps(source) ||
           aq_source_fill_data(source);
}

static void drop(aq_session *s)
{
    aq_source *source = aq_source_of(s);
    if (!s->started) {
        return;
    }
    aq_scan_stop(&source->scan);
    aq_source_drop_lists(source);
    aq_source_drop_data(source);
    aq_source_drop_maps(source);
    for (aq_source_hashing *h = source->hashings; h != NULL; h = h->next) {
        h->job.stopped = true;
    }
}

static bool is_idle(const aq_session *s)
{
    const aq_source *source = (const aq_source *)(const void *)s;
    if (!s->started) {
        return true;
    }
    for (const aq_source_hashing *h = source->hashings; h != NULL; h = h->next) {
        if (h->job.busy) {
            return false;
        }
    }
    return source->scan.flight == 0 && source->reads == 0 &&
           aq_source_maps_are_idle(source);
}

static void source_free(aq_session *s)
{
    aq_source *source = aq_source_of(s);
    if (!s->started) {
        return;
    }
    hashings_step(source); /* all of them are stopped */
    AQ_ASSERT(source->hashings == NULL);
    aq_source_drop_data(source);
    aq_source_free_maps(source);
    aq_scan_reset(&source->scan);
}

const aq_session_kind aq_source_kind = {start, frame,   step,       fill,
                                        drop,  is_idle, source_free};

aq_session *aq_source_new(aq_core *core)
{
    aq_source *source = aq_heap_take_zeroed(&core->heap, sizeof *source);
    AQ_ASSERT(source != NULL);
    source->s.kind = &aq_source_kind;
    source->s.role = AQ_ROLE_SOURCE;
    source->jobs_end = &source->jobs;
    source->data_end = &source->data;
    return &source->s;
}
