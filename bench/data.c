/* data.c: how fast one thread hashes and cuts, and how even the cuts are.
 *
 *     bench-data [FILE…]
 *
 * Works on up to 256 MiB of each file, held in memory; without files on random bytes. Each
 * number is the best of a few rounds, in CPU time: what else runs on the machine disturbs
 * little. "scan + hashes" is what a first sync does with a file: find the chunks, hash
 * each, and hash the whole file in the same pass. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "engine/data/blake3.h"
#include "engine/data/chunker.h"

enum { SIZE_MAX_MIB = 256, ROUNDS = 3, STEP = 256 << 10, MESSAGE = 16 << 10 };

typedef struct bench {
    const uint8_t *data;
    size_t size;
    uint32_t *ends;
    size_t ends_max;
    size_t ends_count;
    aq_blake3_message *messages;
    aq_hash *hashes;
} bench;

static double seconds(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

static void hash_one(bench *b)
{
    aq_blake3(b->data, b->size, &b->hashes[0]);
}

static void hash_cached(bench *b)
{
    for (size_t at = 0; at + STEP <= b->size; at += STEP) {
        aq_blake3(b->data, STEP, &b->hashes[0]);
    }
}

/* Pieces that never end on a border of leaves. */
static void hash_pieces(bench *b)
{
    aq_blake3_hasher h;
    aq_blake3_init(&h);
    for (size_t at = 0; at < b->size;) {
        size_t n = b->size - at < STEP + 77 ? b->size - at : STEP + 77;
        aq_blake3_update(&h, b->data + at, n);
        at += n;
    }
    aq_blake3_final(&h, &b->hashes[0]);
}

static void hash_messages(bench *b)
{
    for (size_t i = 0; i < b->size / MESSAGE; i++) {
        aq_blake3(b->data + i * MESSAGE, MESSAGE - i % 1024, &b->hashes[i]);
    }
}

static void hash_batch(bench *b)
{
    size_t count = b->size / MESSAGE;
    for (size_t i = 0; i < count; i++) {
        b->messages[i] =
            (aq_blake3_message){b->data + i * MESSAGE, MESSAGE - i % 1024, &b->hashes[i]};
    }
    aq_blake3_batch(b->messages, count);
}

static void scan_chunks(bench *b)
{
    b->ends_count = aq_chunker_chunks(aq_profile_get(AQ_PROFILE_STANDARD), b->data, b->size,
                                      true, b->ends, b->ends_max);
}

static void scan_blocks(bench *b)
{
    b->ends_count = aq_chunker_blocks(aq_profile_get(AQ_PROFILE_STANDARD), b->data, b->size,
                                      b->ends, b->ends_max);
}

static void scan_small_chunks(bench *b)
{
    b->ends_count = aq_chunker_chunks(aq_profile_get(AQ_PROFILE_SMALL), b->data, b->size,
                                      true, b->ends, b->ends_max);
}

static void scan_small_blocks(bench *b)
{
    b->ends_count = aq_chunker_blocks(aq_profile_get(AQ_PROFILE_SMALL), b->data, b->size,
                                      b->ends, b->ends_max);
}

/* Both hashes take a step of the chunk while it is in the cache. */
static void scan_and_hash(bench *b)
{
    aq_blake3_hasher file, chunk;
    uint32_t end;
    aq_blake3_init(&file);
    for (size_t at = 0; at < b->size;) {
        aq_chunker_chunks(aq_profile_get(AQ_PROFILE_STANDARD), b->data + at, b->size - at,
                          true, &end, 1);
        aq_blake3_init(&chunk);
        for (size_t i = 0; i < end; i += STEP) {
            size_t n = end - i < STEP ? end - i : STEP;
            aq_blake3_update(&chunk, b->data + at + i, n);
            aq_blake3_update(&file, b->data + at + i, n);
        }
        aq_blake3_final(&chunk, &b->hashes[1]);
        at += end;
    }
    aq_blake3_final(&file, &b->hashes[0]);
}

static void speed(bench *b, const char *name, void (*what)(bench *))
{
    double best = 1e9;
    for (int i = 0; i < ROUNDS; i++) {
        double start = seconds();
        what(b);
        double took = seconds() - start;
        best = took < best ? took : best;
    }
    printf("  %-36s %6.2f GB/s\n", name, (double)b->size / best / 1e9);
}

static int compare_sizes(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Turns the ends into sizes, sorts them, prints. The last piece is what remained: left out.
 */
static void distribution(bench *b, const char *name, void (*what)(bench *), uint32_t max)
{
    what(b);
    size_t count = b->ends_count - 1, forced = 0;
    if (b->ends_count < 2) {
        return;
    }
    double sum = b->ends[count - 1];
    for (size_t i = count - 1; i > 0; i--) {
        b->ends[i] -= b->ends[i - 1];
    }
    qsort(b->ends, count, sizeof *b->ends, compare_sizes);
    for (size_t i = 0; i < count; i++) {
        forced += b->ends[i] >= max - max / 8;
    }
    printf("  %-14s %8zu pieces, mean %9.1f, 10 %% %7u, median %7u, 90 %% %7u, near max "
           "%.3f %%\n",
           name, count, sum / (double)count, b->ends[count / 10], b->ends[count / 2],
           b->ends[count - 1 - count / 10], 100.0 * (double)forced / (double)count);
}

static void report(bench *b, const char *name)
{
    const aq_profile *standard = aq_profile_get(AQ_PROFILE_STANDARD);
    const aq_profile *small = aq_profile_get(AQ_PROFILE_SMALL);
    printf("%s: %.1f MiB, %u lanes\n", name, (double)b->size / (1 << 20),
           aq_blake3_lanes_limit(0));
    speed(b, "hash, one message", hash_one);
    speed(b, "hash, 256 KiB in the cache", hash_cached);
    speed(b, "hash, odd pieces of 256 KiB", hash_pieces);
    speed(b, "hash, 16 KiB messages one by one", hash_messages);
    speed(b, "hash, 16 KiB messages batched", hash_batch);
    speed(b, "scan, chunks", scan_chunks);
    speed(b, "scan, blocks", scan_blocks);
    speed(b, "scan + chunk hash + file hash", scan_and_hash);
    distribution(b, "chunks", scan_chunks, standard->chunk_max);
    distribution(b, "blocks", scan_blocks, standard->block_max);
    distribution(b, "small chunks", scan_small_chunks, small->chunk_max);
    distribution(b, "small blocks", scan_small_blocks, small->block_max);
}

static size_t random_fill(uint8_t *data, size_t size)
{
    uint64_t state = 1;
    for (size_t i = 0; i + 8 <= size; i += 8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        memcpy(data + i, &state, 8);
    }
    return size;
}

static size_t file_read(const char *path, uint8_t *data, size_t size)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        perror(path);
        return 0;
    }
    size_t n = fread(data, 1, size, f);
    fclose(f);
    return n;
}

static void run(bench *b, uint8_t *data, size_t room, int argc, char **argv)
{
    if (argc == 1) {
        b->size = random_fill(data, room);
        report(b, "random bytes");
    }
    for (int i = 1; i < argc; i++) {
        b->size = file_read(argv[i], data, room);
        if (b->size > 0) {
            report(b, argv[i]);
        }
    }
}

int main(int argc, char **argv)
{
    size_t room = (size_t)SIZE_MAX_MIB << 20;
    uint8_t *data = malloc(room);
    bench b = {.data = data, .ends_max = room / 8 + 1};
    b.ends = malloc(b.ends_max * sizeof *b.ends);
    b.messages = malloc(room / MESSAGE * sizeof *b.messages);
    b.hashes = malloc(room / MESSAGE * sizeof *b.hashes);
    bool fits = data != NULL && b.ends != NULL && b.messages != NULL && b.hashes != NULL;
    if (fits) {
        run(&b, data, room, argc, argv);
    } else {
        fputs("bench-data: out of memory\n", stderr);
    }
    free(data);
    free(b.ends);
    free(b.messages);
    free(b.hashes);
    return !fits;
}
