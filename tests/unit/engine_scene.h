/* engine_scene.h: an engine and a peer by hand, as the tests of whole engines begin: the
 * engine serves a small folder, or pulls from the peer; and how such a meeting ends. */
#ifndef ENGINE_SCENE_H
#define ENGINE_SCENE_H

#include "engine/swarm/session.h"
#include "tests/unit/engine_host.h"

static host own;
static raw peer;

static aq_hash no_hash;

/* ---- a server with a folder "f", met by a client of ours ---- */

static inline void serve_with(const aq_config *config, unsigned rights)
{
    host_open(&own, config, false);
    CHECK_EQ(aq_root_add(own.e, "f", rights), 0);
    (void)file_add(&own, "a", 100, 1);
    (void)object_add(&own, AQ_TYPE_DIRECTORY, "d", 5);
    (void)file_add(&own, "d/b", 20000, 2);
    (void)file_add(&own, "d/c", 30, 3);
    raw_open(&peer, &own, true);
}

static inline void serve(unsigned rights)
{
    aq_config config = config_of(7);
    serve_with(&config, rights);
    raw_hello(&peer);
}

/* The engine is the source; its scan is over. */
static inline void serve_source(void)
{
    serve(AQ_READ);
    aq_sync_options options = {.delete_max = UINT64_MAX};
    raw_opens(&peer, AQ_ROLE_SOURCE, &options);
    host_wait(&own, SECOND);
    aq_reader r;
    CHECK(raw_next(&peer, AQ_FRAME_ROOT, &r));
}

/* ---- a client that pulls from a server of ours ---- */

static aq_sync_options sink_options;

static inline void sink_begin(void)
{
    aq_config config = config_of(9);
    host_open(&own, &config, false);
    (void)aq_root_add(own.e, "", 0);
    raw_open(&peer, &own, false);
    (void)aq_sync_start(own.e, LINK, 0, "f", AQ_PULL, &sink_options);
    raw_hello(&peer);
    raw_agrees(&peer);
}

static inline aq_writer *root_frame(uint8_t flags)
{
    aq_writer *w = body_of(1);
    aq_writer_byte(w, flags);
    aq_writer_signed(w, 77);
    aq_writer_varint(w, 1);
    aq_writer_varint(w, 1);
    if (flags & 1) {
        aq_writer_bytes(w, &no_hash, sizeof no_hash);
    }
    return w;
}

/* The sink has asked for the root's entries. */
static inline void sink_asks(void)
{
    sink_begin();
    (void)root_frame(1);
    raw_send(&peer, AQ_FRAME_ROOT);
    aq_reader r;
    CHECK(raw_next(&peer, AQ_FRAME_LIST, &r));
    CHECK_EQ(aq_reader_varint(&r), 0);
}

static inline aq_writer *listing(uint32_t wire, bool last)
{
    aq_writer *w = body_of(1);
    aq_writer_varint(w, wire);
    aq_writer_byte(w, last);
    return w;
}

static inline void entry_head(aq_writer *w, uint8_t flags, const char *name)
{
    aq_writer_byte(w, flags);
    aq_writer_string(w, name, aq_string_size(name));
    aq_writer_signed(w, 0);
}

static inline void entry_file(aq_writer *w, const char *name, uint64_t size)
{
    entry_head(w, AQ_TYPE_FILE, name);
    aq_writer_varint(w, size);
}

static inline void entry_dir(aq_writer *w, const char *name, uint32_t wire)
{
    entry_head(w, AQ_TYPE_DIRECTORY, name);
    aq_writer_varint(w, wire);
}

/* A sink that wants the chunk map of the only file, of `size` bytes. Returns the number
 * that its answers carry. */
static inline uint64_t sink_wants_map(uint64_t size)
{
    sink_asks();
    entry_file(listing(0, true), "x", size);
    raw_send(&peer, AQ_FRAME_LISTING);
    aq_reader r;
    CHECK(raw_next(&peer, AQ_FRAME_MAP_WANT, &r));
    return aq_reader_varint(&r);
}

static inline aq_writer *map_frame(uint64_t number, uint8_t kind)
{
    aq_writer *w = body_of(1);
    aq_writer_varint(w, number);
    aq_writer_byte(w, kind);
    return w;
}

/* ---- how it ends ---- */

static inline void link_is_dropped(aq_status status)
{
    host_run(&own);
    CHECK(own.down);
    CHECK_EQ(own.down_status, status);
    CHECK(own.hung_up);
    CHECK(!own.strange_path);
}

static inline void link_serves(void)
{
    aq_writer_varint(body(), 4711);
    raw_send(&peer, AQ_FRAME_PING);
    aq_reader r;
    CHECK(raw_next(&peer, AQ_FRAME_PONG, &r));
    CHECK_EQ(aq_reader_varint(&r), 4711);
}

static inline void link_is_fine(void)
{
    host_run(&own);
    CHECK(!own.down);
    CHECK(!own.hung_up);
    link_serves();
}

#endif
