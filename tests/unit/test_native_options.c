/* test_native_options.c: the command's own parts: values, options from three sources, the
 * filter text they make, escaping, JSON, progress, and what SRC and DST mean.
 */
#include "app/cli/account.h"
#include "app/cli/operand.h"
#include "app/cli/options.h"
#include "app/cli/progress.h"
#include "app/cli/report.h"
#include "app/cli/rules.h"
#include "app/cli/text.h"
#include "engine/sync/filter.h"
#include "test.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char error[OPTION_ERROR_SIZE];
static char directory[64]; /* for config files and trees */

/* Reads a command line given as one text with spaces. */
static bool read_line(options *o, unsigned command, const char *line)
{
    static char copy[1024], *argv[64];
    int argc = 0;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " ")) {
        argv[argc++] = word;
    }
    return options_read(o, command, argc, argv, error);
}

static void file_write(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    if (file != NULL) {
        fputs(text, file);
        fclose(file);
    }
}

static void home_make(void)
{
    strcpy(directory, "/tmp/acequia-test-XXXXXX");
    CHECK(mkdtemp(directory) != NULL);
    setenv("XDG_CONFIG_HOME", directory, 1);
}

static void home_remove(void)
{
    char line[128];
    snprintf(line, sizeof line, "rm -rf '%s'", directory);
    CHECK_EQ(system(line), 0);
    unsetenv("XDG_CONFIG_HOME");
}

TEST(sizes_take_units_as_in_rsync)
{
    static const struct {
        const char *text;
        uint64_t bare_unit;
        bool good;
        uint64_t bytes;
    } cases[] = {
        {"0", 1, true, 0},       {"512", 1, true, 512},      {"512", 1024, true, 524288},
        {"1K", 1, true, 1024},   {"1k", 1, true, 1024},      {"1KB", 1, true, 1000},
        {"1KiB", 1, true, 1024}, {"1.5M", 1, true, 1572864}, {"2G", 1, true, 2147483648},
        {"3B", 1024, true, 3},   {".5K", 1, true, 512},      {"1T", 1, true, 1099511627776},
        {"", 1, false, 0},       {"K", 1, false, 0},         {"-1", 1, false, 0},
        {"1Q", 1, false, 0},     {"1Ki", 1, false, 0},       {"1K ", 1, false, 0},
        {"1e9", 1, false, 0},    {"99999999P", 1, false, 0}, {"0x10", 1, false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t bytes = 0;
        bool good = size_parse(cases[i].text, cases[i].bare_unit, &bytes);
        CHECK_EQ(good, cases[i].good);
        CHECK(!good || bytes == cases[i].bytes);
    }
}

TEST(times_rates_and_limits)
{
    uint64_t ns;
    rates r;
    delete_limit d;
    CHECK(time_parse("90", &ns));
    CHECK_EQ(ns, 90000000000);
    CHECK(time_parse("1h30m", &ns));
    CHECK_EQ(ns, 5400000000000);
    CHECK(time_parse("250ms", &ns));
    CHECK_EQ(ns, 250000000);
    CHECK(time_parse("1.5s", &ns));
    CHECK_EQ(ns, 1500000000);
    CHECK(!time_parse("", &ns));
    CHECK(!time_parse("5x", &ns));
    CHECK(!time_parse("-5", &ns));
    CHECK(!time_parse("9999999d", &ns));
    CHECK(rates_parse("2M:500K", &r));
    CHECK_EQ(r.up, 2097152);
    CHECK_EQ(r.down, 512000);
    CHECK(rates_parse("100", &r)); /* KiB, as with rsync */
    CHECK_EQ(r.up, 102400);
    CHECK_EQ(r.down, 102400);
    CHECK(rates_parse("off:1M", &r));
    CHECK_EQ(r.up, 0);
    CHECK(rates_parse(":1M", &r));
    CHECK_EQ(r.up, 0);
    CHECK_EQ(r.down, 1048576);
    CHECK(!rates_parse(":", &r));
    CHECK(!rates_parse("", &r));
    CHECK(!rates_parse("1M:2M:3M", &r));
    CHECK(delete_limit_parse("100", &d));
    CHECK_EQ(d.files, 100);
    CHECK(delete_limit_parse("10%", &d));
    CHECK_EQ(d.percent, 10);
    CHECK(d.files == UINT64_MAX);
    CHECK(delete_limit_parse("0%", &d));
    CHECK_EQ(d.files, 0);
    CHECK(!delete_limit_parse("101%", &d));
    CHECK(!delete_limit_parse("%", &d));
    CHECK(!delete_limit_parse("-1", &d));
}

TEST(command_lines)
{
    options o;
    home_make();
    CHECK(read_line(&o, FOR_SYNC, "-avn a --delete b --bwlimit=1M:2M --timeout 5 -v"));
    CHECK(o.archive && o.dry_run && o.delete_extra);
    CHECK_EQ(o.verbose, 2);
    CHECK_EQ(o.operands.count, 2);
    CHECK_STR(o.operands.items[1], "b");
    CHECK_EQ(o.bwlimit.down, 2097152);
    CHECK_EQ(o.timeout_ns, 5000000000);
    options_free(&o);
    CHECK(read_line(&o, FOR_SYNC, "-- -a --delete"));
    CHECK_EQ(o.operands.count, 2);
    CHECK(!o.delete_extra);
    options_free(&o);
    CHECK(read_line(&o, FOR_SYNC, "-avh a b"));
    CHECK(!o.help);
    options_free(&o);
    CHECK(read_line(&o, FOR_SYNC, "-h"));
    CHECK(o.help);
    options_free(&o);
    static const char *const bad[] = {"--no-such",      "-X",          "-z",
                                      "--timeout",      "--timeout=x", "--delete=1",
                                      "--max-delete=x", "--listen",    "--read-only",
                                      "--token=x",      "--no-timeout"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(!read_line(&o, FOR_SYNC, bad[i]));
        CHECK(error[0] != '\0');
        options_free(&o);
    }
    home_remove();
}

TEST(a_flag_beats_the_environment_beats_the_file)
{
    options o;
    home_make();
    char path[128];
    snprintf(path, sizeof path, "%s/acequia", directory);
    mkdir(path, 0700);
    file_write("acequia/config", "timeout = 7\nretries = 3\ndelete = yes\nexclude = c\n"
                                 "[serve]\nlisten = 127.0.0.1:1\nlisten = 127.0.0.1:2\n");
    setenv("ACEQUIA_TIMEOUT", "8", 1);
    setenv("ACEQUIA_VERBOSE", "2", 1);
    setenv("ACEQUIA_EXCLUDE", "b1\nb2", 1);
    CHECK(read_line(&o, FOR_SYNC, "--exclude=a --timeout=9"));
    CHECK_EQ(o.timeout_ns, 9000000000);
    CHECK_EQ(o.retries, 3);
    CHECK_EQ(o.verbose, 2);
    CHECK(o.delete_extra);
    CHECK_EQ(o.rules.count, 4);
    CHECK_STR(o.rules.items[0].value, "a");
    CHECK_STR(o.rules.items[2].value, "b2");
    CHECK_STR(o.rules.items[3].value, "c");
    CHECK_EQ(o.listen.count, 0);
    options_free(&o);
    CHECK(read_line(&o, FOR_SYNC, "--no-delete"));
    CHECK_EQ(o.timeout_ns, 8000000000);
    CHECK(!o.delete_extra);
    options_free(&o);
    CHECK(read_line(&o, FOR_SERVE, "x"));
    CHECK_EQ(o.listen.count, 2);
    options_free(&o);
    CHECK(read_line(&o, FOR_SERVE, "--listen :3 x"));
    CHECK_EQ(o.listen.count, 1);
    options_free(&o);
    unsetenv("ACEQUIA_VERBOSE");
    unsetenv("ACEQUIA_EXCLUDE");
    setenv("ACEQUIA_TIMEOUT", "soon", 1);
    CHECK(!read_line(&o, FOR_SYNC, ""));
    CHECK(strstr(error, "ACEQUIA_TIMEOUT") != NULL);
    options_free(&o);
    unsetenv("ACEQUIA_TIMEOUT");
    static const char *const bad[] = {
        "no-such = 1\n",         "timeout = x\n",  "[nothing]\ndelete = 1\n",
        "[serve]\ndelete = 1\n", "what is this\n", "[sync]\ndelete = maybe\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        file_write("acequia/config", bad[i]);
        CHECK(!read_line(&o, FOR_SYNC, ""));
        options_free(&o);
    }
    CHECK(read_line(&o, FOR_SYNC, "--help"));
    options_free(&o);
    CHECK(!read_line(&o, FOR_SYNC, "--config=/nonexistent"));
    options_free(&o);
    home_remove();
}

static void rules_check(const char *line, const char *below, const char *want)
{
    options o;
    rules r;
    CHECK(read_line(&o, FOR_SYNC, line));
    CHECK(rules_build(&o, below, NULL, &r, error));
    CHECK_STR(r.count == 0 ? "" : r.texts[0], want);
    rules_free(&r);
    options_free(&o);
}

TEST(options_become_rules)
{
    options o;
    rules r;
    char line[256];
    home_make();
    rules_check("", NULL, "");
    rules_check("--include=*.c --exclude=*", NULL, "+ *.c\n- *\n");
    rules_check("--exclude=/a --exclude=b/c", "dir", "+ /dir/\n- /dir/a\n- b/c\n= dir\n");
    rules_check("--exclude=/*.o --exclude=/\\", "d[x",
                "+ /d\\[x/\n- /d\\[x/*.o\n- /d\\[x/\\\\\n= d[x\n");
    file_write("patterns", "# a comment\n; another\n\n*.o\n+ keep\r\n!\n- last\n");
    snprintf(line, sizeof line, "--exclude=x --exclude-from=%s/patterns", directory);
    rules_check(line, NULL, "- last\n");
    file_write("paths", "b\n./a//b/\nb\na\\b\n");
    snprintf(line, sizeof line, "--files-from=%s/paths --exclude=x", directory);
    rules_check(line, NULL, "- x\n= a/b\n= a\\\\b\n= b\n");
    rules_check(line, "top", "+ /top/\n- x\n= top/a/b\n= top/a\\\\b\n= top/b\n");
    file_write("paths", "");
    snprintf(line, sizeof line, "--files-from=%s/paths", directory);
    rules_check(line, NULL, "- *\n");
    file_write("paths", "a\n.\n");
    rules_check(line, NULL, "");
    file_write("paths", "../x\n");
    CHECK(read_line(&o, FOR_SYNC, line));
    CHECK(!rules_build(&o, NULL, NULL, &r, error));
    options_free(&o);
    CHECK(read_line(&o, FOR_SYNC, "--exclude=[x"));
    CHECK(!rules_build(&o, NULL, NULL, &r, error));
    options_free(&o);
    CHECK(read_line(&o, FOR_SYNC, "--files-from=/nonexistent"));
    CHECK(!rules_build(&o, NULL, NULL, &r, error));
    options_free(&o);
    CHECK(read_line(&o, FOR_SYNC, ""));
    CHECK(rules_build(&o, NULL, "a\nb", &r, error));
    CHECK_STR(r.texts[0], "= a\\nb\n");
    rules_free(&r);
    options_free(&o);
    home_remove();
}

TEST(many_paths_make_several_texts)
{
    options o;
    rules r;
    char line[256], *text = malloc(1 << 20), *to = text;
    home_make();
    for (int i = 0; i < 10000; i++) {
        to += sprintf(to, "some/directory/file%d\n", i);
    }
    file_write("paths", text);
    free(text);
    snprintf(line, sizeof line, "--exclude=*.o --files-from=%s/paths", directory);
    CHECK(read_line(&o, FOR_SYNC, line));
    CHECK(rules_build(&o, NULL, NULL, &r, error));
    CHECK(r.count > 4 && r.count < 10);
    for (size_t i = 0; i < r.count; i++) {
        CHECK(aq_filter_valid(r.texts[i], NULL));
        CHECK(strlen(r.texts[i]) <= RULES_SIZE_MAX);
        CHECK(!aq_filter_allows(r.texts[i], "some/directory/file1.o", false));
    }
    for (int i = 0; i < 10000; i += 7) {
        snprintf(line, sizeof line, "some/directory/file%d", i);
        CHECK(rules_allow(&r, line, false));
    }
    CHECK(!rules_allow(&r, "some/directory/file10000", false));
    rules_free(&r);
    options_free(&o);
    home_remove();
}

TEST(nothing_reaches_a_terminal_unescaped)
{
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"plain name", "plain name"},
        {"a\nb\tc\x1b[31m", "a\\nb\\tc\\x1b[31m"},
        {"back\\slash", "back\\\\slash"},
        {"caf\xc3\xa9", "caf\xc3\xa9"},
        {"\xff", "\\xff"},
        {"\xc0\x80", "\\xc0\\x80"},
        {"\xc2\x9b", "\\xc2\\x9b"},          /* a C1 control */
        {"\xe2\x80\xae", "\\xe2\\x80\\xae"}, /* right-to-left override */
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"}, /* a surrogate */
        {"\xe2\x82", "\\xe2\\x82"},          /* cut off */
        {"\xf0\x9f\x8c\x8a", "\xf0\x9f\x8c\x8a"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[128];
        text_escape(cases[i].text, out, sizeof out);
        CHECK_STR(out, cases[i].shown);
    }
    char small[4];
    CHECK_EQ(text_escape("ab\n", small, sizeof small), 2);
    CHECK_STR(small, "ab");
}

TEST(numbers_for_people)
{
    char out[TEXT_NUMBER_SIZE];
    CHECK_STR(text_count(0, out), "0");
    CHECK_STR(text_count(1234567, out), "1,234,567");
    CHECK_STR(text_count(UINT64_MAX, out), "18,446,744,073,709,551,615");
    CHECK_STR(text_bytes(0, out), "0 B");
    CHECK_STR(text_bytes(1023, out), "1023 B");
    CHECK_STR(text_bytes(1536, out), "1.50 KiB");
    CHECK_STR(text_bytes(UINT64_MAX, out), "16.0 EiB");
    CHECK_STR(text_seconds(59, out), "0:59");
    CHECK_STR(text_seconds(3723, out), "1:02:03");
}

TEST(json_is_one_valid_line)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    json j = json_open(out, "x");
    json_text(&j, "path", "a\"\\\n\x01\xff\xc3\xa9");
    json_number(&j, "n", 7);
    json_real(&j, "s", 1.5);
    json_bool(&j, "b", false);
    json_close(&j);
    fclose(out);
    CHECK_STR(text,
              "{\"event\":\"x\",\"path\":\"a\\\"\\\\\\u000a\\u0001\xef\xbf\xbd\xc3\xa9\","
              "\"n\":7,\"s\":1.500,\"b\":false}\n");
    free(text);
}

TEST(progress_never_goes_backwards)
{
    static progress p;
    aq_stats s = {.files_total = 10, .bytes_total = 5000, .scanning = true};
    char line[PROGRESS_LINE_SIZE];
    uint64_t now = 1000000000, last_left = UINT64_MAX, left;
    unsigned last = 0;
    progress_feed(&p, &s, now);
    progress_line(&p, &s, now, 80, line);
    CHECK_STR(line, "scanning: at least 10 files, 4.88 KiB");
    s.bytes_changed = 100000;
    s.files_changed = 3;
    s.complete = true;
    for (int i = 0; i < 200; i++) {
        now += 100000000;
        s.bytes_done += i < 40 ? 500 : i < 100 ? 10 : 600; /* slows down on the way */
        s.bytes_changed += i == 50 ? 20000 : 0;            /* a file grew */
        s.bytes_done = s.bytes_done < s.bytes_changed ? s.bytes_done : s.bytes_changed;
        progress_feed(&p, &s, now);
        CHECK(progress_permille(&p, &s) >= last);
        CHECK(progress_permille(&p, &s) < 1000); /* no file is done */
        last = progress_permille(&p, &s);
        if (progress_left(&p, &s, now, &left)) {
            CHECK(left <= last_left);
            last_left = left;
        }
    }
    CHECK(last_left < UINT64_MAX);
    s.files_done = 3;
    s.bytes_done = s.bytes_changed;
    CHECK_EQ(progress_permille(&p, &s), 1000);
}

TEST(a_dialled_run_counts_once)
{
    account a = {0};
    aq_stats first = {.files_changed = 10,
                      .files_done = 4,
                      .bytes_changed = 1000,
                      .bytes_done = 450,
                      .bytes_sent = 7,
                      .complete = true};
    account_update(&a, &first);
    CHECK_EQ(a.now.bytes_done, 450);
    account_again(&a);
    aq_stats scanning = {.files_changed = 2, .bytes_changed = 100, .bytes_sent = 1};
    account_update(&a, &scanning);
    CHECK_EQ(a.now.bytes_changed, 1000);
    CHECK_EQ(a.now.bytes_done, 450);
    aq_stats second = {.files_changed = 6,
                       .files_done = 5,
                       .bytes_changed = 600,
                       .bytes_done = 500,
                       .bytes_sent = 5,
                       .complete = true};
    account_update(&a, &second);
    CHECK_EQ(a.now.files_changed, 10);
    CHECK_EQ(a.now.files_done, 9);
    CHECK_EQ(a.now.bytes_changed, 1000);
    CHECK_EQ(a.now.bytes_done, 900);
    CHECK_EQ(a.now.bytes_sent, 12);
    account_next(&a);
    aq_stats other = {.files_total = 3,
                      .files_changed = 3,
                      .files_done = 1,
                      .bytes_changed = 30,
                      .bytes_done = 10,
                      .complete = true};
    account_update(&a, &other);
    CHECK_EQ(a.now.files_done, 10);
    CHECK_EQ(a.now.bytes_changed, 1030);
    CHECK_EQ(a.now.bytes_done, 910);
    CHECK_EQ(a.now.bytes_sent, 12);
}

TEST(the_line_fits_the_terminal)
{
    static progress p;
    aq_stats s = {.files_total = 1, .bytes_changed = 10, .complete = true};
    char line[PROGRESS_LINE_SIZE];
    memset(s.current, 'x', 200);
    memcpy(s.current + 100, "\n\xc3\xa9\x1b", 4);
    for (unsigned columns = 20; columns < 200; columns++) {
        progress_line(&p, &s, 1, columns, line);
        CHECK(text_columns(line) <= columns);
        CHECK(strpbrk(line, "\n\x1b") == NULL);
    }
}

TEST(changes_are_itemized_as_in_rsync)
{
    static const struct {
        aq_change change;
        aq_type type;
        bool push;
        const char *want;
    } cases[] = {
        {AQ_CHANGE_NEW, AQ_TYPE_FILE, false, ">f+++++++++ a\n"},
        {AQ_CHANGE_NEW, AQ_TYPE_FILE, true, "<f+++++++++ a\n"},
        {AQ_CHANGE_NEW, AQ_TYPE_DIRECTORY, false, "cd+++++++++ a/\n"},
        {AQ_CHANGE_META, AQ_TYPE_DIRECTORY, false, ".d..t...... a/\n"},
        {AQ_CHANGE_DELETE, AQ_TYPE_FILE, false, "*deleting   a\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = NULL;
        size_t size = 0;
        report r = {.push = cases[i].push};
        aq_note note = {.change = cases[i].change, .type = cases[i].type, .path = "a"};
        FILE *out = open_memstream(&text, &size);
        report_itemize(&r, &note, out);
        fclose(out);
        CHECK_STR(text, cases[i].want);
        free(text);
    }
}

TEST(src_and_dst_mean_what_they_mean_to_rsync)
{
    static const struct {
        const char *source, *destination;
        aq_status status;
        const char *root, *to, *below, *chosen;
    } cases[] = {
        {"src/", "dst", AQ_OK, "src/", "dst", "", ""},
        {"src", "dst", AQ_OK, "src", "dst/src", "", ""},
        {"src", "new", AQ_OK, "src", "new/src", "", ""},
        {"src/", "new", AQ_OK, "src/", "new", "", ""},
        {"src/.", "dst/", AQ_OK, "src/.", "dst/", "", ""},
        {".", "dst", AQ_OK, ".", "dst", "", ""},
        {"src/file", "dst", AQ_OK, "src", "dst", "", "file"},
        {"src/file", "new/", AQ_OK, "src", "new/", "", "file"},
        {"src/file", "dst/file", AQ_OK, "src", "dst", "", "file"},
        {"src/file", "other", AQ_USAGE, NULL, NULL, NULL, NULL},
        {"src/link", "dst", AQ_OK, "src", "dst", "", "link"},
        {"src/link/", "dst", AQ_OK, "src/link/", "dst", "", ""},
        {"src", "acequia://h/f", AQ_OK, ".", "", "src", ""},
        {"src/", "acequia://h/f", AQ_OK, "src/", "", "", ""},
        {"acequia://h/f", "dst", AQ_OK, "", "dst", "", ""},
        {"acequia://h/f", "acequia://h/g", AQ_USAGE, NULL, NULL, NULL, NULL},
        {"http://h/f", "dst", AQ_USAGE, NULL, NULL, NULL, NULL},
        {"none", "dst", AQ_ROOT, NULL, NULL, NULL, NULL},
        {"src/", "src/file", AQ_NOT_DIRECTORY, NULL, NULL, NULL, NULL},
        {"src/", "none/deep", AQ_ROOT, NULL, NULL, NULL, NULL},
        {"", "dst", AQ_USAGE, NULL, NULL, NULL, NULL},
    };
    char before[4096], room[PLACE_PATH_SIZE];
    static places p;
    home_make();
    CHECK(getcwd(before, sizeof before) != NULL);
    CHECK_EQ(chdir(directory), 0);
    mkdir("src", 0777);
    mkdir("dst", 0777);
    mkdir("src/deep", 0777);
    file_write("src/file", "x");
    CHECK_EQ(symlink("deep", "src/link"), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        aq_status status = places_resolve(&p, cases[i].source, cases[i].destination, error);
        if (status != cases[i].status) {
            TEST_PRINT("%s -> %s\n", cases[i].source, cases[i].destination);
        }
        CHECK_EQ(status, cases[i].status);
        if (status == AQ_OK) {
            CHECK_STR(p.source.path, cases[i].root);
            CHECK_STR(p.destination.path, cases[i].to);
            CHECK_STR(p.below, cases[i].below);
            CHECK_STR(p.chosen, cases[i].chosen);
        }
    }
    CHECK_EQ(places_resolve(&p, "src/", "src/deep", error), AQ_OK);
    CHECK_STR(places_nested(&p, room), "deep");
    CHECK_EQ(places_resolve(&p, "src/", "src", error), AQ_OK);
    CHECK_STR(places_nested(&p, room), "");
    CHECK_EQ(places_resolve(&p, "src/", "src/link/new", error), AQ_OK);
    CHECK_STR(places_nested(&p, room), "deep/new");
    CHECK_EQ(places_resolve(&p, "src/", "dst", error), AQ_OK);
    CHECK(places_nested(&p, room) == NULL);
    CHECK_EQ(chdir(before), 0);
    home_remove();
}

TEST_MAIN(TEST_REF(sizes_take_units_as_in_rsync), TEST_REF(times_rates_and_limits),
          TEST_REF(command_lines), TEST_REF(a_flag_beats_the_environment_beats_the_file),
          TEST_REF(options_become_rules), TEST_REF(many_paths_make_several_texts),
          TEST_REF(nothing_reaches_a_terminal_unescaped), TEST_REF(numbers_for_people),
          TEST_REF(json_is_one_valid_line), TEST_REF(progress_never_goes_backwards),
          TEST_REF(a_dialled_run_counts_once), TEST_REF(the_line_fits_the_terminal),
          TEST_REF(changes_are_itemized_as_in_rsync),
          TEST_REF(src_and_dst_mean_what_they_mean_to_rsync))
