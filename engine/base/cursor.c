/* cursor.c: see cursor.h. */
#include "engine/base/cursor.h"
#include "engine/base/bytes.h"

uint8_t aq_reader_byte(aq_reader *r)
{
    if (aq_reader_left(r) == 0) {
        r->failed = true;
        return 0;
    }
    return *r->at++;
}

uint64_t aq_reader_varint(aq_reader *r)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t byte = aq_reader_byte(r);
        bool overlong = (byte == 0 && shift != 0) || (shift == 63 && byte > 1);
        if (r->failed || overlong) {
            break;
        }
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return value;
        }
    }
    r->failed = true;
    return 0;
}

uint64_t aq_reader_bounded(aq_reader *r, uint64_t max)
{
    uint64_t value = aq_reader_varint(r);
    if (value > max) {
        r->failed = true;
        return 0;
    }
    return value;
}

int64_t aq_reader_signed(aq_reader *r)
{
    uint64_t value = aq_reader_varint(r);
    return (int64_t)(value >> 1 ^ (0 - (value & 1)));
}

const uint8_t *aq_reader_bytes(aq_reader *r, size_t size)
{
    if (r->failed || size > aq_reader_left(r)) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *bytes = r->at;
    r->at += size;
    return bytes;
}

void aq_reader_copy(aq_reader *r, void *to, size_t size)
{
    const uint8_t *bytes = aq_reader_bytes(r, size);
    if (bytes == NULL) {
        aq_fill(to, 0, size);
    } else {
        aq_copy(to, bytes, size);
    }
}

const uint8_t *aq_reader_string(aq_reader *r, size_t max, size_t *size)
{
    *size = (size_t)aq_reader_bounded(r, max);
    const uint8_t *bytes = aq_reader_bytes(r, *size);
    if (bytes == NULL) {
        *size = 0;
    }
    return bytes;
}

void aq_writer_byte(aq_writer *w, uint8_t value)
{
    if (w->size < w->room) {
        w->start[w->size] = value;
    }
    w->size++;
}

void aq_writer_varint(aq_writer *w, uint64_t value)
{
    while (value >= 0x80) {
        aq_writer_byte(w, (uint8_t)(value | 0x80));
        value >>= 7;
    }
    aq_writer_byte(w, (uint8_t)value);
}

void aq_writer_signed(aq_writer *w, int64_t value)
{
    aq_writer_varint(w, (uint64_t)value << 1 ^ (uint64_t)(value >> 63));
}

void aq_writer_bytes(aq_writer *w, const void *data, size_t size)
{
    if (w->size <= w->room && size <= w->room - w->size) {
        aq_copy(w->start + w->size, data, size);
    } else if (w->size < w->room) {
        aq_copy(w->start + w->size, data, w->room - w->size);
    }
    w->size += size;
}

void aq_writer_string(aq_writer *w, const void *data, size_t size)
{
    aq_writer_varint(w, size);
    aq_writer_bytes(w, data, size);
}
