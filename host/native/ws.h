/* ws.h: WebSocket framing (RFC 6455, section 5). A link is a stream of bytes, so messages
 * have no meaning here: payload is handed on as it comes, whole or in parts. */
#ifndef AQ_WS_H
#define AQ_WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    AQ_WS_HEADER_MAX = 14,
    AQ_WS_CONTROL_MAX = 125 /* payload of a ping, pong or close */
};

typedef enum aq_ws_opcode {
    AQ_WS_CONTINUATION = 0,
    AQ_WS_TEXT = 1,
    AQ_WS_BINARY = 2,
    AQ_WS_CLOSE = 8,
    AQ_WS_PING = 9,
    AQ_WS_PONG = 10
} aq_ws_opcode;

/* Writes the header of a whole message of `size` payload bytes; returns the header's size.
 * `mask`: NULL from a server; from a client 4 bytes. */
size_t aq_ws_header_put(uint8_t out[AQ_WS_HEADER_MAX], aq_ws_opcode opcode, uint64_t size,
                        const uint8_t *mask);

/* XORs data[0..size) with the mask; data[0] is the payload's byte number `offset`. */
void aq_ws_mask(uint8_t *data, size_t size, const uint8_t mask[4], uint64_t offset);

typedef struct aq_ws_reader {
    bool from_client;  /* then frames must be masked, else they must not be */
    bool in_message;   /* between the first and the last frame of one */
    bool in_payload;   /* a header was read */
    uint8_t opcode;    /* of the frame under way */
    uint8_t head_size; /* bytes of the header held */
    uint8_t head[AQ_WS_HEADER_MAX];
    uint8_t mask[4];
    uint64_t size; /* the frame's payload */
    uint64_t done; /* of it */
    uint8_t control[AQ_WS_CONTROL_MAX];
} aq_ws_reader;

typedef enum aq_ws_event {
    AQ_WS_MORE,   /* all input is used up */
    AQ_WS_DATA,   /* a piece of binary payload */
    AQ_WS_PINGED, /* a whole control frame, piece is its payload */
    AQ_WS_PONGED,
    AQ_WS_CLOSED,
    AQ_WS_BAD,     /* the peer broke the rules: close with 1002 */
    AQ_WS_BAD_TYPE /* it sent text: close with 1003 */
} aq_ws_event;

void aq_ws_reader_init(aq_ws_reader *reader, bool from_client);

/* Reads from data[0..size), which it may unmask in place; *used says how much it took; call
 * again with the rest until MORE. The piece is lent: it lies in `data` or in the reader. */
aq_ws_event aq_ws_read(aq_ws_reader *reader, uint8_t *data, size_t size, size_t *used,
                       const uint8_t **piece, size_t *piece_size);

#endif
