/* source.h: what the files that make up the source share. It reads, and shows what it read;
 * it never writes. Everything a sink may ask for is bounded here. */
#ifndef AQ_SWARM_SOURCE_H
#define AQ_SWARM_SOURCE_H

#include "engine/swarm/session.h"
#include "engine/sync/hashing.h"
#include "engine/sync/mapper.h"
#include "engine/sync/scan.h"

enum {
    AQ_SOURCE_WANTS_MAX = 1 << 15, /* queued ranges */
    AQ_SOURCE_FILES_MAX = 64,      /* files with a map under way */
    AQ_SOURCE_DATA_MAX = 1 << 12,  /* queued answers to them */
    AQ_SOURCE_CANCELS = 1 << 13,   /* cancelled requests that are remembered */
    AQ_SOURCE_JOBS_MAX = 1 << 13,  /* queued answers about directories */
    AQ_SOURCE_HASHINGS_MAX = 16
};

/* Bytes that were read, shared by the answers made of them. */
typedef struct aq_source_buffer {
    uint8_t *data;
    uint64_t footprint;
    uint32_t refs;
} aq_source_buffer;

/* A directory that the sink wants to see. */
typedef struct aq_source_list {
    uint32_t dir;
    bool ids;
} aq_source_list;

/* An answer about a directory, sent frame by frame. */
typedef struct aq_source_job {
    struct aq_source_job *next;
    uint32_t dir;
    enum { JOB_LISTING, JOB_IDS, JOB_ENTRIES } kind;
    uint32_t at; /* the next entry, or the next of `indexes` */
    AQ_VECTOR(uint32_t) indexes;
} aq_source_job;

/* A range of a file that goes out. */
typedef struct aq_source_data {
    struct aq_source_data *next;
    aq_source_buffer *buffer; /* NULL when it failed */
    bool blocks;              /* the bytes are a block list */
    const uint8_t *at;
    size_t size;
    uint32_t request;
    bool whole;
    aq_status status;
    aq_stamp stamp; /* of now, when it changed */
    aq_hash hash;   /* of a whole file */
} aq_source_data;

typedef struct aq_source_want {
    uint32_t request;
    uint32_t dir, index;
    bool whole, stamp, blocks; /* none: a range */
    uint64_t offset;
    uint64_t size;
} aq_source_want;

/* A window of a file that was chunked, kept for the wants that will follow. */
typedef struct aq_source_window {
    struct aq_source_window *next;
    uint64_t offset;
    size_t size, served;
    aq_source_buffer *buffer;
} aq_source_window;

typedef struct aq_source aq_source;

/* A file whose map the sink asked for. */
typedef struct aq_source_file {
    struct aq_source_file *next;
    aq_source *source;
    uint64_t number; /* the sink's; answers carry it */
    uint32_t dir, index;
    aq_mapper mapper;
    bool reading; /* a window is counted in source_used */
    bool by_pages;
    bool forgotten;
    bool end_sent;
    uint64_t limit; /* map no further for now */
    uint32_t chunks_sent, pages_sent;
    AQ_VECTOR(uint32_t) pages; /* wanted in full */
    uint32_t pages_at;         /* the next of them */
    uint32_t page_chunk;       /* the next chunk in it */
    aq_source_window *windows; /* oldest first */
} aq_source_file;

typedef struct aq_source_hashing {
    struct aq_source_hashing *next;
    aq_hashing job;
    uint32_t request;
    bool digest;
    uint64_t count; /* files of a digest */
} aq_source_hashing;

struct aq_source {
    aq_session s; /* first */
    aq_scan scan;
    uint64_t root_due_ns; /* when an unfinished root is announced */
    bool root_announced, root_done;
    AQ_VECTOR(aq_source_list) lists; /* waiting for the scan */
    aq_source_job *jobs, **jobs_end;
    uint32_t job_count;
    uint64_t index_count; /* in all jobs: no more than there are entries */
    aq_source_data *data, **data_end;
    uint64_t rate; /* bytes a second that may go out; 0: no limit */
    int64_t allowance;
    uint64_t allowance_ns; /* as of then */
    uint32_t data_count;
    AQ_VECTOR(aq_source_want) wants;
    uint32_t wants_at;
    uint64_t *cancels; /* by number, modulo their count: number + 1; NULL: none yet */
    uint32_t reads; /* ops under way that are not the scan's, a mapper's or a hashing's */
    aq_source_file *files;
    uint32_t file_count;
    aq_source_hashing *hashings;
    uint32_t hashing_count;
    uint64_t hash_count; /* files in all digests: no more than there are */
};

static inline aq_source *aq_source_of(aq_session *s)
{
    return (aq_source *)(void *)s;
}

/* The file that a peer names, or NULL: then the frame is wrong. */
aq_entry *aq_source_entry(aq_source *source, uint64_t dir, uint64_t index);

/* ---- source_list.c: directories ---- */
void aq_source_got_list(aq_source *source, aq_reader *r);
void aq_source_got_entries(aq_source *source, aq_reader *r);
void aq_source_step_lists(aq_source *source);
bool aq_source_fill_lists(aq_source *source);
void aq_source_drop_lists(aq_source *source);

/* ---- source_data.c: ranges of files ---- */
aq_source_buffer *aq_source_buffer_new(aq_source *source, uint8_t *data, size_t size);
void aq_source_buffer_drop(aq_source *source, aq_source_buffer *buffer);
void aq_source_got_want(aq_source *source, aq_reader *r);
void aq_source_got_cancel(aq_source *source, aq_reader *r);
void aq_source_got_blocks_want(aq_source *source, aq_reader *r);
void aq_source_step_data(aq_source *source);
bool aq_source_fill_data(aq_source *source);
void aq_source_drop_data(aq_source *source);

/* ---- source_map.c: chunk maps ---- */
void aq_source_got_map_want(aq_source *source, aq_reader *r);
void aq_source_got_pages(aq_source *source, aq_reader *r);
void aq_source_got_forget(aq_source *source, aq_reader *r);
void aq_source_step_maps(aq_source *source);
bool aq_source_fill_maps(aq_source *source);
void aq_source_drop_maps(aq_source *source);
bool aq_source_maps_are_idle(const aq_source *source);
void aq_source_free_maps(aq_source *source);
/* A kept window that holds the whole range, or NULL. */
aq_source_window *aq_source_window_find(aq_source *source, const aq_source_want *want);

#endif
