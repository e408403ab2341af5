/* URLs: what is read, what is refused, and that the printed form means the same. */
#include "test.h"

#include "../../host/native/url.h"

#include <string.h>

#define HEX "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define B64 "ABEiM0RVZneImaq7zN3u_wARIjNEVWZ3iJmqu8zd7v8"

static bool same(const aq_url *a, const aq_url *b)
{
    return a->tls == b->tls && a->port == b->port && a->pinned == b->pinned &&
           !memcmp(a->fingerprint, b->fingerprint, 32) && test_same(a->host, b->host) &&
           test_same(a->folder, b->folder);
}

TEST(good_urls_print_as_their_canonical_form)
{
    static const struct {
        const char *in, *out, *host, *folder;
        uint16_t port;
        bool tls, pinned;
    } rows[] = {
        {"acequia://example.org", "acequia://example.org:7475/", "example.org", "", 7475,
         true, false},
        {"acequia://h:1/music/#" HEX, "acequia://h:1/music#" B64, "h", "music", 1, true,
         true},
        {"acequia://h:65535#" B64, "acequia://h:65535/#" B64, "h", "", 65535, true, true},
        {"acequia://[::1]:80/a%20b%2Fc%23%25", "acequia://[::1]:80/a%20b/c%23%25", "::1",
         "a b/c#%", 80, true, false},
        {"acequia://[fe80::1%25eth0]/", "acequia://[fe80::1%25eth0]:7475/", "fe80::1%eth0",
         "", 7475, true, false},
        {"acequia+ws://127.0.0.1:8000/x", "acequia+ws://127.0.0.1:8000/x", "127.0.0.1", "x",
         8000, false, false},
        {"acequia://h//%2Fx//", "acequia://h:7475/x", "h", "x", 7475, true, false},
        {"wss://h/x", "acequia://h:443/x", "h", "x", 443, true, false},
        {"ws://h", "acequia+ws://h:80/", "h", "", 80, false, false},
        {"acequia://h/\xc3\xa9", "acequia://h:7475/%C3%A9", "h", "\xc3\xa9", 7475, true,
         false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        aq_url url, again;
        char out[AQ_URL_SIZE];
        CHECK(aq_url_is(rows[i].in));
        const char *problem = aq_url_parse(rows[i].in, &url);
        CHECK_STR(problem ? problem : "", "");
        if (problem) {
            continue;
        }
        CHECK_STR(url.host, rows[i].host);
        CHECK_STR(url.folder, rows[i].folder);
        CHECK_EQ(url.port, rows[i].port);
        CHECK_EQ(url.tls, rows[i].tls);
        CHECK_EQ(url.pinned, rows[i].pinned);
        aq_url_print(&url, out);
        CHECK_STR(out, rows[i].out);
        CHECK(!aq_url_parse(out, &again) && same(&url, &again));
    }
}

TEST(bad_urls_are_refused_with_a_reason)
{
    static const struct {
        const char *in, *reason;
    } rows[] = {
        {"http://h/", "starts with"},
        {"acequia://", "no host"},
        {"acequia:///x", "no host"},
        {"acequia://h:0/", "port"},
        {"acequia://h:65536/", "port"},
        {"acequia://h:/", "port"},
        {"acequia://h:12a/", "port"},
        {"acequia://h:000001/", "port"},
        {"acequia://::1/", "brackets"},
        {"acequia://me@h/", "token"},
        {"acequia://me:secret@h/", "token"},
        {"acequia://h h/", "character"},
        {"acequia://[::1/", "']'"},
        {"acequia://[::1]x/", ":port"},
        {"acequia://[]/", "IPv6"},
        {"acequia://[example.org]/", "IPv6"},
        {"acequia://h/%", "hexadecimal"},
        {"acequia://h/%4", "hexadecimal"},
        {"acequia://h/%4g", "hexadecimal"},
        {"acequia://h/a%00b", "NUL"},
        {"acequia://h/a?b", "%3F"},
        {"acequia://h?b", "%3F"},
        {"acequia://h/#", "cut off"},
        {"acequia://h/#abc", "cut off"},
        {"acequia://h/#" HEX "0", "cut off"},
        {"acequia://h/#ABEiM0RVZneImaq7zN3u_wARIjNEVWZ3iJmqu8zd7v9", "cut off"},
        {"ws://h/#" HEX, "plain"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        aq_url url;
        const char *problem = aq_url_parse(rows[i].in, &url);
        if (!problem || !strstr(problem, rows[i].reason)) {
            TEST_PRINT("%s\n", rows[i].in);
            CHECK_STR(problem ? problem : "accepted", rows[i].reason);
        }
    }
}

TEST(overlong_parts_are_refused)
{
    char text[6000] = "acequia://";
    aq_url url;
    memset(text + 10, 'a', 5000);
    CHECK(aq_url_parse(text, &url) != NULL);
    text[11] = '/';
    CHECK(aq_url_parse(text, &url) != NULL);
    text[12 + 4095] = 0; /* one that just fits */
    CHECK(aq_url_parse(text, &url) == NULL);
}

TEST(the_longest_url_fits_its_buffer)
{
    aq_url url = {.pinned = true, .tls = true, .port = 65535};
    static char out[AQ_URL_SIZE];
    memset(url.host, '%', sizeof url.host - 1);
    url.host[0] = ':';
    memset(url.folder, '?', sizeof url.folder - 1);
    aq_url_print(&url, out);
    CHECK(strlen(out) < sizeof out);
}

TEST(paths_are_not_urls)
{
    CHECK(!aq_url_is("/srv/music"));
    CHECK(!aq_url_is("acequia:/x"));
    CHECK(!aq_url_is("./acequia://x"));
    CHECK(!aq_url_is(""));
}

TEST_MAIN(TEST_REF(good_urls_print_as_their_canonical_form),
          TEST_REF(bad_urls_are_refused_with_a_reason),
          TEST_REF(overlong_parts_are_refused), TEST_REF(the_longest_url_fits_its_buffer),
          TEST_REF(paths_are_not_urls))
