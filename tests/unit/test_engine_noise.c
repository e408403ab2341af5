/* Peers that talk nonsense with the right grammar, from written seeds: every frame, with
 * numbers that were asked for and numbers that were not, plausible and wild. Whatever comes
 * of it, nothing traps, memory stays within bounds, no path is strange, and nothing is left
 * over when the link is gone. */
#include "engine/data/blake3.h"
#include "tests/unit/engine_scene.h"

enum { SEEDS = 700, FRAMES = 60 };

static uint64_t state;

static uint32_t chance(uint32_t below)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((state >> 33) % below);
}

/* Mostly small, sometimes a border. */
static uint64_t number(void)
{
    static const uint64_t odd[] = {64,         1024,       20000,     65536,
                                   UINT32_MAX, UINT32_MAX, INT64_MAX, UINT64_C(1) << 63,
                                   UINT64_MAX};
    return chance(8) != 0 ? chance(5) : odd[chance(sizeof odd / sizeof *odd)];
}

static void noise(aq_writer *w, uint32_t size_max)
{
    for (uint32_t size = chance(size_max + 1); size != 0; size--) {
        aq_writer_byte(w, (uint8_t)chance(256));
    }
}

static void hash_put(aq_writer *w)
{
    uint8_t bytes[32] = {(uint8_t)chance(3)};
    aq_writer_bytes(w, bytes, sizeof bytes);
}

/* The hash of so many zeros: the one thing that this peer can tell the truth about. */
static void zeros_put(aq_writer *w, uint64_t size)
{
    static const uint8_t zeros[32 << 10];
    aq_hash hash;
    if (chance(40) == 0 || size > sizeof zeros) {
        hash_put(w);
        return;
    }
    aq_blake3(zeros, (size_t)size, &hash);
    aq_writer_bytes(w, &hash, sizeof hash);
}

static void options_draw(aq_sync_options *o)
{
    *o = (aq_sync_options){.delete_max = chance(4) == 0 ? 1 : UINT64_MAX,
                           .dry_run = chance(5) == 0,
                           .delete_extra = chance(2) == 0,
                           .checksum = chance(3) == 0,
                           .update = chance(5) == 0,
                           .existing = chance(8) == 0,
                           .ignore_existing = chance(8) == 0,
                           .verify_only = chance(8) == 0,
                           .itemize = true,
                           .backup = chance(4) == 0 ? "old" : NULL,
                           .filter = chance(4) == 0 ? "- c*\n" : NULL};
}

static void end_check(void)
{
    aq_link_closed(own.e, LINK, AQ_CLOSED);
    if (own.held_count != 0) {
        host_release(&own);
    }
    host_wait(&own, 100 * SECOND);
    CHECK(!own.strange_path);
    CHECK(aq_memory_peak(own.e) < 20 << 20);
    CHECK(aq_poll(own.e) == NULL);
}

/* ---- a source is asked ---- */

static uint8_t question(aq_writer *w)
{
    static const uint8_t types[] = {
        AQ_FRAME_LIST,        AQ_FRAME_ENTRIES, AQ_FRAME_WANT,   AQ_FRAME_MAP_WANT,
        AQ_FRAME_PAGES,       AQ_FRAME_FORGET,  AQ_FRAME_CANCEL, AQ_FRAME_BLOCKS_WANT,
        AQ_FRAME_HASH_WANT,   AQ_FRAME_ACK,     AQ_FRAME_STATS,  AQ_FRAME_WANT,
        AQ_FRAME_BLOCKS_WANT, AQ_FRAME_MAP_WANT};
    uint8_t type = chance(40) == 0 ? (uint8_t)chance(70) : types[chance(sizeof types)];
    if (chance(30) == 0) {
        noise(w, 60);
        return type;
    }
    for (uint32_t i = chance(8) + 1; i != 0; i--) {
        aq_writer_varint(w, chance(30) == 0 ? number() : chance(3));
    }
    if (chance(4) == 0) {
        aq_writer_varint(w, number());
    }
    return type;
}

TEST(a_source_that_is_asked_nonsense_stays_whole)
{
    for (uint64_t seed = 1; seed < SEEDS; seed++) {
        state = seed * 7919;
        serve(AQ_READ);
        aq_sync_options options;
        options_draw(&options);
        raw_opens(&peer, AQ_ROLE_SOURCE, &options);
        host_wait(&own, SECOND);
        for (unsigned i = 0; i < FRAMES && !own.down; i++) {
            uint8_t type = question(body_of(1));
            own.holds_reads = chance(6) == 0;
            raw_queue(&peer, type);
            if (chance(3) != 0) {
                host_run(&own);
            }
            if (chance(3) != 0) {
                raw_receive(&peer);
                peer.at = peer.size = 0;
            }
            if (chance(5) == 0 && own.held_count != 0) {
                host_release(&own);
            }
            if (chance(10) == 0) {
                object *o = object_find(&own, "d/b");
                o->size = 10000 + chance(10000);
                o->mtime_ns++;
            }
        }
        end_check();
    }
}

/* ---- a sink is told ---- */

enum { ASKED_MAX = 64 };

/* What the sink asked and nobody answered yet. */
typedef struct asked {
    uint8_t type;
    uint64_t number; /* request, map or directory */
    uint64_t size;   /* of the answer: bytes, files, 1: by ids or pages */
    uint64_t page;
} asked;

static uint8_t scratch[32];
static asked questions[ASKED_MAX];
static uint32_t question_count;
static uint64_t directories;
static uint64_t last_size; /* of a file whose map was shown */

static void entries_draw(aq_writer *w)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "old", "x"};
    for (uint32_t i = chance(3); i < sizeof names / sizeof *names; i += 1 + chance(3)) {
        uint32_t kind = chance(8);
        if (kind < 4) {
            entry_file(w, names[i],
                       chance(3) == 0   ? chance(60)
                       : chance(3) == 0 ? 5000
                                        : chance(9000));
        } else if (kind < 7) {
            bool complete = chance(2) != 0;
            entry_head(w, AQ_TYPE_DIRECTORY | (complete ? AQ_ENTRY_COMPLETE : 0), names[i]);
            aq_writer_varint(w, chance(20) == 0 ? number() : ++directories);
            if (complete) {
                hash_put(w);
            }
        } else {
            entry_head(w, AQ_TYPE_SYMLINK, names[i]);
            aq_writer_string(w, "t", 1);
        }
    }
}

/* Chunks of that many bytes; returns how many. */
static uint32_t chunks_draw(aq_writer *w, uint64_t size)
{
    uint32_t count = 0;
    while (size != 0 && w->size < 3000) {
        uint64_t part = chance(3) == 0 ? 64 + chance(960) : 1024;
        part = part < size ? part : size;
        aq_writer_varint(w, part);
        zeros_put(w, part);
        size -= part;
        count++;
    }
    return count;
}

/* A map in one go, and its end; or parts of one that may not fit. */
static uint8_t map_draw(const asked *q)
{
    aq_writer *w = body_of(1);
    bool by_pages = q->page != 0;
    aq_writer_varint(w, q->number);
    if (chance(10) == 0) {
        aq_writer_byte(w, AQ_MAP_FAILED);
        aq_writer_varint(w, AQ_IO);
        return AQ_FRAME_MAP;
    }
    aq_writer_byte(w, by_pages ? AQ_MAP_PAGE_IDS : AQ_MAP_CHUNKS);
    uint32_t count = (uint32_t)(q->size + 1023) / 1024;
    if (by_pages) {
        hash_put(w);
    } else {
        count = chunks_draw(w, q->size + (chance(20) == 0));
    }
    if (chance(10) != 0) {
        raw_queue(&peer, AQ_FRAME_MAP);
        w = body_of(1);
        aq_writer_varint(w, q->number);
        aq_writer_byte(w, AQ_MAP_END);
        aq_writer_varint(w, count + (chance(10) == 0));
        zeros_put(w, q->size);
    }
    return AQ_FRAME_MAP;
}

static uint8_t page_draw(const asked *q)
{
    aq_writer *w = body_of(1);
    aq_writer_varint(w, q->number);
    aq_writer_byte(w, AQ_MAP_PAGE);
    aq_writer_varint(w, q->page);
    for (uint64_t left = q->size; left != 0;) {
        uint64_t part = left < 1024 ? left : 1024;
        aq_writer_varint(w, part);
        if (chance(2) == 0) {
            zeros_put(w, part);
        } else {
            hash_put(w); /* not ours: blocks are asked for */
        }
        left -= part;
    }
    return AQ_FRAME_MAP;
}

static void data_draw(aq_writer *w, const asked *q)
{
    uint32_t kind = chance(6);
    aq_writer_varint(w, q->number);
    if (kind == 0 || q->page != 0) {
        static const uint8_t why[] = {AQ_CHANGED, AQ_CHANGED, AQ_NOT_FOUND, AQ_IO};
        aq_writer_byte(w, AQ_DATA_LAST | AQ_DATA_STATUS);
        aq_writer_byte(w, why[chance(4)]);
        aq_writer_bytes(w, "\1\0", 2);
        aq_writer_varint(w, chance(9000));
        aq_writer_signed(w, chance(3));
        return;
    }
    bool last = kind != 1;
    aq_writer_byte(w, (uint8_t)((last ? AQ_DATA_LAST : 0) | (last ? AQ_DATA_HASH : 0)));
    if (last) {
        zeros_put(w, q->size);
    }
    uint64_t size = kind == 2 ? chance((uint32_t)q->size + 1) : last ? q->size : 1;
    for (; size != 0 && size < 30000; size--) {
        aq_writer_byte(w, (uint8_t)(chance(20000) == 0));
    }
}

static void zero_block_put(aq_writer *w, uint64_t size)
{
    aq_writer whole = aq_writer_over(scratch, sizeof scratch);
    zeros_put(&whole, size);
    aq_writer_bytes(w, scratch, AQ_BLOCK_HASH_SIZE);
}

/* An answer to one of the open questions; which then stays open, or not. */
static uint8_t answer(aq_writer *w)
{
    if (question_count == 0 || chance(12) == 0) {
        aq_writer_varint(w, chance((uint32_t)directories + 2));
        aq_writer_byte(w, chance(5) == 0);
        hash_put(w);
        return AQ_FRAME_DIR_DONE;
    }
    uint32_t at = chance(question_count);
    asked q = questions[at];
    if (chance(4) != 0) {
        questions[at] = questions[--question_count];
    }
    switch ((aq_frame_type)q.type) {
    case AQ_FRAME_LIST:
        aq_writer_varint(w, q.number);
        aq_writer_byte(w, (uint8_t)(AQ_LIST_LAST | (chance(9) == 0 ? AQ_LIST_BROKEN : 0)));
        if (q.size != 0 && chance(3) != 0) {
            for (uint32_t i = chance(6); i != 0; i--) {
                aq_writer_bytes(w, "\1\2\3\4", 4);
            }
            return AQ_FRAME_IDS;
        }
        entries_draw(w);
        return AQ_FRAME_LISTING;
    case AQ_FRAME_ENTRIES:
        aq_writer_varint(w, q.number);
        aq_writer_byte(w, AQ_LIST_LAST);
        for (uint64_t i = 0; i < q.size; i++) {
            char name[2] = {(char)('a' + i), 0};
            entry_file(w, name, chance(9000));
        }
        return AQ_FRAME_LISTING;
    case AQ_FRAME_WANT:
        data_draw(w, &q);
        return AQ_FRAME_DATA;
    case AQ_FRAME_MAP_WANT:
        last_size = q.size;
        return map_draw(&q);
    case AQ_FRAME_PAGES:
        q.size = last_size;
        return page_draw(&q);
    case AQ_FRAME_BLOCKS_WANT:
        aq_writer_varint(w, q.number);
        aq_writer_varint(w, chance(5) == 0 ? AQ_IO : AQ_OK);
        while (q.size != 0) {
            uint64_t part = 8 + chance(121);
            part = part < q.size ? part : q.size;
            aq_writer_varint(w, part);
            zero_block_put(w, part);
            q.size -= part;
        }
        return AQ_FRAME_BLOCKS;
    default:
        aq_writer_varint(w, q.number);
        for (uint64_t i = 0; i < q.size; i++) {
            bool good = chance(4) != 0;
            aq_writer_varint(w, good ? AQ_OK : AQ_ACCESS);
            if (good) {
                hash_put(w);
            }
        }
        return AQ_FRAME_HASHES;
    }
}

static void question_add(uint8_t type, uint64_t name, uint64_t size, uint64_t page)
{
    if (question_count < ASKED_MAX) {
        questions[question_count++] = (asked){type, name, size, page};
    }
}

static void question_read(uint8_t type, aq_reader *r)
{
    uint64_t first = aq_reader_varint(r);
    if (type == AQ_FRAME_LIST) {
        question_add(type, first, aq_reader_byte(r), 0);
    } else if (type == AQ_FRAME_ENTRIES) {
        uint64_t count = 0;
        for (; aq_reader_left(r) != 0; count++) {
            (void)aq_reader_varint(r);
        }
        question_add(type, first, count, 0);
    } else if (type == AQ_FRAME_WANT || type == AQ_FRAME_BLOCKS_WANT) {
        (void)aq_reader_varint(r);
        (void)aq_reader_varint(r);
        uint8_t flags = type == AQ_FRAME_WANT ? aq_reader_byte(r) : 0;
        (void)aq_reader_varint(r);
        uint64_t size = aq_reader_varint(r);
        question_add(type, first, flags == 0 ? size : 40, flags == AQ_WANT_STAMP);
    } else if (type == AQ_FRAME_MAP_WANT) {
        (void)aq_reader_varint(r);
        (void)aq_reader_varint(r);
        uint8_t pages = aq_reader_byte(r);
        (void)aq_reader_varint(r);
        uint64_t size = aq_reader_varint(r);
        question_add(type, first, size, pages);
    } else if (type == AQ_FRAME_PAGES) {
        while (aq_reader_left(r) != 0) {
            question_add(type, first, 0, aq_reader_varint(r));
        }
    } else if (type == AQ_FRAME_HASH_WANT) {
        bool digest = aq_reader_byte(r) != 0;
        uint64_t count = 0;
        for (; aq_reader_left(r) != 0; count++) {
            (void)aq_reader_varint(r);
        }
        question_add(type, first, digest ? 1 : count / 2, 0);
    }
}

static void listen(void)
{
    raw_receive(&peer);
    while (peer.at < peer.size) {
        aq_reader head = aq_reader_over(peer.bytes + peer.at, peer.size - peer.at);
        size_t size = (size_t)aq_reader_varint(&head);
        uint8_t type = aq_reader_byte(&head);
        const uint8_t *at = aq_reader_bytes(&head, size);
        if (head.failed) {
            break;
        }
        peer.at = (size_t)(head.at - peer.bytes);
        aq_reader r = aq_reader_over(at, size);
        (void)aq_reader_varint(&r);
        question_read(type, &r);
    }
    peer.at = peer.size = 0;
}

static void sink_start(void)
{
    aq_config config = config_of((uint8_t)state);
    host_open(&own, &config, false);
    object *zeros = file_add(&own, "a", 5000, 1);
    aq_fill(zeros->data, 0, chance(5000));
    (void)file_add(&own, "b", 30, 2);
    (void)object_add(&own, AQ_TYPE_DIRECTORY, "d", 5);
    zeros = file_add(&own, "d/b", 5000, 3);
    aq_fill(zeros->data, 0, 5000);
    zeros->mtime_ns = 0; /* as what the peer shows */
    (void)object_add(&own, AQ_TYPE_DIRECTORY, "x", 5);
    (void)aq_root_add(own.e, "", 0);
    raw_open(&peer, &own, false);
    options_draw(&sink_options);
    (void)aq_sync_start(own.e, LINK, 0, "f", AQ_PULL, &sink_options);
    raw_hello(&peer);
    raw_agrees(&peer);
    question_count = 0;
    directories = 0;
    (void)root_frame((uint8_t)chance(2));
    raw_send(&peer, AQ_FRAME_ROOT);
}

TEST(a_sink_that_is_told_nonsense_stays_whole)
{
    unsigned long long frames = 0;
    for (uint64_t seed = 1; seed < 3 * SEEDS; seed++) {
        state = seed * 7919;
        sink_start();
        for (unsigned i = 0; i < FRAMES && !own.down && !own.ended; i++, frames++) {
            listen();
            uint8_t type = answer(body_of(1));
            own.holds_reads = chance(6) == 0;
            raw_queue(&peer, type);
            if (chance(4) != 0) {
                host_run(&own);
            }
            if (chance(5) == 0 && own.held_count != 0) {
                host_release(&own);
            }
            if (chance(8) == 0) {
                host_wait(&own, SECOND);
            }
        }
        if (chance(2) == 0) {
            aq_sync_stop(own.e, 1);
        }
        end_check();
        CHECK(own.ended);
    }
    CHECK(frames > 10 * 3 * SEEDS); /* or it learned to speak too badly */
}

TEST_MAIN(TEST_REF(a_source_that_is_asked_nonsense_stays_whole),
          TEST_REF(a_sink_that_is_told_nonsense_stays_whole))
