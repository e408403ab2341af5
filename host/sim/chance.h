/* chance.h: one seed, many streams of chance, and content identity for the oracle.
 *
 * Each concern (net, disk, user, crash, …) draws from a stream of its own, so that one more
 * draw in one of them leaves the others as they were: a shrunk or changed scenario stays
 * recognisable. The hash is deliberately not the engine's. */
#ifndef SIM_CHANCE_H
#define SIM_CHANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t sim_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

static inline uint64_t sim_hash(const void *data, size_t size, uint64_t seed)
{
    const uint8_t *p = data;
    uint64_t h = sim_mix(seed ^ size ^ 0x9e3779b97f4a7c15U);
    for (; size >= 8; p += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        h = (h ^ word) * 0x9fb21c651e98df25U;
        h ^= h >> 29;
    }
    for (; size > 0; p++, size--) {
        h = (h ^ *p) * 0x100000001b3U;
    }
    return sim_mix(h);
}

/* memcpy, but nothing may come from nowhere. */
static inline void sim_copy(void *to, const void *from, size_t size)
{
    if (size > 0) {
        memcpy(to, from, size);
    }
}

/* A stream of chance: splitmix64 (Steele, Lea, Flood 2014). */
typedef struct sim_chance {
    uint64_t state;
} sim_chance;

static inline sim_chance sim_chance_open(uint64_t seed, const char *concern)
{
    return (sim_chance){sim_hash(concern, strlen(concern), sim_mix(seed + 1))};
}

static inline uint64_t sim_chance_next(sim_chance *c)
{
    c->state += 0x9e3779b97f4a7c15U;
    return sim_mix(c->state);
}

/* 0 … limit-1; 0 if there is no choice. */
static inline uint64_t sim_chance_below(sim_chance *c, uint64_t limit)
{
    uint64_t next = sim_chance_next(c);
    return limit == 0 ? 0 : next % limit;
}

static inline uint64_t sim_chance_range(sim_chance *c, uint64_t low, uint64_t high)
{
    return low + sim_chance_below(c, high - low + 1);
}

/* Is true `permille` times in a thousand. */
static inline bool sim_chance_hit(sim_chance *c, uint64_t permille)
{
    return sim_chance_below(c, 1000) < permille;
}

/* 1 … high, small values far more often: each power of two is as likely as the next. */
static inline uint64_t sim_chance_skewed(sim_chance *c, uint64_t high)
{
    uint64_t top = high;
    while (top > 1 && sim_chance_hit(c, 500)) {
        top /= 2;
    }
    return sim_chance_range(c, 1, top);
}

#endif
