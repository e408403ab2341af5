/* heap.h: the engine's memory: one region, lent by the host at open, handed out in pieces.
 *
 * Small pieces come from slabs of one size class; pieces of 16 KiB and more are buddies.
 * Nothing is ever returned to the host. A piece is aligned to 16 bytes, from 16 KiB on to
 * 16 KiB. */
#ifndef AQ_BASE_HEAP_H
#define AQ_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    AQ_HEAP_UNIT_BITS = 14,
    AQ_HEAP_ORDERS = 26, /* up to 16 KiB << 25 = 512 GiB */
    AQ_HEAP_CLASSES = 17
};

typedef struct aq_heap_free_piece aq_heap_free_piece;

typedef struct aq_heap {
    uint8_t *units; /* the first unit */
    uint8_t *meta;  /* one byte a unit */
    uint32_t unit_count;
    uint32_t top; /* units from here on have never been used */
    uint64_t used;
    uint64_t peak;
    aq_heap_free_piece *free_class[AQ_HEAP_CLASSES];
    aq_heap_free_piece *free_order[AQ_HEAP_ORDERS];
} aq_heap;

/* Takes the region over. False if it holds not even a few units. */
bool aq_heap_init(aq_heap *heap, void *memory, uint64_t size);

/* NULL when nothing that large is left. Not zeroed. */
void *aq_heap_take(aq_heap *heap, size_t size);
void *aq_heap_take_zeroed(aq_heap *heap, size_t size);
/* Gives a piece back; NULL is fine. */
void aq_heap_give(aq_heap *heap, void *piece);
/* Moves a piece into a larger one, keeping its first `size` bytes. */
void *aq_heap_grow(aq_heap *heap, void *piece, size_t size, size_t size_new);

/* What a piece of this size really occupies. */
size_t aq_heap_footprint(size_t size);

/* Less than an eighth of the region is left: whoever can refuse to grow, must. */
bool aq_heap_is_low(const aq_heap *heap);

#endif
