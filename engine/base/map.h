/* map.h: a hash table from 64-bit keys to 32-bit values; a key may have several values.
 * Open addressing with linear probing; grows by doubling. Keys are scrambled with a secret,
 * so a peer that chooses them cannot make long probes. There is no removal: tables here
 * live as long as one question does. */
#ifndef AQ_BASE_MAP_H
#define AQ_BASE_MAP_H

#include "engine/base/heap.h"

typedef struct aq_map_slot {
    uint64_t key;
    uint32_t value;
    bool full;
} aq_map_slot;

typedef struct aq_map {
    aq_map_slot *slots;
    uint32_t capacity; /* a power of two, or 0 */
    uint32_t count;
    uint64_t secret;
} aq_map;

void aq_map_init(aq_map *map, uint64_t secret);
void aq_map_reset(aq_map *map, aq_heap *heap);
/* False when memory is short; nothing changed then. */
bool aq_map_put(aq_map *map, aq_heap *heap, uint64_t key, uint32_t value);
/* Walks the values of a key: *at starts at 0. False: no more. */
bool aq_map_next(const aq_map *map, uint64_t key, uint32_t *at, uint32_t *value);
bool aq_map_get(const aq_map *map, uint64_t key, uint32_t *value);

#endif
