/* map.c: see map.h. */
#include "engine/base/map.h"
#include "engine/base/assert.h"

static uint32_t place(const aq_map *map, uint64_t key)
{
    uint64_t x = (key ^ map->secret) * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return (uint32_t)(x >> 32);
}

void aq_map_init(aq_map *map, uint64_t secret)
{
    *map = (aq_map){.secret = secret};
}

void aq_map_reset(aq_map *map, aq_heap *heap)
{
    aq_heap_give(heap, map->slots);
    *map = (aq_map){.secret = map->secret};
}

static void insert(aq_map *map, uint64_t key, uint32_t value)
{
    uint32_t mask = map->capacity - 1;
    uint32_t i = place(map, key) & mask;
    while (map->slots[i].full) {
        i = (i + 1) & mask;
    }
    map->slots[i] = (aq_map_slot){key, value, true};
    map->count++;
}

static bool grow(aq_map *map, aq_heap *heap)
{
    aq_map old = *map;
    AQ_ASSERT(old.capacity < UINT32_C(1) << 30);
    map->capacity = old.capacity == 0 ? 64 : old.capacity * 2;
    map->slots = aq_heap_take_zeroed(heap, (size_t)map->capacity * sizeof *map->slots);
    if (map->slots == NULL) {
        *map = old;
        return false;
    }
    map->count = 0;
    for (uint32_t i = 0; i < old.capacity; i++) {
        if (old.slots[i].full) {
            insert(map, old.slots[i].key, old.slots[i].value);
        }
    }
    aq_heap_give(heap, old.slots);
    return true;
}

bool aq_map_put(aq_map *map, aq_heap *heap, uint64_t key, uint32_t value)
{
    if (map->count >= map->capacity / 4 * 3 && !grow(map, heap)) {
        return false;
    }
    insert(map, key, value);
    return true;
}

bool aq_map_next(const aq_map *map, uint64_t key, uint32_t *at, uint32_t *value)
{
    if (map->capacity == 0) {
        return false;
    }
    uint32_t mask = map->capacity - 1;
    for (; *at < map->capacity; (*at)++) {
        const aq_map_slot *slot = &map->slots[(place(map, key) + *at) & mask];
        if (!slot->full) {
            break;
        }
        if (slot->key == key) {
            *value = slot->value;
            (*at)++;
            return true;
        }
    }
    return false;
}

bool aq_map_get(const aq_map *map, uint64_t key, uint32_t *value)
{
    uint32_t at = 0;
    return aq_map_next(map, key, &at, value);
}
