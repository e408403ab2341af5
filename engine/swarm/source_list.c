/* source_list.c: the source's directories, shown when they are listed.
 *
 * A sink that has nothing there asks for all entries; one that has a directory of that name
 * asks for four bytes of each entry, and then in full only for those it does not have
 * itself. */
#include "engine/swarm/source.h"
#include "engine/base/assert.h"
#include "engine/base/bytes.h"
#include "engine/sync/path.h"

enum { ENTRY_SIZE_MAX = 64 + AQ_NAME_MAX + AQ_PATH_MAX };

static aq_source_job *job_add(aq_source *source, uint32_t dir, int kind)
{
    aq_source_job *job = aq_heap_take_zeroed(&source->s.core->heap, sizeof *job);
    AQ_ASSERT(job != NULL);
    job->dir = dir;
    job->kind = kind;
    *source->jobs_end = job;
    source->jobs_end = &job->next;
    source->job_count++;
    return job;
}

static void job_take(aq_source *source)
{
    aq_source_job *job = source->jobs;
    source->jobs = job->next;
    if (source->jobs == NULL) {
        source->jobs_end = &source->jobs;
    }
    source->job_count--;
    source->index_count -= job->indexes.count;
    AQ_VECTOR_RESET(&source->s.core->heap, job->indexes);
    aq_heap_give(&source->s.core->heap, job);
}

void aq_source_got_list(aq_source *source, aq_reader *r)
{
    uint64_t dir = aq_reader_varint(r);
    bool ids = aq_reader_byte(r) != 0;
    bool fits = dir < source->scan.tree.dirs.count &&
                source->lists.count + source->job_count < AQ_SOURCE_JOBS_MAX;
    if (r->failed || !fits) {
        r->failed = true;
        return;
    }
    AQ_VECTOR_PUSH(&source->s.core->heap, source->lists,
                   (aq_source_list){(uint32_t)dir, ids});
    aq_scan_hurry(&source->scan, (uint32_t)dir);
}

void aq_source_got_entries(aq_source *source, aq_reader *r)
{
    uint64_t dir = aq_reader_varint(r);
    bool fits = dir < source->scan.tree.dirs.count &&
                source->lists.count + source->job_count < AQ_SOURCE_JOBS_MAX &&
                source->scan.tree.dirs.at[dir].state >= AQ_DIR_LISTED;
    if (r->failed || !fits) {
        r->failed = true;
        return;
    }
    const aq_tree *tree = &source->scan.tree;
    aq_source_job *job = job_add(source, (uint32_t)dir, JOB_ENTRIES);
    /* Upwards, and each entry once: what waits here is never more than the tree. */
    for (uint64_t next = 0; aq_reader_left(r) != 0;) {
        uint64_t index = next + aq_reader_bounded(r, UINT32_MAX);
        if (r->failed || index >= tree->dirs.at[dir].count ||
            source->index_count >= tree->entry_count ||
            !AQ_VECTOR_ENSURE(&source->s.core->heap, job->indexes, 1)) {
            r->failed = true;
            return;
        }
        AQ_VECTOR_PUSH(&source->s.core->heap, job->indexes, (uint32_t)index);
        source->index_count++;
        next = index + 1;
    }
}

void aq_source_step_lists(aq_source *source)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < source->lists.count; i++) {
        aq_source_list list = source->lists.at[i];
        const aq_dir *d = &source->scan.tree.dirs.at[list.dir];
        if (d->state < AQ_DIR_LISTED) {
            source->lists.at[kept++] = list;
        } else {
            bool ids = list.ids && d->state == AQ_DIR_COMPLETE;
            (void)job_add(source, list.dir, ids ? JOB_IDS : JOB_LISTING);
        }
    }
    source->lists.count = kept;
}

/* One entry as LISTING carries it; mtimes are differences, since neighbours are alike. */
static void entry_put(aq_source *source, aq_writer *w, const aq_entry *entry,
                      int64_t *mtime)
{
    uint8_t type = entry->stamp.type;
    aq_dir *child =
        type == AQ_TYPE_DIRECTORY ? &source->scan.tree.dirs.at[entry->child] : NULL;
    bool complete = child != NULL && child->state == AQ_DIR_COMPLETE;
    uint8_t flags = (uint8_t)(type | (entry->stamp.exec ? AQ_ENTRY_EXEC : 0) |
                              (complete ? AQ_ENTRY_COMPLETE : 0) |
                              (complete && child->broken ? AQ_ENTRY_BROKEN : 0));
    aq_writer_byte(w, flags);
    aq_writer_string(w, entry->name, entry->name_size);
    aq_writer_signed(w, (int64_t)((uint64_t)entry->stamp.mtime_ns - (uint64_t)*mtime));
    *mtime = entry->stamp.mtime_ns;
    if (type == AQ_TYPE_FILE) {
        aq_writer_varint(w, entry->stamp.size);
    } else if (type == AQ_TYPE_SYMLINK) {
        aq_writer_string(w, aq_entry_target(entry), entry->target_size);
    } else if (child != NULL) {
        aq_writer_varint(w, entry->child);
        if (complete) {
            aq_writer_bytes(w, child->hash.bytes, sizeof child->hash);
        } else {
            child->mark = 1; /* its hash is promised */
        }
    }
}

static bool listing_fill(aq_source *source, aq_source_job *job)
{
    aq_writer w;
    if (!aq_session_bulk(&source->s, AQ_FRAME_MAX, &w)) {
        return false;
    }
    const aq_dir *d = &source->scan.tree.dirs.at[job->dir];
    bool chosen = job->kind == JOB_ENTRIES;
    uint32_t count = chosen ? job->indexes.count : d->count;
    aq_writer_varint(&w, job->dir);
    size_t flags_at = w.size;
    aq_writer_byte(&w, 0);
    int64_t mtime = 0;
    while (job->at < count && w.size + ENTRY_SIZE_MAX < w.room) {
        uint32_t index = chosen ? job->indexes.at[job->at] : job->at;
        entry_put(source, &w, d->entries[index], &mtime);
        job->at++;
    }
    bool last = job->at == count;
    w.start[flags_at] =
        (uint8_t)((last ? AQ_LIST_LAST : 0) | (d->broken ? AQ_LIST_BROKEN : 0));
    aq_link_bulk_end(source->s.link, AQ_FRAME_LISTING, &w);
    if (last) {
        job_take(source);
    }
    return true;
}

static bool ids_fill(aq_source *source, aq_source_job *job)
{
    aq_writer w;
    if (!aq_session_bulk(&source->s, AQ_FRAME_MAX, &w)) {
        return false;
    }
    const aq_tree *tree = &source->scan.tree;
    const aq_dir *d = &tree->dirs.at[job->dir];
    aq_writer_varint(&w, job->dir);
    size_t flags_at = w.size;
    aq_writer_byte(&w, 0);
    while (job->at < d->count && w.size + 4 <= w.room) {
        const aq_entry *entry = d->entries[job->at++];
        bool is_directory = entry->stamp.type == AQ_TYPE_DIRECTORY;
        uint8_t id[4];
        aq_store32(id, aq_entry_id(entry, is_directory ? &tree->dirs.at[entry->child].hash
                                                       : NULL));
        aq_writer_bytes(&w, id, sizeof id);
    }
    bool last = job->at == d->count;
    w.start[flags_at] =
        (uint8_t)((last ? AQ_LIST_LAST : 0) | (d->broken ? AQ_LIST_BROKEN : 0));
    aq_link_bulk_end(source->s.link, AQ_FRAME_IDS, &w);
    if (last) {
        job_take(source);
    }
    return true;
}

bool aq_source_fill_lists(aq_source *source)
{
    aq_source_job *job = source->jobs;
    if (job == NULL) {
        return false;
    }
    return job->kind == JOB_IDS ? ids_fill(source, job) : listing_fill(source, job);
}

void aq_source_drop_lists(aq_source *source)
{
    while (source->jobs != NULL) {
        job_take(source);
    }
    AQ_VECTOR_RESET(&source->s.core->heap, source->lists);
}
