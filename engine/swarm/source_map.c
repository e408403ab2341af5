/* source_map.c: chunk maps of large files, made while they are sent.
 *
 * A sink that has nothing of the file gets chunks as they are found, up to the offset it
 * names, and the windows they were found in are kept, so that what is sent is read once. A
 * sink that has an older version gets the names of pages, for the whole file, and asks for
 * those it lacks. */
#include "engine/swarm/source.h"
#include "engine/base/assert.h"
#include "engine/base/bytes.h"
#include "engine/sync/path.h"

enum { MAP_BYTES_MAX = 32 << 10 };

static aq_source_file *file_find(aq_source *source, uint64_t number)
{
    aq_source_file *file = source->files;
    while (file != NULL && (file->number != number || file->forgotten)) {
        file = file->next;
    }
    return file;
}

static void window_drop(aq_source_file *file, aq_source_window **at)
{
    aq_source_window *window = *at;
    *at = window->next;
    aq_source_buffer_drop(file->source, window->buffer);
    aq_heap_give(&file->source->s.core->heap, window);
}

static void reading_ended(aq_source_file *file)
{
    if (file->reading) {
        aq_core *core = file->source->s.core;
        file->reading = false;
        core->source_used -= aq_heap_footprint(aq_mapper_window_size(core->profile));
    }
}

static void window_ready(void *owner, uint64_t offset, uint8_t *data, size_t size)
{
    aq_source_file *file = owner;
    aq_source *source = file->source;
    aq_heap *heap = &source->s.core->heap;
    reading_ended(file);
    if (file->by_pages || file->forgotten || source->s.ended) {
        aq_heap_give(heap, data);
        return;
    }
    aq_source_window *window = aq_heap_take_zeroed(heap, sizeof *window);
    AQ_ASSERT(window != NULL);
    window->offset = offset;
    window->size = size;
    window->buffer =
        aq_source_buffer_new(source, data, aq_mapper_window_size(source->s.core->profile));
    aq_source_window **at = &file->windows;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = window;
}

static aq_source_file *file_open(aq_source *source, uint32_t dir, uint32_t index)
{
    aq_core *core = source->s.core;
    aq_source_file *file = aq_heap_take_zeroed(&core->heap, sizeof *file);
    AQ_ASSERT(file != NULL);
    file->source = source;
    file->dir = dir;
    file->index = index;
    const aq_entry *entry = aq_source_entry(source, dir, index);
    char path[AQ_PATH_MAX + 1];
    aq_tree_path(&source->scan.tree, dir, entry->name, path);
    aq_mapper_init(&file->mapper, &core->ops, core->profile, source->s.root, path,
                   &entry->stamp);
    file->mapper.hash_file = true;
    file->mapper.owner = file;
    file->mapper.window = window_ready;
    file->next = source->files;
    source->files = file;
    source->file_count++;
    return file;
}

void aq_source_got_map_want(aq_source *source, aq_reader *r)
{
    uint64_t number = aq_reader_varint(r);
    uint64_t dir = aq_reader_varint(r);
    uint64_t index = aq_reader_varint(r);
    bool by_pages = aq_reader_byte(r) != 0;
    uint64_t limit = aq_reader_varint(r);
    uint64_t size = aq_reader_varint(r);
    int64_t mtime_ns = aq_reader_signed(r);
    const aq_entry *entry = aq_source_entry(source, dir, index);
    if (r->failed || entry == NULL) {
        r->failed = true;
        return;
    }
    aq_source_file *file = file_find(source, number);
    if (file == NULL) {
        if (source->file_count >= AQ_SOURCE_FILES_MAX) {
            r->failed = true;
            return;
        }
        file = file_open(source, (uint32_t)dir, (uint32_t)index);
        file->number = number;
        file->by_pages = by_pages;
        if (entry->stamp.size != size || entry->stamp.mtime_ns != mtime_ns) {
            file->mapper.status = AQ_CHANGED; /* the sink does not know yet */
        }
    }
    file->limit = limit > file->limit ? limit : file->limit;
}

void aq_source_got_pages(aq_source *source, aq_reader *r)
{
    aq_source_file *file = file_find(source, aq_reader_varint(r));
    while (aq_reader_left(r) != 0) {
        uint64_t page = aq_reader_varint(r);
        bool fits = !r->failed && file != NULL && page < file->pages_sent &&
                    file->pages.count < file->pages_sent;
        if (!fits) {
            r->failed = true;
            return;
        }
        AQ_VECTOR_PUSH(&source->s.core->heap, file->pages, (uint32_t)page);
    }
}

void aq_source_got_forget(aq_source *source, aq_reader *r)
{
    aq_source_file *file = file_find(source, aq_reader_varint(r));
    if (file != NULL) {
        file->forgotten = true;
        file->mapper.stopped = true;
    }
}

static void file_free(aq_source *source, aq_source_file **at)
{
    aq_source_file *file = *at;
    *at = file->next;
    while (file->windows != NULL) {
        window_drop(file, &file->windows);
    }
    reading_ended(file);
    AQ_VECTOR_RESET(&source->s.core->heap, file->pages);
    aq_mapper_reset(&file->mapper);
    aq_heap_give(&source->s.core->heap, file);
    source->file_count--;
}

static void windows_tidy(aq_source_file *file, bool tight)
{
    for (aq_source_window **at = &file->windows; *at != NULL;) {
        if ((*at)->served >= (*at)->size || tight) {
            window_drop(file, at);
            tight = false; /* one is enough for now */
        } else {
            at = &(*at)->next;
        }
    }
}

void aq_source_step_maps(aq_source *source)
{
    aq_core *core = source->s.core;
    uint64_t footprint = aq_heap_footprint(aq_mapper_window_size(core->profile));
    for (aq_source_file **at = &source->files; *at != NULL;) {
        aq_source_file *file = *at;
        if (!file->mapper.busy) {
            reading_ended(file);
        }
        if (file->forgotten && !file->mapper.busy) {
            file_free(source, at);
            continue;
        }
        at = &file->next;
        bool full = core->source_used + footprint > core->config.buffer_max;
        windows_tidy(file, full);
        bool due = file->by_pages || file->mapper.map.size < file->limit ||
                   file->mapper.expect.size == 0;
        bool room = core->source_used + footprint <= core->config.buffer_max ||
                    core->source_used == 0;
        if (!due || file->forgotten || file->mapper.busy || !room ||
            file->mapper.complete) {
            continue;
        }
        aq_mapper_step(&file->mapper);
        if (file->mapper.busy) {
            file->reading = true;
            core->source_used += footprint;
        }
    }
}

aq_source_window *aq_source_window_find(aq_source *source, const aq_source_want *want)
{
    for (aq_source_file *file = source->files; file != NULL; file = file->next) {
        bool same = file->dir == want->dir && file->index == want->index;
        for (aq_source_window *w = same ? file->windows : NULL; w != NULL; w = w->next) {
            if (want->offset >= w->offset &&
                want->offset + want->size <= w->offset + w->size) {
                return w;
            }
        }
    }
    return NULL;
}

/* ---- sending ---- */

static void chunk_put(aq_writer *w, const aq_chunk *chunk)
{
    aq_writer_varint(w, chunk->size);
    aq_writer_bytes(w, chunk->hash.bytes, sizeof chunk->hash);
}

static bool has_more(const aq_source_file *file)
{
    const aq_mapper *m = &file->mapper;
    if (file->forgotten) {
        return false;
    }
    /* Pages may be asked for after the end was sent. */
    bool rest = file->by_pages ? file->pages_sent < m->map.pages.count ||
                                     file->pages_at < file->pages.count
                               : file->chunks_sent < m->map.chunks.count;
    return rest || (!file->end_sent && (m->complete || m->status != AQ_OK));
}

static void chunks_write(aq_source_file *file, aq_writer *w)
{
    const aq_chunk_map *map = &file->mapper.map;
    aq_writer_byte(w, AQ_MAP_CHUNKS);
    while (file->chunks_sent < map->chunks.count && w->size < MAP_BYTES_MAX) {
        chunk_put(w, &map->chunks.at[file->chunks_sent++]);
    }
}

static void page_ids_write(aq_source_file *file, aq_writer *w)
{
    const aq_chunk_map *map = &file->mapper.map;
    aq_writer_byte(w, AQ_MAP_PAGE_IDS);
    while (file->pages_sent < map->pages.count && w->size < MAP_BYTES_MAX) {
        aq_writer_bytes(w, map->pages.at[file->pages_sent++].id.bytes, sizeof(aq_hash));
    }
}

static void page_write(aq_source_file *file, aq_writer *w)
{
    const aq_chunk_map *map = &file->mapper.map;
    uint32_t number = file->pages.at[file->pages_at++];
    const aq_page *page = &map->pages.at[number];
    aq_writer_byte(w, AQ_MAP_PAGE);
    aq_writer_varint(w, number);
    for (uint32_t i = 0; i < page->count; i++) {
        chunk_put(w, &map->chunks.at[page->first + i]);
    }
}

static void end_write(aq_source_file *file, aq_writer *w)
{
    const aq_mapper *m = &file->mapper;
    if (m->status != AQ_OK) {
        aq_writer_byte(w, AQ_MAP_FAILED);
        aq_writer_varint(w, m->status);
    } else {
        aq_writer_byte(w, AQ_MAP_END);
        aq_writer_varint(w, m->map.chunks.count);
        aq_writer_bytes(w, m->file_hash.bytes, sizeof m->file_hash);
    }
}

bool aq_source_fill_maps(aq_source *source)
{
    aq_source_file *file = source->files;
    while (file != NULL && !has_more(file)) {
        file = file->next;
    }
    aq_writer w;
    if (file == NULL || !aq_session_bulk(&source->s, AQ_FRAME_MAX, &w)) {
        return false;
    }
    const aq_chunk_map *map = &file->mapper.map;
    aq_writer_varint(&w, file->number);
    if (file->mapper.status != AQ_OK && !file->end_sent) {
        end_write(file, &w);
        file->end_sent = true;
    } else if (file->by_pages && file->pages_sent < map->pages.count) {
        page_ids_write(file, &w);
    } else if (file->pages_at < file->pages.count) {
        page_write(file, &w);
    } else if (!file->by_pages && file->chunks_sent < map->chunks.count) {
        chunks_write(file, &w);
    } else {
        end_write(file, &w);
        file->end_sent = true;
    }
    aq_link_bulk_end(source->s.link, AQ_FRAME_MAP, &w);
    return true;
}

void aq_source_drop_maps(aq_source *source)
{
    for (aq_source_file *file = source->files; file != NULL; file = file->next) {
        file->mapper.stopped = true;
        file->forgotten = true;
        while (file->windows != NULL) {
            window_drop(file, &file->windows);
        }
    }
}

bool aq_source_maps_are_idle(const aq_source *source)
{
    for (const aq_source_file *file = source->files; file != NULL; file = file->next) {
        if (file->mapper.busy) {
            return false;
        }
    }
    return true;
}

void aq_source_free_maps(aq_source *source)
{
    while (source->files != NULL) {
        file_free(source, &source->files);
    }
}
