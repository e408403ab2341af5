/* The engine's heap: pieces never overlap, what was given back is found again, and its end
 * is an answer, not a crash. */
#include "engine/base/bytes.h"
#include "engine/base/heap.h"
#include "tests/unit/test.h"

enum { UNIT = 1 << AQ_HEAP_UNIT_BITS, REGION = 4 << 20, PIECES = 600 };

static uint8_t region[REGION] __attribute__((aligned(64)));
static aq_heap heap;

/* As after a long life, not zeroed: the heap must not rely on it. */
static void heap_new(void)
{
    aq_fill(region, 0x41, sizeof region);
    CHECK(aq_heap_init(&heap, region, sizeof region));
}

static uint32_t chance(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

static void paint(uint8_t *piece, size_t size, uint8_t color)
{
    aq_fill(piece, color, size);
}

static bool is_painted(const uint8_t *piece, size_t size, uint8_t color)
{
    for (size_t i = 0; i < size; i++) {
        if (piece[i] != color) {
            return false;
        }
    }
    return true;
}

TEST(a_region_too_small_is_refused)
{
    CHECK(!aq_heap_init(&heap, region, 0));
    CHECK(!aq_heap_init(&heap, region, 7 * UNIT));
    CHECK(aq_heap_init(&heap, region, 10 * UNIT));
}

TEST(pieces_keep_their_bytes_through_any_order_of_calls)
{
    static struct {
        uint8_t *at;
        size_t size;
    } pieces[PIECES];
    heap_new();
    uint32_t state = 1;
    for (int step = 0; step < 20000; step++) {
        size_t i = chance(&state) % PIECES;
        if (pieces[i].at != NULL) {
            CHECK(is_painted(pieces[i].at, pieces[i].size, (uint8_t)i));
            aq_heap_give(&heap, pieces[i].at);
            pieces[i].at = NULL;
            continue;
        }
        uint32_t most = chance(&state) % 8 == 0 ? 5 * UNIT : 3000;
        pieces[i].size = 1 + chance(&state) % most;
        pieces[i].at = aq_heap_take(&heap, pieces[i].size);
        if (pieces[i].at != NULL) {
            size_t alignment = pieces[i].size >= UNIT ? UNIT : 16;
            CHECK_EQ((uintptr_t)pieces[i].at % alignment, 0);
            CHECK(pieces[i].at >= region);
            CHECK(pieces[i].at + pieces[i].size <= region + REGION);
            paint(pieces[i].at, pieces[i].size, (uint8_t)i);
        }
        CHECK(heap.used <= heap.peak);
        CHECK(heap.peak <= REGION);
    }
    for (size_t i = 0; i < PIECES; i++) {
        if (pieces[i].at != NULL) {
            CHECK(is_painted(pieces[i].at, pieces[i].size, (uint8_t)i));
        }
        aq_heap_give(&heap, pieces[i].at);
        pieces[i].at = NULL;
    }
    CHECK_EQ(heap.used, 0);
}

TEST(the_end_is_null_and_giving_back_mends_it)
{
    static uint8_t *taken[REGION / UNIT];
    heap_new();
    size_t count = 0;
    while ((taken[count] = aq_heap_take(&heap, UNIT)) != NULL) {
        count++;
    }
    CHECK(count > REGION / UNIT - 4);
    CHECK(aq_heap_is_low(&heap));
    CHECK(aq_heap_take(&heap, 1) == NULL);
    CHECK(aq_heap_take(&heap, SIZE_MAX / 2) == NULL);
    aq_heap_give(&heap, taken[--count]);
    CHECK(aq_heap_take(&heap, 1) != NULL);
    while (count > 0) {
        aq_heap_give(&heap, taken[--count]);
    }
    CHECK(!aq_heap_is_low(&heap));
    /* Buddies have joined again, all but where the small piece sits. */
    CHECK(aq_heap_take(&heap, REGION / 4) != NULL);
}

TEST(used_counts_what_pieces_occupy)
{
    static const size_t sizes[] = {1, 32, 33, 4096, 8192, 8193, UNIT, UNIT + 1, 3 * UNIT};
    heap_new();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint64_t before = heap.used;
        void *piece = aq_heap_take(&heap, sizes[i]);
        CHECK(piece != NULL);
        CHECK(aq_heap_footprint(sizes[i]) >= sizes[i]);
        CHECK_EQ(heap.used - before, aq_heap_footprint(sizes[i]));
        aq_heap_give(&heap, piece);
        CHECK_EQ(heap.used, before);
    }
}

TEST(growing_keeps_the_old_bytes)
{
    heap_new();
    uint8_t *piece = aq_heap_grow(&heap, NULL, 0, 10);
    size_t size = 10;
    paint(piece, size, 0x33);
    while (size < 200000) {
        size_t next = size * 2 + 1;
        piece = aq_heap_grow(&heap, piece, size, next);
        CHECK(piece != NULL);
        CHECK(is_painted(piece, size, 0x33));
        paint(piece, next, 0x33);
        size = next;
    }
    CHECK(aq_heap_grow(&heap, piece, size, REGION) == NULL);
    CHECK(is_painted(piece, size, 0x33));
    aq_heap_give(&heap, piece);
    CHECK_EQ(heap.used, 0);
}

TEST(zeroed_is_zeroed_also_when_used_before)
{
    heap_new();
    uint8_t *piece = aq_heap_take(&heap, 500);
    paint(piece, 500, 0xff);
    aq_heap_give(&heap, piece);
    piece = aq_heap_take_zeroed(&heap, 500);
    CHECK(is_painted(piece, 500, 0));
}

TEST_MAIN(TEST_REF(a_region_too_small_is_refused),
          TEST_REF(pieces_keep_their_bytes_through_any_order_of_calls),
          TEST_REF(the_end_is_null_and_giving_back_mends_it),
          TEST_REF(used_counts_what_pieces_occupy), TEST_REF(growing_keeps_the_old_bytes),
          TEST_REF(zeroed_is_zeroed_also_when_used_before))
