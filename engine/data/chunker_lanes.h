/* chunker_lanes.h: the filter of chunker.c for one width; chunker.c includes it once for
 * each.
 *
 * Takes LANES (16 or 32 bytes a vector), TARGET (a function attribute), LANE_NAME(name),
 * and two things that portable vectors cannot say: LOOKUP(table, indexes), which looks each
 * byte (below 16) up in a table of 16 repeated over the vector, and HITS(v), the upper bits
 * of all bytes as an integer.
 *
 * Byte i of each vector belongs to the position behind byte i of the input. One step looks
 * like this for every byte at once; f2 depends on 2 bytes, f4 on 4, f8 on 8, f16 on 16:
 *
 *     f1  = low[byte & 15] + high[byte >> 4]
 *     f2  = (f1 + a) ^ 2a             a = f1 of 1 byte before
 *     f4  = (f2 - b) ^ mix[b >> 4]    b = f2 of 2 bytes before
 *     f8  = (f4 ^ c) + 2c             c = f4 of 4 bytes before
 *     f16 = (f8 + d) ^ mix[d >> 4]    d = f8 of 8 bytes before
 *
 * Sums and doubling carry low bits up, `mix` carries high bits down: without it, bytes that
 * look alike in the lowest bit of f1 (as two byte values do every other time) would never
 * pass. Equal bytes make f2 and all that follows 0, as mix[0] is 0.
 *
 * What lies before this vector comes from the vectors of the last step: the state. */

typedef uint8_t LANE_NAME(bytes) __attribute__((vector_size(LANES)));
typedef uint16_t LANE_NAME(pairs) __attribute__((vector_size(LANES)));
typedef uint64_t LANE_NAME(words) __attribute__((vector_size(LANES)));
#define VECTOR LANE_NAME(bytes)
#define STATE LANE_NAME(state)
#define TABLES LANE_NAME(tables)

/* The bytes of `now` moved up by n, filled with the last n bytes of `before`. */
#if LANES == 16
#define ALL(x) ((VECTOR){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x})
#define LINK(before, now) (before)
#define BEFORE_1(link, now)                                                                \
    __builtin_shufflevector(link, now, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, \
                            28, 29, 30)
#define BEFORE_2(link, now)                                                                \
    __builtin_shufflevector(link, now, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, \
                            27, 28, 29)
#define BEFORE_4(link, now)                                                                \
    __builtin_shufflevector(link, now, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, \
                            25, 26, 27)
#define BEFORE_8(link, now)                                                                \
    __builtin_shufflevector(link, now, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,   \
                            21, 22, 23)
#else
#define ALL(x)                                                                             \
    ((VECTOR){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x,                              \
              x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x})
/* AVX2 moves bytes only within its 128-bit halves, so the halves are put in place first. */
#define LINK(before, now)                                                                  \
    ((VECTOR)__builtin_shufflevector((LANE_NAME(words))(before), (LANE_NAME(words))(now),  \
                                     2, 3, 4, 5))
#define BEFORE_1(link, now)                                                                \
    __builtin_shufflevector(link, now, 15, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, \
                            44, 45, 46, 31, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58,    \
                            59, 60, 61, 62)
#define BEFORE_2(link, now)                                                                \
    __builtin_shufflevector(link, now, 14, 15, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, \
                            43, 44, 45, 30, 31, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57,    \
                            58, 59, 60, 61)
#define BEFORE_4(link, now)                                                                \
    __builtin_shufflevector(link, now, 12, 13, 14, 15, 32, 33, 34, 35, 36, 37, 38, 39, 40, \
                            41, 42, 43, 28, 29, 30, 31, 48, 49, 50, 51, 52, 53, 54, 55,    \
                            56, 57, 58, 59)
#define BEFORE_8(link, now)                                                                \
    __builtin_shufflevector(link, now, 8, 9, 10, 11, 12, 13, 14, 15, 32, 33, 34, 35, 36,   \
                            37, 38, 39, 24, 25, 26, 27, 28, 29, 30, 31, 48, 49, 50, 51,    \
                            52, 53, 54, 55)
#endif

/* V8 turns a shift of bytes, which clang makes of x + x, into several instructions. */
#ifdef __wasm__
#define TWICE(x) ((VECTOR)((LANE_NAME(pairs))(x) << 1) & ALL(0xfe))
#else
#define TWICE(x) ((x) + (x))
#endif

#define HIGH_NIBBLES(x) ((VECTOR)((LANE_NAME(pairs))(x) >> 4) & ALL(15))

typedef struct TABLES {
    VECTOR low, high, mix;
} TABLES;

typedef struct STATE {
    VECTOR f1, f2, f4, f8;
} STATE;

TARGET static inline __attribute__((always_inline)) VECTOR
LANE_NAME(step)(STATE *s, const TABLES *t, VECTOR x)
{
    VECTOR f1 = LOOKUP(t->low, x & ALL(15)) + LOOKUP(t->high, HIGH_NIBBLES(x));
    VECTOR a = BEFORE_1(LINK(s->f1, f1), f1);
    VECTOR f2 = (f1 + a) ^ TWICE(a);
    VECTOR b = BEFORE_2(LINK(s->f2, f2), f2);
    VECTOR f4 = (f2 - b) ^ LOOKUP(t->mix, HIGH_NIBBLES(b));
    VECTOR c = BEFORE_4(LINK(s->f4, f4), f4);
    VECTOR f8 = (f4 ^ c) + TWICE(c);
    VECTOR d = BEFORE_8(LINK(s->f8, f8), f8);
    s->f1 = f1;
    s->f2 = f2;
    s->f4 = f4;
    s->f8 = f8;
    return (f8 + d) ^ LOOKUP(t->mix, HIGH_NIBBLES(d));
}

TARGET static inline __attribute__((always_inline)) VECTOR
LANE_NAME(repeat)(const uint8_t table[16])
{
    VECTOR v;
#pragma GCC unroll 2
    for (int i = 0; i < LANES; i += 16) {
        __builtin_memcpy((uint8_t *)&v + i, table, 16);
    }
    return v;
}

TARGET static size_t LANE_NAME(cut_find)(const search *q)
{
    const VECTOR zero = ALL(0);
    STATE state = {zero, zero, zero, zero};
    const LANE_NAME(tables)
        tables = {LANE_NAME(repeat)(filter_low), LANE_NAME(repeat)(filter_high),
                  LANE_NAME(repeat)(filter_mix)};
    const VECTOR mask = zero + q->filter_mask;
    const VECTOR want = zero + (uint8_t)(FILTER_TARGET & q->filter_mask);
    uint8_t padded[TILE] = {0};
    for (size_t at = q->from > FILTER_WINDOW ? q->from - FILTER_WINDOW : 0; at < q->to;
         at += TILE) {
        const uint8_t *tile = q->data + at;
        if (q->size - at < TILE) {
            aq_copy(padded, tile, q->size - at);
            tile = padded;
        }
        __builtin_prefetch(tile + PREFETCH, 0, 2);
        uint64_t hits = 0;
#pragma GCC unroll 4
        for (unsigned i = 0; i < TILE; i += LANES) {
            VECTOR x;
            __builtin_memcpy(&x, tile + i, LANES);
            VECTOR f = LANE_NAME(step)(&state, &tables, x);
            hits |= (uint64_t)HITS((VECTOR)((f & mask) == want)) << i;
        }
        if (__builtin_expect(hits != 0, 0)) {
            size_t end = hits_pick(q, at, hits);
            if (end != 0) {
                return end;
            }
        }
    }
    return q->to;
}

#undef ALL
#undef BEFORE_1
#undef BEFORE_2
#undef BEFORE_4
#undef BEFORE_8
#undef HIGH_NIBBLES
#undef HITS
#undef LANES
#undef LANE_NAME
#undef LINK
#undef LOOKUP
#undef STATE
#undef TABLES
#undef TARGET
#undef TWICE
#undef VECTOR
