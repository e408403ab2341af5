/* Strangers at the door: frames, handshakes and openings that lie, flood or fall silent,
 * each beside the honest one that looks like it. Demanded are a typed end, no trap, nothing
 * done for who is not let in, and memory within bounds. */
#include "engine/data/blake3.h"
#include "tests/unit/engine_scene.h"

/* ---- framing ---- */

TEST(a_frame_that_is_too_long_is_refused)
{
    static const struct {
        const char *head;
        size_t size;
    } cases[] = {
        {"\xff\xff\xff\xff\x0f\x40", 6}, /* 2^32 - 1 */
        {"\x81\x80\x04\x40", 4},         /* one more than the limit */
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x40", 11},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        serve(AQ_READ);
        uint64_t before = aq_memory_used(own.e);
        raw_bytes(&peer, cases[i].head, cases[i].size);
        link_is_dropped(AQ_PROTOCOL);
        CHECK(aq_memory_used(own.e) <= before + (256 << 10));
    }
}

TEST(a_frame_of_full_length_is_read)
{
    serve(AQ_READ);
    aq_writer *w = body();
    w->size = AQ_FRAME_MAX;
    raw_send(&peer, AQ_FRAME_OPTIONAL + 3);
    link_is_fine();
}

TEST(an_overlong_number_is_refused)
{
    serve(AQ_READ);
    raw_bytes(&peer, "\x81\x00\x03\x05", 4); /* a PING whose size takes two bytes */
    link_is_dropped(AQ_PROTOCOL);
}

TEST(unknown_frames_are_skipped_only_when_optional)
{
    for (unsigned type = 0; type < 256; type++) {
        if (aq_frame_is_known((uint8_t)type)) {
            continue;
        }
        serve(AQ_READ);
        (void)body();
        raw_send(&peer, (uint8_t)type);
        if (type < AQ_FRAME_OPTIONAL) {
            link_is_dropped(AQ_PROTOCOL);
        } else {
            link_is_fine();
        }
    }
}

TEST(a_handshake_that_trickles_is_cut_off)
{
    aq_config config = config_of(7);
    serve_with(&config, AQ_READ);
    hello_write(1, 1, 0);
    raw_bytes(&peer, "\x2d\x01", 2);
    for (size_t i = 0; i < raw_writer.size && !own.down; i++) {
        host_wait(&own, SECOND);
        CHECK(own.now_ns <= 11 * SECOND);
        raw_bytes(&peer, raw_room + i, 1);
    }
    link_is_dropped(AQ_TIMEOUT);
}

TEST(a_slow_handshake_is_waited_for)
{
    aq_config config = config_of(7);
    serve_with(&config, AQ_READ);
    hello_write(1, 1, 0);
    CHECK_EQ(raw_writer.size, 0x2d);
    raw_bytes(&peer, "\x2d\x01", 2);
    for (size_t i = 0; i < raw_writer.size; i++) {
        host_wait(&own, SECOND / 5);
        raw_bytes(&peer, raw_room + i, 1);
    }
    link_is_fine();
}

TEST(pings_that_nobody_reads_the_answers_of_end_the_link)
{
    sink_wants_map(20000);
    uint64_t before = aq_memory_peak(own.e);
    static uint8_t pings[30000];
    for (size_t i = 0; i < sizeof pings; i += 3) {
        aq_copy(pings + i, "\x01\x03\x05", 3);
    }
    for (unsigned i = 0; i < 600 && !own.down; i++) {
        raw_bytes(&peer, pings, sizeof pings);
        /* Work of its own, which wants to send, too. */
        aq_writer *w = map_frame(1, 0);
        aq_writer_varint(w, 200);
        aq_writer_bytes(w, &no_hash, sizeof no_hash);
        raw_send(&peer, AQ_FRAME_MAP);
    }
    link_is_dropped(AQ_PROTOCOL);
    CHECK(own.ended);
    CHECK(aq_memory_peak(own.e) <= before + (18 << 20));
}

TEST(many_pings_are_answered)
{
    serve(AQ_READ);
    aq_reader r;
    for (unsigned i = 0; i < 20000; i++) {
        aq_writer_varint(body(), i);
        raw_send(&peer, AQ_FRAME_PING);
        CHECK(raw_next(&peer, AQ_FRAME_PONG, &r));
        CHECK_EQ(aq_reader_varint(&r), i);
    }
    link_is_fine();
}

TEST(a_silent_peer_is_dropped)
{
    serve(AQ_READ);
    for (unsigned i = 0; i < 70 && !own.down; i++) {
        host_wait(&own, SECOND);
    }
    link_is_dropped(AQ_TIMEOUT);
}

/* ---- handshake ---- */

TEST(versions_that_do_not_meet_end_with_a_reason)
{
    static const struct {
        uint64_t low, high;
        aq_status status;
    } cases[] = {{0, 0, AQ_VERSION}, {2, 9, AQ_VERSION}, {3, 1, AQ_PROTOCOL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        aq_config config = config_of(7);
        serve_with(&config, AQ_READ);
        hello_write(cases[i].low, cases[i].high, 0);
        raw_send(&peer, AQ_FRAME_HELLO);
        link_is_dropped(cases[i].status);
    }
}

TEST(a_newer_peer_that_still_knows_our_version_is_served)
{
    aq_config config = config_of(7);
    serve_with(&config, AQ_READ);
    hello_write(1, 900, 0x80);
    aq_writer_bytes(&raw_writer, "later fields", 12);
    raw_send(&peer, AQ_FRAME_HELLO);
    link_is_fine();
}

TEST(our_own_hello_sent_back_is_refused)
{
    aq_config config = config_of(7);
    serve_with(&config, AQ_READ);
    raw_receive(&peer);
    raw_bytes(&peer, peer.bytes, peer.size);
    link_is_dropped(AQ_PROTOCOL);
}

/* What a client that knows `token` answers to the engine's HELLO. */
static void proof_send(const char *token, char role, uint8_t twist)
{
    aq_reader r;
    CHECK(raw_next(&peer, AQ_FRAME_HELLO, &r));
    (void)aq_reader_bytes(&r, 11);
    uint8_t text[1 + 32 + 64] = {(uint8_t)role};
    aq_copy(text + 33, (uint8_t[]){1, 2, 3}, 3);
    aq_reader_copy(&r, text + 65, 32);
    text[65] ^= twist;
    aq_hash key, proof;
    aq_blake3_derive_key("acequia 2026-11-22 shared token v1", token, aq_string_size(token),
                         &key);
    aq_blake3_keyed(key.bytes, text, sizeof text, &proof);
    aq_writer_bytes(body(), &proof, sizeof proof);
    raw_send(&peer, AQ_FRAME_AUTH);
}

static void serve_token(void)
{
    aq_config config = config_of(7);
    config.token = "open sesame";
    config.auth_required = true;
    serve_with(&config, AQ_READ);
    hello_write(1, 1, 0);
    raw_send(&peer, AQ_FRAME_HELLO);
    CHECK(!own.up);
}

TEST(only_the_proof_of_the_token_lets_in)
{
    serve_token();
    proof_send("open sesame", 'c', 0);
    link_is_fine();
    CHECK(own.up);
    static const struct {
        const char *token;
        char role;
        uint8_t twist;
    } wrong[] = {{"open sesam", 'c', 0},   /* another token */
                 {"open sesame", 's', 0},  /* the server's own proof, sent back */
                 {"open sesame", 'c', 1}}; /* of another connection */
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        serve_token();
        proof_send(wrong[i].token, wrong[i].role, wrong[i].twist);
        link_is_dropped(AQ_DENIED);
        CHECK(!own.up);
    }
}

TEST(nothing_is_done_for_who_is_not_let_in)
{
    serve_token();
    aq_sync_options options = {.delete_max = UINT64_MAX};
    raw_opens(&peer, AQ_ROLE_SOURCE, &options);
    link_is_dropped(AQ_PROTOCOL);
    CHECK_EQ(own.ops[AQ_OP_LIST] + own.ops[AQ_OP_READ] + own.ops[AQ_OP_STAT], 0);
}

/* ---- opening ---- */

static aq_status opened_status(void)
{
    aq_reader r;
    CHECK(raw_next(&peer, AQ_FRAME_OPENED, &r));
    return (aq_status)aq_reader_varint(&r);
}

TEST(rights_are_checked_before_anything_is_read)
{
    static const struct {
        unsigned rights;
        uint8_t role;
        bool dry_run;
        aq_status status;
    } cases[] = {
        {0, AQ_ROLE_SOURCE, false, AQ_DENIED},
        {0, AQ_ROLE_SINK, true, AQ_DENIED},
        {AQ_READ, AQ_ROLE_SINK, false, AQ_DENIED},
        {AQ_READ, AQ_ROLE_SINK, true, AQ_OK},
        {AQ_READ, AQ_ROLE_SOURCE, false, AQ_OK},
        {AQ_WRITE, AQ_ROLE_SINK, false, AQ_OK},
        {AQ_WRITE, AQ_ROLE_SOURCE, false, AQ_DENIED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        serve(cases[i].rights);
        aq_sync_options options = {.delete_max = UINT64_MAX, .dry_run = cases[i].dry_run};
        raw_opens(&peer, cases[i].role, &options);
        CHECK_EQ(opened_status(), cases[i].status);
        bool looked = own.ops[AQ_OP_LIST] != 0;
        CHECK_EQ(looked, cases[i].status == AQ_OK);
        /* Asking all the same changes nothing. */
        aq_writer *w = body_of(1);
        aq_writer_varint(w, 0);
        aq_writer_byte(w, 0);
        if (cases[i].status != AQ_OK) {
            raw_send(&peer, AQ_FRAME_LIST);
            CHECK_EQ(own.ops[AQ_OP_LIST], 0);
            link_is_fine();
        }
    }
}

TEST(a_backup_lies_below_the_root_and_not_in_our_own_folder)
{
    static const struct {
        const char *backup;
        aq_status status;
    } cases[] = {{"old", AQ_OK},           {"old/deep", AQ_OK},     {"../old", AQ_USAGE},
                 {"/old", AQ_USAGE},       {"old//deep", AQ_USAGE}, {".acequia", AQ_USAGE},
                 {".Acequia/x", AQ_USAGE}, {"x/.acequia", AQ_OK},   {".acequia2", AQ_OK}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        serve(AQ_READ | AQ_WRITE);
        aq_sync_options options = {.delete_max = UINT64_MAX, .backup = cases[i].backup};
        raw_opens(&peer, AQ_ROLE_SINK, &options);
        CHECK_EQ(opened_status(), cases[i].status);
        link_is_fine();
    }
}

TEST(sessions_of_one_link_are_few_also_ended_ones)
{
    serve(AQ_READ | AQ_WRITE);
    own.holds_reads = true;
    for (uint32_t i = 1; i <= 400; i++) {
        aq_writer *w = body_of(i);
        aq_writer_byte(w, AQ_ROLE_SINK);
        aq_writer_string(w, "f", 1);
        aq_options_write(w, &(aq_sync_options){.delete_max = UINT64_MAX});
        raw_queue(&peer, AQ_FRAME_OPEN);
        w = body_of(i);
        aq_writer_varint(w, AQ_CANCELLED);
        aq_stats_write(w, &(aq_stats){0});
        raw_queue(&peer, AQ_FRAME_END);
    }
    CHECK(aq_memory_used(own.e) < 12 << 20);
    link_is_fine();
    host_release(&own);
    serve(AQ_READ | AQ_WRITE);
    aq_sync_options options = {.delete_max = UINT64_MAX};
    raw_opens(&peer, AQ_ROLE_SINK, &options);
    CHECK_EQ(opened_status(), AQ_OK);
}

TEST(strangers_in_any_number_are_hung_up_on_in_time)
{
    serve(AQ_READ);
    for (uint32_t link = 2; link < 200; link++) {
        aq_link_open(own.e, link, &(aq_link_config){0});
        host_run(&own);
    }
    CHECK(own.hung_up);
    CHECK(aq_memory_peak(own.e) < HOST_MEMORY);
    link_serves();
    for (uint32_t link = 2; link < 200; link++) {
        aq_link_closed(own.e, link, AQ_CLOSED);
    }
    own.hung_up = false;
    aq_link_open(own.e, 200, &(aq_link_config){0});
    host_run(&own);
    CHECK(!own.hung_up);
}

TEST_MAIN(TEST_REF(strangers_in_any_number_are_hung_up_on_in_time),
          TEST_REF(a_frame_that_is_too_long_is_refused),
          TEST_REF(a_frame_of_full_length_is_read), TEST_REF(an_overlong_number_is_refused),
          TEST_REF(unknown_frames_are_skipped_only_when_optional),
          TEST_REF(a_handshake_that_trickles_is_cut_off),
          TEST_REF(a_slow_handshake_is_waited_for),
          TEST_REF(pings_that_nobody_reads_the_answers_of_end_the_link),
          TEST_REF(many_pings_are_answered), TEST_REF(a_silent_peer_is_dropped),
          TEST_REF(versions_that_do_not_meet_end_with_a_reason),
          TEST_REF(a_newer_peer_that_still_knows_our_version_is_served),
          TEST_REF(our_own_hello_sent_back_is_refused),
          TEST_REF(only_the_proof_of_the_token_lets_in),
          TEST_REF(nothing_is_done_for_who_is_not_let_in),
          TEST_REF(rights_are_checked_before_anything_is_read),
          TEST_REF(a_backup_lies_below_the_root_and_not_in_our_own_folder),
          TEST_REF(sessions_of_one_link_are_few_also_ended_ones))
