/* Two honest engines under conditions that are not: a link that gives one byte at a time,
 * files that change all the while, files that cannot be read. */
#include "tests/unit/engine_host.h"

static host client, server;

static void pair_open(void)
{
    aq_config config = config_of(1);
    host_open(&client, &config, false);
    config = config_of(2);
    host_open(&server, &config, false);
    (void)aq_root_add(client.e, "", 0);
    (void)aq_root_add(server.e, "f", AQ_READ | AQ_WRITE);
}

static void sync_begin(aq_direction direction, const aq_sync_options *options)
{
    aq_link_open(client.e, LINK, &(aq_link_config){.client = true});
    aq_link_open(server.e, LINK, &(aq_link_config){0});
    (void)aq_sync_start(client.e, LINK, 0, "f", direction, options);
}

static bool is_same(const char *path)
{
    const object *a = object_find(&client, path), *b = object_find(&server, path);
    return a != NULL && b != NULL && a->size == b->size && a->mtime_ns == b->mtime_ns &&
           aq_compare(a->data, b->data, a->size) == 0;
}

static const aq_sync_options plain = {.delete_max = UINT64_MAX};

TEST(one_byte_at_a_time_is_enough)
{
    pair_open();
    (void)file_add(&server, "large", 9000, 1);
    (void)file_add(&server, "small", 50, 2);
    (void)object_add(&server, AQ_TYPE_DIRECTORY, "d", 5);
    (void)file_add(&server, "d/x", 0, 3);
    (void)file_add(&client, "large", 8000, 1); /* so that pages and blocks are asked for */
    sync_begin(AQ_PULL, &plain);
    hosts_talk(&client, &server, 1, 10);
    CHECK(client.ended);
    CHECK_EQ(client.end_status, AQ_OK);
    CHECK(is_same("large") && is_same("small") && is_same("d/x"));
    CHECK(aq_memory_peak(client.e) < 6 << 20);
    CHECK(aq_memory_peak(server.e) < 6 << 20);
}

/* Whatever happens to it meanwhile, the link stays and the last state arrives, at the
 * latest with the next sync. */
TEST(a_file_that_changes_all_the_while_ends_no_link)
{
    for (unsigned every = 1; every < 12; every++) {
        for (unsigned basis = 0; basis < 2; basis++) {
            pair_open();
            object *log = file_add(&server, "log", 9000, 1);
            if (basis) {
                (void)file_add(&client, "log", 7000, 1);
            }
            sync_begin(AQ_PULL, &plain);
            for (unsigned i = 0; i < 4000 && !client.ended; i++) {
                (void)hosts_pump(&client, &server, 700);
                if (i % every == 0 && i < 60) {
                    log->size += i % 2 != 0 ? 37 : (uint32_t)-11;
                    log->mtime_ns++;
                    log->restless = every % 3;
                }
                host_wait(&client, SECOND / 50);
                host_wait(&server, SECOND / 50);
            }
            CHECK(client.ended);
            CHECK(!client.down && !server.down);
            CHECK(client.end_status == AQ_OK || client.end_status == AQ_PARTIAL);
            client.ended = false;
            (void)aq_sync_start(client.e, LINK, 0, "f", AQ_PULL, &plain);
            hosts_talk(&client, &server, 100000, 2);
            CHECK(client.ended);
            CHECK_EQ(client.end_status, AQ_OK);
            CHECK(is_same("log"));
        }
    }
}

TEST(a_check_tells_what_it_cannot_read_from_what_differs)
{
    const aq_sync_options check = {
        .delete_max = UINT64_MAX, .verify_only = true, .itemize = true};
    for (unsigned c = 0; c < 4; c++) {
        pair_open();
        object *there = file_add(&server, "x", 500, 1);
        object *here = file_add(&client, "x", 500, 1);
        there->secret = c == 1;
        here->secret = c == 2;
        here->data[7] ^= c == 3;
        sync_begin(AQ_PULL, &check);
        hosts_talk(&client, &server, 100000, 2);
        CHECK(client.ended);
        bool unreadable = c == 1 || c == 2;
        CHECK_EQ(client.end_status, unreadable ? AQ_PARTIAL : AQ_OK);
        CHECK_EQ(client.problems, unreadable);
        CHECK_EQ(client.changes, c == 3);
        CHECK(!unreadable || client.problem_status == AQ_ACCESS);
    }
}

TEST(what_a_server_warns_of_reaches_the_client)
{
    const aq_sync_options options = {.delete_extra = true, .delete_max = 0};
    pair_open();
    (void)file_add(&client, "a", 10, 1);
    (void)file_add(&server, "b", 10, 1);
    sync_begin(AQ_PUSH, &options);
    hosts_talk(&client, &server, 100000, 2);
    CHECK_EQ(client.end_status, AQ_DELETE_LIMIT);
    CHECK_EQ(client.warnings, 1);
    CHECK(object_find(&server, "b") != NULL);
    CHECK(is_same("a"));
}

TEST_MAIN(TEST_REF(one_byte_at_a_time_is_enough),
          TEST_REF(a_file_that_changes_all_the_while_ends_no_link),
          TEST_REF(a_check_tells_what_it_cannot_read_from_what_differs),
          TEST_REF(what_a_server_warns_of_reaches_the_client))
