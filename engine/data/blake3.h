/* blake3.h: the hash that names content. Plain mode equals what `b3sum` prints; outputs are
 * always 32 bytes. Source: O'Connor, Aumasson, Neves, Wilcox-O'Hearn, "BLAKE3: one
 * function, fast everywhere" (2020). Pure functions, callable on any thread; memory is lent
 * for the call only, and nothing fails. */
#ifndef AQ_DATA_BLAKE3_H
#define AQ_DATA_BLAKE3_H

#include <stddef.h>
#include <stdint.h>
#include "acequia.h"

void aq_blake3(const void *data, size_t size, aq_hash *out);

/* A MAC (and pseudo-random function) under `key`. */
void aq_blake3_keyed(const uint8_t key[32], const void *data, size_t size, aq_hash *out);

/* `context`: a constant of the program that names the purpose, NUL-terminated, never built
 * from input (paper, 2.3); `data`: the key material. */
void aq_blake3_derive_key(const char *context, const void *data, size_t size, aq_hash *out);

typedef struct aq_blake3_message {
    const uint8_t *data;
    size_t size;
    aq_hash *out;
} aq_blake3_message;

/* As many calls of aq_blake3, but small messages share the SIMD lanes: some five times as
 * fast up to 2 KiB, twice at 4 to 10 KiB. Any sizes, mixed. */
void aq_blake3_batch(const aq_blake3_message *messages, size_t count);

/* Plain hashing of bytes that come piece by piece. Plain data without pointers: it may be
 * copied (a copy goes its own way) and kept, but not sent: its layout is the build's. */
typedef struct aq_blake3_hasher {
    uint32_t key[8];      /* the IV, for plain hashing */
    uint32_t mode;        /* flags of every compression */
    uint32_t leaf_blocks; /* blocks of the leaf under way that are compressed */
    uint32_t leaf_cv[8];  /* the chaining value after them */
    uint32_t block_size;  /* bytes of `block` in use */
    uint8_t block[64];    /* not compressed yet: it may be the last */
    uint64_t leaf_count;  /* leaves of 1 KiB that are done and stand in `stack` */
    /* stack[i]: a subtree of 2^i leaves, where leaf_count has bit i */
    uint32_t stack[54][8];
} aq_blake3_hasher;

void aq_blake3_init(aq_blake3_hasher *h);

/* Full speed for large pieces wherever the borders between pieces fall. */
void aq_blake3_update(aq_blake3_hasher *h, const void *data, size_t size);

/* The hash of everything so far; the hasher stays as it is and may be updated further. */
void aq_blake3_final(const aq_blake3_hasher *h, aq_hash *out);

/* For tests: no more than `lanes` (1, 4, 8 or 16) hash side by side from now on; 0 undoes
 * it. Returns the number that the CPU will really use. Results never depend on it. */
unsigned aq_blake3_lanes_limit(unsigned lanes);

#endif
