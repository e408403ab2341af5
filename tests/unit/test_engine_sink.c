/* A sink, told lies: names, types, sizes, maps and content that cannot be. Nothing of it
 * gets to the disk, and memory stays within bounds; the honest twin of each still works. */
#include "engine/data/blake3.h"
#include "engine/data/chunker.h"
#include "engine/sync/path.h"
#include "tests/unit/engine_scene.h"

/* ---- telling a sink ---- */

TEST(a_root_that_is_complete_twice_is_refused)
{
    sink_asks();
    (void)root_frame(1);
    raw_send(&peer, AQ_FRAME_ROOT);
    link_is_dropped(AQ_PROTOCOL);
    CHECK(own.ended);
}

TEST(only_a_sink_says_that_all_is_done)
{
    for (unsigned status = 0; status < 2; status++) {
        sink_asks();
        aq_writer *w = body_of(1);
        aq_writer_varint(w, status == 0 ? AQ_OK : AQ_ROOT);
        aq_stats_write(w, &(aq_stats){0});
        raw_send(&peer, AQ_FRAME_END);
        CHECK(own.ended);
        CHECK_EQ(own.end_status, status == 0 ? AQ_PROTOCOL : AQ_ROOT);
    }
}

TEST(evil_names_are_refused_and_odd_ones_are_not)
{
    static const struct {
        const char *name;
        bool fine;
    } cases[] = {
        {"", false},         {".", false},
        {"..", false},       {"a/b", false},
        {"/a", false},       {"\xff", false},
        {"\xc0\xaf", false}, {"\xed\xa0\x80", false},
        {".acequia", false}, {".ACEQUIA", false},
        {"...", true},       {"..a", true},
        {"CON", true},       {"a\\b", true},
        {"C:", true},        {"a\nb", true},
        {" ", true},         {"\xc3\xa9", true},
        {".acequiax", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sink_asks();
        entry_file(listing(0, true), cases[i].name, 10);
        raw_send(&peer, AQ_FRAME_LISTING);
        if (cases[i].fine) {
            aq_reader r;
            CHECK(raw_next(&peer, AQ_FRAME_WANT, &r));
            link_is_fine();
        } else {
            link_is_dropped(AQ_PROTOCOL);
        }
    }
}

TEST(a_name_with_a_nul_is_refused)
{
    sink_asks();
    aq_writer *w = listing(0, true);
    aq_writer_byte(w, AQ_TYPE_FILE);
    aq_writer_string(w, "a\0b", 3);
    aq_writer_signed(w, 0);
    aq_writer_varint(w, 10);
    raw_send(&peer, AQ_FRAME_LISTING);
    link_is_dropped(AQ_PROTOCOL);
}

TEST(entries_out_of_order_or_twice_are_refused)
{
    static const char *const cases[][2] = {{"a", "a"}, {"b", "a"}, {"a/", "a"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sink_asks();
        aq_writer *w = listing(0, true);
        entry_file(w, cases[i][0], 1);
        entry_file(w, cases[i][1], 1);
        raw_send(&peer, AQ_FRAME_LISTING);
        link_is_dropped(AQ_PROTOCOL);
    }
}

TEST(types_that_are_not_content_are_refused)
{
    for (uint8_t type = 0; type < 16; type++) {
        sink_asks();
        aq_writer *w = listing(0, true);
        entry_head(w, type, "x");
        if (type == AQ_TYPE_SYMLINK) {
            aq_writer_string(w, "t", 1);
        } else {
            aq_writer_varint(w, 9); /* a size, or a directory's number */
        }
        raw_send(&peer, AQ_FRAME_LISTING);
        if (type >= AQ_TYPE_FILE && type <= AQ_TYPE_SYMLINK) {
            link_is_fine();
        } else {
            link_is_dropped(AQ_PROTOCOL);
        }
    }
}

TEST(nothing_is_made_ready_for_sizes_that_are_only_said)
{
    sink_options.dry_run = true;
    sink_asks();
    uint64_t before = aq_memory_used(own.e);
    aq_writer *w = listing(0, true);
    entry_file(w, "a", INT64_MAX);
    entry_file(w, "b", INT64_MAX);
    entry_file(w, "c", INT64_MAX);
    raw_send(&peer, AQ_FRAME_LISTING);
    link_is_fine();
    CHECK(aq_memory_used(own.e) < before + (256 << 10));
    sink_asks();
    entry_file(listing(0, true), "a", (uint64_t)INT64_MAX + 1);
    raw_send(&peer, AQ_FRAME_LISTING);
    link_is_dropped(AQ_PROTOCOL);
    sink_options.dry_run = false;
}

/* Directories in directories; returns how deep it went. */
static unsigned nest(unsigned depth)
{
    sink_options.dry_run = true;
    sink_asks();
    unsigned d = 0;
    while (d < depth && !own.down) {
        entry_dir(listing(d, true), "d", d + 1);
        raw_send(&peer, AQ_FRAME_LISTING);
        host_wait(&own, SECOND);
        aq_reader r;
        if (raw_next(&peer, AQ_FRAME_LIST, &r)) {
            CHECK_EQ(aq_reader_varint(&r), ++d);
        } else {
            break;
        }
    }
    sink_options.dry_run = false;
    return d;
}

TEST(directories_nest_as_deep_as_a_path_may_and_no_deeper)
{
    CHECK_EQ(nest(100), 100);
    link_is_fine();
    CHECK_EQ(nest(200), AQ_DEPTH_MAX - 1);
    link_is_dropped(AQ_PROTOCOL);
}

TEST(a_listing_without_an_end_stops_at_the_memory_limit)
{
    sink_asks();
    char name[] = "aaaaaa";
    for (unsigned i = 0; i < 2000 && !own.ended && !own.down; i++) {
        aq_writer *w = listing(0, false);
        while (w->size < AQ_FRAME_MAX - 64) {
            for (size_t k = 5; ++name[k] > 'z'; k--) {
                name[k] = 'a';
            }
            entry_file(w, name, 10);
        }
        raw_send(&peer, AQ_FRAME_LISTING);
    }
    CHECK(own.ended);
    CHECK_EQ(own.end_status, AQ_MEMORY);
}

TEST(ids_behind_half_a_listing_are_refused)
{
    sink_begin();
    (void)file_add(&own, "own", 10, 1);
    /* The scan saw nothing yet: begin again, with a file of ours. */
    aq_config config = config_of(9);
    host_open(&own, &config, true);
    (void)aq_root_add(own.e, "", 0);
    raw_open(&peer, &own, false);
    (void)aq_sync_start(own.e, LINK, 0, "f", AQ_PULL, &sink_options);
    raw_hello(&peer);
    raw_agrees(&peer);
    (void)root_frame(1);
    raw_send(&peer, AQ_FRAME_ROOT);
    aq_reader r;
    CHECK(raw_next(&peer, AQ_FRAME_LIST, &r));
    CHECK_EQ(aq_reader_varint(&r), 0);
    CHECK_EQ(aq_reader_byte(&r), 1); /* by ids */
    aq_writer *w = listing(0, false);
    entry_file(w, "x", 1);
    raw_send(&peer, AQ_FRAME_LISTING);
    aq_writer_bytes(listing(0, true), "\1\2\3\4\5\6\7\10", 8);
    raw_send(&peer, AQ_FRAME_IDS);
    w = listing(0, true);
    entry_file(w, "y", 1);
    entry_file(w, "z", 1);
    raw_send(&peer, AQ_FRAME_LISTING);
    link_is_dropped(AQ_PROTOCOL);
}

/* ---- content ---- */

static uint64_t file_is_wanted(const char *name, uint64_t size)
{
    sink_asks();
    entry_file(listing(0, true), name, size);
    raw_send(&peer, AQ_FRAME_LISTING);
    aq_reader r;
    CHECK(raw_next(&peer, AQ_FRAME_WANT, &r));
    return aq_reader_varint(&r);
}

static aq_writer *data_frame(uint64_t request, const char *content, size_t size,
                             const char *hash_of)
{
    aq_writer *w = body_of(1);
    aq_hash hash;
    aq_blake3(hash_of, aq_string_size(hash_of), &hash);
    aq_writer_varint(w, request);
    aq_writer_byte(w, 1 | 4);
    aq_writer_bytes(w, &hash, sizeof hash);
    aq_writer_bytes(w, content, size);
    return w;
}

TEST(content_that_is_right_is_taken)
{
    (void)data_frame(file_is_wanted("x", 5), "hello", 5, "hello");
    raw_send(&peer, AQ_FRAME_DATA);
    host_wait(&own, 6 * SECOND);
    const object *o = object_find(&own, "x");
    CHECK(o != NULL && o->size == 5);
    CHECK(own.problems == 0);
}

TEST(content_that_is_not_is_never_shown)
{
    static const struct {
        const char *content;
        size_t size;
        aq_status link;
    } cases[] = {{"hellx", 5, AQ_OK},
                 {"hell", 4, AQ_OK},
                 {"", 0, AQ_OK},
                 {"hello!", 6, AQ_PROTOCOL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t request = file_is_wanted("x", 5);
        for (unsigned tries = 0; tries < 10 && !own.down; tries++) {
            (void)data_frame(request, cases[i].content, cases[i].size, "hello");
            raw_send(&peer, AQ_FRAME_DATA);
            aq_reader r;
            if (!raw_next(&peer, AQ_FRAME_WANT, &r)) {
                break;
            }
            request = aq_reader_varint(&r);
        }
        host_wait(&own, 6 * SECOND);
        CHECK(object_find(&own, "x") == NULL);
        if (cases[i].link != AQ_OK) {
            link_is_dropped(cases[i].link);
        } else {
            CHECK(own.problems != 0);
        }
    }
}

TEST(content_that_nobody_asked_for_is_dropped)
{
    uint64_t request = file_is_wanted("x", 5);
    uint64_t before = aq_memory_used(own.e);
    for (unsigned i = 0; i < 500; i++) {
        (void)data_frame(request + 1 + i, "hello", 5, "hello");
        raw_send(&peer, AQ_FRAME_DATA);
    }
    CHECK(aq_memory_used(own.e) <= before + 4096);
    CHECK_EQ(own.ops[AQ_OP_STAGE], 0);
    link_is_fine();
}

TEST(chunks_have_a_size_that_chunks_can_have)
{
    const aq_profile *profile = aq_profile_get(AQ_PROFILE_SMALL);
    const struct {
        uint64_t size;
        bool fine;
    } cases[] = {{0, false},
                 {1, false}, /* only the last one may be so small */
                 {profile->chunk_min - 1, false},
                 {profile->chunk_min, true},
                 {profile->chunk_max, true},
                 {profile->chunk_max + 1, false},
                 {UINT32_MAX, false},
                 {UINT64_MAX, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t number = sink_wants_map(20000);
        aq_writer *w = map_frame(number, 0);
        aq_writer_varint(w, cases[i].size);
        aq_writer_bytes(w, &no_hash, sizeof no_hash);
        raw_send(&peer, AQ_FRAME_MAP);
        if (cases[i].fine) {
            link_is_fine();
        } else {
            link_is_dropped(AQ_PROTOCOL);
        }
    }
}

/* Not the peer's fault, perhaps: the file may have changed in the meantime. */
static void asks_what_it_is_now(void)
{
    aq_reader r;
    CHECK(raw_next(&peer, AQ_FRAME_WANT, &r));
    uint64_t request = aq_reader_varint(&r);
    (void)aq_reader_varint(&r);
    (void)aq_reader_varint(&r);
    CHECK_EQ(aq_reader_byte(&r), AQ_WANT_STAMP);
    aq_writer *w = body_of(1);
    aq_writer_varint(w, request);
    aq_writer_bytes(w, "\x03\x01\x01\x00", 4); /* last, CHANGED: a file */
    aq_writer_varint(w, 5);
    aq_writer_signed(w, 9);
    raw_send(&peer, AQ_FRAME_DATA);
    CHECK(raw_next(&peer, AQ_FRAME_WANT, &r)); /* a small one now */
    link_is_fine();
}

TEST(a_map_that_is_larger_than_its_file_is_not_believed)
{
    uint64_t number = sink_wants_map(2000);
    aq_writer *w = map_frame(number, 0);
    for (unsigned i = 0; i < 3; i++) {
        aq_writer_varint(w, 1000);
        aq_writer_bytes(w, &no_hash, sizeof no_hash);
    }
    raw_send(&peer, AQ_FRAME_MAP);
    asks_what_it_is_now();
}

TEST(a_map_without_end_stops_at_the_memory_limit)
{
    uint64_t number = sink_wants_map(INT64_MAX);
    for (unsigned f = 0; f < 2000 && !own.ended && !own.down; f++) {
        aq_writer *w = map_frame(number, 0);
        while (w->size < AQ_FRAME_MAX - 64) {
            aq_writer_varint(w, 64);
            aq_writer_bytes(w, &no_hash, sizeof no_hash);
        }
        raw_send(&peer, AQ_FRAME_MAP);
        peer.at = peer.size = 0;
        raw_receive(&peer);
    }
    CHECK(own.ended);
    CHECK_EQ(own.end_status, AQ_MEMORY);
}

TEST(a_map_that_fails_again_and_again_asks_once)
{
    uint64_t number = sink_wants_map(20000);
    for (unsigned i = 0; i < 9000; i++) {
        aq_writer_varint(map_frame(number, 4), AQ_IO);
        raw_send(&peer, AQ_FRAME_MAP);
    }
    link_is_fine();
}

TEST(answers_about_an_older_map_are_not_taken_for_the_new_one)
{
    uint64_t number = sink_wants_map(20000);
    aq_writer *w = map_frame(number + 1, 0);
    aq_writer_varint(w, 999999);
    raw_send(&peer, AQ_FRAME_MAP);
    link_is_fine();
}

/* The sink has an older version of the file, and asks for pages. */
TEST(pages_that_do_not_add_up_are_not_believed)
{
    aq_config config = config_of(9);
    host_open(&own, &config, false);
    (void)file_add(&own, "x", 4000, 1);
    (void)aq_root_add(own.e, "", 0);
    raw_open(&peer, &own, false);
    (void)aq_sync_start(own.e, LINK, 0, "f", AQ_PULL, &sink_options);
    raw_hello(&peer);
    raw_agrees(&peer);
    (void)root_frame(1);
    raw_send(&peer, AQ_FRAME_ROOT);
    aq_reader r;
    CHECK(raw_next(&peer, AQ_FRAME_LIST, &r));
    entry_file(listing(0, true), "x", 5000);
    raw_send(&peer, AQ_FRAME_LISTING);
    CHECK(raw_next(&peer, AQ_FRAME_MAP_WANT, &r));
    uint64_t number = aq_reader_varint(&r);
    aq_writer_bytes(map_frame(number, 1), &no_hash, sizeof no_hash);
    raw_send(&peer, AQ_FRAME_MAP);
    aq_writer *w = map_frame(number, 3);
    aq_writer_varint(w, 7);
    aq_writer_bytes(w, &no_hash, sizeof no_hash);
    raw_send(&peer, AQ_FRAME_MAP);
    CHECK(raw_next(&peer, AQ_FRAME_PAGES, &r));
    w = map_frame(number, 2);
    aq_writer_varint(w, 0);
    aq_writer_varint(w, 64);
    aq_writer_bytes(w, &no_hash, sizeof no_hash);
    raw_send(&peer, AQ_FRAME_MAP);
    asks_what_it_is_now();
}

TEST_MAIN(TEST_REF(a_root_that_is_complete_twice_is_refused),
          TEST_REF(only_a_sink_says_that_all_is_done),
          TEST_REF(evil_names_are_refused_and_odd_ones_are_not),
          TEST_REF(a_name_with_a_nul_is_refused),
          TEST_REF(entries_out_of_order_or_twice_are_refused),
          TEST_REF(types_that_are_not_content_are_refused),
          TEST_REF(nothing_is_made_ready_for_sizes_that_are_only_said),
          TEST_REF(directories_nest_as_deep_as_a_path_may_and_no_deeper),
          TEST_REF(a_listing_without_an_end_stops_at_the_memory_limit),
          TEST_REF(ids_behind_half_a_listing_are_refused),
          TEST_REF(content_that_is_right_is_taken),
          TEST_REF(content_that_is_not_is_never_shown),
          TEST_REF(content_that_nobody_asked_for_is_dropped),
          TEST_REF(chunks_have_a_size_that_chunks_can_have),
          TEST_REF(a_map_that_is_larger_than_its_file_is_not_believed),
          TEST_REF(a_map_without_end_stops_at_the_memory_limit),
          TEST_REF(a_map_that_fails_again_and_again_asks_once),
          TEST_REF(answers_about_an_older_map_are_not_taken_for_the_new_one),
          TEST_REF(pages_that_do_not_add_up_are_not_believed))
