/* test_filter.c: the rules of docs/SEMANTICS.md, "Filters". The expectations of the first
 * table are rsync's own answers; tests/e2e/filter.sh asks it again at random. */
#include "engine/sync/filter.h"
#include "test.h"

typedef struct filter_case {
    const char *rules;
    const char *path;
    bool is_directory;
    bool passes;
} filter_case;

static void cases_run(const filter_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const filter_case *c = &cases[i];
        CHECK(aq_filter_valid(c->rules, NULL));
        bool passes = aq_filter_allows(c->rules, c->path, c->is_directory);
        if (passes != c->passes) {
            TEST_PRINT("rules \"%s\", path \"%s\"%s\n", c->rules, c->path,
                       c->is_directory ? " (directory)" : "");
        }
        CHECK_EQ(passes, c->passes);
    }
}

#define RUN(cases) cases_run(cases, sizeof cases / sizeof *cases)

TEST(patterns_match_as_in_rsync)
{
    static const filter_case cases[] = {
        {"", "a", false, true},
        {"- *.o", "a.o", false, false},
        {"- *.o", "a.c", false, true},
        {"- *.o", "dir/a.o", false, false},
        {"- *.o", "dir.o/a.c", false, false}, /* its parent is excluded */
        {"- foo", "foo", false, false},
        {"- foo", "x/foo", true, false},
        {"- foo", "foobar", false, true},
        {"- /foo", "foo", false, false},
        {"- /foo", "x/foo", false, true},
        {"- foo/", "foo", false, true},
        {"- foo/", "foo", true, false},
        {"- foo/", "foo/bar", false, false},
        {"- foo/bar", "foo/bar", false, false},
        {"- foo/bar", "x/foo/bar", false, false},
        {"- foo/bar", "xfoo/bar", false, true},
        {"- /foo/bar", "x/foo/bar", false, true},
        {"- foo/*", "foo/bar", false, false},
        {"- foo/*", "foo", true, true},
        {"- foo/*", "x/foo/bar", false, false},
        {"- /foo/*/baz", "foo/bar/baz", false, false},
        {"- /foo/*/baz", "foo/a/b/baz", false, true},
        {"- /foo/**/baz", "foo/a/b/baz", false, false},
        {"- /foo/**/baz", "foo/baz", false, true},
        {"- **/baz", "baz", false, false},
        {"- **/baz", "a/b/baz", false, false},
        {"- foo**", "foo/bar/baz", false, false},
        {"- foo**baz", "x/foo/bar/baz", false, false},
        {"- foo/***", "foo", true, false},
        {"- foo/***", "foo", false, true},
        {"- foo/***", "foo/a/b", false, false},
        {"- foo/**", "foo", true, true},
        {"- foo/**", "foo/a", true, false},
        {"- ?", "a", false, false},
        {"- ?", "ab", false, true},
        {"- a?b", "a/b", false, true},
        {"- [a-c]x", "bx", false, false},
        {"- [a-c]x", "dx", false, true},
        {"- [!a-c]x", "dx", false, false},
        {"- [^a-c]x", "bx", false, true},
        {"- []x]", "]", false, false},
        {"- [[:digit:]]*", "7up", false, false},
        {"- [[:digit:]]*", "up7", false, true},
        {"- [a\\]]", "]", false, false},
        {"- a[!b]c", "a/c", false, true},
        {"- \\*", "*", false, false}, /* a star in it: the backslash escapes */
        {"- \\*", "\\x", false, true},
        {"- a\\b", "a\\b", false, false}, /* no wildcard: a backslash is one */
        {"- *a*b*c*", "xxaxxbxxcxx", false, false},
        {"- *a*b*c*", "xxaxxcxxbxx", false, true},
    };
    RUN(cases);
}

TEST(the_first_rule_that_matches_decides)
{
    static const filter_case cases[] = {
        {"+ *.c\n- *", "a.c", false, true},
        {"+ *.c\n- *", "a.h", false, false},
        {"+ *.c\n- *", "dir/a.c", false, false},
        {"+ */\n+ *.c\n- *", "dir/a.c", false, true},
        {"+ */\n+ *.c\n- *\n", "dir/a.h", false, false},
        {"- a\n+ a", "a", false, false},
        {"+ /keep/***\n- /*", "keep/deep/file", false, true},
        {"+ /keep/***\n- /*", "other", true, false},
    };
    RUN(cases);
}

TEST(question_marks_and_classes_take_characters_not_bytes)
{
    static const filter_case cases[] = {
        {"- caf?", "caf\xc3\xa9", false, false},
        {"- [\xc3\xa0-\xc3\xaf]", "\xc3\xa9", false, false},
        {"- [\xc3\xa0-\xc3\xaf]", "\xc3\xbf", false, true},
        {"- *\xc3\xa9", "caf\xc3\xa9", false, false},
        {"- ?", "\xff\xfe", false, true},
    };
    RUN(cases);
}

TEST(chosen_paths_take_parents_and_what_is_below)
{
    const char *rules = "- *.o\n= a/b\n= a/b-c/d\n= a\\\\\\n/x\n= zoo";
    const struct {
        const char *path;
        bool is_directory, passes;
    } cases[] = {
        {"", true, true},
        {"a", true, true},
        {"a", false, false},
        {"a/b", true, true},
        {"a/b", false, true},
        {"a/b/c/d", false, true},
        {"a/b/c/d.o", false, false},
        {"a/b-c", true, true},
        {"a/b-c/d", false, true},
        {"a/b-c/e", false, false},
        {"a/b-", true, false},
        {"a/bc", true, false},
        {"a\\\n", true, true},
        {"a\\\n/x", false, true},
        {"zoo/y", false, true},
        {"zo", true, false},
        {"zoom", false, false},
        {"0", false, false},
    };
    CHECK(aq_filter_valid(rules, NULL));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool passes = aq_filter_allows(rules, cases[i].path, cases[i].is_directory);
        if (passes != cases[i].passes) {
            TEST_PRINT("path \"%s\"\n", cases[i].path);
        }
        CHECK_EQ(passes, cases[i].passes);
    }
}

TEST(what_is_no_rule_is_refused)
{
    static const char *const bad[] = {
        "x",    "-",        "- ",         "-foo",     "* foo",      "- /",   "- a//b",
        "- [a", "- a*\\",   "- [[:no:]]", "\n",       "- a\n\n- b", "= ",    "= /a",
        "= a/", "= b\n= a", "= a\n= a",   "= a\n- b", "= a\\x",     "= a\\",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (aq_filter_valid(bad[i], NULL)) {
            TEST_PRINT("accepted \"%s\"\n", bad[i]);
        }
        CHECK(!aq_filter_valid(bad[i], NULL));
    }
    const char *rules = "- a\n- b\n- [c\n- d", *bad_line = NULL;
    CHECK(!aq_filter_valid(rules, &bad_line));
    CHECK_EQ(bad_line - rules, 8);
    CHECK(aq_filter_valid(NULL, NULL));
}

TEST(hostile_patterns_take_bounded_time)
{
    static char rules[AQ_FILTER_PATTERN_MAX + 3], path[4001];
    rules[0] = '-';
    rules[1] = ' ';
    for (size_t i = 2; i + 2 < sizeof rules; i += 2) {
        rules[i] = '*';
        rules[i + 1] = 'a';
    }
    rules[sizeof rules - 2] = 'b'; /* its last character, so the quick look at the end */
    rules[sizeof rules - 3] = '?'; /* does not decide */
    for (size_t i = 0; i + 1 < sizeof path; i++) {
        path[i] = i % 250 == 249 ? '/' : 'a';
    }
    path[sizeof path - 2] = 'b';
    CHECK(aq_filter_valid(rules, NULL));
    CHECK(aq_filter_allows(rules, path, false));
    rules[sizeof rules - 4] = '*';
    for (size_t i = 2; i + 4 < sizeof rules; i += 3) {
        rules[i] = '*';
        rules[i + 1] = '*';
        rules[i + 2] = 'a';
    }
    CHECK(aq_filter_valid(rules, NULL));
    CHECK(!aq_filter_allows(rules, path, false));
}

TEST_MAIN(TEST_REF(patterns_match_as_in_rsync),
          TEST_REF(the_first_rule_that_matches_decides),
          TEST_REF(question_marks_and_classes_take_characters_not_bytes),
          TEST_REF(chosen_paths_take_parents_and_what_is_below),
          TEST_REF(what_is_no_rule_is_refused),
          TEST_REF(hostile_patterns_take_bounded_time))
