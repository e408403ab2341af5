/* blake3.c: BLAKE3 in portable C, as wide as the CPU.
 *
 * The input is cut into leaves of 1 KiB. A leaf is a chain of 16 compressions, one for each
 * block of 64 bytes; what remains of it is its chaining value (CV) of 32 bytes. A parent is
 * one compression over the CVs of its two children, and the tree is as left-heavy as it can
 * be: a left subtree is always complete.
 *
 *                 root                  leaves 0–3: a complete subtree of 4
 *               /      \                leaf 4: done, a complete subtree of 1
 *              *        *               leaf 5: under way
 *            /   \     / \
 *           *     *   4   5             leaf_count = 5 = 101b
 *          / \   / \                    stack[2] = CV over 0–3, stack[0] = CV of 4
 *         0   1 2   3
 *
 * Leaves do not depend on each other, so a CPU with vectors of N words hashes N of them at
 * once, word i of lane k's state being element k of vector i. blake3_lanes.h holds this
 * kernel; it is included once for each width. Parents are hashed N at once in the same way:
 * a parent is a leaf of one block with other flags. All that the kernel sees is a `job`.
 *
 * Three things make hashing piece by piece as fast as hashing at once:
 * - leaves go to the lanes in runs, wherever in the tree the run begins: a leaf's number is
 *   only an input of its compression. absorb() then joins the run to the stack level by
 *   level, the parents of a level again side by side.
 * - a subtree is merged as soon as it is complete. This is safe only because the hasher
 *   keeps the last bytes back until more come (`leaf_count` never counts the last leaf): a
 *   complete subtree with something to its right is never the root, which alone is
 *   compressed with a flag of its own.
 * - each lane prefetches what the next run's lane will read; N streams that are 1 KiB apart
 *   are nothing that hardware foresees.
 *
 * What this is not: it has no extendable output (32 bytes only) and no threads. */
#include "engine/data/blake3.h"
#include "engine/base/assert.h"
#include "engine/base/bytes.h"

#include <stdbool.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "words are loaded as they lie in memory: little-endian only"
#endif

enum {
    BLOCK_SIZE = 64,
    LEAF_SIZE = 1024,
    LANES_MAX = 16,
    RUN_LEAVES = 128 /* enough to fill the lanes on most levels of parents too */
};

/* Flags of a compression (paper, table 3). */
enum {
    LEAF_START = 1,
    LEAF_END = 2,
    PARENT = 4,
    ROOT = 8,
    KEYED_HASH = 16,
    DERIVE_KEY_CONTEXT = 32,
    DERIVE_KEY_MATERIAL = 64
};

typedef struct cv {
    uint32_t words[8];
} cv;

/* A chain of compressions, which one lane can do. */
typedef struct job {
    const uint8_t *data;
    uint64_t counter; /* the leaf's number; 0 for a parent */
    uint32_t size;    /* 0 to LEAF_SIZE */
    uint32_t flags;   /* of every block, */
    uint32_t first;   /* more for the first, */
    uint32_t last;    /* and more for the last */
    cv *out;
} job;

static const uint32_t iv[8] = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
                               0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};

/* One round mixes the columns, then the diagonals; each round takes the message words in
 * another order. `MIX` works on words or on vectors of words. */
#define ROUND(MIX, v, m, a, b, c, d, e, f, g, h, i, j, k, l, n, o, p, q)                   \
    MIX(v[0], v[4], v[8], v[12], m[a], m[b]);                                              \
    MIX(v[1], v[5], v[9], v[13], m[c], m[d]);                                              \
    MIX(v[2], v[6], v[10], v[14], m[e], m[f]);                                             \
    MIX(v[3], v[7], v[11], v[15], m[g], m[h]);                                             \
    MIX(v[0], v[5], v[10], v[15], m[i], m[j]);                                             \
    MIX(v[1], v[6], v[11], v[12], m[k], m[l]);                                             \
    MIX(v[2], v[7], v[8], v[13], m[n], m[o]);                                              \
    MIX(v[3], v[4], v[9], v[14], m[p], m[q])

#define ROUNDS(MIX, v, m)                                                                  \
    ROUND(MIX, v, m, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);                \
    ROUND(MIX, v, m, 2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8);                \
    ROUND(MIX, v, m, 3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1);                \
    ROUND(MIX, v, m, 10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6);                \
    ROUND(MIX, v, m, 12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4);                \
    ROUND(MIX, v, m, 9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7);                \
    ROUND(MIX, v, m, 11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13)

/* ---- one lane ---------------------------------------------------------------------------
 */

static inline uint32_t rotate(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

#define MIX_WORDS(a, b, c, d, x, y)                                                        \
    do {                                                                                   \
        a += b + (x);                                                                      \
        d = rotate(d ^ a, 16);                                                             \
        c += d;                                                                            \
        b = rotate(b ^ c, 12);                                                             \
        a += b + (y);                                                                      \
        d = rotate(d ^ a, 8);                                                              \
        c += d;                                                                            \
        b = rotate(b ^ c, 7);                                                              \
    } while (0)

static void compress(uint32_t h[8], const uint8_t block[BLOCK_SIZE], uint32_t size,
                     uint64_t counter, uint32_t flags)
{
    uint32_t m[16], v[16];
    aq_copy(m, block, sizeof m);
    aq_copy(v, h, 32);
    aq_copy(v + 8, iv, 16);
    v[12] = (uint32_t)counter;
    v[13] = (uint32_t)(counter >> 32);
    v[14] = size;
    v[15] = flags;
    ROUNDS(MIX_WORDS, v, m);
    for (int i = 0; i < 8; i++) {
        h[i] = v[i] ^ v[i + 8];
    }
}

static void job_run(const job *j, const uint32_t key[8])
{
    uint32_t h[8];
    uint8_t block[BLOCK_SIZE] = {0};
    uint32_t flags = j->flags | j->first;
    uint32_t at = 0;
    aq_copy(h, key, sizeof h);
    for (; j->size - at > BLOCK_SIZE; at += BLOCK_SIZE) {
        compress(h, j->data + at, BLOCK_SIZE, j->counter, flags);
        flags = j->flags;
    }
    aq_copy(block, j->data + at, j->size - at);
    compress(h, block, j->size - at, j->counter, flags | j->last);
    aq_copy(j->out, h, sizeof h);
}

/* ---- many lanes ------------------------------------------------------------------------
 */

typedef uint32_t four_words __attribute__((vector_size(16)));

#define LANES 4
#define LANE_NAME(name) name##_4
#define TARGET
#if defined(__SSSE3__) || !defined(__x86_64__)
#define SHUFFLE_ROTATES
#endif
#include "engine/data/blake3_lanes.h"

#ifdef __x86_64__
#define LANES 8
#define LANE_NAME(name) name##_8
#define TARGET __attribute__((target("avx2")))
#define SHUFFLE_ROTATES
#include "engine/data/blake3_lanes.h"

#define LANES 16
#define LANE_NAME(name) name##_16
#define TARGET __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq")))
#include "engine/data/blake3_lanes.h"
#endif

static unsigned lanes_limit = LANES_MAX; /* less only in tests */

static unsigned lanes_get(void)
{
#ifdef __x86_64__
    if (lanes_limit >= 16 && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
        return 16;
    }
    if (lanes_limit >= 8 && __builtin_cpu_supports("avx2")) {
        return 8;
    }
#endif
    return lanes_limit >= 4 ? 4 : 1;
}

unsigned aq_blake3_lanes_limit(unsigned lanes)
{
    lanes_limit = lanes == 0 ? LANES_MAX : lanes;
    return lanes_get();
}

/* `blocks`: whole blocks that every job has; 0: sizes differ. */
static void lanes_run(unsigned lanes, const job *jobs, size_t count, uint32_t blocks,
                      const uint32_t key[8])
{
#ifdef __x86_64__
    if (lanes == 16) {
        blocks ? run_even_16(jobs, count, blocks, key) : run_ragged_16(jobs, count, key);
        return;
    }
    if (lanes == 8) {
        blocks ? run_even_8(jobs, count, blocks, key) : run_ragged_8(jobs, count, key);
        return;
    }
#endif
    AQ_ASSERT(lanes == 4);
    blocks ? run_even_4(jobs, count, blocks, key) : run_ragged_4(jobs, count, key);
}

/* Any number of jobs. A lonely one is not worth a kernel. */
static void jobs_run(const job *jobs, size_t count, uint32_t blocks, const uint32_t key[8])
{
    unsigned best = lanes_get();
    while (count > 0) {
        unsigned lanes = best == 16 && count <= 8 ? 8 : best;
        size_t n = count < lanes ? count : lanes;
        if (n == 1) {
            job_run(jobs, key);
        } else {
            lanes_run(lanes, jobs, n, blocks, key);
        }
        jobs += n;
        count -= n;
    }
}

/* ---- the tree --------------------------------------------------------------------------
 */

static job leaf_job(const uint8_t *data, size_t size, uint64_t counter, uint32_t mode,
                    cv *out)
{
    return (job){data, counter, (uint32_t)size, mode, LEAF_START, LEAF_END, out};
}

static job parent_job(const cv children[2], uint32_t mode, cv *out)
{
    return (job){(const uint8_t *)children, 0, BLOCK_SIZE, mode | PARENT, 0, 0, out};
}

/* The parents of `count` pairs. `to` may be the memory of `from` or lie one CV behind it:
 * every run of lanes reads its input before it writes, and no later run reads what it
 * wrote. */
static void parents_run(const cv *from, size_t count, cv *to, const uint32_t key[8],
                        uint32_t mode)
{
    job jobs[LANES_MAX];
    for (size_t done = 0; done < count;) {
        size_t n = 0;
        for (; n < LANES_MAX && done < count; n++, done++) {
            jobs[n] = parent_job(from + 2 * done, mode, to + done);
        }
        jobs_run(jobs, n, 1, key);
    }
}

/* Takes the CVs of the next `count` leaves, values[1] to values[count], into the stack.
 * values[0] is room for a left sibling that waits there; the array is used up. More input
 * must be known to follow. */
static void absorb(aq_blake3_hasher *h, cv *values, size_t count)
{
    uint64_t first = h->leaf_count;
    h->leaf_count += count;
    for (unsigned level = 0; count > 0; level++) {
        cv *run = values + 1;
        if (first & 1) {
            run = values;
            aq_copy(run, h->stack[level], sizeof *run);
            count++;
        }
        if (count & 1) {
            aq_copy(h->stack[level], run + count - 1, sizeof *run);
        }
        count /= 2;
        first /= 2;
        parents_run(run, count, values + 1, h->key, h->mode);
    }
}

/* Hashes whole leaves; more input must be known to follow. */
static void leaves_run(aq_blake3_hasher *h, const uint8_t *data, size_t count)
{
    cv values[1 + RUN_LEAVES];
    job jobs[LANES_MAX];
    AQ_ASSERT(count <= RUN_LEAVES);
    for (size_t done = 0; done < count;) {
        size_t n = 0;
        for (; n < LANES_MAX && done < count; n++, done++) {
            jobs[n] = leaf_job(data + done * LEAF_SIZE, LEAF_SIZE, h->leaf_count + done,
                               h->mode, values + 1 + done);
        }
        jobs_run(jobs, n, LEAF_SIZE / BLOCK_SIZE, h->key);
    }
    absorb(h, values, count);
}

/* ---- piece by piece --------------------------------------------------------------------
 */

static void hasher_init(aq_blake3_hasher *h, const uint32_t key[8], uint32_t mode)
{
    /* The stack is left as it is: leaf_count says what of it counts. */
    aq_copy(h->key, key, sizeof h->key);
    aq_copy(h->leaf_cv, key, sizeof h->leaf_cv);
    h->mode = mode;
    h->leaf_blocks = 0;
    h->block_size = 0;
    h->leaf_count = 0;
}

static size_t leaf_size(const aq_blake3_hasher *h)
{
    return h->leaf_blocks * (size_t)BLOCK_SIZE + h->block_size;
}

static uint32_t leaf_flags(const aq_blake3_hasher *h)
{
    return h->mode | (h->leaf_blocks == 0 ? LEAF_START : 0);
}

/* Adds bytes to the leaf under way, which has room for them. A full block is compressed
 * only when more comes: it may be the last. */
static void leaf_put(aq_blake3_hasher *h, const uint8_t *data, size_t size)
{
    while (size > 0) {
        if (h->block_size == BLOCK_SIZE) {
            compress(h->leaf_cv, h->block, BLOCK_SIZE, h->leaf_count, leaf_flags(h));
            h->leaf_blocks++;
            h->block_size = 0;
        }
        size_t room = BLOCK_SIZE - h->block_size;
        size_t n = size < room ? size : room;
        aq_copy(h->block + h->block_size, data, n);
        h->block_size += (uint32_t)n;
        data += n;
        size -= n;
    }
}

static cv leaf_end(const aq_blake3_hasher *h, uint32_t flags)
{
    cv value;
    uint8_t block[BLOCK_SIZE] = {0};
    aq_copy(block, h->block, h->block_size);
    aq_copy(&value, h->leaf_cv, sizeof value);
    compress(value.words, block, h->block_size, h->leaf_count,
             leaf_flags(h) | LEAF_END | flags);
    return value;
}

static void leaf_finish(aq_blake3_hasher *h)
{
    cv values[2];
    values[1] = leaf_end(h, 0);
    absorb(h, values, 1);
    aq_copy(h->leaf_cv, h->key, sizeof h->leaf_cv);
    h->leaf_blocks = 0;
    h->block_size = 0;
}

void aq_blake3_init(aq_blake3_hasher *h)
{
    hasher_init(h, iv, 0);
}

void aq_blake3_update(aq_blake3_hasher *h, const void *data, size_t size)
{
    const uint8_t *at = data;
    if (size == 0) {
        return;
    }
    if (leaf_size(h) > 0) {
        size_t room = LEAF_SIZE - leaf_size(h);
        size_t n = size < room ? size : room;
        leaf_put(h, at, n);
        at += n;
        size -= n;
        if (size == 0) {
            return;
        }
        leaf_finish(h);
    }
    while (size > LEAF_SIZE) {
        size_t n = (size - 1) / LEAF_SIZE;
        n = n < RUN_LEAVES ? n : RUN_LEAVES;
        leaves_run(h, at, n);
        at += n * LEAF_SIZE;
        size -= n * LEAF_SIZE;
    }
    leaf_put(h, at, size);
}

void aq_blake3_final(const aq_blake3_hasher *h, aq_hash *out)
{
    cv pair[2];
    uint64_t left = h->leaf_count;
    pair[1] = leaf_end(h, left == 0 ? ROOT : 0);
    for (unsigned level = 0; left != 0; level++, left /= 2) {
        if (left & 1) {
            aq_copy(&pair[0], h->stack[level], sizeof pair[0]);
            job j = parent_job(pair, h->mode | (left == 1 ? ROOT : 0), &pair[1]);
            job_run(&j, h->key);
        }
    }
    aq_copy(out, &pair[1], sizeof *out);
}

/* ---- at once ---------------------------------------------------------------------------
 */

static void hash(const uint32_t key[8], uint32_t mode, const void *data, size_t size,
                 aq_hash *out)
{
    aq_blake3_hasher h;
    hasher_init(&h, key, mode);
    aq_blake3_update(&h, data, size);
    aq_blake3_final(&h, out);
}

void aq_blake3_keyed(const uint8_t key[32], const void *data, size_t size, aq_hash *out)
{
    cv words;
    aq_copy(&words, key, sizeof words);
    hash(words.words, KEYED_HASH, data, size, out);
}

void aq_blake3_derive_key(const char *context, const void *data, size_t size, aq_hash *out)
{
    aq_hash context_key;
    cv words;
    hash(iv, DERIVE_KEY_CONTEXT, context, aq_string_size(context), &context_key);
    aq_copy(&words, &context_key, sizeof words);
    hash(words.words, DERIVE_KEY_MATERIAL, data, size, out);
}

/* ---- many messages ---------------------------------------------------------------------
 */

/* A group of messages whose trees grow side by side: message i has count[i] nodes left on
 * its level, those from start[i] on. */
enum {
    GROUP_MESSAGES = 64,
    GROUP_NODES = 256,
    GROUP_MESSAGE_NODES = 32 /* a larger message fills the lanes alone */
};

typedef struct group {
    size_t messages;
    size_t nodes;
    uint32_t start[GROUP_MESSAGES];
    uint32_t count[GROUP_MESSAGES];
    cv level[GROUP_NODES], next[GROUP_NODES];
    job jobs[LANES_MAX]; /* waiting for company */
    size_t jobs_count;
    uint32_t jobs_blocks;
} group;

static void group_flush(group *g)
{
    jobs_run(g->jobs, g->jobs_count, g->jobs_blocks, iv);
    g->jobs_count = 0;
}

static void group_job(group *g, job j)
{
    g->jobs[g->jobs_count++] = j;
    if (g->jobs_count == LANES_MAX) {
        group_flush(g);
    }
}

/* Longest first, so that lanes end together. */
static void tails_sort(job *tails, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        job j = tails[i];
        size_t k = i;
        for (; k > 0 && tails[k - 1].size < j.size; k--) {
            tails[k] = tails[k - 1];
        }
        tails[k] = j;
    }
}

static void group_leaves(group *g, const aq_blake3_message *messages)
{
    job tails[GROUP_MESSAGES];
    size_t tails_count = 0;
    g->jobs_blocks = LEAF_SIZE / BLOCK_SIZE;
    for (size_t i = 0; i < g->messages; i++) {
        /* C allows no arithmetic on NULL, not even + 0. */
        const uint8_t *data = messages[i].size > 0 ? messages[i].data : (const uint8_t *)"";
        for (uint32_t k = 0; k < g->count[i]; k++) {
            size_t left = messages[i].size - k * (size_t)LEAF_SIZE;
            job j =
                leaf_job(data + k * (size_t)LEAF_SIZE, left < LEAF_SIZE ? left : LEAF_SIZE,
                         k, 0, &g->level[g->start[i] + k]);
            if (g->count[i] == 1) {
                j.last |= ROOT;
            }
            if (j.size == LEAF_SIZE) {
                group_job(g, j);
            } else {
                tails[tails_count++] = j;
            }
        }
    }
    group_flush(g);
    tails_sort(tails, tails_count);
    jobs_run(tails, tails_count, 0, iv);
}

/* Puts the next level of every tree into g->next; false when all were roots already. */
static bool group_parents(group *g)
{
    bool any = false;
    g->jobs_blocks = 1;
    for (size_t i = 0; i < g->messages; i++) {
        cv *from = g->level + g->start[i], *to = g->next + g->start[i];
        uint32_t pairs = g->count[i] / 2;
        for (uint32_t k = 0; k < pairs; k++) {
            group_job(g, parent_job(from + 2 * k, g->count[i] == 2 ? ROOT : 0, to + k));
        }
        if (g->count[i] % 2 == 1) {
            to[pairs] = from[2 * pairs];
        }
        g->count[i] -= pairs;
        any |= pairs > 0;
    }
    group_flush(g);
    return any;
}

static size_t message_nodes(const aq_blake3_message *m)
{
    return m->size == 0 ? 1 : (m->size - 1) / LEAF_SIZE + 1;
}

/* Hashes as many messages as make a group; returns how many. */
static size_t group_run(const aq_blake3_message *messages, size_t count)
{
    group g;
    g.messages = g.nodes = g.jobs_count = 0;
    for (; g.messages < count && g.messages < GROUP_MESSAGES; g.messages++) {
        size_t nodes = message_nodes(&messages[g.messages]);
        if (nodes > GROUP_MESSAGE_NODES || g.nodes + nodes > GROUP_NODES) {
            break;
        }
        g.start[g.messages] = (uint32_t)g.nodes;
        g.count[g.messages] = (uint32_t)nodes;
        g.nodes += nodes;
    }
    group_leaves(&g, messages);
    while (group_parents(&g)) {
        aq_copy(g.level, g.next, g.nodes * sizeof *g.level);
    }
    for (size_t i = 0; i < g.messages; i++) {
        aq_copy(messages[i].out, &g.level[g.start[i]], sizeof *messages[i].out);
    }
    return g.messages;
}

void aq_blake3(const void *data, size_t size, aq_hash *out)
{
    /* cppcheck-suppress ctuuninitvar ; it is where the hash goes */
    const aq_blake3_message m = {data, size, out};
    /* A hasher takes the last leaf and the top of the tree alone, which shows when there is
     * little else; a group knows the end from the start. */
    if (size > LEAF_SIZE && message_nodes(&m) <= GROUP_MESSAGE_NODES) {
        group_run(&m, 1);
    } else {
        hash(iv, 0, data, size, out);
    }
}

void aq_blake3_batch(const aq_blake3_message *messages, size_t count)
{
    for (size_t i = 0; i < count;) {
        if (message_nodes(&messages[i]) > GROUP_MESSAGE_NODES) {
            aq_blake3(messages[i].data, messages[i].size, messages[i].out);
            i++;
        } else {
            i += group_run(messages + i, count - i);
        }
    }
}
