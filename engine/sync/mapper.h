/* mapper.h: reads a file from front to back, window by window, and makes its chunk map and
 * its hash on the way. Chunking and hashing run with the reading, on the host's threads. */
#ifndef AQ_SYNC_MAPPER_H
#define AQ_SYNC_MAPPER_H

#include "engine/base/ops.h"
#include "engine/data/blake3.h"
#include "engine/data/chunk_map.h"
#include "engine/data/chunker.h"

typedef struct aq_mapper {
    aq_ops *ops;
    const aq_profile *profile;
    uint32_t root;
    char *path; /* ours */
    aq_stamp expect;
    bool hash_file;
    void *owner;
    /* Bytes [offset, offset + size) of the file, chunk by whole chunk; the buffer (from the
     * heap) becomes the owner's. NULL: nobody wants them. */
    void (*window)(void *owner, uint64_t offset, uint8_t *data, size_t size);
    aq_chunk_map map;
    aq_blake3_hasher hasher;
    aq_hash file_hash; /* when complete, if hash_file */
    bool busy;         /* an op is with the host */
    bool complete;
    bool stopped;
    aq_status status; /* not AQ_OK: it will not become complete */
} aq_mapper;

/* Bytes read at once; the memory of a window is aq_heap_footprint of it. */
size_t aq_mapper_window_size(const aq_profile *profile);

void aq_mapper_init(aq_mapper *m, aq_ops *ops, const aq_profile *profile, uint32_t root,
                    const char *path, const aq_stamp *expect);
/* Reads the next window, unless one is being read, or nothing is left to do. */
void aq_mapper_step(aq_mapper *m);
/* Only when not busy. */
void aq_mapper_reset(aq_mapper *m);

#endif
