/* Which names and paths may exist: what SAFETY asks of every path that a peer sends. */
#include "engine/base/bytes.h"
#include "engine/sync/path.h"
#include "tests/unit/test.h"

typedef struct row {
    const char *text;
    bool valid;
} row;

static bool name_is_valid(const char *text)
{
    return aq_name_is_valid(text, aq_string_size(text));
}

TEST(names)
{
    static const row rows[] = {
        {"a", true},
        {"", false},
        {".", false},
        {"..", false},
        {"...", true},
        {".a", true},
        {"a.", true},           /* Windows cannot; it is carried all the same */
        {"CON", true},          /* likewise */
        {"a:b\\c", true},       /* likewise */
        {"\x01\x1b[0m", true},  /* ugly, not invalid: escaped when shown */
        {"a/b", false},         /* a name is one name */
        {"/", false},           /* */
        {"\xc3\xa9", true},     /* é */
        {"e\xcc\x81", true},    /* é in two parts: never normalised */
        {"\xe2\x82\xac", true}, /* € */
        {"\xf0\x9f\x92\xa7", true},
        {"\xef\xbf\xbf", true},
        {"\xc3", false},             /* cut */
        {"\xe2\x82", false},         /* cut */
        {"\x80", false},             /* starts in the middle */
        {"\xc0\xaf", false},         /* '/' in two bytes */
        {"\xc1\xbf", false},         /* overlong */
        {"\xe0\x80\xaf", false},     /* '/' in three bytes */
        {"\xe0\x9f\xbf", false},     /* overlong */
        {"\xf0\x80\x80\xaf", false}, /* '/' in four bytes */
        {"\xf0\x8f\xbf\xbf", false}, /* overlong */
        {"\xed\xa0\x80", false},     /* a surrogate */
        {"\xed\x9f\xbf", true},      /* the last before them */
        {"\xf4\x8f\xbf\xbf", true},  /* U+10FFFF */
        {"\xf4\x90\x80\x80", false}, /* beyond */
        {"\xf8\x88\x80\x80\x80", false},
        {"\xff", false},
        {"caf\xe9", false}, /* Latin-1 */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (name_is_valid(rows[i].text) != rows[i].valid) {
            CHECK_STR(rows[i].valid ? "refused" : "taken", rows[i].text);
        }
    }
    CHECK(!aq_name_is_valid("a\0b", 3));
    CHECK(!aq_name_is_valid("\0", 1));
}

TEST(a_name_has_at_most_255_bytes)
{
    char name[AQ_NAME_MAX + 2];
    aq_fill(name, 'n', sizeof name);
    CHECK(aq_name_is_valid(name, AQ_NAME_MAX));
    CHECK(!aq_name_is_valid(name, AQ_NAME_MAX + 1));
}

TEST(a_cut_sequence_at_the_end_reads_nothing_behind_it)
{
    static const char text[] = "ab\xe2\x82\xac";
    CHECK(aq_name_is_valid(text, 5));
    CHECK(!aq_name_is_valid(text, 4));
    CHECK(!aq_name_is_valid(text, 3));
    CHECK(aq_name_is_valid(text, 2));
}

TEST(paths)
{
    static const row rows[] = {
        {"a", true},       {"a/b", true},      {"a/b/c.d", true}, {"", false},
        {"/", false},      {"/a", false},      {"a/", false},     {"a//b", false},
        {"./a", false},    {"a/.", false},     {"a/./b", false},  {"..", false},
        {"../a", false},   {"a/..", false},    {"a/../b", false}, {".../a", true},
        {"a/\xff", false}, {"a\\..\\b", true}, {"C:/a", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (aq_path_is_valid(rows[i].text, aq_string_size(rows[i].text)) != rows[i].valid) {
            CHECK_STR(rows[i].valid ? "refused" : "taken", rows[i].text);
        }
    }
    CHECK(!aq_path_is_valid("a\0/b", 4));
}

TEST(a_path_has_at_most_4096_bytes_and_128_names)
{
    static char path[AQ_PATH_MAX + 2];
    for (size_t i = 0; i < sizeof path; i++) {
        path[i] = i % 200 == 199 ? '/' : 'p';
    }
    CHECK(aq_path_is_valid(path, AQ_PATH_MAX));
    CHECK(!aq_path_is_valid(path, AQ_PATH_MAX + 1));
    for (size_t i = 0; i < sizeof path; i++) {
        path[i] = i % 2 != 0 ? '/' : 'd';
    }
    CHECK(aq_path_is_valid(path, (size_t)2 * AQ_DEPTH_MAX - 1));
    CHECK(!aq_path_is_valid(path, (size_t)2 * AQ_DEPTH_MAX + 1));
}

TEST(our_own_directory_is_reserved_in_any_case)
{
    CHECK(aq_name_is_reserved(".acequia", 8));
    CHECK(aq_name_is_reserved(".ACEquia", 8));
    CHECK(!aq_name_is_reserved(".acequia2", 9));
    CHECK(!aq_name_is_reserved("acequia", 7));
    CHECK(!aq_name_is_reserved(".acequiaignore", 14));
}

TEST(targets_are_any_bytes)
{
    static char target[AQ_PATH_MAX + 1];
    aq_fill(target, '/', sizeof target);
    CHECK(aq_target_is_valid("../../etc/\xff", 11));
    CHECK(!aq_target_is_valid("", 0));
    CHECK(!aq_target_is_valid("a\0b", 3));
    CHECK(aq_target_is_valid(target, AQ_PATH_MAX));
    CHECK(!aq_target_is_valid(target, AQ_PATH_MAX + 1));
}

TEST(names_are_ordered_by_their_bytes)
{
    static const char *const sorted[] = {"A", "B", "a", "a ", "a.b", "aa", "b", "\xc3\xa9"};
    enum { COUNT = sizeof sorted / sizeof *sorted };
    for (int i = 0; i < COUNT; i++) {
        for (int j = 0; j < COUNT; j++) {
            int order = aq_name_compare(sorted[i], aq_string_size(sorted[i]), sorted[j],
                                        aq_string_size(sorted[j]));
            CHECK_EQ((order > 0) - (order < 0), (i > j) - (i < j));
        }
    }
}

TEST_MAIN(TEST_REF(names), TEST_REF(a_name_has_at_most_255_bytes),
          TEST_REF(a_cut_sequence_at_the_end_reads_nothing_behind_it), TEST_REF(paths),
          TEST_REF(a_path_has_at_most_4096_bytes_and_128_names),
          TEST_REF(our_own_directory_is_reserved_in_any_case),
          TEST_REF(targets_are_any_bytes), TEST_REF(names_are_ordered_by_their_bytes))
