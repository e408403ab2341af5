/* sink_map.c: what a large file consists of, at the source and in an older version of ours.
 *
 *   no basis   MAP (chunks) as the source finds them ─► map grows, chunks are asked for at
 * once basis      MAP (page ids) ┐ own mapper     ┴► pages we have too, others asked for ─►
 * map, matched chunks
 *
 * Both ends read their file at the same time. With a basis nothing is asked for before the
 * whole map is known: then a chunk's neighbours tell where its bytes may be found. */
#include "engine/swarm/sink_fetch.h"
#include "engine/base/assert.h"
#include "engine/base/bytes.h"
#include "engine/sync/path.h"

enum {
    CHUNKS_MAX = 1 << 24 /* of one file: some 32 TiB */
};

static aq_heap *heap_of(const aq_fetch *f)
{
    return &f->sink->s.core->heap;
}

static void map_want_send(aq_fetch *f)
{
    const aq_stamp *stamp = &aq_sink_entry(f->sink, f->ref)->stamp;
    aq_writer w = aq_session_frame(&f->sink->s);
    aq_writer_varint(&w, f->map_number);
    aq_writer_varint(&w, f->sink->rdirs.at[f->ref.dir].wire);
    aq_writer_varint(&w, f->ref.index);
    aq_writer_byte(&w, f->by_pages);
    aq_writer_varint(&w, f->limit);
    aq_writer_varint(&w, stamp->size);
    aq_writer_signed(&w, stamp->mtime_ns);
    aq_link_frame_end(f->sink->s.link, AQ_FRAME_MAP_WANT, &w);
}

void aq_fetch_map_forget(aq_fetch *f)
{
    if (f->sink->s.link == NULL || f->sink->s.ended) {
        return;
    }
    aq_writer w = aq_session_frame(&f->sink->s);
    aq_writer_varint(&w, f->map_number);
    aq_link_frame_end(f->sink->s.link, AQ_FRAME_FORGET, &w);
}

void aq_fetch_map_begin(aq_fetch *f)
{
    aq_core *core = f->sink->s.core;
    f->map_number = f->sink->map_count++;
    f->by_pages = f->has_basis;
    f->limit = f->by_pages ? UINT64_MAX : 8 * (uint64_t)core->profile->chunk_max;
    aq_map_init(&f->by_hash, f->sink->wires.secret);
    if (f->has_basis) {
        char path[AQ_PATH_MAX + 1];
        aq_sink_path(f->sink, f->ref, path);
        aq_mapper_init(&f->mapper, &core->ops, core->profile, f->sink->s.root, path,
                       &f->basis);
    }
    map_want_send(f);
}

/* ---- receiving ---- */

static aq_fetch *fetch_of(aq_sink *sink, uint64_t number)
{
    aq_fetch *f = sink->fetches;
    while (f != NULL && (f->dead || f->probing || f->map_number != number)) {
        f = f->next;
    }
    return f;
}

static bool chunk_read(const aq_fetch *f, aq_reader *r, aq_chunk *chunk)
{
    chunk->size = (uint32_t)aq_reader_bounded(r, f->sink->s.core->profile->chunk_max);
    aq_reader_copy(r, chunk->hash.bytes, sizeof chunk->hash);
    r->failed |= chunk->size == 0;
    return !r->failed;
}

static void chunk_add(aq_fetch *f, const aq_chunk *chunk)
{
    aq_chunk_map_add(&f->map, heap_of(f), &chunk->hash, chunk->size);
    AQ_VECTOR_PUSH(heap_of(f), f->states, AQ_CHUNK_NEW);
}

/* Room for what the rest of a frame may hold. */
static bool has_room(aq_fetch *f, const aq_reader *r)
{
    uint64_t more = aq_reader_left(r) / sizeof(aq_hash) + 1;
    aq_heap *heap = heap_of(f);
    return AQ_VECTOR_ENSURE(heap, f->map.chunks, more) &&
           AQ_VECTOR_ENSURE(heap, f->map.pages, more) &&
           AQ_VECTOR_ENSURE(heap, f->states, more) &&
           AQ_VECTOR_ENSURE(heap, f->page_ids, more) &&
           AQ_VECTOR_ENSURE(heap, f->received, more);
}

static void got_chunks(aq_fetch *f, aq_reader *r)
{
    aq_chunk chunk;
    while (aq_reader_left(r) != 0 && chunk_read(f, r, &chunk)) {
        bool last = f->map.size + chunk.size == f->size;
        bool fits = !f->by_pages && !f->map_ended && f->map.chunks.count < CHUNKS_MAX &&
                    (last || chunk.size >= f->sink->s.core->profile->chunk_min);
        if (!fits) {
            r->failed = true;
            return;
        }
        if (chunk.size > f->size - f->map.size) {
            aq_fetch_probe(f); /* it has become another file */
            return;
        }
        chunk_add(f, &chunk);
    }
}

static void got_page_ids(aq_fetch *f, aq_reader *r)
{
    while (aq_reader_left(r) != 0) {
        aq_hash id;
        aq_reader_copy(r, id.bytes, sizeof id);
        if (r->failed || !f->by_pages || f->map_ended || f->page_ids.count >= CHUNKS_MAX) {
            r->failed = true;
            return;
        }
        AQ_VECTOR_PUSH(heap_of(f), f->page_ids, id);
    }
}

static void got_page(aq_fetch *f, aq_reader *r)
{
    uint64_t number = aq_reader_varint(r);
    bool wanted = !r->failed && number < f->pages.count && !f->pages.at[number].known;
    if (!wanted) {
        r->failed = true;
        return;
    }
    aq_page_origin origin = {.known = true, .first = f->received.count};
    aq_chunk chunk;
    while (aq_reader_left(r) != 0 && chunk_read(f, r, &chunk)) {
        if (origin.count == AQ_PAGE_CHUNKS_MAX) {
            r->failed = true;
            return;
        }
        AQ_VECTOR_PUSH(heap_of(f), f->received, chunk);
        origin.count++;
    }
    f->pages.at[number] = origin;
    f->pages_missing--;
}

static void got_end(aq_fetch *f, aq_reader *r)
{
    r->failed |= f->map_ended;
    f->chunk_total = (uint32_t)aq_reader_bounded(r, CHUNKS_MAX);
    aq_reader_copy(r, f->file_hash.bytes, sizeof f->file_hash);
    f->map_ended = true;
    if (f->by_pages || r->failed) {
        return;
    }
    if (f->map.size == f->size && f->map.chunks.count == f->chunk_total) {
        f->map_built = true;
    } else {
        aq_fetch_probe(f);
    }
}

void aq_sink_got_map(aq_sink *sink, aq_reader *r)
{
    uint64_t number = aq_reader_varint(r);
    uint8_t kind = aq_reader_byte(r);
    aq_fetch *f = fetch_of(sink, number);
    if (r->failed || f == NULL) {
        return; /* given up a moment ago */
    }
    if (aq_heap_is_low(heap_of(f)) || !has_room(f, r)) {
        aq_sink_fail(sink, AQ_MEMORY);
        return;
    }
    switch (kind) {
    case AQ_MAP_CHUNKS:
        got_chunks(f, r);
        break;
    case AQ_MAP_PAGE_IDS:
        got_page_ids(f, r);
        break;
    case AQ_MAP_PAGE:
        got_page(f, r);
        break;
    case AQ_MAP_END:
        got_end(f, r);
        break;
    case AQ_MAP_FAILED:
        (void)aq_reader_bounded(r, AQ_STATUS_COUNT - 1);
        aq_fetch_probe(f);
        break;
    default:
        r->failed = true;
    }
}

/* ---- with a basis ---- */

/* Without its basis the file is fetched like a new one. */
static void basis_drop(aq_fetch *f)
{
    f->has_basis = false;
    f->by_pages = false;
    f->map_ended = false;
    aq_fetch_map_forget(f);
    f->map_number = f->sink->map_count++;
    f->page_ids.count = 0;
    f->limit = 8 * (uint64_t)f->sink->s.core->profile->chunk_max;
    map_want_send(f);
}

static void pages_ask(aq_fetch *f)
{
    aq_heap *heap = heap_of(f);
    const aq_chunk_map *own = &f->mapper.map;
    aq_map by_id;
    aq_map_init(&by_id, f->sink->wires.secret);
    for (uint32_t i = 0; i < own->pages.count; i++) {
        AQ_ASSERT(aq_map_put(&by_id, heap, aq_load64(own->pages.at[i].id.bytes), i));
    }
    f->pages_asked = true;
    aq_writer w;
    uint32_t in_frame = 0;
    for (uint32_t i = 0; i < f->page_ids.count; i++) {
        const aq_hash *id = &f->page_ids.at[i];
        aq_page_origin origin = {0};
        uint32_t found;
        if (aq_map_get(&by_id, aq_load64(id->bytes), &found) &&
            aq_compare(own->pages.at[found].id.bytes, id->bytes, sizeof *id) == 0) {
            const aq_page *page = &own->pages.at[found];
            origin = (aq_page_origin){true, true, page->first, page->count};
        } else {
            if (in_frame == 0) {
                w = aq_session_frame(&f->sink->s);
                aq_writer_varint(&w, f->map_number);
            }
            aq_writer_varint(&w, i);
            f->pages_missing++;
            if (++in_frame == 4096) {
                aq_link_frame_end(f->sink->s.link, AQ_FRAME_PAGES, &w);
                in_frame = 0;
            }
        }
        AQ_VECTOR_PUSH(heap, f->pages, origin);
    }
    if (in_frame != 0) {
        aq_link_frame_end(f->sink->s.link, AQ_FRAME_PAGES, &w);
    }
    aq_map_reset(&by_id, heap);
}

/* False: what the source showed does not add up, or is too much. */
static bool map_build(aq_fetch *f)
{
    aq_heap *heap = heap_of(f);
    for (uint32_t p = 0; p < f->pages.count; p++) {
        const aq_page_origin *origin = &f->pages.at[p];
        /* One page of ours may be named very often. */
        if (!AQ_VECTOR_ENSURE(heap, f->map.chunks, origin->count) ||
            !AQ_VECTOR_ENSURE(heap, f->map.pages, origin->count) ||
            !AQ_VECTOR_ENSURE(heap, f->states, origin->count)) {
            aq_sink_fail(f->sink, AQ_MEMORY);
            return false;
        }
        for (uint32_t i = 0; i < origin->count; i++) {
            aq_chunk chunk = origin->ours ? f->mapper.map.chunks.at[origin->first + i]
                                          : f->received.at[origin->first + i];
            if (chunk.size > f->size - f->map.size ||
                f->map.chunks.count == f->chunk_total) {
                return false;
            }
            chunk_add(f, &chunk);
        }
    }
    return f->map.size == f->size && f->map.chunks.count == f->chunk_total;
}

/* The basis' chunk of that hash; the one at the same place if there are several. */
static uint32_t match_find(const aq_fetch *f, const aq_chunk *chunk)
{
    uint32_t at = 0, found, best = AQ_NOWHERE;
    while (aq_map_next(&f->by_hash, aq_load64(chunk->hash.bytes), &at, &found)) {
        const aq_chunk *own = &f->mapper.map.chunks.at[found];
        bool same = own->size == chunk->size &&
                    aq_compare(own->hash.bytes, chunk->hash.bytes, sizeof(aq_hash)) == 0;
        if (same && (best == AQ_NOWHERE || own->offset == chunk->offset)) {
            best = found;
        }
    }
    return best;
}

/* False: memory is short. */
static bool chunks_match(aq_fetch *f)
{
    aq_heap *heap = heap_of(f);
    const aq_chunk_map *own = &f->mapper.map;
    uint32_t count = f->map.chunks.count;
    for (uint32_t i = 0; i < own->chunks.count; i++) {
        if (!aq_map_put(&f->by_hash, heap, aq_load64(own->chunks.at[i].hash.bytes), i)) {
            return false;
        }
    }
    size_t room = ((size_t)count + 1) * sizeof *f->match;
    f->used = aq_heap_take_zeroed(heap, (size_t)own->chunks.count + 1);
    f->match = aq_heap_take(heap, room);
    f->before = aq_heap_take(heap, room);
    f->after = aq_heap_take(heap, room);
    if (f->used == NULL || f->match == NULL || f->before == NULL || f->after == NULL) {
        return false;
    }
    uint32_t nearest = AQ_NOWHERE;
    for (uint32_t i = 0; i < count; i++) {
        f->match[i] = match_find(f, &f->map.chunks.at[i]);
        f->before[i] = nearest;
        if (f->match[i] != AQ_NOWHERE) {
            f->used[f->match[i]] = 1;
            nearest = i;
        }
    }
    nearest = AQ_NOWHERE;
    for (uint32_t i = count; i-- > 0;) {
        f->after[i] = nearest;
        nearest = f->match[i] != AQ_NOWHERE ? i : nearest;
    }
    return true;
}

static void mapper_count(aq_fetch *f)
{
    aq_core *core = f->sink->s.core;
    uint64_t footprint = aq_heap_footprint(aq_mapper_window_size(core->profile));
    if (f->mapper_counted && !f->mapper.busy) {
        f->mapper_counted = false;
        core->sink_used -= footprint;
    }
    bool room =
        core->sink_used == 0 || core->sink_used + footprint <= core->config.buffer_max;
    bool due = f->has_basis && !f->dead && !f->mapper.complete && !f->mapper.busy;
    if (due && room) {
        aq_mapper_step(&f->mapper);
        if (f->mapper.busy) {
            f->mapper_counted = true;
            core->sink_used += footprint;
        }
    }
}

void aq_fetch_map_step(aq_fetch *f)
{
    if (f->mapper.path != NULL) {
        mapper_count(f);
    }
    if (f->dead || f->probing) {
        return;
    }
    if (!f->by_pages) {
        uint64_t reached =
            f->at < f->map.chunks.count ? f->map.chunks.at[f->at].offset : f->map.size;
        uint64_t step = 4 * (uint64_t)f->sink->s.core->profile->chunk_max;
        if (!f->map_ended && f->limit < f->size && f->limit < reached + step) {
            f->limit = reached + 2 * step;
            map_want_send(f);
        }
        return;
    }
    if (f->has_basis && f->mapper.status != AQ_OK && !f->mapper.busy) {
        basis_drop(f);
        return;
    }
    if (f->map_built || !f->map_ended || !f->mapper.complete) {
        return;
    }
    if (!f->pages_asked) {
        pages_ask(f);
    }
    if (f->pages_missing != 0) {
        return;
    }
    if (!map_build(f)) {
        aq_fetch_probe(f);
        return;
    }
    if (!chunks_match(f)) {
        aq_sink_fail(f->sink, AQ_MEMORY);
        return;
    }
    f->map_built = true;
    aq_fetch_map_forget(f);
}

bool aq_fetch_is_unchanged(const aq_fetch *f)
{
    if (f->match == NULL || f->size != f->basis.size) {
        return false;
    }
    for (uint32_t i = 0; i < f->map.chunks.count; i++) {
        if (f->match[i] == AQ_NOWHERE ||
            f->mapper.map.chunks.at[f->match[i]].offset != f->map.chunks.at[i].offset) {
            return false;
        }
    }
    return true;
}

/* ---- where the bytes of an unknown chunk may be found ---- */

/* The unused chunks of the basis around `at`, as one range. */
static void unused_around(const aq_fetch *f, int64_t at, uint64_t size, uint64_t *offset,
                          uint64_t *length)
{
    const aq_chunk_map *own = &f->mapper.map;
    int64_t slack = f->sink->s.core->profile->chunk_max / 4;
    int64_t from = at - slack, to = at + (int64_t)size + slack;
    *offset = *length = 0;
    if (to <= 0 || from >= (int64_t)own->size) {
        return;
    }
    uint32_t first = aq_chunk_map_at(own, from > 0 ? (uint64_t)from : 0);
    for (uint32_t i = first; i < own->chunks.count; i++) {
        const aq_chunk *chunk = &own->chunks.at[i];
        if ((int64_t)chunk->offset >= to) {
            break;
        }
        if (!f->used[i]) {
            *offset = *length == 0 ? chunk->offset : *offset;
            *length = chunk->offset + chunk->size - *offset;
        }
    }
}

/* As far behind the last chunk that was found again, or before the next one, as here. Where
 * bytes were inserted or removed in between, one of the two is right; after a move both
 * are, each for its part. */
aq_delta_basis aq_fetch_delta_basis(const aq_fetch *f, uint32_t chunk)
{
    aq_delta_basis basis = {{0}, {0}};
    const aq_chunk *own = f->mapper.map.chunks.at;
    const aq_chunk *c = &f->map.chunks.at[chunk];
    if (f->match == NULL || f->mapper.map.chunks.count == 0) {
        return basis;
    }
    int64_t shift = 0;
    if (f->before[chunk] != AQ_NOWHERE) {
        const aq_chunk *near = &f->map.chunks.at[f->before[chunk]];
        shift = (int64_t)own[f->match[f->before[chunk]]].offset - (int64_t)near->offset;
    }
    unused_around(f, (int64_t)c->offset + shift, c->size, &basis.offset[0], &basis.size[0]);
    shift = (int64_t)f->mapper.map.size - (int64_t)f->map.size;
    if (f->after[chunk] != AQ_NOWHERE) {
        const aq_chunk *near = &f->map.chunks.at[f->after[chunk]];
        shift = (int64_t)own[f->match[f->after[chunk]]].offset - (int64_t)near->offset;
    }
    unused_around(f, (int64_t)c->offset + shift, c->size, &basis.offset[1], &basis.size[1]);
    uint64_t end0 = basis.offset[0] + basis.size[0];
    uint64_t end1 = basis.offset[1] + basis.size[1];
    if (basis.size[0] != 0 && basis.size[1] != 0 && basis.offset[1] <= end0 &&
        basis.offset[0] <= end1) {
        uint64_t start =
            basis.offset[0] < basis.offset[1] ? basis.offset[0] : basis.offset[1];
        basis.offset[0] = start;
        basis.size[0] = (end0 > end1 ? end0 : end1) - start;
        basis.size[1] = 0;
    }
    return basis;
}

void aq_fetch_map_free(aq_fetch *f)
{
    aq_heap *heap = heap_of(f);
    mapper_count(f);
    if (f->mapper.path != NULL) {
        aq_mapper_reset(&f->mapper);
    }
    aq_chunk_map_reset(&f->map, heap);
    AQ_VECTOR_RESET(heap, f->states);
    AQ_VECTOR_RESET(heap, f->page_ids);
    AQ_VECTOR_RESET(heap, f->pages);
    AQ_VECTOR_RESET(heap, f->received);
    aq_map_reset(&f->by_hash, heap);
    aq_heap_give(heap, f->used);
    aq_heap_give(heap, f->match);
    aq_heap_give(heap, f->before);
    aq_heap_give(heap, f->after);
}
