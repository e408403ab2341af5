/* sink_fetch.h: a large file on its way: shared by sink_fetch.c (chunks, the file's hash),
 * sink_map.c (what the file consists of, here and there) and sink_delta.c. */
#ifndef AQ_SWARM_SINK_FETCH_H
#define AQ_SWARM_SINK_FETCH_H

#include "engine/swarm/sink.h"

typedef enum aq_chunk_state {
    AQ_CHUNK_NEW,         /* nothing decided */
    AQ_CHUNK_NOT_IN_SLOT, /* looked for there; perhaps in the older version */
    AQ_CHUNK_BUSY,        /* compared, copied, rebuilt, requested or written */
    AQ_CHUNK_MISSING,     /* has to be requested whole */
    AQ_CHUNK_HAVE         /* verified, in the slot */
} aq_chunk_state;

/* A chunk whose bytes are being gathered or written. */
typedef struct aq_chunk_job {
    struct aq_chunk_job *next;
    uint32_t chunk;
    uint32_t slices_left;
    bool held; /* complete, waits for its turn to be hashed with the file */
    uint8_t *data;
    uint64_t size;
} aq_chunk_job;

/* Where the chunks of a page come from. */
typedef struct aq_page_origin {
    bool known;
    bool ours;      /* a page of the basis' map; else received chunks */
    uint32_t first; /* chunk there */
    uint32_t count;
} aq_page_origin;

/* Bytes [start, end) of a file. */
typedef struct aq_durable {
    uint64_t start, end;
} aq_durable;

struct aq_fetch {
    aq_fetch *next;
    aq_sink *sink;
    aq_ref ref;
    uint32_t tries;
    uint64_t size;
    uint64_t slot;
    bool resuming; /* the slot may hold chunks of an earlier attempt */
    bool dead;     /* given up: goes when nothing is with the host */
    uint32_t flight;

    /* the file at the source */
    uint64_t map_number; /* of our question; answers carry it */
    bool probing;        /* what it has become is being asked; nothing else goes on */
    bool by_pages;
    uint64_t limit; /* map wanted up to here */
    aq_chunk_map map;
    AQ_VECTOR(uint8_t) states; /* aq_chunk_state of each chunk */
    bool map_ended;            /* the source has shown all of it */
    bool map_built;            /* `map` is complete */
    aq_hash file_hash;
    uint32_t chunk_total;
    AQ_VECTOR(aq_hash) page_ids;
    AQ_VECTOR(aq_page_origin) pages;
    AQ_VECTOR(aq_chunk) received; /* chunks of pages that were asked for */
    bool pages_asked;
    uint32_t pages_missing;

    /* an older version that is here */
    bool has_basis;
    aq_stamp basis;
    aq_mapper mapper;
    bool mapper_counted;
    aq_map by_hash;           /* the basis' chunks */
    uint8_t *used;            /* a basis chunk is part of the new file */
    uint32_t *match;          /* for each chunk: the basis' one, or AQ_NOWHERE */
    uint32_t *before, *after; /* the nearest chunks with a match, or AQ_NOWHERE */

    uint32_t at; /* chunks before it are decided */
    uint32_t have;
    uint32_t corrupt;
    AQ_VECTOR(uint32_t) redo;
    aq_chunk_job *jobs;
    aq_delta *deltas;

    AQ_VECTOR(aq_durable) durable; /* what an earlier attempt recorded */
    bool record_waits;             /* it is being loaded */
    bool recorded;                 /* there is a record to be dropped in the end */
    bool flushing;
    bool untrusted;     /* a flush failed, a second one would lie: the slot must go */
    uint64_t undurable; /* bytes written since the last flush */

    aq_blake3_hasher hasher;
    uint64_t hashed;
    bool hash_busy;    /* an op has the hasher … */
    uint64_t hash_end; /* … and brings it here */
    uint32_t held;     /* jobs */
};

/* ---- sink_map.c ---- */
/* Begins with the map; afterwards `step` until map_built (or, without a basis, all along).
 */
void aq_fetch_map_begin(aq_fetch *f);
void aq_fetch_map_step(aq_fetch *f);
void aq_fetch_map_free(aq_fetch *f);
/* Every chunk is where it was: only the times differ. */
bool aq_fetch_is_unchanged(const aq_fetch *f);
aq_delta_basis aq_fetch_delta_basis(const aq_fetch *f, uint32_t chunk);
/* Tells the source that its map is not needed any more. */
void aq_fetch_map_forget(aq_fetch *f);

/* ---- sink_state.c ---- */
void aq_fetch_record_load(aq_fetch *f);
bool aq_fetch_is_recorded(const aq_fetch *f, uint64_t offset, uint64_t size);
/* Makes what is there durable from time to time, acknowledges and records it. */
void aq_fetch_record_step(aq_fetch *f);
void aq_fetch_record_drop(aq_fetch *f);

/* ---- sink_fetch.c ---- */
/* The map cannot be had, or does not fit: learn what the file has become. */
void aq_fetch_probe(aq_fetch *f);
void aq_fetch_fail(aq_fetch *f, aq_status status);
/* `data` (counted, of the chunk's size; taken over) holds what the chunk should be; NULL:
 * it could not be rebuilt and is requested. */
void aq_fetch_rebuilt(aq_fetch *f, uint32_t chunk, uint8_t *data);

#endif
