/* A source, asked for what it does not have, or for more than anybody can want: it answers
 * or drops the link, reads nothing outside of what it showed, and holds no more than its
 * budget; whoever comes next is served. */
#include "engine/sync/path.h"
#include "tests/unit/engine_scene.h"

/* ---- asking a source ---- */

TEST(places_that_are_not_there_are_no_questions)
{
    static const uint8_t types[] = {AQ_FRAME_LIST,      AQ_FRAME_ENTRIES,
                                    AQ_FRAME_WANT,      AQ_FRAME_MAP_WANT,
                                    AQ_FRAME_HASH_WANT, AQ_FRAME_BLOCKS_WANT};
    for (size_t i = 0; i < sizeof types; i++) {
        serve_source();
        uint32_t before = own.ops[AQ_OP_READ];
        aq_writer *w = body_of(1);
        for (unsigned n = 0; n < 8; n++) {
            aq_writer_varint(w, 1000); /* request, directory, index, … */
        }
        raw_send(&peer, types[i]);
        link_is_dropped(AQ_PROTOCOL);
        CHECK_EQ(own.ops[AQ_OP_READ], before);
    }
}

static void want(aq_writer *w, uint32_t request, uint32_t dir, uint32_t index,
                 uint64_t offset, uint64_t size)
{
    aq_writer_varint(w, request);
    aq_writer_varint(w, dir);
    aq_writer_varint(w, index);
    aq_writer_byte(w, 0);
    aq_writer_varint(w, offset);
    aq_writer_varint(w, size);
}

TEST(ranges_outside_a_file_are_answered_and_never_read)
{
    static const struct {
        uint64_t offset, size;
        aq_status status;
    } cases[] = {{0, 20000, AQ_OK},
                 {19999, 1, AQ_OK},
                 {20000, 1, AQ_CHANGED},
                 {0, 20001, AQ_CHANGED},
                 {UINT64_MAX, 1, AQ_CHANGED},
                 {UINT64_MAX - 9, 20, AQ_CHANGED},
                 {UINT64_C(1) << 63, 100, AQ_CHANGED},
                 {5, 0, AQ_CHANGED}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        serve_source();
        want(body_of(1), 9, 1, 0, cases[i].offset, cases[i].size);
        raw_send(&peer, AQ_FRAME_WANT);
        aq_reader r;
        CHECK(raw_next(&peer, AQ_FRAME_DATA, &r));
        CHECK_EQ(aq_reader_varint(&r), 9);
        bool failed = (aq_reader_byte(&r) & 2) != 0;
        CHECK_EQ(failed ? (aq_status)aq_reader_varint(&r) : AQ_OK, cases[i].status);
        CHECK(!own.strange_path);
        link_is_fine();
    }
}

TEST(block_lists_are_made_of_what_is_inside_a_file)
{
    static const struct {
        uint64_t offset, size;
        aq_status status;
    } cases[] = {{0, 1000, AQ_OK},
                 {19000, 1000, AQ_OK},
                 {19001, 1000, AQ_CHANGED},
                 {UINT64_MAX - 10, 100, AQ_CHANGED},
                 {UINT64_C(1) << 63, 100, AQ_CHANGED}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        serve_source();
        aq_writer *w = body_of(1);
        aq_writer_varint(w, 9);
        aq_writer_varint(w, 1);
        aq_writer_varint(w, 0);
        aq_writer_varint(w, cases[i].offset);
        aq_writer_varint(w, cases[i].size);
        raw_send(&peer, AQ_FRAME_BLOCKS_WANT);
        aq_reader r;
        CHECK(raw_next(&peer, AQ_FRAME_BLOCKS, &r));
        CHECK_EQ(aq_reader_varint(&r), 9);
        CHECK_EQ(aq_reader_varint(&r), cases[i].status);
        CHECK_EQ(aq_reader_left(&r) != 0, cases[i].status == AQ_OK);
        CHECK(!own.strange_path);
        link_is_fine();
    }
}

/* Sends the frame in `raw_writer` again and again, and never reads. */
static void flood(uint8_t type, unsigned times)
{
    for (unsigned i = 0; i < times && !own.down; i++) {
        raw_send(&peer, type);
    }
}

TEST(floods_of_questions_stay_within_bounds)
{
    enum { WANTS, WHOLES, WRONG_WANTS, BLOCKS, ENTRIES, LISTS, HASHES, MAPS, CASES };
    for (unsigned c = 0; c < CASES; c++) {
        serve_source();
        aq_writer *w = body_of(1);
        uint8_t type = AQ_FRAME_WANT;
        for (unsigned i = 0; w->size < AQ_FRAME_MAX - 64; i++) {
            if (c == WANTS) {
                want(w, i, 1, 0, 0, 20000);
            } else if (c == WHOLES) {
                aq_writer_varint(w, i);
                aq_writer_bytes(w, "\x01\x01\x01", 3);
            } else if (c == WRONG_WANTS) {
                want(w, i, 1, 0, 0, 0);
            } else if (c == ENTRIES) {
                aq_writer_byte(w, (uint8_t)(i == 0)); /* d, and its first entry for ever */
                type = AQ_FRAME_ENTRIES;
            } else if (c == BLOCKS) {
                aq_writer_bytes(w, "\x05\x01\x00\x00\xe8\x07", 6);
                type = AQ_FRAME_BLOCKS_WANT;
                break;
            } else if (c == LISTS) {
                aq_writer_bytes(w, "\x01\x01", 2);
                type = AQ_FRAME_LIST;
                break;
            } else if (c == HASHES) {
                aq_writer_bytes(w, "\x05\x01\x00", 3);
                type = AQ_FRAME_HASH_WANT;
                break;
            } else {
                aq_writer_bytes(w, "\x05\x01\x00\x00\xff\x7f", 6);
                type = AQ_FRAME_MAP_WANT;
                break;
            }
        }
        flood(type,
              c == WANTS || c == WHOLES || c == WRONG_WANTS || c == ENTRIES ? 300 : 40000);
        CHECK(aq_memory_peak(own.e) < 18 << 20);
        CHECK(!own.strange_path);
        /* Whoever comes next is served. */
        serve_source();
        aq_writer_bytes(body_of(1), "\x01\x00", 2);
        raw_send(&peer, AQ_FRAME_LIST);
        aq_reader r;
        CHECK(raw_next(&peer, AQ_FRAME_LISTING, &r));
    }
}

static bool is_answered(uint64_t request)
{
    aq_reader r;
    while (raw_next(&peer, AQ_FRAME_DATA, &r)) {
        if (aq_reader_varint(&r) == request) {
            return true;
        }
    }
    return false;
}

TEST(what_is_cancelled_in_time_is_not_answered)
{
    serve_source();
    own.holds_reads = true;
    for (uint32_t i = 0; i < 6; i++) {
        want(body_of(1), i, 1, 0, 1000 * i, 10); /* as many as are read at once */
        raw_send(&peer, AQ_FRAME_WANT);
    }
    want(body_of(1), 6, 1, 0, 6000, 10);
    raw_send(&peer, AQ_FRAME_WANT);
    want(body_of(1), 7, 1, 0, 7000, 10);
    raw_send(&peer, AQ_FRAME_WANT);
    aq_writer_varint(body_of(1), 6);
    raw_send(&peer, AQ_FRAME_CANCEL);
    host_release(&own);
    CHECK(is_answered(7));
    CHECK_EQ(own.ops[AQ_OP_READ], 7);
    want(body_of(1), 6, 1, 0, 6000, 10); /* asked anew */
    raw_send(&peer, AQ_FRAME_WANT);
    CHECK(is_answered(6));
    link_is_fine();
}

TEST(names_that_are_too_long_are_told_about_and_not_shown)
{
    static char name[2000];
    serve(AQ_READ);
    own.long_name = name;
    aq_fill(name, 'n', sizeof name - 1);
    aq_sync_options options = {.delete_max = UINT64_MAX};
    raw_opens(&peer, AQ_ROLE_SOURCE, &options);
    host_wait(&own, SECOND);
    aq_reader r;
    CHECK(raw_next(&peer, AQ_FRAME_PROBLEM, &r));
    CHECK_EQ(aq_reader_varint(&r), AQ_NAME);
    CHECK_EQ(aq_reader_varint(&r), AQ_NAME_MAX);
    CHECK(raw_next(&peer, AQ_FRAME_ROOT, &r));
    CHECK_EQ(aq_reader_byte(&r), AQ_ROOT_COMPLETE | AQ_ROOT_BROKEN);
    link_is_fine();
}

TEST_MAIN(TEST_REF(what_is_cancelled_in_time_is_not_answered),
          TEST_REF(names_that_are_too_long_are_told_about_and_not_shown),
          TEST_REF(places_that_are_not_there_are_no_questions),
          TEST_REF(ranges_outside_a_file_are_answered_and_never_read),
          TEST_REF(block_lists_are_made_of_what_is_inside_a_file),
          TEST_REF(floods_of_questions_stay_within_bounds))
