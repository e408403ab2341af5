/* heap.c: slabs above buddies.
 *
 *   region   [ heap struct's owner | meta: 1 byte a unit | unit | unit | unit | … ]
 *   meta     FREE + order   head of a free buddy          BUSY + order   head of a used one
 *            SLAB + class   a unit cut into equal pieces  INNER          inside a buddy
 *
 * The byte of a unit tells everything that giving back needs, so pieces carry no headers,
 * and a piece that was never given out has never been touched: a host that maps lazily pays
 * only for what was used. Slab units stay with their class. */
#include "engine/base/heap.h"
#include "engine/base/assert.h"
#include "engine/base/bytes.h"

enum {
    UNIT = 1 << AQ_HEAP_UNIT_BITS,
    INNER = 0,
    FREE = 0x40,
    BUSY = 0x80,
    SLAB = 0xc0,
    KIND = 0xc0
};

struct aq_heap_free_piece {
    aq_heap_free_piece *next;
    aq_heap_free_piece **link; /* what points here */
};

static const uint16_t class_size[AQ_HEAP_CLASSES] = {
    32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 2720, 4096, 5456, 8192};

static void piece_push(aq_heap_free_piece **list, void *memory)
{
    aq_heap_free_piece *piece = memory;
    piece->next = *list;
    piece->link = list;
    if (piece->next != NULL) {
        piece->next->link = &piece->next;
    }
    *list = piece;
}

static void piece_unlink(aq_heap_free_piece *piece)
{
    *piece->link = piece->next;
    if (piece->next != NULL) {
        piece->next->link = piece->link;
    }
}

static unsigned class_of(size_t size)
{
    unsigned c = 0;
    while (class_size[c] < size) {
        c++;
    }
    return c;
}

static unsigned order_of(size_t size)
{
    unsigned order = 0;
    while (((uint64_t)UNIT << order) < size) {
        order++;
    }
    return order;
}

static uint8_t *unit_at(const aq_heap *heap, uint32_t unit)
{
    return heap->units + ((uint64_t)unit << AQ_HEAP_UNIT_BITS);
}

static uint32_t unit_of(const aq_heap *heap, const void *piece)
{
    uint64_t distance = (uint64_t)((const uint8_t *)piece - heap->units);
    AQ_ASSERT(distance >> AQ_HEAP_UNIT_BITS < heap->top);
    return (uint32_t)(distance >> AQ_HEAP_UNIT_BITS);
}

bool aq_heap_init(aq_heap *heap, void *memory, uint64_t size)
{
    aq_fill(heap, 0, sizeof *heap);
    uint64_t units = size / (UNIT + 1);
    if (units > UINT32_MAX / 2) {
        units = UINT32_MAX / 2;
    }
    uint8_t *start = memory;
    uint8_t *first = start + units;
    first += (UNIT - (uintptr_t)first % UNIT) % UNIT;
    uint8_t *end = start + size;
    if (units < 8 || end < first + 8 * UNIT) {
        return false;
    }
    heap->meta = start;
    heap->units = first;
    uint64_t fits = (uint64_t)(end - first) / UNIT;
    heap->unit_count = (uint32_t)(fits < units ? fits : units);
    return true;
}

/* Cuts fresh units off the top; what alignment skips becomes free buddies. */
static void *top_take(aq_heap *heap, unsigned order)
{
    uint32_t count = UINT32_C(1) << order;
    while (heap->top % count != 0) {
        unsigned gap = (unsigned)__builtin_ctz(heap->top);
        if (heap->unit_count - heap->top < (UINT32_C(1) << gap)) {
            return NULL;
        }
        uint32_t unit = heap->top;
        heap->top += UINT32_C(1) << gap;
        heap->meta[unit] = (uint8_t)(FREE | gap);
        piece_push(&heap->free_order[gap], unit_at(heap, unit));
    }
    if (heap->unit_count - heap->top < count) {
        return NULL;
    }
    uint32_t unit = heap->top;
    heap->top += count;
    return unit_at(heap, unit);
}

static void *buddy_take(aq_heap *heap, unsigned order)
{
    if (order >= AQ_HEAP_ORDERS || (heap->unit_count >> order) == 0) {
        return NULL;
    }
    unsigned from = order;
    while (from < AQ_HEAP_ORDERS && heap->free_order[from] == NULL) {
        from++;
    }
    void *piece;
    if (from == AQ_HEAP_ORDERS) {
        piece = top_take(heap, order);
        if (piece == NULL) {
            return NULL;
        }
    } else {
        piece = heap->free_order[from];
        piece_unlink(heap->free_order[from]);
        uint32_t unit = unit_of(heap, piece);
        while (from > order) {
            from--;
            uint32_t half = unit + (UINT32_C(1) << from);
            heap->meta[half] = (uint8_t)(FREE | from);
            piece_push(&heap->free_order[from], unit_at(heap, half));
        }
    }
    heap->meta[unit_of(heap, piece)] = (uint8_t)(BUSY | order);
    return piece;
}

static void buddy_give(aq_heap *heap, uint32_t unit, unsigned order)
{
    heap->meta[unit] = INNER;
    while (order + 1 < AQ_HEAP_ORDERS) {
        uint32_t other = unit ^ (UINT32_C(1) << order);
        if (other >= heap->top || heap->meta[other] != (FREE | order)) {
            break;
        }
        piece_unlink((aq_heap_free_piece *)(void *)unit_at(heap, other));
        heap->meta[other] = INNER;
        unit = unit < other ? unit : other;
        order++;
    }
    heap->meta[unit] = (uint8_t)(FREE | order);
    piece_push(&heap->free_order[order], unit_at(heap, unit));
}

static bool slab_add(aq_heap *heap, unsigned c)
{
    uint8_t *unit = buddy_take(heap, 0);
    if (unit == NULL) {
        return false;
    }
    heap->meta[unit_of(heap, unit)] = (uint8_t)(SLAB | c);
    unsigned count = UNIT / class_size[c];
    for (unsigned i = count; i-- > 0;) {
        piece_push(&heap->free_class[c], unit + (size_t)i * class_size[c]);
    }
    return true;
}

void *aq_heap_take(aq_heap *heap, size_t size)
{
    void *piece;
    if (size <= class_size[AQ_HEAP_CLASSES - 1]) {
        unsigned c = class_of(size);
        if (heap->free_class[c] == NULL && !slab_add(heap, c)) {
            return NULL;
        }
        piece = heap->free_class[c];
        piece_unlink(heap->free_class[c]);
    } else {
        piece = buddy_take(heap, order_of(size));
        if (piece == NULL) {
            return NULL;
        }
    }
    heap->used += aq_heap_footprint(size);
    if (heap->used > heap->peak) {
        heap->peak = heap->used;
    }
    return piece;
}

void *aq_heap_take_zeroed(aq_heap *heap, size_t size)
{
    void *piece = aq_heap_take(heap, size);
    if (piece != NULL) {
        aq_fill(piece, 0, size);
    }
    return piece;
}

void aq_heap_give(aq_heap *heap, void *piece)
{
    if (piece == NULL) {
        return;
    }
    uint32_t unit = unit_of(heap, piece);
    uint8_t meta = heap->meta[unit];
    if ((meta & KIND) == SLAB) {
        unsigned c = meta & ~(unsigned)KIND;
        heap->used -= class_size[c];
        piece_push(&heap->free_class[c], piece);
    } else {
        AQ_ASSERT((meta & KIND) == BUSY && unit_at(heap, unit) == piece);
        unsigned order = meta & ~(unsigned)KIND;
        heap->used -= (uint64_t)UNIT << order;
        buddy_give(heap, unit, order);
    }
}

void *aq_heap_grow(aq_heap *heap, void *piece, size_t size, size_t size_new)
{
    if (piece != NULL && size_new <= aq_heap_footprint(size)) {
        return piece;
    }
    void *larger = aq_heap_take(heap, size_new);
    if (larger != NULL) {
        aq_copy(larger, piece, size);
        aq_heap_give(heap, piece);
    }
    return larger;
}

size_t aq_heap_footprint(size_t size)
{
    if (size <= class_size[AQ_HEAP_CLASSES - 1]) {
        return class_size[class_of(size)];
    }
    return (size_t)UNIT << order_of(size);
}

bool aq_heap_is_low(const aq_heap *heap)
{
    return heap->used > ((uint64_t)heap->unit_count << AQ_HEAP_UNIT_BITS) / 8 * 7;
}
