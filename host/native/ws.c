/* ws.c: WebSocket framing.
 *
 * wslay reads and writes these same frames, and is what the tests compare with; it is not
 * in the way of the data because it moves each byte through a buffer of 4 KiB and masks it
 * there one at a time: masking 1 GiB took 1.1 CPU-seconds and unmasking it 1.9, several
 * times what encryption costs. Here payload stays where it was received and the mask is
 * applied eight bytes at a time (0.1 s each); a mask of zero is not applied at all.
 *
 *      0                   1                   2                   3
 *      0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *     +-+-+-+-+-------+-+-------------+-------------------------------+
 *     |F|R|R|R| opcode|M| length (7)  |  length (16, or 64 over two   |
 *     |I|S|S|S|  (4)  |A|             |  such fields) if it was 126   |
 *     |N|V|V|V|       |S|             |  (or 127)                     |
 *     | |1|2|3|       |K|             |                               |
 *     +-+-+-+-+-------+-+-------------+-------------------------------+
 *     |  masking key (4 bytes) if MASK        |  payload …            |
 *
 * The reader holds one header at most, so a peer that claims a frame of 2^63 bytes, or
 * sends one byte at a time, costs nothing but its own bytes. */
#include "ws.h"

#include <string.h>

enum {
    FIN = 0x80,
    RESERVED = 0x70,
    OPCODE = 0x0f,
    MASKED = 0x80,
    LENGTH = 0x7f,
    LENGTH_16 = 126,
    LENGTH_64 = 127
};

static uint8_t *big_endian_put(uint8_t *out, uint64_t value, unsigned bytes)
{
    while (bytes--) {
        *out++ = (uint8_t)(value >> (8 * bytes));
    }
    return out;
}

size_t aq_ws_header_put(uint8_t out[AQ_WS_HEADER_MAX], aq_ws_opcode opcode, uint64_t size,
                        const uint8_t *mask)
{
    uint8_t *next = out + 2;
    out[0] = (uint8_t)(FIN | opcode);
    if (size < LENGTH_16) {
        out[1] = (uint8_t)size;
    } else if (size <= UINT16_MAX) {
        out[1] = LENGTH_16;
        next = big_endian_put(next, size, 2);
    } else {
        out[1] = LENGTH_64;
        next = big_endian_put(next, size, 8);
    }
    if (mask) {
        out[1] |= MASKED;
        memcpy(next, mask, 4);
        next += 4;
    }
    return (size_t)(next - out);
}

void aq_ws_mask(uint8_t *data, size_t size, const uint8_t mask[4], uint64_t offset)
{
    uint8_t turned[8];
    uint64_t wide, word;
    for (unsigned i = 0; i < 8; i++) {
        turned[i] = mask[(offset + i) & 3];
    }
    memcpy(&wide, turned, 8);
    if (wide == 0) {
        return;
    }
    for (; size >= 8; size -= 8, data += 8) {
        memcpy(&word, data, 8);
        word ^= wide;
        memcpy(data, &word, 8);
    }
    for (size_t i = 0; i < size; i++) {
        data[i] ^= turned[i];
    }
}

void aq_ws_reader_init(aq_ws_reader *reader, bool from_client)
{
    memset(reader, 0, sizeof *reader);
    reader->from_client = from_client;
}

/* How long the header is, as far as what is held of it says. */
static size_t header_size(const aq_ws_reader *reader)
{
    if (reader->head_size < 2) {
        return 2;
    }
    unsigned length = reader->head[1] & LENGTH;
    size_t extended = length == LENGTH_16 ? 2 : length == LENGTH_64 ? 8 : 0;
    return 2 + extended + (reader->head[1] & MASKED ? 4 : 0);
}

static bool opcode_is_allowed(const aq_ws_reader *reader, unsigned opcode)
{
    switch (opcode) {
    case AQ_WS_CONTINUATION:
        return reader->in_message;
    case AQ_WS_TEXT:
    case AQ_WS_BINARY:
        return !reader->in_message;
    case AQ_WS_CLOSE:
    case AQ_WS_PING:
    case AQ_WS_PONG:
        return true;
    default:
        return false;
    }
}

/* A whole header is held: is it one that the RFC allows? */
static aq_ws_event header_parse(aq_ws_reader *reader)
{
    const uint8_t *head = reader->head;
    unsigned opcode = head[0] & OPCODE;
    unsigned length = head[1] & LENGTH;
    bool fin = head[0] & FIN;
    bool control = opcode & 8;
    const uint8_t *next = head + 2;
    uint64_t size = length;
    if (length >= LENGTH_16) {
        const uint8_t *end = next + (length == LENGTH_16 ? 2 : 8);
        for (size = 0; next < end; next++) {
            size = size << 8 | *next;
        }
        /* Of several ways to write a length only the shortest is right. */
        if (size < LENGTH_16 || (length == LENGTH_64 && size <= UINT16_MAX) || size >> 63) {
            return AQ_WS_BAD;
        }
    }
    if (head[0] & RESERVED || !opcode_is_allowed(reader, opcode) ||
        (control && (!fin || size > AQ_WS_CONTROL_MAX)) ||
        !(head[1] & MASKED) == reader->from_client) {
        return AQ_WS_BAD;
    }
    if (opcode == AQ_WS_TEXT) {
        return AQ_WS_BAD_TYPE;
    }
    if (!control) {
        reader->in_message = !fin;
    }
    memset(reader->mask, 0, 4);
    if (reader->from_client) {
        memcpy(reader->mask, next, 4);
    }
    reader->opcode = (uint8_t)opcode;
    reader->size = size;
    reader->done = 0;
    reader->in_payload = true;
    return AQ_WS_MORE;
}

static aq_ws_event control_event(unsigned opcode)
{
    return opcode == AQ_WS_PING   ? AQ_WS_PINGED
           : opcode == AQ_WS_PONG ? AQ_WS_PONGED
                                  : AQ_WS_CLOSED;
}

/* Takes payload; control frames are gathered, so that they come whole. */
static aq_ws_event payload_read(aq_ws_reader *reader, uint8_t *data, size_t size,
                                const uint8_t **piece, size_t *piece_size)
{
    aq_ws_mask(data, size, reader->mask, reader->done);
    *piece = data;
    *piece_size = size;
    if (reader->opcode & 8) {
        memcpy(reader->control + reader->done, data, size);
        *piece = reader->control;
        *piece_size = (size_t)reader->size;
    }
    reader->done += size;
    bool whole = reader->done == reader->size;
    if (whole) {
        reader->in_payload = false;
        reader->head_size = 0;
    }
    if (reader->opcode & 8) {
        return whole ? control_event(reader->opcode) : AQ_WS_MORE;
    }
    return size ? AQ_WS_DATA : AQ_WS_MORE;
}

aq_ws_event aq_ws_read(aq_ws_reader *reader, uint8_t *data, size_t size, size_t *used,
                       const uint8_t **piece, size_t *piece_size)
{
    aq_ws_event event = AQ_WS_MORE;
    *used = 0;
    while (event == AQ_WS_MORE) {
        if (!reader->in_payload) {
            while (reader->head_size < header_size(reader)) {
                if (*used == size) {
                    return AQ_WS_MORE;
                }
                reader->head[reader->head_size++] = data[(*used)++];
            }
            event = header_parse(reader);
        } else {
            uint64_t left = reader->size - reader->done;
            size_t take = left < size - *used ? (size_t)left : size - *used;
            if (take == 0 && left) {
                return AQ_WS_MORE;
            }
            event = payload_read(reader, data + *used, take, piece, piece_size);
            *used += take;
        }
    }
    return event;
}
