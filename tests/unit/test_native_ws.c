/* WebSocket frames: ours and wslay's understand each other in both directions; broken ones
 * are refused; how the bytes are cut changes nothing. */
#include "test.h"

#include "../../host/native/ws.h"

#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

enum { STREAM_MAX = 1 << 18 };

typedef struct stream {
    uint8_t data[STREAM_MAX];
    size_t size;
    size_t read;
} stream;

static stream wire, payload;

static ssize_t wire_write(const uint8_t *data, size_t size, int flags, void *context)
{
    (void)flags;
    stream *to = context;
    memcpy(to->data + to->size, data, size);
    to->size += size;
    return (ssize_t)size;
}

static ssize_t wire_read(uint8_t *out, size_t size, int flags, void *context)
{
    (void)flags;
    stream *from = context;
    size = size < from->size - from->read ? size : from->size - from->read;
    memcpy(out, from->data + from->read, size);
    from->read += size;
    return size ? (ssize_t)size : -1;
}

static int wire_mask(uint8_t *out, size_t size, void *context)
{
    (void)context;
    memcpy(out, "\x12\x34\x56\x78", size);
    return 0;
}

static void streams_reset(size_t payload_size)
{
    wire.size = wire.read = 0;
    payload.size = payload_size;
    for (size_t i = 0; i < payload_size; i++) {
        payload.data[i] = (uint8_t)(i * 7 + (i >> 8));
    }
}

/* Feeds the wire in pieces of at most `step`; returns the payload that comes out, joined
 * into `out`, and the last event but MORE. */
static aq_ws_event read_all(aq_ws_reader *reader, size_t step, stream *out)
{
    aq_ws_event last = AQ_WS_MORE;
    out->size = 0;
    for (size_t at = 0; at < wire.size;) {
        size_t end = at + step < wire.size ? at + step : wire.size;
        aq_ws_event event = AQ_WS_DATA;
        while (event != AQ_WS_MORE) {
            size_t used, size = 0;
            const uint8_t *piece = NULL;
            event = aq_ws_read(reader, wire.data + at, end - at, &used, &piece, &size);
            at += used;
            if (event == AQ_WS_BAD || event == AQ_WS_BAD_TYPE) {
                return event;
            }
            if (event != AQ_WS_MORE) {
                last = event;
                memcpy(out->data + out->size, piece, size);
                out->size += size;
            }
        }
    }
    return last;
}

static const size_t sizes[] = {0,   1,   2,     7,     8,     9,     125,
                               126, 127, 65535, 65536, 65537, 200000};

TEST(wslays_frames_are_read_however_they_are_cut)
{
    static const size_t steps[] = {1, 3, 13, 4096, STREAM_MAX};
    static stream out;
    struct wslay_frame_callbacks callbacks = {wire_write, wire_read, wire_mask};
    for (size_t i = 0; i < 2 * sizeof sizes / sizeof *sizes; i++) {
        for (size_t j = 0; j < sizeof steps / sizeof *steps; j++) {
            bool client = i & 1;
            wslay_frame_context_ptr context;
            CHECK_EQ(wslay_frame_context_init(&context, &callbacks, &wire), 0);
            streams_reset(sizes[i / 2]);
            struct wslay_frame_iocb frame = {
                1, 0, WSLAY_BINARY_FRAME, payload.size, client, payload.data, payload.size};
            CHECK_EQ(wslay_frame_send(context, &frame), (long long)payload.size);
            wslay_frame_context_free(context);
            aq_ws_reader reader;
            aq_ws_reader_init(&reader, client);
            (void)read_all(&reader, steps[j], &out);
            CHECK_EQ(out.size, payload.size);
            CHECK(!memcmp(out.data, payload.data, payload.size));
        }
    }
}

TEST(wslay_reads_our_frames)
{
    static stream out;
    struct wslay_frame_callbacks callbacks = {wire_write, wire_read, wire_mask};
    for (size_t i = 0; i < 2 * sizeof sizes / sizeof *sizes; i++) {
        static const uint8_t mask[4] = {0xde, 0xad, 0xbe, 0xef};
        bool client = i & 1;
        uint8_t head[AQ_WS_HEADER_MAX];
        streams_reset(sizes[i / 2]);
        size_t n = aq_ws_header_put(head, AQ_WS_BINARY, payload.size, client ? mask : NULL);
        (void)wire_write(head, n, 0, &wire);
        (void)wire_write(payload.data, payload.size, 0, &wire);
        if (client) {
            aq_ws_mask(wire.data + n, payload.size, mask, 0);
        }
        wslay_frame_context_ptr context;
        CHECK_EQ(wslay_frame_context_init(&context, &callbacks, &wire), 0);
        struct wslay_frame_iocb frame;
        out.size = 0;
        do {
            memset(&frame, 0, sizeof frame);
            ssize_t got = wslay_frame_recv(context, &frame);
            CHECK(got >= 0);
            if (got < 0) {
                break;
            }
            CHECK_EQ(frame.mask, client);
            CHECK_EQ(frame.payload_length, payload.size);
            memcpy(out.data + out.size, frame.data, frame.data_length);
            out.size += frame.data_length;
        } while (out.size < payload.size);
        wslay_frame_context_free(context);
        CHECK_EQ(out.size, payload.size);
        CHECK(!memcmp(out.data, payload.data, payload.size));
    }
}

TEST(a_mask_may_be_applied_in_parts)
{
    static const uint8_t mask[4] = {1, 20, 130, 77};
    uint8_t whole[100], parts[100];
    for (size_t cut = 0; cut <= 100; cut++) {
        memset(whole, 5, sizeof whole);
        memset(parts, 5, sizeof parts);
        aq_ws_mask(whole, 100, mask, 0);
        aq_ws_mask(parts, cut, mask, 0);
        aq_ws_mask(parts + cut, 100 - cut, mask, cut);
        CHECK(!memcmp(whole, parts, 100));
    }
}

TEST(frames_follow_the_rfc_or_are_refused)
{
    static const struct {
        const char *bytes;
        size_t size;
        aq_ws_event event;
        const char *payload;
    } rows[] = {
        /* examples of RFC 6455, section 5.7, unmasked, as binary */
        {"\x82\x05Hello", 7, AQ_WS_DATA, "Hello"},
        {"\x02\x03Hel\x80\x02lo", 9, AQ_WS_DATA, "Hello"},
        {"\x89\x05Hello", 7, AQ_WS_PINGED, "Hello"},
        {"\x8a\x05Hello", 7, AQ_WS_PONGED, "Hello"},
        {"\x88\x02\x03\xe8", 4, AQ_WS_CLOSED, "\x03\xe8"},
        {"\x89\x00", 2, AQ_WS_PINGED, ""},
        /* a control frame inside a fragmented message */
        {"\x02\x03Hel\x89\x00\x80\x02lo", 11, AQ_WS_DATA, "Hello"},
        {"\x81\x05Hello", 7, AQ_WS_BAD_TYPE, ""},
        {"\xc2\x05Hello", 7, AQ_WS_BAD, ""},                 /* reserved bit */
        {"\x83\x05Hello", 7, AQ_WS_BAD, ""},                 /* unknown opcodes */
        {"\x8b\x05Hello", 7, AQ_WS_BAD, ""},                 /* */
        {"\x80\x05Hello", 7, AQ_WS_BAD, ""},                 /* continues nothing */
        {"\x02\x01H\x82\x01i", 6, AQ_WS_BAD, ""},            /* begins inside a message */
        {"\x09\x05Hello", 7, AQ_WS_BAD, ""},                 /* fragmented control frame */
        {"\x89\x7e\x00\x7e", 4, AQ_WS_BAD, ""},              /* long control frame */
        {"\x82\x7e\x00\x05Hello", 9, AQ_WS_BAD, ""},         /* lengths not the shortest */
        {"\x82\x7f\0\0\0\0\0\0\xff\xff", 10, AQ_WS_BAD, ""}, /* */
        {"\x82\x7f\x80\0\0\0\0\0\0\0", 10, AQ_WS_BAD, ""},   /* over 63 bits */
        {"\x82\x85\0\0\0\0Hello", 11, AQ_WS_BAD, ""},        /* masked by a server */
    };
    static stream out;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t step = 1; step < 12; step++) {
            aq_ws_reader reader;
            aq_ws_reader_init(&reader, false);
            streams_reset(0);
            (void)wire_write((const uint8_t *)rows[i].bytes, rows[i].size, 0, &wire);
            aq_ws_event event = read_all(&reader, step, &out);
            if (rows[i].event == AQ_WS_BAD || rows[i].event == AQ_WS_BAD_TYPE) {
                CHECK_EQ(event, rows[i].event);
            } else {
                CHECK_EQ(event, rows[i].event);
                CHECK_EQ(out.size, strlen(rows[i].payload));
                CHECK(!memcmp(out.data, rows[i].payload, out.size));
            }
        }
    }
    aq_ws_reader reader;
    aq_ws_reader_init(&reader, true);
    streams_reset(0);
    (void)wire_write((const uint8_t *)"\x82\x05Hello", 7, 0, &wire);
    CHECK_EQ(read_all(&reader, 7, &out), AQ_WS_BAD); /* a client must mask */
}

TEST_MAIN(TEST_REF(wslays_frames_are_read_however_they_are_cut),
          TEST_REF(wslay_reads_our_frames), TEST_REF(a_mask_may_be_applied_in_parts),
          TEST_REF(frames_follow_the_rfc_or_are_refused))
