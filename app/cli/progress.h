/* progress.h: the one line that says how far a sync is. While the source is still being
 * scanned it says "at least"; when everything is planned, percent and time left, which
 * never go backwards.
 */
#ifndef AQ_CLI_PROGRESS_H
#define AQ_CLI_PROGRESS_H

#include "acequia.h"

enum {
    PROGRESS_LINE_SIZE = 1024,
    PROGRESS_SAMPLES = 64 /* of bytes done, for the rate */
};

typedef struct progress_sample {
    uint64_t at_ns, bytes;
} progress_sample;

/* All zero before the first use. */
typedef struct progress {
    progress_sample samples[PROGRESS_SAMPLES]; /* a ring, about four a second */
    unsigned sample_count;
    unsigned permille;    /* the most shown so far */
    uint64_t left_s;      /* the least time left shown so far, */
    bool left_shown;      /* if any */
    uint64_t moved_at_ns; /* when bytes_done last grew */
    uint64_t bytes_seen;
} progress;

/* Takes note of the figures at a moment: call it about ten times a second. */
void progress_feed(progress *p, const aq_stats *stats, uint64_t now_ns);

/* The line, without newline and escaped, at most `columns` wide. */
void progress_line(progress *p, const aq_stats *stats, uint64_t now_ns, unsigned columns,
                   char out[PROGRESS_LINE_SIZE]);

/* For --json. Bytes a second over the last seconds; seconds left, false: not known. */
uint64_t progress_rate(const progress *p);
bool progress_left(progress *p, const aq_stats *stats, uint64_t now_ns, uint64_t *seconds);
unsigned progress_permille(progress *p, const aq_stats *stats);

#endif
