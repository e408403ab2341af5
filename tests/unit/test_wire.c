/* The bodies with many fields: they come back whole, and every cut is noticed. */
#include "engine/base/bytes.h"
#include "engine/swarm/wire.h"
#include "tests/unit/test.h"

TEST(options_come_back)
{
    static const aq_sync_options sent = {
        .delete_extra = true,
        .size_only = true,
        .itemize = true,
        .verify_only = true,
        .modify_window_ns = -2000000000,
        .delete_max = UINT64_MAX,
        .delete_max_percent = 25,
        .transfer_max = UINT64_C(1) << 40,
        .backup = "old/yes",
        .filter = "- *.o\n+ *\n",
    };
    uint8_t bytes[256];
    aq_writer w = aq_writer_over(bytes, sizeof bytes);
    aq_options_write(&w, &sent);
    CHECK(aq_writer_fits(&w));

    aq_wire_options got;
    aq_reader r = aq_reader_over(bytes, w.size);
    aq_options_read(&r, &got);
    CHECK(!r.failed);
    CHECK_EQ(aq_reader_left(&r), 0);
    CHECK(!got.options.dry_run && got.options.delete_extra && !got.options.checksum);
    CHECK(got.options.size_only && !got.options.update && !got.options.ignore_existing);
    CHECK(!got.options.existing && got.options.itemize && got.options.verify_only);
    CHECK_EQ(got.options.modify_window_ns, sent.modify_window_ns);
    CHECK(got.options.delete_max == sent.delete_max);
    CHECK_EQ(got.options.delete_max_percent, 25);
    CHECK_EQ(got.options.transfer_max, sent.transfer_max);
    CHECK_EQ(got.backup_size, 7);
    CHECK_EQ(aq_compare(got.backup, sent.backup, 7), 0);
    CHECK_EQ(got.filter_size, 10);
    CHECK_EQ(aq_compare(got.filter, sent.filter, 10), 0);
    for (size_t cut = 0; cut < w.size; cut++) {
        r = aq_reader_over(bytes, cut);
        aq_options_read(&r, &got);
        CHECK(r.failed);
    }
}

TEST(statistics_come_back)
{
    static const aq_stats sent = {
        .files_total = 1,
        .bytes_total = UINT64_MAX,
        .files_done = 3,
        .bytes_matched = UINT64_C(1) << 62,
        .errors = 7,
        .complete = true,
        .current = "a/b",
    };
    uint8_t bytes[512];
    aq_writer w = aq_writer_over(bytes, sizeof bytes);
    aq_stats_write(&w, &sent);
    CHECK(aq_writer_fits(&w));
    aq_stats got;
    aq_reader r = aq_reader_over(bytes, w.size);
    aq_stats_read(&r, &got);
    CHECK(!r.failed);
    CHECK_EQ(aq_reader_left(&r), 0);
    CHECK_EQ(got.files_total, 1);
    CHECK(got.bytes_total == UINT64_MAX);
    CHECK_EQ(got.files_done, 3);
    CHECK_EQ(got.bytes_matched, sent.bytes_matched);
    CHECK_EQ(got.errors, 7);
    CHECK(got.complete && !got.scanning);
    CHECK_STR(got.current, "a/b");
    for (size_t cut = 0; cut < w.size; cut++) {
        r = aq_reader_over(bytes, cut);
        aq_stats_read(&r, &got);
        CHECK(r.failed);
    }
}

TEST(a_file_name_too_long_for_its_room_is_refused)
{
    aq_stats sent = {0};
    uint8_t bytes[512];
    aq_fill(sent.current, 'x', sizeof sent.current - 1);
    aq_writer w = aq_writer_over(bytes, sizeof bytes);
    aq_stats_write(&w, &sent);
    aq_stats got;
    aq_reader r = aq_reader_over(bytes, w.size);
    aq_stats_read(&r, &got);
    CHECK(!r.failed);
    CHECK_EQ(aq_string_size(got.current), sizeof got.current - 1);

    /* The same with one byte more, as another program could write it. */
    size_t head = w.size - (sizeof sent.current - 1) - 2;
    w.size = head;
    aq_writer_varint(&w, sizeof got.current);
    aq_fill(bytes + w.size, 'x', sizeof got.current);
    r = aq_reader_over(bytes, w.size + sizeof got.current);
    aq_stats_read(&r, &got);
    CHECK(r.failed);
}

TEST(frames_have_names_and_sides)
{
    CHECK_STR(aq_frame_name(AQ_FRAME_HELLO), "HELLO");
    CHECK_STR(aq_frame_name(0), "?");
    CHECK(!aq_frame_is_known(0));
    CHECK(!aq_frame_is_known(AQ_FRAME_OPTIONAL));
    CHECK(!aq_frame_is_session(AQ_FRAME_HELLO));
    CHECK(aq_frame_is_session(AQ_FRAME_DATA));
    CHECK(!aq_frame_is_session(255));
    for (int type = 0; type < AQ_FRAME_OPTIONAL; type++) {
        CHECK_EQ(aq_frame_is_known((uint8_t)type), aq_frame_name((uint8_t)type)[0] != '?');
    }
}

TEST_MAIN(TEST_REF(options_come_back), TEST_REF(statistics_come_back),
          TEST_REF(a_file_name_too_long_for_its_room_is_refused),
          TEST_REF(frames_have_names_and_sides))
