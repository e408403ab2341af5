/* Numbers and strings on the wire: what is written is read, every cut is noticed, and no
 * number has two spellings. */
#include "engine/base/bytes.h"
#include "engine/base/cursor.h"
#include "tests/unit/test.h"

static const struct {
    uint64_t value;
    size_t size;
} numbers[] = {
    {0, 1},           {1, 1},
    {127, 1},         {128, 2},
    {16383, 2},       {16384, 3},
    {UINT32_MAX, 5},  {UINT64_C(1) << 56, 9},
    {INT64_MAX, 9},   {UINT64_C(1) << 63, 10},
    {UINT64_MAX, 10},
};

TEST(varints_come_back_and_no_prefix_of_them_does)
{
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        uint8_t bytes[16];
        aq_writer w = aq_writer_over(bytes, sizeof bytes);
        aq_writer_varint(&w, numbers[i].value);
        CHECK_EQ(w.size, numbers[i].size);
        aq_reader r = aq_reader_over(bytes, w.size);
        CHECK(aq_reader_varint(&r) == numbers[i].value);
        CHECK(!r.failed);
        CHECK_EQ(aq_reader_left(&r), 0);
        for (size_t cut = 0; cut < w.size; cut++) {
            r = aq_reader_over(bytes, cut);
            CHECK_EQ(aq_reader_varint(&r), 0);
            CHECK(r.failed);
        }
    }
}

TEST(malformed_varints_fail)
{
    static const struct {
        uint8_t bytes[12];
        size_t size;
    } bad[] = {
        {{0x80, 0x00}, 2},             /* 0 in two bytes */
        {{0xff, 0x80, 0x00}, 3},       /* 127 in three */
        {{0x80, 0x80, 0x80, 0x00}, 4}, /* 0 in four */
        {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}, 10}, /* 2^64 */
        {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, 11},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        aq_reader r = aq_reader_over(bad[i].bytes, bad[i].size);
        CHECK_EQ(aq_reader_varint(&r), 0);
        CHECK(r.failed);
    }
}

TEST(signed_numbers_come_back)
{
    static const int64_t values[] = {0, 1, -1, 63, -64, 64, -65, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        uint8_t bytes[16];
        aq_writer w = aq_writer_over(bytes, sizeof bytes);
        aq_writer_signed(&w, values[i]);
        CHECK_EQ(w.size == 1, values[i] >= -64 && values[i] <= 63);
        aq_reader r = aq_reader_over(bytes, w.size);
        CHECK_EQ(aq_reader_signed(&r), values[i]);
        CHECK(!r.failed);
    }
}

TEST(a_bound_is_inclusive)
{
    static const uint8_t ten[] = {10};
    aq_reader r = aq_reader_over(ten, 1);
    CHECK_EQ(aq_reader_bounded(&r, 10), 10);
    CHECK(!r.failed);
    r = aq_reader_over(ten, 1);
    CHECK_EQ(aq_reader_bounded(&r, 9), 0);
    CHECK(r.failed);
}

TEST(strings_are_lent_and_bounded)
{
    uint8_t bytes[16];
    aq_writer w = aq_writer_over(bytes, sizeof bytes);
    aq_writer_string(&w, "acequia", 7);
    aq_writer_string(&w, NULL, 0);
    size_t size;
    aq_reader r = aq_reader_over(bytes, w.size);
    CHECK(aq_reader_string(&r, 7, &size) == bytes + 1);
    CHECK_EQ(size, 7);
    (void)aq_reader_string(&r, 7, &size);
    CHECK_EQ(size, 0);
    CHECK(!r.failed);
    r = aq_reader_over(bytes, w.size);
    CHECK(aq_reader_string(&r, 6, &size) == NULL);
    CHECK_EQ(size, 0);
    CHECK(r.failed);
    r = aq_reader_over(bytes, 5);
    CHECK(aq_reader_string(&r, 7, &size) == NULL);
    CHECK_EQ(size, 0);
    CHECK(r.failed);
}

TEST(failure_sticks_and_reads_zeros)
{
    static const uint8_t bytes[] = {1, 2, 3, 4};
    aq_reader r = aq_reader_over(bytes, sizeof bytes);
    CHECK(aq_reader_bytes(&r, 5) == NULL);
    CHECK(r.failed);
    uint8_t copy[2] = {9, 9};
    aq_reader_copy(&r, copy, sizeof copy);
    CHECK_EQ(copy[0], 0);
    CHECK_EQ(copy[1], 0);
    CHECK_EQ(aq_reader_byte(&r), 0);
    CHECK_EQ(aq_reader_left(&r), 0);
    CHECK(aq_reader_bytes(&r, 0) == NULL);
}

TEST(a_full_writer_counts_on_and_writes_no_further)
{
    uint8_t bytes[8];
    for (size_t room = 0; room <= 6; room++) {
        aq_fill(bytes, 0xee, sizeof bytes);
        aq_writer w = aq_writer_over(bytes, room);
        aq_writer_byte(&w, 1);
        aq_writer_bytes(&w, "\2\3\4", 3);
        aq_writer_varint(&w, 300);
        CHECK_EQ(w.size, 6);
        CHECK_EQ(aq_writer_fits(&w), room == 6);
        for (size_t i = room; i < sizeof bytes; i++) {
            CHECK_EQ(bytes[i], 0xee);
        }
        for (size_t i = 0; i < room && i < 4; i++) {
            CHECK_EQ(bytes[i], i + 1);
        }
    }
}

TEST_MAIN(TEST_REF(varints_come_back_and_no_prefix_of_them_does),
          TEST_REF(malformed_varints_fail), TEST_REF(signed_numbers_come_back),
          TEST_REF(a_bound_is_inclusive), TEST_REF(strings_are_lent_and_bounded),
          TEST_REF(failure_sticks_and_reads_zeros),
          TEST_REF(a_full_writer_counts_on_and_writes_no_further))
