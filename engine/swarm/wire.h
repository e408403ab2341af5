/* wire.h: the table of frames (docs/PROTOCOL.md explains each).
 *
 * A link carries frames back to back: varint size of the body, one byte of type, the body.
 * Frames of a folder's session begin with the session's channel. Bodies are at most
 * AQ_FRAME_MAX bytes. Types from AQ_FRAME_OPTIONAL on are skipped by who does not know
 * them. */
#ifndef AQ_SWARM_WIRE_H
#define AQ_SWARM_WIRE_H

#include "acequia.h"
#include "engine/base/cursor.h"

enum {
    AQ_FRAME_MAX = 64 << 10,
    AQ_FRAME_HEAD_MAX = 4, /* size and type */
    AQ_FRAME_OPTIONAL = 64,
    AQ_VERSION_MIN = 1,
    AQ_VERSION_MAX = 1,
    AQ_NONCE_SIZE = 32,
    AQ_BLOCK_HASH_SIZE = 6
};

/* X(NAME, number, session frame?) */
#define AQ_FRAME_LIST(X)                                                                   \
    X(HELLO, 1, false)       /* magic, versions, capabilities, nonce, profile, flags */    \
    X(AUTH, 2, false)        /* proof */                                                   \
    X(PING, 3, false)        /* number */                                                  \
    X(PONG, 4, false)        /* number */                                                  \
    X(GOODBYE, 5, false)     /* status: the link ends */                                   \
    X(OPEN, 8, true)         /* role of the receiver of this, folder, options */           \
    X(OPENED, 9, true)       /* status */                                                  \
    X(END, 10, true)         /* status, statistics: the session is over */                 \
    X(ROOT, 11, true)        /* complete?, hash, mtime, totals */                          \
    X(LIST, 12, true)        /* directory, full or ids: wants it */                        \
    X(LISTING, 13, true)     /* directory, flags, entries */                               \
    X(IDS, 14, true)         /* directory, flags, ids of entries */                        \
    X(ENTRIES, 15, true)     /* directory, indexes: wants these */                         \
    X(DIR_DONE, 16, true)    /* directory, broken?, hash */                                \
    X(WANT, 17, true)        /* ranges of files: wants them */                             \
    X(DATA, 18, true)        /* request, flags, bytes */                                   \
    X(MAP_WANT, 19, true)    /* file, mode, limit: wants its chunk map */                  \
    X(MAP, 20, true)         /* file, chunks or page ids */                                \
    X(PAGES, 21, true)       /* file, page numbers: wants their chunks */                  \
    X(FORGET, 22, true)      /* file: its map is not needed any more */                    \
    X(BLOCKS_WANT, 23, true) /* request, file, range */                                    \
    X(BLOCKS, 24, true)      /* request, status, block list */                             \
    X(HASH_WANT, 25, true)   /* request, files, or a directory with all below */           \
    X(HASHES, 26, true)      /* request, status, hashes */                                 \
    X(ACK, 27, true)         /* content bytes that are durable now */                      \
    X(PROBLEM, 28, true)     /* status, path */                                            \
    X(NOTE, 29, true)        /* a change or a problem at the receiver, for people */       \
    X(STATS, 30, true)       /* progress of the receiver */                                \
    X(STOP, 31, true)        /* finish what is in flight, then end */                      \
    X(CANCEL, 32, true)      /* request: its answer is not needed any more */

typedef enum aq_frame_type {
#define X(name, number, session) AQ_FRAME_##name = number,
    AQ_FRAME_LIST(X)
#undef X
} aq_frame_type;

/* Flags and kinds inside frames. */
enum {
    AQ_ROOT_COMPLETE = 1, /* ROOT */
    AQ_ROOT_BROKEN = 2,   /* something could not be read: absence means nothing */
    AQ_LIST_LAST = 1,     /* LISTING, IDS */
    AQ_LIST_BROKEN = 2,
    AQ_ENTRY_TYPE = 0x0f, /* an entry of LISTING */
    AQ_ENTRY_BROKEN = 0x20,
    AQ_ENTRY_COMPLETE = 0x40, /* a directory's hash follows */
    AQ_ENTRY_EXEC = 0x80,
    AQ_WANT_WHOLE = 1, /* WANT: all of a small file, with its hash */
    AQ_WANT_STAMP = 2, /* WANT: no bytes; what the file is now, as CHANGED */
    AQ_DATA_LAST = 1,  /* DATA */
    AQ_DATA_STATUS = 2,
    AQ_DATA_HASH = 4,
    AQ_MAP_CHUNKS = 0, /* MAP */
    AQ_MAP_PAGE_IDS = 1,
    AQ_MAP_PAGE = 2,
    AQ_MAP_END = 3,
    AQ_MAP_FAILED = 4
};

const char *aq_frame_name(uint8_t type); /* "HELLO", or "?" */
bool aq_frame_is_session(uint8_t type);  /* unknown types are not */
bool aq_frame_is_known(uint8_t type);

/* Statistics as STATS and END carry them: every count of aq_stats in order, then flags,
 * then the current file. */
void aq_stats_write(aq_writer *w, const aq_stats *stats);
void aq_stats_read(aq_reader *r, aq_stats *stats);

/* The options of a sync as OPEN carries them. Strings are read as lent pointers into the
 * frame (not NUL-terminated; sizes beside). */
typedef struct aq_wire_options {
    aq_sync_options options; /* its strings are not used */
    const uint8_t *backup;
    size_t backup_size;
    const uint8_t *filter;
    size_t filter_size;
} aq_wire_options;

void aq_options_write(aq_writer *w, const aq_sync_options *options);
void aq_options_read(aq_reader *r, aq_wire_options *options);

#endif
