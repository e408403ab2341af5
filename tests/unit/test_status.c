/* Statuses: scripts rely on the exit codes, peers on the numbers. */
#include "acequia.h"
#include "tests/unit/test.h"

TEST(names_exit_codes_and_numbers_stay)
{
    static const struct {
        aq_status status;
        int number;
        const char *name;
        int exit_code;
    } rows[] = {
        {AQ_OK, 0, "OK", 0},
        {AQ_NOT_FOUND, 2, "NOT_FOUND", 24},
        {AQ_NO_SPACE, 5, "NO_SPACE", 42},
        {AQ_IO, 6, "IO", 11},
        {AQ_CORRUPT, 12, "CORRUPT", 41},
        {AQ_CANCELLED, 13, "CANCELLED", 20},
        {AQ_PROTOCOL, 14, "PROTOCOL", 2},
        {AQ_DENIED, 16, "DENIED", 5},
        {AQ_TIMEOUT, 17, "TIMEOUT", 30},
        {AQ_CLOSED, 18, "CLOSED", 12},
        {AQ_CONNECT, 19, "CONNECT", 35},
        {AQ_IDENTITY, 20, "IDENTITY", 44},
        {AQ_BUSY, 21, "BUSY", 45},
        {AQ_DELETE_LIMIT, 23, "DELETE_LIMIT", 25},
        {AQ_PARTIAL, 24, "PARTIAL", 23},
        {AQ_USAGE, 26, "USAGE", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK_EQ(rows[i].status, rows[i].number);
        CHECK_STR(aq_status_name(rows[i].status), rows[i].name);
        CHECK_EQ(aq_status_exit(rows[i].status), rows[i].exit_code);
    }
}

TEST(every_status_has_words_and_only_success_is_0)
{
    for (int i = 0; i < AQ_STATUS_COUNT; i++) {
        CHECK(aq_status_name((aq_status)i)[0] != 0);
        CHECK(aq_status_text((aq_status)i)[0] != 0);
        CHECK_EQ(aq_status_exit((aq_status)i) == 0, i == AQ_OK);
    }
}

TEST(a_number_from_a_newer_peer_is_an_error_too)
{
    CHECK_STR(aq_status_name((aq_status)AQ_STATUS_COUNT), "UNKNOWN");
    CHECK(aq_status_text((aq_status)1000)[0] != 0);
    CHECK(aq_status_exit((aq_status)-1) != 0);
}

TEST_MAIN(TEST_REF(names_exit_codes_and_numbers_stay),
          TEST_REF(every_status_has_words_and_only_success_is_0),
          TEST_REF(a_number_from_a_newer_peer_is_an_error_too))
