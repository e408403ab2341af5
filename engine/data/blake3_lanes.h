/* blake3_lanes.h: the kernel of blake3.c for one width; blake3.c includes it once for each.
 *
 * Takes LANES (4, 8 or 16), TARGET (a function attribute) and LANE_NAME(name), and uses
 * blake3.c's job, ROUNDS and constants. Portable vector extensions of gcc and clang: what
 * is written once becomes SSE2, AVX2, AVX-512, NEON or WASM SIMD128. TARGET must stand on
 * every function that touches vectors, or they are passed through memory.
 *
 * The words of a block lie side by side in memory, but vector i must hold word i of every
 * lane. So four words of four lanes are loaded as four rows and transposed; wider vectors
 * do so in each 128-bit part at once, where row r of part q is lane 4q + r. */

typedef uint32_t LANE_NAME(words) __attribute__((vector_size(4 * LANES)));
typedef uint8_t LANE_NAME(bytes) __attribute__((vector_size(4 * LANES)));
#define VECTOR LANE_NAME(words)
#define BYTES LANE_NAME(bytes)
#define SETUP LANE_NAME(setup)

/* Byte rotations are one shuffle where the CPU has it (SHUFFLE_ROTATES), else two shifts
 * and an or; AVX-512 has a rotation, which the compiler sees in the shifts. */
#if LANES == 4
#define ALL(x) ((VECTOR){x, x, x, x})
#define LOW_WORDS(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define HIGH_WORDS(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#define LOW_PAIRS(a, b) __builtin_shufflevector(a, b, 0, 1, 4, 5)
#define HIGH_PAIRS(a, b) __builtin_shufflevector(a, b, 2, 3, 6, 7)
#define BY_16 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13
#define BY_8 1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12
#elif LANES == 8
#define ALL(x) ((VECTOR){x, x, x, x, x, x, x, x})
#define LOW_WORDS(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#define HIGH_WORDS(a, b) __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15)
#define LOW_PAIRS(a, b) __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define HIGH_PAIRS(a, b) __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#define BY_16                                                                              \
    2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13, 18, 19, 16, 17, 22, 23, 20, 21,  \
        26, 27, 24, 25, 30, 31, 28, 29
#define BY_8                                                                               \
    1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12, 17, 18, 19, 16, 21, 22, 23, 20,  \
        25, 26, 27, 24, 29, 30, 31, 28
#else
#define ALL(x) ((VECTOR){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x})
#define LOW_WORDS(a, b)                                                                    \
    __builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define HIGH_WORDS(a, b)                                                                   \
    __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15,  \
                            31)
#define LOW_PAIRS(a, b)                                                                    \
    __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define HIGH_PAIRS(a, b)                                                                   \
    __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30,  \
                            31)
#endif

#define ROTATE(x, n) ((x) >> (n) | (x) << (32 - (n)))
#ifdef SHUFFLE_ROTATES
#define ROTATE_16(x) ((VECTOR)__builtin_shufflevector((BYTES)(x), (BYTES)(x), BY_16))
#define ROTATE_8(x) ((VECTOR)__builtin_shufflevector((BYTES)(x), (BYTES)(x), BY_8))
#else
#define ROTATE_16(x) ROTATE(x, 16)
#define ROTATE_8(x) ROTATE(x, 8)
#endif

/* Short statements, each on one vector: gcc keeps them in registers. */
#define MIX_LANES(a, b, c, d, x, y)                                                        \
    do {                                                                                   \
        a += b + (x);                                                                      \
        d ^= a;                                                                            \
        d = ROTATE_16(d);                                                                  \
        c += d;                                                                            \
        b ^= c;                                                                            \
        b = ROTATE(b, 12);                                                                 \
        a += b + (y);                                                                      \
        d ^= a;                                                                            \
        d = ROTATE_8(d);                                                                   \
        c += d;                                                                            \
        b ^= c;                                                                            \
        b = ROTATE(b, 7);                                                                  \
    } while (0)

/* In each 128-bit part: rows a, b, c, d of four words become columns. */
#define TRANSPOSE(to, a, b, c, d)                                                          \
    do {                                                                                   \
        VECTOR low_ab = LOW_WORDS(a, b), high_ab = HIGH_WORDS(a, b);                       \
        VECTOR low_cd = LOW_WORDS(c, d), high_cd = HIGH_WORDS(c, d);                       \
        (to)[0] = LOW_PAIRS(low_ab, low_cd);                                               \
        (to)[1] = HIGH_PAIRS(low_ab, low_cd);                                              \
        (to)[2] = LOW_PAIRS(high_ab, high_cd);                                             \
        (to)[3] = HIGH_PAIRS(high_ab, high_cd);                                            \
    } while (0)

/* 16 bytes from each of the lanes r, r + 4, r + 8, … */
TARGET static inline __attribute__((always_inline)) VECTOR
LANE_NAME(row)(const uint8_t *const at[LANES], size_t offset, int r)
{
    four_words q[LANES / 4];
#pragma GCC unroll 4
    for (int i = 0; i < LANES / 4; i++) {
        __builtin_memcpy(&q[i], at[4 * i + r] + offset, 16);
    }
#if LANES == 4
    return q[0];
#elif LANES == 8
    return __builtin_shufflevector(q[0], q[1], 0, 1, 2, 3, 4, 5, 6, 7);
#else
    return __builtin_shufflevector(
        __builtin_shufflevector(q[0], q[1], 0, 1, 2, 3, 4, 5, 6, 7),
        __builtin_shufflevector(q[2], q[3], 0, 1, 2, 3, 4, 5, 6, 7), 0, 1, 2, 3, 4, 5, 6, 7,
        8, 9, 10, 11, 12, 13, 14, 15);
#endif
}

/* One block of every lane. */
TARGET static inline __attribute__((always_inline)) void
LANE_NAME(compress)(VECTOR h[8], const uint8_t *const at[LANES], size_t offset,
                    VECTOR counter_low, VECTOR counter_high, VECTOR size, VECTOR flags)
{
    VECTOR m[16], v[16];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        VECTOR a = LANE_NAME(row)(at, offset + 16 * i, 0);
        VECTOR b = LANE_NAME(row)(at, offset + 16 * i, 1);
        VECTOR c = LANE_NAME(row)(at, offset + 16 * i, 2);
        VECTOR d = LANE_NAME(row)(at, offset + 16 * i, 3);
        TRANSPOSE(m + 4 * i, a, b, c, d);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        v[i] = h[i];
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        v[8 + i] = ALL(iv[i]);
    }
    v[12] = counter_low;
    v[13] = counter_high;
    v[14] = size;
    v[15] = flags;
    /* cppcheck-suppress uninitvar ; TRANSPOSE filled m */
    ROUNDS(MIX_LANES, v, m);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        h[i] = v[i] ^ v[i + 8];
    }
}

/* What differs between lanes. Lanes that have no job repeat the first one. */
typedef struct SETUP {
    const uint8_t *at[LANES];
    VECTOR h[8];
    VECTOR counter_low, counter_high, flags, first, last;
} SETUP;

TARGET static inline __attribute__((always_inline)) void
LANE_NAME(begin)(SETUP *s, const job *jobs, size_t count, const uint32_t key[8])
{
    for (int i = 0; i < 8; i++) {
        s->h[i] = ALL(key[i]);
    }
    for (size_t i = 0; i < LANES; i++) {
        const job *j = &jobs[i < count ? i : 0];
        s->at[i] = j->data;
        s->counter_low[i] = (uint32_t)j->counter;
        s->counter_high[i] = (uint32_t)(j->counter >> 32);
        s->flags[i] = j->flags;
        s->first[i] = j->first;
        s->last[i] = j->last;
    }
}

TARGET static inline __attribute__((always_inline)) void
LANE_NAME(end)(const VECTOR h[8], const job *jobs, size_t count)
{
    VECTOR rows[8];
    TRANSPOSE(rows, h[0], h[1], h[2], h[3]);
    TRANSPOSE(rows + 4, h[4], h[5], h[6], h[7]);
    for (size_t i = 0; i < count; i++) {
        size_t row = i % 4, part = 16 * (i / 4);
        __builtin_memcpy(&jobs[i].out->words[0], (const uint8_t *)&rows[row] + part, 16);
        __builtin_memcpy(&jobs[i].out->words[4], (const uint8_t *)&rows[4 + row] + part,
                         16);
    }
}

/* Up to LANES jobs of `blocks` whole blocks each. */
TARGET static void LANE_NAME(run_even)(const job *jobs, size_t count, uint32_t blocks,
                                       const uint32_t key[8])
{
    SETUP s;
    VECTOR h[8];
    LANE_NAME(begin)(&s, jobs, count, key);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        h[i] = s.h[i];
    }
    VECTOR flags = s.flags | s.first;
    for (uint32_t b = 0; b < blocks; b++) {
        size_t offset = b * (size_t)BLOCK_SIZE;
        if (b + 1 == blocks) {
            flags |= s.last;
        }
        if (blocks > 1) {
            for (int i = 0; i < LANES; i++) {
                __builtin_prefetch(s.at[i] + offset + LANES * LEAF_SIZE, 0, 3);
            }
        }
        LANE_NAME(compress)
        (h, s.at, offset, s.counter_low, s.counter_high, ALL((uint32_t)BLOCK_SIZE), flags);
        flags = s.flags;
    }
    LANE_NAME(end)(h, jobs, count);
}

/* Up to LANES jobs of any sizes. A lane that is done keeps its state while others go on. */
TARGET static void LANE_NAME(run_ragged)(const job *jobs, size_t count,
                                         const uint32_t key[8])
{
    SETUP s;
    uint8_t tails[LANES][BLOCK_SIZE];
    const uint8_t *at[LANES];
    VECTOR blocks = ALL(0u), tail_size = ALL(0u);
    uint32_t blocks_max = 0;
    aq_fill(tails, 0, sizeof tails);
    LANE_NAME(begin)(&s, jobs, count, key);
    for (size_t i = 0; i < LANES; i++) {
        const job *j = &jobs[i < count ? i : 0];
        uint32_t n = j->size == 0 ? 1 : (j->size + BLOCK_SIZE - 1) / BLOCK_SIZE;
        uint32_t whole = (n - 1) * BLOCK_SIZE;
        aq_copy(tails[i], j->data + whole, j->size - whole);
        blocks[i] = n;
        tail_size[i] = j->size - whole;
        blocks_max = n > blocks_max ? n : blocks_max;
    }
    VECTOR h[8], old[8];
    for (int i = 0; i < 8; i++) {
        h[i] = s.h[i];
    }
    for (uint32_t b = 0; b < blocks_max; b++) {
        VECTOR is_last = (VECTOR)(blocks == ALL(b + 1));
        VECTOR is_active = (VECTOR)(blocks > ALL(b));
        VECTOR size = (tail_size & is_last) | (ALL((uint32_t)BLOCK_SIZE) & ~is_last);
        VECTOR flags = s.flags | (s.last & is_last);
        if (b == 0) {
            flags |= s.first;
        }
        for (size_t i = 0; i < LANES; i++) {
            at[i] = b + 1 < blocks[i] ? s.at[i] + b * (size_t)BLOCK_SIZE : tails[i];
        }
        for (int i = 0; i < 8; i++) {
            old[i] = h[i];
        }
        LANE_NAME(compress)(h, at, 0, s.counter_low, s.counter_high, size, flags);
        for (int i = 0; i < 8; i++) {
            h[i] = (h[i] & is_active) | (old[i] & ~is_active);
        }
    }
    LANE_NAME(end)(h, jobs, count);
}

#undef ALL
#undef BYTES
#undef BY_16
#undef BY_8
#undef HIGH_PAIRS
#undef HIGH_WORDS
#undef LANES
#undef LANE_NAME
#undef LOW_PAIRS
#undef LOW_WORDS
#undef MIX_LANES
#undef ROTATE
#undef ROTATE_16
#undef ROTATE_8
#undef SETUP
#undef SHUFFLE_ROTATES
#undef TARGET
#undef TRANSPOSE
#undef VECTOR
