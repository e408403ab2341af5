/* test_status.c: any value has a name, a text and an exit code. */
#include "acequia.h"
#include "test.h"

TEST(any_status_is_described)
{
    CHECK_STR(aq_status_name(AQ_OK), "OK");
    CHECK_EQ(aq_status_exit(AQ_OK), 0);
    CHECK_STR(aq_status_name(AQ_NO_SPACE), "NO_SPACE");
    CHECK_EQ(aq_status_exit(AQ_NO_SPACE), 42);
    CHECK_EQ(aq_status_exit(AQ_USAGE), 1);
    for (int i = -1; i < AQ_STATUS_COUNT + 2; i++) {
        CHECK(aq_status_name((aq_status)i)[0] != '\0');
        CHECK(aq_status_text((aq_status)i)[0] != '\0');
        CHECK((aq_status_exit((aq_status)i) == 0) == (i == AQ_OK));
    }
}

TEST_MAIN(TEST_REF(any_status_is_described))
