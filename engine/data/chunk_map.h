/* chunk_map.h: what a file consists of: its chunks in order, in pages cut by content.
 *
 * A page ends behind a chunk whose hash says so (1 in 32), or at AQ_PAGE_CHUNKS_MAX; it is
 * named by the hash of its chunk list, so after an edit only the touched pages have new
 * names. */
#ifndef AQ_DATA_CHUNK_MAP_H
#define AQ_DATA_CHUNK_MAP_H

#include "acequia.h"
#include "engine/base/heap.h"
#include "engine/base/vector.h"

enum { AQ_PAGE_CHUNKS_MAX = 128 };

typedef struct aq_chunk {
    aq_hash hash;
    uint64_t offset;
    uint32_t size;
} aq_chunk;

typedef struct aq_page {
    aq_hash id;
    uint32_t first; /* chunk */
    uint32_t count;
} aq_page;

typedef struct aq_chunk_map {
    AQ_VECTOR(aq_chunk) chunks;
    AQ_VECTOR(aq_page) pages; /* the closed ones */
    uint64_t size;            /* bytes covered */
} aq_chunk_map;

void aq_chunk_map_add(aq_chunk_map *map, aq_heap *heap, const aq_hash *hash, uint32_t size);
/* No chunk follows: closes the last page. */
void aq_chunk_map_finish(aq_chunk_map *map, aq_heap *heap);
void aq_chunk_map_reset(aq_chunk_map *map, aq_heap *heap);

/* The first chunk whose end is behind offset; chunks.count if there is none. */
uint32_t aq_chunk_map_at(const aq_chunk_map *map, uint64_t offset);

#endif
