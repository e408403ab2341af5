/* chunk_map.c: see chunk_map.h. */
#include "engine/data/chunk_map.h"
#include "engine/base/bytes.h"
#include "engine/data/blake3.h"

enum { PAGE_MASK = 31 };

/* docs/PROTOCOL.md, "Chunk maps": the name is the hash of (size as 4 bytes, hash) of each.
 */
static void page_close(aq_chunk_map *map, aq_heap *heap)
{
    uint32_t first = 0;
    if (map->pages.count != 0) {
        const aq_page *last = &map->pages.at[map->pages.count - 1];
        first = last->first + last->count;
    }
    aq_page page = {.first = first, .count = map->chunks.count - first};
    if (page.count == 0) {
        return;
    }
    aq_blake3_hasher hasher;
    aq_blake3_init(&hasher);
    for (uint32_t i = first; i < map->chunks.count; i++) {
        uint8_t form[4 + sizeof(aq_hash)];
        aq_store32(form, map->chunks.at[i].size);
        aq_copy(form + 4, map->chunks.at[i].hash.bytes, sizeof(aq_hash));
        aq_blake3_update(&hasher, form, sizeof form);
    }
    aq_blake3_final(&hasher, &page.id);
    AQ_VECTOR_PUSH(heap, map->pages, page);
}

void aq_chunk_map_add(aq_chunk_map *map, aq_heap *heap, const aq_hash *hash, uint32_t size)
{
    aq_chunk chunk = {.hash = *hash, .offset = map->size, .size = size};
    AQ_VECTOR_PUSH(heap, map->chunks, chunk);
    map->size += size;
    uint32_t first = 0;
    if (map->pages.count != 0) {
        const aq_page *last = &map->pages.at[map->pages.count - 1];
        first = last->first + last->count;
    }
    if ((hash->bytes[0] & PAGE_MASK) == 0 ||
        map->chunks.count - first == AQ_PAGE_CHUNKS_MAX) {
        page_close(map, heap);
    }
}

void aq_chunk_map_finish(aq_chunk_map *map, aq_heap *heap)
{
    page_close(map, heap);
}

void aq_chunk_map_reset(aq_chunk_map *map, aq_heap *heap)
{
    AQ_VECTOR_RESET(heap, map->chunks);
    AQ_VECTOR_RESET(heap, map->pages);
    map->size = 0;
}

uint32_t aq_chunk_map_at(const aq_chunk_map *map, uint64_t offset)
{
    uint32_t low = 0, high = map->chunks.count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const aq_chunk *chunk = &map->chunks.at[middle];
        if (chunk->offset + chunk->size <= offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}
