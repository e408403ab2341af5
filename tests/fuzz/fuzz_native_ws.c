/* Frames in pieces are the same frames: the same events and the same bytes, however the
 * network cuts them. The first byte chooses the side and the size of the pieces. */
#include "host/native/ws.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM = 1 << 16 };

/* What a reader said, folded so that pieces of payload may be cut anywhere. */
typedef struct transcript {
    uint8_t bytes[ROOM];
    size_t size;
    bool over;
} transcript;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void note(transcript *t, aq_ws_event event, const uint8_t *piece, size_t size)
{
    if (event != AQ_WS_DATA) {
        t->bytes[t->size++] = 0xf0;
        t->bytes[t->size++] = (uint8_t)event;
    }
    if (size > ROOM / 2 - t->size) {
        abort();
    }
    if (size > 0) {
        memcpy(t->bytes + t->size, piece, size);
        t->size += size;
    }
    t->over = event == AQ_WS_BAD || event == AQ_WS_BAD_TYPE || event == AQ_WS_CLOSED;
}

static void read_in(transcript *t, bool from_client, const uint8_t *data, size_t size,
                    size_t step)
{
    aq_ws_reader reader;
    aq_ws_reader_init(&reader, from_client);
    t->size = 0;
    t->over = false;
    for (size_t at = 0; at < size && !t->over; at += step) {
        size_t now = size - at < step ? size - at : step, done = 0;
        uint8_t *part =
            malloc(now); /* of its exact size, so that ASan sees every overrun */
        memcpy(part, data + at, now);
        while (!t->over) {
            size_t used = 0, piece_size = 0;
            const uint8_t *piece = NULL;
            aq_ws_event event =
                aq_ws_read(&reader, part + done, now - done, &used, &piece, &piece_size);
            done += used;
            if (event == AQ_WS_MORE) {
                break;
            }
            note(t, event, piece, piece_size);
        }
        free(part);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static transcript whole, pieces;
    if (size < 2 || size > ROOM / 16) {
        return 0;
    }
    bool from_client = data[0] & 1;
    read_in(&whole, from_client, data + 1, size - 1, size);
    read_in(&pieces, from_client, data + 1, size - 1, 1 + (data[0] >> 1));
    if (whole.size != pieces.size || memcmp(whole.bytes, pieces.bytes, whole.size) != 0) {
        abort();
    }
    return 0;
}
