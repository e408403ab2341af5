/* chunker.h: where content is cut. A file is cut into chunks, and a chunk (only where
 * somebody asks) into blocks, at borders that the bytes themselves choose, so that an
 * insertion moves the borders along with the content. docs/CHUNKER.md defines the
 * algorithm: peers must agree on it. Pure functions, callable on any thread. */
#ifndef AQ_DATA_CHUNKER_H
#define AQ_DATA_CHUNKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "acequia.h"

/* Sizes in bytes. A cut needs `*_hard` bits below the normal size, `*_easy` bits up to half
 * of the maximum, `*_late` bits from there on. */
typedef struct aq_profile {
    uint32_t block_min, block_max;
    uint32_t chunk_min, chunk_max;
    uint32_t block_normal, chunk_normal;
    uint8_t block_hard, block_easy, block_late;
    uint8_t chunk_hard, chunk_easy, chunk_late;
} aq_profile;

/* Static; an unknown id is a bug. */
const aq_profile *aq_profile_get(aq_profile_id id);

/* The chunks of a file, window by window. `data` begins at a chunk border. Writes the ends
 * (offsets into data, exclusive) of the whole chunks found into `ends`, at most ends_max of
 * them, and returns how many. `final`: data ends the file, so what remains is a chunk too
 * (nothing, if nothing remains: an empty file has no chunk). Otherwise a chunk is reported
 * only if further bytes cannot change it; a window of chunk_max bytes or more gives at
 * least one. The caller's next window begins at the last end. The result depends on the
 * file's bytes alone, never on how the windows were cut. size ≤ UINT32_MAX. */
size_t aq_chunker_chunks(const aq_profile *p, const uint8_t *data, size_t size, bool final,
                         uint32_t *ends, size_t ends_max);

/* The blocks of one whole chunk; the last end is size. ends_max ≥ size / block_min + 1. */
size_t aq_chunker_blocks(const aq_profile *p, const uint8_t *data, size_t size,
                         uint32_t *ends, size_t ends_max);

/* For tests: vectors of no more than `lanes` bytes (1, 16 or 32) from now on; 0 undoes it.
 * Returns what the CPU will really use. Results never depend on it. */
unsigned aq_chunker_lanes_limit(unsigned lanes);

#endif
