/* chunker.c: content-defined chunking after FastCDC (Xia et al., USENIX ATC 2016), integers
 * only. docs/CHUNKER.md is the definition; this is how it is made fast.
 *
 * A gear hash runs over the bytes: h = 2h + gear[byte]. After 64 bytes the oldest one has
 * left the word, so h depends on the last 64 bytes alone. A piece may end after a byte
 * where the upper bits of h are zero:
 *
 *     border                                          normal                    max
 *     |------------- min -------------|- hard: rare -----|-- easy: often ---------|
 *       not looked at, but for the       almost never      nearly every piece       cut at
 *       64 bytes that warm the hash up   cut too early     ends here                the
 * latest
 *
 * Asking for more zero bits before the normal size than after it keeps sizes even. Where
 * max is reached without a cut (constant or periodic data) the piece ends at the smallest
 * hash of its last min bytes, the last one of equals: so periodic data is always cut at the
 * same phase and still finds itself again after an insertion.
 *
 * Nothing before the border matters, nothing behind the cut does (but for the last rule,
 * which waits for max bytes): so windows may fall anywhere. */
#include "engine/data/chunker.h"
#include "engine/data/chunker_gear.h"
#include "engine/base/assert.h"
#include "engine/base/bytes.h"

enum { WINDOW = 64 };

static const aq_profile profiles[] = {
    [AQ_PROFILE_STANDARD] = {.block_min = 4 << 10,
                             .block_normal = 8 << 10,
                             .block_max = 64 << 10,
                             .block_hard = 14,
                             .block_easy = 12,
                             .chunk_min = 1 << 20,
                             .chunk_normal = 15 << 17,
                             .chunk_max = 8 << 20,
                             .chunk_hard = 22,
                             .chunk_easy = 18},
    [AQ_PROFILE_SMALL] = {.block_min = 8,
                          .block_normal = 16,
                          .block_max = 128,
                          .block_hard = 6,
                          .block_easy = 3,
                          .chunk_min = 64,
                          .chunk_normal = 208,
                          .chunk_max = 1024,
                          .chunk_hard = 10,
                          .chunk_easy = 6},
};

const aq_profile *aq_profile_get(aq_profile_id id)
{
    AQ_ASSERT(id == AQ_PROFILE_STANDARD || id == AQ_PROFILE_SMALL);
    return &profiles[id];
}

/* The first `end` in [from, to) where a piece that begins at data[0] may end: where the
 * upper `bits` of the hash over the bytes before it are zero. `to` if there is none. */
static size_t cut_find(const uint8_t *data, size_t from, size_t to, unsigned bits)
{
    const uint64_t limit = UINT64_MAX >> bits;
    uint64_t h = 0;
    for (size_t i = from > WINDOW ? from - WINDOW : 0; i + 1 < from; i++) {
        h = 2 * h + gear[data[i]];
    }
    for (size_t end = from; end < to; end++) {
        h = 2 * h + gear[data[end - 1]];
        if (h <= limit) {
            return end;
        }
    }
    return to;
}

/* The last of the smallest hashes in [from, to]. */
static size_t cut_weakest(const uint8_t *data, size_t from, size_t to)
{
    uint64_t h = 0, best = UINT64_MAX;
    size_t at = to;
    for (size_t i = from > WINDOW ? from - WINDOW : 0; i + 1 < from; i++) {
        h = 2 * h + gear[data[i]];
    }
    for (size_t end = from; end <= to; end++) {
        h = 2 * h + gear[data[end - 1]];
        if (h <= best) {
            best = h;
            at = end;
        }
    }
    return at;
}

typedef struct cutter {
    size_t min, normal, max;
    unsigned hard, easy;
} cutter;

/* The size of the piece that begins at data[0]; 0: it depends on bytes behind data[size].
 */
static size_t piece_size(const cutter *c, const uint8_t *data, size_t size, bool final)
{
    size_t normal = size < c->normal ? size : c->normal;
    size_t max = size < c->max ? size : c->max;
    size_t end = c->min < normal ? cut_find(data, c->min, normal, c->hard) : normal;
    if (end < normal) {
        return end;
    }
    end = normal < max ? cut_find(data, normal, max, c->easy) : max;
    if (end < max) {
        return end;
    }
    if (size >= c->max) {
        return cut_weakest(data, c->max - c->min, c->max);
    }
    return final ? size : 0;
}

static size_t pieces(const cutter *c, const uint8_t *data, size_t size, bool final,
                     uint32_t *ends, size_t ends_max)
{
    size_t count = 0;
    size_t at = 0;
    AQ_ASSERT(size <= UINT32_MAX);
    while (at < size && count < ends_max) {
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
    const cutter c = {p->chunk_min, p->chunk_normal, p->chunk_max, p->chunk_hard,
                      p->chunk_easy};
    return pieces(&c, data, size, final, ends, ends_max);
}

size_t aq_chunker_blocks(const aq_profile *p, const uint8_t *data, size_t size,
                         uint32_t *ends, size_t ends_max)
{
    const cutter c = {p->block_min, p->block_normal, p->block_max, p->block_hard,
                      p->block_easy};
    AQ_ASSERT(ends_max >= size / p->block_min + 1);
    return pieces(&c, data, size, true, ends, ends_max);
}
