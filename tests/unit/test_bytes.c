/* The memory functions: the compiler's own natively, engine/wasm.c's in a module. */
#include "engine/base/bytes.h"
#include "tests/unit/test.h"

enum { ROOM = 96, SIZE_MOST = 40 };

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 37 + 11);
}

static void fill_pattern(uint8_t *bytes)
{
    for (size_t i = 0; i < ROOM; i++) {
        bytes[i] = pattern(i);
    }
}

/* Sizes the compiler cannot know: else it would never call the functions. */
static size_t hide(size_t size)
{
    __asm__("" : "+r"(size));
    return size;
}

TEST(copy_moves_just_the_bytes_named)
{
    uint8_t from[ROOM], to[ROOM];
    fill_pattern(from);
    for (size_t size = 0; size <= SIZE_MOST; size++) {
        for (size_t i = 0; i < ROOM; i++) {
            to[i] = 0xee;
        }
        aq_copy(to + 3, from + 5, hide(size));
        for (size_t i = 0; i < ROOM; i++) {
            CHECK_EQ(to[i], i >= 3 && i < 3 + size ? pattern(i + 2) : 0xee);
        }
    }
}

TEST(move_allows_overlap_either_way)
{
    uint8_t bytes[ROOM];
    for (size_t size = 0; size <= SIZE_MOST; size++) {
        fill_pattern(bytes);
        aq_move(bytes + 7, bytes, hide(size));
        for (size_t i = 0; i < size; i++) {
            CHECK_EQ(bytes[i + 7], pattern(i));
        }
        fill_pattern(bytes);
        aq_move(bytes, bytes + 7, hide(size));
        for (size_t i = 0; i < size; i++) {
            CHECK_EQ(bytes[i], pattern(i + 7));
        }
    }
}

TEST(fill_stays_within)
{
    uint8_t bytes[ROOM];
    for (size_t size = 0; size <= SIZE_MOST; size++) {
        fill_pattern(bytes);
        aq_fill(bytes + 1, 0x5a, hide(size));
        for (size_t i = 0; i < ROOM; i++) {
            CHECK_EQ(bytes[i], i >= 1 && i < 1 + size ? 0x5a : pattern(i));
        }
    }
}

TEST(compare_orders_by_unsigned_bytes)
{
    uint8_t a[ROOM], b[ROOM];
    for (size_t size = 1; size <= SIZE_MOST; size++) {
        for (size_t at = 0; at < size; at++) {
            fill_pattern(a);
            fill_pattern(b);
            CHECK_EQ(aq_compare(a, b, hide(size)), 0);
            a[at] = 0x7f;
            b[at] = 0x80;
            a[size] = 0xff; /* behind the range: does not count */
            CHECK(aq_compare(a, b, hide(size)) < 0);
            CHECK(aq_compare(b, a, hide(size)) > 0);
            CHECK_EQ(aq_compare(a, b, hide(at)), 0);
        }
    }
}

TEST(equal_secret_sees_every_byte)
{
    uint8_t a[ROOM], b[ROOM];
    fill_pattern(a);
    fill_pattern(b);
    CHECK(aq_equal_secret(a, b, ROOM));
    for (size_t at = 0; at < ROOM; at++) {
        b[at] ^= 0x10;
        CHECK(!aq_equal_secret(a, b, ROOM));
        CHECK(aq_equal_secret(a, b, at));
        b[at] ^= 0x10;
    }
}

TEST(strings_and_integers)
{
    uint8_t bytes[8];
    aq_store64(bytes, 0x1122334455667788);
    CHECK_EQ(bytes[0], 0x88);
    CHECK_EQ(bytes[7], 0x11);
    CHECK(aq_load64(bytes) == 0x1122334455667788);
    aq_store32(bytes, 0xfedcba98);
    CHECK(aq_load32(bytes) == 0xfedcba98);
    CHECK_EQ(aq_string_size(""), 0);
    const char *text = "acequia";
    for (size_t i = 0; i < 8; i++) {
        CHECK_EQ(aq_string_size(text + hide(i)), 7 - i);
    }
}

TEST_MAIN(TEST_REF(copy_moves_just_the_bytes_named),
          TEST_REF(move_allows_overlap_either_way), TEST_REF(fill_stays_within),
          TEST_REF(compare_orders_by_unsigned_bytes),
          TEST_REF(equal_secret_sees_every_byte), TEST_REF(strings_and_integers))
