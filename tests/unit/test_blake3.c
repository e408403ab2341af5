/* The hash agrees with BLAKE3's official vectors, whatever the width of the vectors,
 * however the input is cut, and whoever shares the lanes. */
#include "engine/base/bytes.h"
#include "engine/data/blake3.h"
#include "test.h"
#include "tests/vectors/blake3.h"

enum { INPUT_MAX = 600000, MESSAGES_MAX = 300 };

static uint8_t input[INPUT_MAX];
static const unsigned widths[] = {1, 4, 8, 16};

static void input_make(void)
{
    for (size_t i = 0; i < INPUT_MAX; i++) {
        input[i] = (uint8_t)(i % 251);
    }
}

static uint32_t random_below(uint64_t *state, uint32_t n)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*state >> 33) % n);
}

static const char *hex(const aq_hash *h)
{
    static char text[2 * sizeof h->bytes + 1];
    for (size_t i = 0; i < sizeof h->bytes; i++) {
        text[2 * i] = "0123456789abcdef"[h->bytes[i] >> 4];
        text[2 * i + 1] = "0123456789abcdef"[h->bytes[i] & 15];
    }
    return text;
}

static bool same(const aq_hash *a, const aq_hash *b)
{
    return aq_compare(a, b, sizeof *a) == 0;
}

TEST(official_vectors_at_every_width)
{
    aq_hash h;
    input_make();
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        if (aq_blake3_lanes_limit(widths[w]) != widths[w]) {
            TEST_PRINT("this CPU has no %u lanes: not tested\n", widths[w]);
            continue;
        }
        for (size_t i = 0; i < sizeof blake3_vectors / sizeof *blake3_vectors; i++) {
            const blake3_vector *v = &blake3_vectors[i];
            aq_blake3(input, v->size, &h);
            CHECK_STR(hex(&h), v->hash);
            aq_blake3_keyed((const uint8_t *)BLAKE3_VECTOR_KEY, input, v->size, &h);
            CHECK_STR(hex(&h), v->keyed_hash);
            aq_blake3_derive_key(BLAKE3_VECTOR_CONTEXT, input, v->size, &h);
            CHECK_STR(hex(&h), v->derive_key);
        }
    }
    aq_blake3_lanes_limit(0);
}

/* Lengths around every border of leaves, runs and lanes; the one-lane path is the judge, as
 * the vectors above cover it. */
TEST(widths_agree_on_every_length)
{
    input_make();
    for (size_t leaves = 1; leaves <= 300; leaves += leaves < 40 ? 1 : 37) {
        for (size_t d = 0; d < 3; d++) {
            size_t size = leaves * 1024 + d - 1;
            aq_hash one, h;
            aq_blake3_lanes_limit(1);
            aq_blake3(input, size, &one);
            for (size_t w = 1; w < sizeof widths / sizeof *widths; w++) {
                aq_blake3_lanes_limit(widths[w]);
                aq_blake3(input, size, &h);
                CHECK(same(&h, &one));
            }
        }
    }
    aq_blake3_lanes_limit(0);
}

TEST(pieces_give_the_hash_of_the_whole)
{
    static const uint32_t steps[] = {1, 63, 64, 65, 1000, 1023, 1024, 1025, 5000, 300000};
    static const size_t sizes[] = {0,    1,    64,    65,    1024,   1025,   2048,
                                   2049, 4096, 10000, 65536, 131072, 131073, INPUT_MAX};
    uint64_t seed = 42;
    aq_hash whole, h;
    input_make();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        aq_blake3(input, sizes[i], &whole);
        for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
            for (int random = 0; random < 2; random++) {
                aq_blake3_hasher hasher;
                aq_blake3_init(&hasher);
                for (size_t at = 0; at < sizes[i];) {
                    size_t n = random ? 1 + random_below(&seed, steps[k]) : steps[k];
                    n = n < sizes[i] - at ? n : sizes[i] - at;
                    aq_blake3_update(&hasher, input + at, n);
                    at += n;
                }
                aq_blake3_final(&hasher, &h);
                CHECK(same(&h, &whole));
            }
        }
    }
}

TEST(a_hasher_goes_on_after_final_and_as_a_copy)
{
    aq_blake3_hasher a, b;
    aq_hash want, h;
    input_make();
    aq_blake3_init(&a);
    aq_blake3_update(&a, input, 70000);
    aq_blake3_final(&a, &h);
    b = a;
    aq_blake3_update(&a, input + 70000, 5000);
    aq_blake3_update(&b, input, 3);
    aq_blake3_final(&a, &h);
    aq_blake3(input, 75000, &want);
    CHECK(same(&h, &want));
    CHECK(sizeof a <= 2560);
}

TEST(an_update_without_bytes_changes_nothing)
{
    aq_blake3_hasher a;
    aq_hash want, h;
    input_make();
    aq_blake3_init(&a);
    aq_blake3_update(&a, NULL, 0);
    aq_blake3_update(&a, input, 1024);
    aq_blake3_update(&a, NULL, 0);
    aq_blake3_final(&a, &h);
    aq_blake3(input, 1024, &want);
    CHECK(same(&h, &want));
}

static uint32_t message_size(uint64_t *seed, size_t shape)
{
    switch (shape % 4) {
    case 0:
        return random_below(seed, 2000);
    case 1:
        return 1024 * random_below(seed, 20);
    case 2:
        return random_below(seed, 40000);
    default:
        return random_below(seed, 10) ? random_below(seed, 65) : 200000;
    }
}

TEST(batches_equal_single_messages_at_every_width)
{
    static aq_blake3_message messages[MESSAGES_MAX];
    static aq_hash out[MESSAGES_MAX];
    static const size_t counts[] = {0, 1, 2, 7, 33, 64, 65, MESSAGES_MAX};
    uint64_t seed = 7;
    input_make();
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        aq_blake3_lanes_limit(widths[w]);
        for (size_t c = 0; c < 4 * sizeof counts / sizeof *counts; c++) {
            size_t count = counts[c / 4];
            for (size_t i = 0; i < count; i++) {
                messages[i] = (aq_blake3_message){input + random_below(&seed, 1000),
                                                  message_size(&seed, c), &out[i]};
            }
            aq_blake3_batch(messages, count);
            for (size_t i = 0; i < count; i++) {
                aq_hash single;
                aq_blake3(messages[i].data, messages[i].size, &single);
                CHECK(same(&out[i], &single));
            }
        }
    }
    aq_blake3_lanes_limit(0);
}

TEST(no_bytes_need_no_memory)
{
    aq_hash single, batched[3];
    const aq_blake3_message messages[3] = {
        {NULL, 0, &batched[0]}, {NULL, 0, &batched[1]}, {NULL, 0, &batched[2]}};
    aq_blake3(NULL, 0, &single);
    aq_blake3_batch(messages, 3);
    CHECK_STR(hex(&single), blake3_vectors[0].hash);
    CHECK(same(&batched[0], &single) && same(&batched[2], &single));
}

TEST_MAIN(TEST_REF(official_vectors_at_every_width), TEST_REF(widths_agree_on_every_length),
          TEST_REF(pieces_give_the_hash_of_the_whole),
          TEST_REF(a_hasher_goes_on_after_final_and_as_a_copy),
          TEST_REF(an_update_without_bytes_changes_nothing),
          TEST_REF(batches_equal_single_messages_at_every_width),
          TEST_REF(no_bytes_need_no_memory))
