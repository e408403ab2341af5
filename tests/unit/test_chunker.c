/* Borders are what docs/CHUNKER.md says, at every vector width and however the windows are
 * cut; sizes stay within their bounds on any data; an insertion moves few of them. */
#include "engine/base/bytes.h"
#include "engine/data/blake3.h"
#include "engine/data/chunker.h"
#include "test.h"
#include "tests/vectors/chunker.h"

enum {
    INPUT_MAX = 16 << 20,
    ENDS_MAX = 1 << 18,
    SMALL_MAX = 1 << 20,
    NAIVE_MAX = 128 << 10
};

static uint8_t input[INPUT_MAX];
static uint8_t shifted[SMALL_MAX + 64];
static uint32_t ends[ENDS_MAX], ends_too[ENDS_MAX];
static const unsigned widths[] = {1, 16, 32};

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* ---- inputs, by the names in the vectors -----------------------------------------------
 */

static void input_random(size_t size)
{
    uint64_t state = 1;
    for (size_t i = 0; i < size; i++) {
        input[i] = (uint8_t)(random_next(&state) >> 32);
    }
}

static void input_words(size_t size)
{
    static const char *const words[] = {"water ", "ditch ", "of ",   "the ",  "gate ", "a ",
                                        "opens ", "and ",   "runs ", "field", "\n",    "."};
    uint64_t state = 2;
    const char *at = "";
    for (size_t i = 0; i < size; i++) {
        if (*at == 0) {
            at = words[(random_next(&state) >> 32) % (sizeof words / sizeof *words)];
        }
        input[i] = (uint8_t)*at++;
    }
}

static void input_counters(size_t size)
{
    for (size_t i = 0; i < size; i++) {
        input[i] = (uint8_t)(((uint64_t)i / 16) >> (8 * (i % 8)));
    }
}

static void input_zeros(size_t size)
{
    aq_fill(input, 0, size);
}

static void input_period(size_t size)
{
    for (size_t i = 0; i < size; i++) {
        input[i] = (uint8_t)(i % 37 * 11);
    }
}

static void (*const makers[])(size_t) = {input_random, input_words, input_counters,
                                         input_zeros, input_period};
static const char *const maker_names[] = {"random", "words", "counters", "zeros", "period"};
enum { MAKERS = sizeof makers / sizeof *makers };

/* ---- the definition, word for word -----------------------------------------------------
 */

static uint8_t f1_at(const uint8_t *data, size_t end, size_t back)
{
    static const uint8_t low[16] = {226, 110, 6,   248, 27,  83,  44,  197,
                                    62,  243, 101, 194, 134, 142, 181, 132};
    static const uint8_t high[16] = {125, 195, 52,  216, 219, 169, 237, 84,
                                     221, 147, 105, 64,  162, 238, 241, 55};
    if (back >= end) {
        return 0;
    }
    uint8_t b = data[end - 1 - back];
    return (uint8_t)(low[b & 15] + high[b >> 4]);
}

static uint8_t naive_filter(const uint8_t *data, size_t end)
{
    static const uint8_t mix[16] = {0,   132, 19, 7,   18,  204, 236, 62,
                                    105, 119, 34, 227, 223, 32,  3,   201};
    uint8_t f[16];
    for (size_t i = 0; i < 16; i++) {
        f[i] = f1_at(data, end, i);
    }
    for (size_t i = 0; i + 1 < 16; i++) {
        f[i] = (uint8_t)((f[i] + f[i + 1]) ^ (2 * f[i + 1]));
    }
    for (size_t i = 0; i + 3 < 16; i++) {
        f[i] = (uint8_t)((f[i] - f[i + 2]) ^ mix[f[i + 2] >> 4]);
    }
    for (size_t i = 0; i + 7 < 16; i++) {
        f[i] = (uint8_t)((f[i] ^ f[i + 4]) + 2 * f[i + 4]);
    }
    return (uint8_t)((f[0] + f[8]) ^ mix[f[8] >> 4]);
}

static uint64_t naive_strength(const uint8_t *data, size_t end)
{
    static const uint64_t key[8] = {
        0x0c7de8064963bab0u, 0x05582d37111ac529u, 0xd254741f599dc6f7u, 0x69630f7593d108c3u,
        0x417ef96181daa383u, 0x3c3c41a3b43343a1u, 0x6e19905dcbe531dfu, 0x4fa9fa7324851729u};
    uint64_t sum = 0;
    for (size_t i = 0; i < 4; i++) {
        const uint8_t *p = data + end - 64 + 16 * i;
        sum += (aq_load64(p) + key[2 * i]) * (aq_load64(p + 8) + key[2 * i + 1]);
    }
    return (sum ^ sum >> 32) * 0x9e3779b97f4a7c15u;
}

static bool naive_passes(const uint8_t *data, size_t end, unsigned bits)
{
    unsigned filter_bits = bits < 8 ? bits : 8;
    if ((naive_filter(data, end) ^ 0x5b) >> (8 - filter_bits) != 0) {
        return false;
    }
    return bits <= 8 || naive_strength(data, end) >> (64 - (bits - 8)) == 0;
}

static size_t naive_piece(const aq_profile *p, bool blocks, const uint8_t *data,
                          size_t size)
{
    size_t min = blocks ? p->block_min : p->chunk_min;
    size_t normal = blocks ? p->block_normal : p->chunk_normal;
    size_t max = blocks ? p->block_max : p->chunk_max;
    unsigned hard = blocks ? p->block_hard : p->chunk_hard;
    unsigned easy = blocks ? p->block_easy : p->chunk_easy;
    unsigned late = blocks ? p->block_late : p->chunk_late;
    for (size_t end = min; end < size && end < max; end++) {
        if (naive_passes(data, end, end < normal ? hard : end < max / 2 ? easy : late)) {
            return end;
        }
    }
    return size < max ? size : max;
}

/* ---- tests -----------------------------------------------------------------------------
 */

static bool same(const uint32_t *a, size_t a_count, const uint32_t *b, size_t b_count)
{
    return a_count == b_count && aq_compare(a, b, a_count * sizeof *a) == 0;
}

static size_t cut(const aq_profile *p, bool blocks, const uint8_t *data, size_t size,
                  uint32_t *out)
{
    return blocks ? aq_chunker_blocks(p, data, size, out, ENDS_MAX)
                  : aq_chunker_chunks(p, data, size, true, out, ENDS_MAX);
}

static void check_naive(const aq_profile *p, bool blocks, size_t size)
{
    size_t naive_count = 0;
    for (size_t at = 0; at < size;) {
        at += naive_piece(p, blocks, input + at, size - at);
        ends_too[naive_count++] = (uint32_t)at;
    }
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        aq_chunker_lanes_limit(widths[w]);
        size_t count = cut(p, blocks, input, size, ends);
        CHECK(same(ends, count, ends_too, naive_count));
    }
    aq_chunker_lanes_limit(0);
}

TEST(borders_are_what_the_definition_says)
{
    for (size_t m = 0; m < MAKERS; m++) {
        makers[m](NAIVE_MAX);
        check_naive(aq_profile_get(AQ_PROFILE_SMALL), false, NAIVE_MAX / 4);
        check_naive(aq_profile_get(AQ_PROFILE_SMALL), true, NAIVE_MAX / 4);
        check_naive(aq_profile_get(AQ_PROFILE_STANDARD), true, NAIVE_MAX);
        for (size_t size = 0; size < 300; size++) {
            check_naive(aq_profile_get(AQ_PROFILE_SMALL), size % 2, size);
        }
    }
}

static void check_vector(const chunker_vector *v)
{
    uint8_t text[65];
    aq_hash h;
    makers[v->maker](v->size);
    size_t count = cut(aq_profile_get(v->profile), v->blocks, input, v->size, ends);
    aq_blake3(ends, count * sizeof *ends, &h);
    for (size_t i = 0; i < 32; i++) {
        text[2 * i] = (uint8_t) "0123456789abcdef"[h.bytes[i] >> 4];
        text[2 * i + 1] = (uint8_t) "0123456789abcdef"[h.bytes[i] & 15];
    }
    text[64] = 0;
    CHECK_STR(maker_names[v->maker], v->name);
    CHECK_EQ(count, v->count);
    CHECK_STR((const char *)text, v->hash);
}

TEST(vectors_at_every_width)
{
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        if (aq_chunker_lanes_limit(widths[w]) != widths[w]) {
            TEST_PRINT("this CPU has no vectors of %u bytes: not tested\n", widths[w]);
            continue;
        }
        for (size_t i = 0; i < sizeof chunker_vectors / sizeof *chunker_vectors; i++) {
            check_vector(&chunker_vectors[i]);
        }
    }
    aq_chunker_lanes_limit(0);
}

/* Windows of random sizes, as a host may read them; bytes behind a window are hidden by
 * copying it out, so that a sanitizer sees any look at them. */
static void check_windows(const aq_profile *p, size_t size, uint64_t *state)
{
    static uint8_t window[64 << 10];
    size_t whole = aq_chunker_chunks(p, input, size, true, ends, ENDS_MAX), count = 0;
    for (size_t at = 0; at < size;) {
        size_t n = 1 + (random_next(state) >> 32) % (4 * p->chunk_max);
        n = n < size - at ? n : size - at;
        bool final = at + n == size;
        uint8_t *copy = window + sizeof window - n;
        aq_copy(copy, input + at, n);
        size_t room = 1 + (random_next(state) >> 32) % 5;
        size_t found = aq_chunker_chunks(p, copy, n, final, ends_too + count, room);
        CHECK(found <= room);
        CHECK(found > 0 || n < p->chunk_max);
        for (size_t i = 0; i < found; i++) {
            ends_too[count + i] += (uint32_t)at;
        }
        count += found;
        at = count == 0 ? 0 : ends_too[count - 1];
    }
    CHECK(same(ends, whole, ends_too, count));
}

TEST(windows_do_not_matter)
{
    const aq_profile *p = aq_profile_get(AQ_PROFILE_SMALL);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        int before = test_checks_failed;
        uint64_t state = seed * 0x9e3779b97f4a7c15u;
        makers[seed % MAKERS](100000);
        check_windows(p, 100000 - (size_t)seed * 7, &state);
        if (test_checks_failed != before) {
            TEST_PRINT("seed %d\n", (int)seed);
        }
    }
}

static void check_bounds(const uint32_t *list, size_t count, size_t min, size_t max,
                         size_t size)
{
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        size_t n = list[i] - at;
        CHECK(n <= max);
        CHECK(n >= min || i + 1 == count);
        at = list[i];
    }
    CHECK_EQ(at, size);
}

TEST(sizes_stay_within_their_bounds)
{
    for (size_t m = 0; m < MAKERS; m++) {
        for (int id = 0; id < 2; id++) {
            const aq_profile *p = aq_profile_get((aq_profile_id)id);
            size_t size = id == AQ_PROFILE_SMALL ? SMALL_MAX - 1 : INPUT_MAX - 1;
            makers[m](size);
            size_t count = cut(p, false, input, size, ends);
            check_bounds(ends, count, p->chunk_min, p->chunk_max, size);
            count = cut(p, true, input, size, ends);
            check_bounds(ends, count, p->block_min, p->block_max, size);
        }
    }
}

TEST(constant_data_is_cut_at_the_maximum)
{
    const aq_profile *p = aq_profile_get(AQ_PROFILE_SMALL);
    for (int value = 0; value < 256; value++) {
        aq_fill(input, (uint8_t)value, 65536);
        CHECK_EQ(cut(p, false, input, 65536, ends), 65536 / p->chunk_max);
    }
}

TEST(little_data_is_one_piece_or_none)
{
    const aq_profile *p = aq_profile_get(AQ_PROFILE_SMALL);
    input_random(4096);
    CHECK_EQ(aq_chunker_chunks(p, input, 0, true, ends, 1), 0);
    CHECK_EQ(aq_chunker_chunks(p, input, 1, true, ends, 1), 1);
    CHECK_EQ(ends[0], 1);
    CHECK_EQ(aq_chunker_chunks(p, input, p->chunk_min, true, ends, 1), 1);
    CHECK_EQ(ends[0], p->chunk_min);
    CHECK_EQ(aq_chunker_chunks(p, input, p->chunk_min, false, ends, 1), 0);
    CHECK_EQ(aq_chunker_chunks(p, input, 4096, false, ends, 0), 0);
    CHECK_EQ(aq_chunker_blocks(p, input, 0, ends, 1), 0);
}

/* The share of b's pieces, in thousandths, whose bytes are a piece of a too. */
static unsigned reappearing(const uint8_t *a, const uint32_t *a_ends, size_t a_count,
                            const uint8_t *b, const uint32_t *b_ends, size_t b_count)
{
    size_t found = 0, next = 0;
    for (size_t i = 0, from = 0; i < b_count; from = b_ends[i++]) {
        size_t size = b_ends[i] - from;
        /* Order is kept, so the search goes on where it last succeeded. */
        for (size_t k = next, at = k ? a_ends[k - 1] : 0; k < a_count && k < next + 40;
             at = a_ends[k++]) {
            if (a_ends[k] - at == size && aq_compare(a + at, b + from, size) == 0) {
                found++;
                next = k + 1;
                break;
            }
        }
    }
    return b_count == 0 ? 0 : (unsigned)(found * 1000 / b_count);
}

TEST(an_insertion_changes_few_chunks)
{
    const aq_profile *p = aq_profile_get(AQ_PROFILE_SMALL);
    const size_t size = SMALL_MAX;
    for (size_t m = 0; m < 3; m++) {
        makers[m](size);
        size_t count = cut(p, false, input, size, ends);
        for (size_t at = 0; at < size; at += size / 5 - 3) {
            aq_copy(shifted, input, at);
            aq_fill(shifted + at, 'x', 7);
            aq_copy(shifted + at + 7, input + at, size - at);
            size_t count_too = cut(p, false, shifted, size + 7, ends_too);
            CHECK(reappearing(input, ends, count, shifted, ends_too, count_too) >= 950);
        }
    }
}

/* Many small edits: the measure of how soon borders find themselves again. */
TEST(borders_find_themselves_soon)
{
    const aq_profile *p = aq_profile_get(AQ_PROFILE_SMALL);
    const size_t size = 500000;
    input_random(size);
    size_t count = cut(p, false, input, size, ends), to = 0;
    for (size_t at = 0; at < size; at += 10000) {
        aq_copy(shifted + to, input + at, 10000);
        to += 10000;
        shifted[to++] = 'x';
        CHECK(to <= sizeof shifted);
    }
    size_t count_too = cut(p, false, shifted, to, ends_too);
    /* 50 edits in some 2,000 chunks touch 50; each may take a neighbour along. */
    CHECK(reappearing(input, ends, count, shifted, ends_too, count_too) >= 940);
}

TEST_MAIN(TEST_REF(borders_are_what_the_definition_says), TEST_REF(vectors_at_every_width),
          TEST_REF(windows_do_not_matter), TEST_REF(sizes_stay_within_their_bounds),
          TEST_REF(constant_data_is_cut_at_the_maximum),
          TEST_REF(little_data_is_one_piece_or_none),
          TEST_REF(an_insertion_changes_few_chunks), TEST_REF(borders_find_themselves_soon))
