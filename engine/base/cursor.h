/* cursor.h: reading and writing bytes field by field. Failure is sticky: a reader that ran
 * past its end, or met a malformed number, returns zeros from then on and says so once, at
 * the end. A writer whose room is used up counts on, so that `size` tells what would have
 * been needed. Numbers are LEB128 varints of at most 10 bytes, shortest form only. */
#ifndef AQ_BASE_CURSOR_H
#define AQ_BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct aq_reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
} aq_reader;

typedef struct aq_writer {
    uint8_t *start;
    size_t room;
    size_t size; /* bytes put so far, also those that did not fit */
} aq_writer;

static inline aq_reader aq_reader_over(const void *data, size_t size)
{
    return (aq_reader){data, (const uint8_t *)data + size, false};
}

static inline size_t aq_reader_left(const aq_reader *r)
{
    return r->failed ? 0 : (size_t)(r->end - r->at);
}

uint8_t aq_reader_byte(aq_reader *r);
uint64_t aq_reader_varint(aq_reader *r);
/* Fails when the number is larger than max. */
uint64_t aq_reader_bounded(aq_reader *r, uint64_t max);
int64_t aq_reader_signed(aq_reader *r); /* zigzag */
/* A lent pointer into the data; NULL on failure (also for size 0 then). */
const uint8_t *aq_reader_bytes(aq_reader *r, size_t size);
void aq_reader_copy(aq_reader *r, void *to, size_t size);
/* A varint length, at most max, and that many bytes. */
const uint8_t *aq_reader_string(aq_reader *r, size_t max, size_t *size);

static inline aq_writer aq_writer_over(void *data, size_t room)
{
    return (aq_writer){data, room, 0};
}

static inline bool aq_writer_fits(const aq_writer *w)
{
    return w->size <= w->room;
}

void aq_writer_byte(aq_writer *w, uint8_t value);
void aq_writer_varint(aq_writer *w, uint64_t value);
void aq_writer_signed(aq_writer *w, int64_t value);
void aq_writer_bytes(aq_writer *w, const void *data, size_t size);
void aq_writer_string(aq_writer *w, const void *data, size_t size);

#endif
