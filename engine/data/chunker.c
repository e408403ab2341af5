/* chunker.c: content-defined chunking, with the skipping and the normalised sizes of
 * FastCDC (Xia et al., USENIX ATC 2016), integers only. docs/CHUNKER.md is the definition,
 * which peers must share; this is how it is made fast.
 *
 * Whether a piece may end at a position is decided in two steps by the bytes before it:
 *
 *     … 48 bytes …|… 16 bytes …|        filter: 8 bits made of the last 16 bytes, for all
 *     <---- strength: 64 B ---->^       positions at once by SIMD (chunker_lanes.h);
 *                       may it end here?  1 of 256 passes, and of those
 *                                       strength: a hash of the last 64 bytes decides.
 *
 * Gear hashing takes the bytes one by one; this filter takes 16 or 32 in one step, which
 * makes it three times as fast. It is a weak hash, but strength makes up for that.
 *
 *     border                        normal                  max / 2          max
 *     |---------- min ----------|-- hard --|----- easy -----|---- late ------|
 *       not even looked at        few cuts   nearly every     repetitive       cut,
 * whatever piece ends here  data             it is
 *
 * "hard" asks for more bits than "easy": so sizes stay even. "late" asks for the filter's 8
 * bits alone, so that only constant data and short periods are cut at max; a run of one
 * byte value never passes the filter.
 *
 * Nothing before the border and nothing behind the cut matters, so windows may fall
 * anywhere. */
#include "engine/data/chunker.h"
#include "engine/base/assert.h"
#include "engine/base/bytes.h"

enum {
    TILE = 64,
    FILTER_WINDOW = 16,
    FILTER_BITS = 8,
    FILTER_TARGET = 0x5b, /* its upper bits are not 00: a run of one byte gives 0 */
    STRENGTH_WINDOW = 64,
    PREFETCH = 2048
};

/* All constants are the upper bits of what splitmix64 gives from state 0 on: low, high, the
 * keys, and (but for its 0) mix. */
static const uint8_t filter_low[16] = {226, 110, 6,   248, 27,  83,  44,  197,
                                       62,  243, 101, 194, 134, 142, 181, 132};
static const uint8_t filter_high[16] = {125, 195, 52,  216, 219, 169, 237, 84,
                                        221, 147, 105, 64,  162, 238, 241, 55};
static const uint8_t filter_mix[16] = {0,   132, 19, 7,   18,  204, 236, 62,
                                       105, 119, 34, 227, 223, 32,  3,   201};
static const uint64_t strength_key[8] = {
    0x0c7de8064963bab0u, 0x05582d37111ac529u, 0xd254741f599dc6f7u, 0x69630f7593d108c3u,
    0x417ef96181daa383u, 0x3c3c41a3b43343a1u, 0x6e19905dcbe531dfu, 0x4fa9fa7324851729u};
static const uint64_t strength_multiplier = 0x9e3779b97f4a7c15u;

static const aq_profile profiles[] = {
    [AQ_PROFILE_STANDARD] = {.block_min = 4 << 10,
                             .block_max = 64 << 10,
                             .chunk_min = 1 << 20,
                             .chunk_max = 8 << 20,
                             .block_normal = 8 << 10,
                             .chunk_normal = 15 << 17,
                             .block_hard = 14,
                             .block_easy = 12,
                             .block_late = 8,
                             .chunk_hard = 22,
                             .chunk_easy = 18,
                             .chunk_late = 8},
    [AQ_PROFILE_SMALL] = {.block_min = 8,
                          .block_max = 128,
                          .chunk_min = 64,
                          .chunk_max = 1024,
                          .block_normal = 16,
                          .chunk_normal = 208,
                          .block_hard = 6,
                          .block_easy = 3,
                          .block_late = 2,
                          .chunk_hard = 10,
                          .chunk_easy = 6,
                          .chunk_late = 3},
};

const aq_profile *aq_profile_get(aq_profile_id id)
{
    AQ_ASSERT(id == AQ_PROFILE_STANDARD || id == AQ_PROFILE_SMALL);
    return &profiles[id];
}

/* ---- one search ------------------------------------------------------------------------
 */

/* Looks for the first end in [from, to) of a piece that begins at data[0]. */
typedef struct search {
    const uint8_t *data;
    size_t size; /* readable; ≥ to */
    size_t from, to;
    uint64_t strength_max; /* UINT64_MAX: the filter alone decides */
    uint8_t filter_mask;
} search;

static uint64_t strength(const uint8_t *end)
{
    uint64_t sum = 0;
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
        uint64_t a, b;
        __builtin_memcpy(&a, end - STRENGTH_WINDOW + 8 * i, 8);
        __builtin_memcpy(&b, end - STRENGTH_WINDOW + 8 * i + 8, 8);
        sum += (a + strength_key[i]) * (b + strength_key[i + 1]);
    }
    return (sum ^ sum >> 32) * strength_multiplier;
}

/* Bit i of `hits`: the filter passes the position behind data[at + i]. Gives the first end
 * among them, or 0. */
static size_t hits_pick(const search *q, size_t at, uint64_t hits)
{
    for (; hits != 0; hits &= hits - 1) {
        size_t end = at + (size_t)__builtin_ctzll(hits) + 1;
        if (end < q->from) {
            continue;
        }
        if (end >= q->to) {
            break;
        }
        if (q->strength_max == UINT64_MAX || strength(q->data + end) <= q->strength_max) {
            return end;
        }
    }
    return 0;
}

/* ---- widths ----------------------------------------------------------------------------
 */

/* What chunker_lanes.h does, byte by byte: for other CPUs, and for the tests to compare. */
static uint64_t tile_hits(const search *q, size_t at)
{
    enum { BACK = FILTER_WINDOW - 1 };
    uint8_t f[BACK + TILE], g[BACK + TILE];
    uint64_t hits = 0;
    for (size_t i = 0; i < BACK + TILE; i++) {
        bool inside = at + i >= BACK && at + i - BACK < q->size;
        uint8_t byte = inside ? q->data[at + i - BACK] : 0;
        uint8_t f1 = (uint8_t)(filter_low[byte & 15] + filter_high[byte >> 4]);
        f[i] = inside ? f1 : 0;
    }
    for (size_t i = 1; i < BACK + TILE; i++) {
        g[i] = (uint8_t)((f[i] + f[i - 1]) ^ 2 * f[i - 1]);
    }
    for (size_t i = 3; i < BACK + TILE; i++) {
        f[i] = (uint8_t)((g[i] - g[i - 2]) ^ filter_mix[g[i - 2] >> 4]);
    }
    for (size_t i = 7; i < BACK + TILE; i++) {
        g[i] = (uint8_t)((f[i] ^ f[i - 4]) + 2 * f[i - 4]);
    }
    for (size_t i = 15; i < BACK + TILE; i++) {
        uint8_t f16 = (uint8_t)((g[i] + g[i - 8]) ^ filter_mix[g[i - 8] >> 4]);
        hits |= (uint64_t)(((f16 ^ FILTER_TARGET) & q->filter_mask) == 0) << (i - BACK);
    }
    return hits;
}

static size_t cut_find_portable(const search *q)
{
    for (size_t at = q->from - 1; at < q->to; at += TILE) {
        size_t end = hits_pick(q, at, tile_hits(q, at));
        if (end != 0) {
            return end;
        }
    }
    return q->to;
}

#if defined(__wasm__)
typedef signed char wasm_bytes __attribute__((vector_size(16)));
#define LANES 16
#define LANE_NAME(name) name##_16
#define TARGET
#define LOOKUP(table, i)                                                                   \
    ((bytes_16)__builtin_wasm_swizzle_i8x16((wasm_bytes)(table), (wasm_bytes)(i)))
#define HITS(v) ((uint32_t)__builtin_wasm_bitmask_i8x16((wasm_bytes)(v)))
#include "engine/data/chunker_lanes.h"

#elif defined(__aarch64__)
/* The shuffle is TBL; NEON has nothing like a move mask, so a product gathers the bits. */
typedef uint64_t neon_words __attribute__((vector_size(16)));

static inline uint32_t neon_hits(neon_words halves)
{
    uint64_t low = (halves[0] & 0x0101010101010101u) * 0x0102040810204080u >> 56;
    uint64_t high = (halves[1] & 0x0101010101010101u) * 0x0102040810204080u >> 56;
    return (uint32_t)(low | high << 8);
}

#define LANES 16
#define LANE_NAME(name) name##_16
#define TARGET
#ifdef __clang__
typedef signed char neon_bytes __attribute__((vector_size(16)));
#define LOOKUP(table, i)                                                                   \
    ((bytes_16)__builtin_neon_vqtbl1q_v((neon_bytes)(table), (neon_bytes)(i), 48))
#else
#define LOOKUP(table, i) __builtin_shuffle(table, i)
#endif
#define HITS(v) neon_hits((neon_words)(v))
#include "engine/data/chunker_lanes.h"

#elif defined(__x86_64__)
typedef char x86_bytes_16 __attribute__((vector_size(16)));
typedef char x86_bytes_32 __attribute__((vector_size(32)));

#define LANES 16
#define LANE_NAME(name) name##_16
#define TARGET __attribute__((target("ssse3")))
#define LOOKUP(table, i)                                                                   \
    ((bytes_16)__builtin_ia32_pshufb128((x86_bytes_16)(table), (x86_bytes_16)(i)))
#define HITS(v) ((uint32_t)__builtin_ia32_pmovmskb128((x86_bytes_16)(v)))
#include "engine/data/chunker_lanes.h"

#define LANES 32
#define LANE_NAME(name) name##_32
#define TARGET __attribute__((target("avx2,bmi")))
#define LOOKUP(table, i)                                                                   \
    ((bytes_32)__builtin_ia32_pshufb256((x86_bytes_32)(table), (x86_bytes_32)(i)))
#define HITS(v) ((uint32_t)__builtin_ia32_pmovmskb256((x86_bytes_32)(v)))
#include "engine/data/chunker_lanes.h"
#endif

enum { LANES_MAX = 32 };

static unsigned lanes_limit = LANES_MAX; /* less only in tests */

static unsigned lanes_get(void)
{
#if defined(__wasm__) || defined(__aarch64__)
    return lanes_limit >= 16 ? 16 : 1;
#elif defined(__x86_64__)
    if (lanes_limit >= 32 && __builtin_cpu_supports("avx2") &&
        __builtin_cpu_supports("bmi")) {
        return 32;
    }
    return lanes_limit >= 16 && __builtin_cpu_supports("ssse3") ? 16 : 1;
#else
    return 1;
#endif
}

unsigned aq_chunker_lanes_limit(unsigned lanes)
{
    lanes_limit = lanes == 0 ? LANES_MAX : lanes;
    return lanes_get();
}

/* `to` if there is none. */
static size_t cut_find(const uint8_t *data, size_t size, size_t from, size_t to,
                       unsigned bits)
{
    unsigned filter_bits = bits < FILTER_BITS ? bits : FILTER_BITS;
    const search q = {data,
                      size,
                      from,
                      to,
                      UINT64_MAX >> (bits - filter_bits),
                      (uint8_t)(0xff << (FILTER_BITS - filter_bits))};
    AQ_ASSERT(bits <= FILTER_BITS || from >= STRENGTH_WINDOW);
    switch (lanes_get()) {
#ifdef __x86_64__
    case 32:
        return cut_find_32(&q);
#endif
#if defined(__x86_64__) || defined(__aarch64__) || defined(__wasm__)
    case 16:
        return cut_find_16(&q);
#endif
    default:
        return cut_find_portable(&q);
    }
}

/* ---- pieces ----------------------------------------------------------------------------
 */

typedef struct cutter {
    struct {
        size_t from; /* up to the next stage's, at last up to max */
        unsigned bits;
    } stages[3];
    size_t max;
} cutter;

/* The size of the piece that begins at data[0]; 0: more bytes are needed to say. */
static size_t piece_size(const cutter *c, const uint8_t *data, size_t size, bool final)
{
    for (int i = 0; i < 3; i++) {
        size_t from = c->stages[i].from;
        size_t to = i < 2 ? c->stages[i + 1].from : c->max;
        to = size < to ? size : to;
        if (from >= to) {
            break;
        }
        size_t end = cut_find(data, size, from, to, c->stages[i].bits);
        if (end < to) {
            return end;
        }
    }
    if (size >= c->max) {
        return c->max;
    }
    return final ? size : 0;
}

static size_t pieces(const cutter *c, const uint8_t *data, size_t size, bool final,
                     uint32_t *ends, size_t ends_max)
{
    size_t count = 0;
    AQ_ASSERT(size <= UINT32_MAX);
    for (size_t at = 0; at < size && count < ends_max;) {
        size_t n = piece_size(c, data + at, size - at, final);
        if (n == 0) {
            break;
        }
        at += n;
        ends[count++] = (uint32_t)at;
    }
    return count;
}

size_t aq_chunker_chunks(const aq_profile *p, const uint8_t *data, size_t size, bool final,
                         uint32_t *ends, size_t ends_max)
{
    const cutter c = {{{p->chunk_min, p->chunk_hard},
                       {p->chunk_normal, p->chunk_easy},
                       {p->chunk_max / 2, p->chunk_late}},
                      p->chunk_max};
    return pieces(&c, data, size, final, ends, ends_max);
}

size_t aq_chunker_blocks(const aq_profile *p, const uint8_t *data, size_t size,
                         uint32_t *ends, size_t ends_max)
{
    const cutter c = {{{p->block_min, p->block_hard},
                       {p->block_normal, p->block_easy},
                       {p->block_max / 2, p->block_late}},
                      p->block_max};
    AQ_ASSERT(ends_max >= size / p->block_min + 1);
    return pieces(&c, data, size, true, ends, ends_max);
}
