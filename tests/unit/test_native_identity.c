/* Identities and tokens on disk: made once, private, the same on the next start. */
#include "test.h"

#include "../../host/native/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char base[64];

static const char *in_base(const char *name)
{
    static char path[2][256];
    static int turn;
    turn = !turn;
    (void)snprintf(path[turn], sizeof path[turn], "%s/%s", base, name);
    return path[turn];
}

static void base_make(void)
{
    (void)snprintf(base, sizeof base, "/tmp/test-identity-XXXXXX");
    CHECK(mkdtemp(base) != NULL);
}

static void base_remove(void)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", base);
    CHECK_EQ(system(command), 0);
}

static void file_put(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");
    CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
    CHECK_EQ(chmod(path, mode), 0);
}

static unsigned mode_of(const char *path)
{
    struct stat st;
    return stat(path, &st) ? 0 : st.st_mode & 0777;
}

TEST(the_key_outlives_its_certificates)
{
    base_make();
    aq_fault fault = {0};
    aq_identity *first = aq_identity_open(in_base("a/b/c"), &fault);
    CHECK_STR(fault.text, "");
    aq_identity *second = aq_identity_open(in_base("a/b/c"), &fault);
    aq_identity *other = aq_identity_open(in_base("d"), &fault);
    if (first && second && other) {
        CHECK(!memcmp(aq_identity_fingerprint(first), aq_identity_fingerprint(second), 32));
        CHECK(memcmp(aq_identity_fingerprint(first), aq_identity_fingerprint(other), 32));
        CHECK(aq_identity_is_self_signed(first));
    }
    CHECK_EQ(mode_of(in_base("a/b/c")), 0700);
    CHECK_EQ(mode_of(in_base("a/b/c/identity-key.pem")), 0600);
    aq_identity_close(first);
    aq_identity_close(second);
    aq_identity_close(other);
    base_remove();
}

TEST(a_key_that_is_broken_or_open_to_others_is_refused)
{
    base_make();
    aq_fault fault = {0};
    aq_identity_close(aq_identity_open(base, &fault));
    CHECK_EQ(chmod(in_base("identity-key.pem"), 0640), 0);
    CHECK(!aq_identity_open(base, &fault));
    CHECK(strstr(fault.text, "chmod 600") != NULL);
    file_put(in_base("identity-key.pem"), "nonsense\n", 0600);
    CHECK(!aq_identity_open(base, &fault));
    CHECK(strstr(fault.text, "identity-key.pem") != NULL);
    base_remove();
}

TEST(a_missing_certificate_is_named)
{
    base_make();
    aq_fault fault = {0};
    CHECK(!aq_identity_load(in_base("no.pem"), in_base("key.pem"), &fault));
    CHECK(strstr(fault.text, "no.pem") != NULL);
    file_put(in_base("no.pem"), "x", 0600);
    file_put(in_base("key.pem"), "x", 0600);
    CHECK(!aq_identity_load(in_base("no.pem"), in_base("key.pem"), &fault));
    CHECK_EQ(fault.status, AQ_USAGE);
    base_remove();
}

TEST(a_token_is_made_once_and_private)
{
    base_make();
    aq_fault fault = {0};
    char token[AQ_TOKEN_SIZE], again[AQ_TOKEN_SIZE];
    CHECK_EQ(aq_token_make(in_base("token"), token, &fault), AQ_OK);
    CHECK_EQ(strlen(token), 26);
    CHECK_EQ(mode_of(in_base("token")), 0600);
    CHECK_EQ(aq_token_make(in_base("token"), again, &fault), AQ_OK);
    CHECK_STR(again, token);
    /* On a fresh machine there is no state directory yet. */
    CHECK_EQ(aq_token_make(in_base("new/state/token"), again, &fault), AQ_OK);
    CHECK_EQ(mode_of(in_base("new/state/token")), 0600);
    base_remove();
}

TEST(token_files_are_read_by_their_first_line)
{
    static char huge[70000];
    memset(huge, 'x', sizeof huge - 1);
    static const struct {
        const char *text, *token;
        mode_t mode;
        aq_status status;
    } rows[] = {
        {"secret", "secret", 0600, AQ_OK},
        {"secret\n", "secret", 0640, AQ_OK},
        {"se cret\r\nmore\n", "se cret", 0600, AQ_OK},
        {"", "", 0600, AQ_USAGE},
        {"\nsecret\n", "", 0600, AQ_USAGE},
        {"secret\n", "", 0604, AQ_ACCESS},
        {huge, "", 0600, AQ_IO},
        {huge + 69000, "", 0600, AQ_USAGE},
    };
    base_make();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char token[AQ_TOKEN_SIZE] = "";
        aq_fault fault = {0};
        file_put(in_base("token"), rows[i].text, rows[i].mode);
        CHECK_EQ(aq_token_read(in_base("token"), token, &fault), rows[i].status);
        CHECK_STR(token, rows[i].token);
        CHECK(rows[i].status == AQ_OK || fault.text[0]);
    }
    char token[AQ_TOKEN_SIZE];
    CHECK_EQ(aq_token_read(in_base("nothing"), token, NULL), AQ_NOT_FOUND);
    base_remove();
}

TEST(state_home_follows_xdg)
{
    char out[64];
    CHECK_EQ(setenv("HOME", "/home/x", 1), 0);
    CHECK_EQ(setenv("XDG_STATE_HOME", "/s", 1), 0);
    CHECK(aq_state_home(out, sizeof out));
    CHECK_STR(out, "/s/acequia");
    CHECK_EQ(setenv("XDG_STATE_HOME", "relative", 1), 0);
    CHECK(aq_state_home(out, sizeof out));
    CHECK_STR(out, "/home/x/.local/state/acequia");
    CHECK(!aq_state_home(out, 5));
    CHECK_EQ(unsetenv("XDG_STATE_HOME"), 0);
    CHECK_EQ(unsetenv("HOME"), 0);
    CHECK(!aq_state_home(out, sizeof out));
}

TEST_MAIN(TEST_REF(the_key_outlives_its_certificates),
          TEST_REF(a_key_that_is_broken_or_open_to_others_is_refused),
          TEST_REF(a_missing_certificate_is_named),
          TEST_REF(a_token_is_made_once_and_private),
          TEST_REF(token_files_are_read_by_their_first_line),
          TEST_REF(state_home_follows_xdg))
