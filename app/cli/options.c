/* options.c: one table of options and the three readers that share it: argv, environment
 * and config file. A reader only finds (option, text) pairs; value_set does the rest, so an
 * option means the same wherever it is written.
 *
 * Readers run from the strongest to the weakest. A single value that is set already is left
 * alone by weaker ones; filter rules add up instead, the strongest first, since of rules
 * the first that matches counts.
 */
#include "options.h"
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FOR_TREES = FOR_SYNC | FOR_CHECK | FOR_DIFF, OPTIONS_MAX = 64 };

#define AT(field) offsetof(options, field)

/* One row an option, in the order of the help text. */
/* clang-format off */
const option option_table[] = {
    {"dry-run", 'n', KIND_FLAG, FOR_SYNC, 0, AT(dry_run), NULL, "show what would be done, change nothing"},
    {"delete", 0, KIND_FLAG, FOR_TREES, 0, AT(delete_extra), NULL, "delete at DST what SRC does not have"},
    {"max-delete", 0, KIND_DELETE_LIMIT, FOR_SYNC | FOR_DIFF, 0, AT(max_delete), "N|N%", "delete no more than N files, or N percent of them"},
    {"backup-dir", 0, KIND_TEXT, FOR_SYNC | FOR_DIFF, 0, AT(backup_dir), "DIR", "keep replaced and deleted files in DIR below DST"},
    {"checksum", 'c', KIND_FLAG, FOR_TREES, 0, AT(checksum), NULL, "compare contents, not size and time"},
    {"size-only", 0, KIND_FLAG, FOR_TREES, 0, AT(size_only), NULL, "take files of equal size as equal"},
    {"update", 'u', KIND_FLAG, FOR_SYNC | FOR_DIFF, 0, AT(update), NULL, "skip files that are newer at DST"},
    {"modify-window", 0, KIND_TIME, FOR_TREES, 0, AT(modify_window_ns), "TIME", "take times as equal that differ by no more"},
    {"ignore-existing", 0, KIND_FLAG, FOR_SYNC | FOR_DIFF, 0, AT(ignore_existing), NULL, "skip what exists at DST"},
    {"existing", 0, KIND_FLAG, FOR_SYNC | FOR_DIFF, 0, AT(existing), NULL, "skip what does not exist at DST"},
    {"include", 0, KIND_RULE, FOR_TREES, RULE_INCLUDE, AT(rules), "PATTERN", "let paths that match take part"},
    {"exclude", 0, KIND_RULE, FOR_TREES, RULE_EXCLUDE, AT(rules), "PATTERN", "leave out paths that match"},
    {"include-from", 0, KIND_RULE_FILE, FOR_TREES, RULE_INCLUDE_FROM, AT(rules), "FILE", "read include patterns from FILE (- for stdin)"},
    {"exclude-from", 0, KIND_RULE_FILE, FOR_TREES, RULE_EXCLUDE_FROM, AT(rules), "FILE", "read exclude patterns from FILE"},
    {"files-from", 0, KIND_RULE_FILE, FOR_TREES, RULE_FILES_FROM, AT(rules), "FILE", "sync only the paths that FILE lists"},
    {"from0", '0', KIND_FLAG, FOR_TREES, 0, AT(from0), NULL, "in those files lines end with a NUL"},
    {"bwlimit", 0, KIND_RATES, FOR_TREES, 0, AT(bwlimit), "UP[:DOWN]", "bytes a second, with K, M or G; one number is for both"},
    {"timeout", 0, KIND_TIME, FOR_TREES | FOR_SERVE, 0, AT(timeout_ns), "TIME", "give up a link that is silent for so long (60s)"},
    {"contimeout", 0, KIND_TIME, FOR_TREES, 0, AT(contimeout_ns), "TIME", "give up connecting after so long (10s)"},
    {"retries", 0, KIND_NUMBER, FOR_TREES, 0, AT(retries), "N", "dial a lost link again so often without progress (10)"},
    {"max-duration", 0, KIND_TIME, FOR_TREES, 0, AT(max_duration_ns), "TIME", "stop in good order after so long"},
    {"max-transfer", 0, KIND_SIZE, FOR_SYNC, 0, AT(max_transfer), "SIZE", "stop in good order after so many bytes of content"},
    {"token-file", 0, KIND_FILE, FOR_TREES | FOR_SERVE, 0, AT(token_file), "FILE", "read the shared token from FILE"},
    {"ca-file", 0, KIND_FILE, FOR_TREES, 0, AT(ca_file), "FILE", "trust these certificates (PEM) instead of the system's"},
    {"listen", 0, KIND_LIST, FOR_SERVE, 0, AT(listen), "HOST:PORT", "where to listen (127.0.0.1:7475); port 0: a free one"},
    {"name", 0, KIND_LIST, FOR_SERVE, 0, AT(names), "NAME", "the folder's name in its URL (its base name)"},
    {"read-only", 0, KIND_FLAG, FOR_SERVE, 0, AT(read_only), NULL, "peers may read, not write"},
    {"cert", 0, KIND_FILE, FOR_SERVE, 0, AT(cert), "FILE", "use this certificate chain (PEM), with --key"},
    {"key", 0, KIND_FILE, FOR_SERVE, 0, AT(key), "FILE", "the certificate's private key (PEM)"},
    {"plain", 0, KIND_FLAG, FOR_SERVE, 0, AT(plain), NULL, "listen without TLS, on loopback only"},
    {"force-plain", 0, KIND_FLAG, FOR_SERVE, 0, AT(force_plain), NULL, "listen without TLS everywhere"},
    {"fsync", 0, KIND_FLAG, FOR_SYNC | FOR_SERVE, 0, AT(fsync), NULL, "wait until files are on the disk (on unless turned off)"},
    {"itemize-changes", 'i', KIND_FLAG, FOR_TREES, 0, AT(itemize), NULL, "print each change, as rsync does"},
    {"stats", 0, KIND_FLAG, FOR_TREES, 0, AT(stats), NULL, "print figures at the end"},
    {"progress", 'P', KIND_FLAG, FOR_TREES, 0, AT(progress), NULL, "show progress even if output is no terminal"},
    {"json", 0, KIND_FLAG, FOR_ALL, 0, AT(json), NULL, "print one JSON object a line, for programs"},
    {"verbose", 'v', KIND_COUNT, FOR_ALL, 0, AT(verbose), NULL, "say more; twice: still more"},
    {"quiet", 'q', KIND_FLAG, FOR_ALL, 0, AT(quiet), NULL, "print errors only"},
    {"config", 0, KIND_FILE, FOR_ALL, 0, AT(config), "FILE", "read this config file instead of the usual one"},
    {"archive", 'a', KIND_FLAG, FOR_TREES, 0, AT(archive), NULL, "always on, as are the next three"},
    {"recursive", 'r', KIND_FLAG, FOR_TREES, 0, AT(recursive), NULL, "descend into directories"},
    {"links", 'l', KIND_FLAG, FOR_TREES, 0, AT(links), NULL, "copy symbolic links as links"},
    {"times", 't', KIND_FLAG, FOR_TREES, 0, AT(times), NULL, "keep modification times"},
    {"help", 'h', KIND_FLAG, FOR_ALL, 0, AT(help), NULL, "print this text"},
    {"version", 'V', KIND_FLAG, FOR_ALL, 0, AT(version), NULL, "print the program's version"},
};
/* clang-format on */
const size_t option_count = sizeof option_table / sizeof *option_table;

_Static_assert(sizeof option_table / sizeof *option_table <= OPTIONS_MAX, "room in `set`");

typedef struct reader {
    options *o;
    unsigned command;
    bool set[OPTIONS_MAX];     /* by a stronger source */
    bool set_now[OPTIONS_MAX]; /* by the source that is being read */
    bool help_spelled;         /* --help */
    char *error;
    const char *file; /* the config file's path */
} reader;

__attribute__((format(printf, 2, 3))) static bool fail(reader *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(r->error, OPTION_ERROR_SIZE, format, args);
    va_end(args);
    return false;
}

/* ---- values ----------------------------------------------------------------------- */

static void *grown(void *items, size_t count, size_t size)
{
    void *more = realloc(items, (count + 1) * size);
    if (more == NULL) {
        abort();
    }
    return more;
}

static void list_add(text_list *list, const char *text)
{
    list->items = grown(list->items, list->count, sizeof *list->items);
    list->items[list->count++] = text;
}

static const char *owned(options *o, const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL) {
        abort();
    }
    list_add(&o->owned, copy);
    return copy;
}

static const char *kind_example(option_kind kind)
{
    switch (kind) {
    case KIND_NUMBER:
        return "a number";
    case KIND_SIZE:
        return "a size like 500M or 2G";
    case KIND_TIME:
        return "a time like 90, 5m or 1h30m";
    case KIND_RATES:
        return "a rate like 500K, 2M:10M or off:1M";
    case KIND_DELETE_LIMIT:
        return "a number like 100 or a share like 10%";
    case KIND_FLAG:
    case KIND_COUNT:
    case KIND_TEXT:
    case KIND_FILE:
    case KIND_LIST:
    case KIND_RULE:
    case KIND_RULE_FILE:
        break;
    }
    return "a text that is not empty";
}

static bool value_store(options *o, const option *opt, const char *text)
{
    void *at = (char *)o + opt->at;
    switch ((option_kind)opt->kind) {
    case KIND_FLAG:
    case KIND_COUNT:
        return false;
    case KIND_TEXT:
    case KIND_FILE:
        *(const char **)at = text;
        return text[0] != '\0';
    case KIND_LIST:
        list_add(at, text);
        return text[0] != '\0';
    case KIND_NUMBER:
        return number_parse(text, at);
    case KIND_SIZE:
        return size_parse(text, 1, at);
    case KIND_TIME:
        return time_parse(text, at);
    case KIND_RATES:
        return rates_parse(text, at);
    case KIND_DELETE_LIMIT:
        return delete_limit_parse(text, at);
    case KIND_RULE:
    case KIND_RULE_FILE: {
        rule_list *list = at;
        list->items = grown(list->items, list->count, sizeof *list->items);
        list->items[list->count++] = (rule_option){(rule_source)opt->source, text};
        return text[0] != '\0';
    }
    }
    return false;
}

static bool adds_up(const option *opt)
{
    return opt->kind == KIND_RULE || opt->kind == KIND_RULE_FILE;
}

/* `where` names the option as the user wrote it. */
static bool value_set(reader *r, const option *opt, const char *where, const char *text)
{
    size_t index = (size_t)(opt - option_table);
    if (r->set[index] && !adds_up(opt)) {
        return true;
    }
    r->set_now[index] = true;
    if (!value_store(r->o, opt, text)) {
        return fail(r, "%s: \"%s\" is not %s", where, text,
                    kind_example((option_kind)opt->kind));
    }
    return true;
}

static void flag_set(reader *r, const option *opt, bool on)
{
    size_t index = (size_t)(opt - option_table);
    void *at = (char *)r->o + opt->at;
    if (r->set[index]) {
        return;
    }
    r->set_now[index] = true;
    if (opt->kind == KIND_COUNT) {
        *(unsigned *)at = on ? *(unsigned *)at + 1 : 0;
    } else {
        *(bool *)at = on;
    }
}

static bool is_flag(const option *opt)
{
    return opt->kind == KIND_FLAG || opt->kind == KIND_COUNT;
}

/* From the environment or the config file, where a flag has a value too. */
static bool text_set(reader *r, const option *opt, const char *where, const char *text)
{
    static const char *const yes[] = {"1", "yes", "true", "on"};
    static const char *const no[] = {"0", "no", "false", "off", ""};
    uint64_t count;
    if (!is_flag(opt)) {
        return value_set(r, opt, where, owned(r->o, text));
    }
    for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
        if (strcasecmp(text, no[i]) == 0) {
            flag_set(r, opt, false);
            return true;
        }
    }
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        if (strcasecmp(text, yes[i]) == 0) {
            flag_set(r, opt, true);
            return true;
        }
    }
    if (opt->kind == KIND_COUNT && number_parse(text, &count) && count < 10) {
        while (count-- > 0) {
            flag_set(r, opt, true);
        }
        return true;
    }
    return fail(r, "%s: \"%s\" is not yes or no", where, text);
}

/* What this source has set is closed for the weaker ones. */
static void source_end(reader *r)
{
    for (size_t i = 0; i < option_count; i++) {
        r->set[i] = r->set[i] || r->set_now[i];
        r->set_now[i] = false;
    }
}

/* ---- the command line ------------------------------------------------------------- */

static const option *option_named(const char *name, size_t size)
{
    for (size_t i = 0; i < option_count; i++) {
        if (strlen(option_table[i].name) == size &&
            strncmp(option_table[i].name, name, size) == 0) {
            return &option_table[i];
        }
    }
    return NULL;
}

static const option *option_lettered(char letter, unsigned command)
{
    for (size_t i = 0; i < option_count; i++) {
        if (option_table[i].letter == letter && (option_table[i].commands & command) != 0) {
            return &option_table[i];
        }
    }
    return NULL;
}

/* One "--name", "--no-name", "--name=value" or "--name value". */
static bool long_read(reader *r, int argc, char **argv, int *i)
{
    const char *arg = argv[*i], *name = arg + 2;
    size_t size = strcspn(name, "=");
    const char *value = name[size] == '=' ? name + size + 1 : NULL;
    const option *opt = option_named(name, size);
    bool on = true;
    if (opt == NULL && size > 3 && strncmp(name, "no-", 3) == 0) {
        opt = option_named(name + 3, size - 3);
        on = false;
    }
    char shown[OPTION_ERROR_SIZE / 4];
    snprintf(shown, sizeof shown, "--%.*s", (int)size, name);
    if (opt == NULL || (!on && !is_flag(opt))) {
        if (size == 5 && strncmp(name, "token", 5) == 0) {
            return fail(r, "a token on the command line is seen by everybody on this "
                           "machine: use --token-file or ACEQUIA_TOKEN");
        }
        return fail(r, "%s: there is no such option", shown);
    }
    if ((opt->commands & r->command) == 0) {
        return fail(r, "%s: not an option of this command", shown);
    }
    if (is_flag(opt)) {
        if (value != NULL) {
            return fail(r, "%s takes no value", shown);
        }
        flag_set(r, opt, on);
        r->help_spelled = r->help_spelled || opt->at == AT(help);
        return true;
    }
    if (value == NULL) {
        if (*i + 1 >= argc) {
            return fail(r, "%s needs a value: %s", shown, opt->value);
        }
        value = argv[++*i];
    }
    return value_set(r, opt, shown, value);
}

/* Letters take no values, so they can be bundled: -avn. */
static bool letters_read(reader *r, const char *arg)
{
    for (const char *p = arg + 1; *p != '\0'; p++) {
        const option *opt = option_lettered(*p, r->command);
        if (opt == NULL && *p == 'z') {
            return fail(r,
                        "-z: there is no compression; what is there already is not sent");
        }
        if (opt == NULL) {
            return fail(r, "-%c: there is no such option for this command", *p);
        }
        flag_set(r, opt, true);
    }
    return true;
}

static bool arguments_read(reader *r, int argc, char **argv)
{
    bool only_operands = false;
    for (int i = 0; i < argc; i++) {
        const char *arg = argv[i];
        bool good = true;
        if (only_operands || arg[0] != '-' || arg[1] == '\0') {
            list_add(&r->o->operands, arg);
        } else if (strcmp(arg, "--") == 0) {
            only_operands = true;
        } else if (arg[1] == '-') {
            good = long_read(r, argc, argv, &i);
        } else {
            good = letters_read(r, arg);
        }
        if (!good) {
            return false;
        }
    }
    /* rsync's users write -avh; like rsync, take a lone -h only as a call for help. */
    r->o->help = r->help_spelled || (r->o->help && r->o->operands.count == 0);
    source_end(r);
    return true;
}

/* ---- the environment -------------------------------------------------------------- */

void option_environment_name(const option *opt, char *out, size_t size)
{
    snprintf(out, size, "ACEQUIA_%s", opt->name);
    for (char *p = out; *p != '\0'; p++) {
        *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
    }
}

/* Lists and rules have one item a line. */
static bool lines_set(reader *r, const option *opt, const char *where, const char *text)
{
    char *copy = strdup(text), *rest = copy, *line;
    bool good = copy != NULL;
    while (good && (line = strsep(&rest, "\n")) != NULL) {
        good = line[0] == '\0' || text_set(r, opt, where, line);
    }
    free(copy);
    return good;
}

static bool environment_read(reader *r)
{
    for (size_t i = 0; i < option_count; i++) {
        const option *opt = &option_table[i];
        char name[64];
        option_environment_name(opt, name, sizeof name);
        const char *text = getenv(name);
        if (text == NULL || (opt->commands & r->command) == 0) {
            continue;
        }
        bool lines = adds_up(opt) || opt->kind == KIND_LIST;
        if (lines ? !lines_set(r, opt, name, text) : !text_set(r, opt, name, text)) {
            return false;
        }
    }
    source_end(r);
    return true;
}

/* ---- the config file -------------------------------------------------------------- */

static unsigned section_commands(const char *section)
{
    static const struct {
        const char *name;
        unsigned commands;
    } sections[] = {{"", FOR_ALL},         {"sync", FOR_SYNC},   {"check", FOR_CHECK},
                    {"diff", FOR_DIFF},    {"serve", FOR_SERVE}, {"hash", FOR_HASH},
                    {"status", FOR_STATUS}};
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        if (strcmp(section, sections[i].name) == 0) {
            return sections[i].commands;
        }
    }
    return 0;
}

static int config_line(void *context, const char *section, const char *name,
                       const char *value)
{
    reader *r = context;
    unsigned commands = section_commands(section);
    const option *opt = option_named(name, strlen(name));
    char where[OPTION_ERROR_SIZE / 2];
    snprintf(where, sizeof where, "%.300s: %.100s", r->file, name);
    if (commands == 0) {
        return fail(r, "%.300s: [%.100s] is no command", r->file, section);
    }
    if (opt == NULL || opt->at == AT(config) || opt->at == AT(help) ||
        opt->at == AT(version) || (section[0] != '\0' && (opt->commands & commands) == 0)) {
        return fail(r, "%s: there is no such option here", where);
    }
    if ((commands & opt->commands & r->command) == 0) {
        return 1;
    }
    return text_set(r, opt, where, value == NULL ? "yes" : value);
}

/* The path of the config file; "" if there is no home. */
static void config_path(char *out, size_t size)
{
    const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    out[0] = '\0';
    if (xdg != NULL && xdg[0] == '/') {
        snprintf(out, size, "%s/acequia/config", xdg);
    } else if (home != NULL && home[0] == '/') {
        snprintf(out, size, "%s/.config/acequia/config", home);
    }
}

static bool config_read(reader *r)
{
    char path[4096];
    config_path(path, sizeof path);
    r->file = r->o->config != NULL ? r->o->config : path;
    if (r->file[0] == '\0') {
        return true;
    }
    FILE *file = fopen(r->file, "re");
    if (file == NULL) {
        bool absent = r->o->config == NULL && (errno == ENOENT || errno == ENOTDIR);
        return absent || fail(r, "%.500s: %s", r->file, strerror(errno));
    }
    r->error[0] = '\0';
    int line = ini_parse_file(file, config_line, r);
    fclose(file);
    if (line != 0) {
        if (r->error[0] != '\0') {
            size_t size = strlen(r->error);
            snprintf(r->error + size, OPTION_ERROR_SIZE - size, " (line %d)", line);
            return false;
        }
        return fail(r, "%.500s: line %d is neither [command] nor option = value", r->file,
                    line);
    }
    source_end(r);
    return true;
}

/* ---- the interface ---------------------------------------------------------------- */

static const uint64_t NS = 1000000000;

bool options_read(options *o, unsigned command, int argc, char **argv,
                  char error[OPTION_ERROR_SIZE])
{
    reader r = {.o = o, .command = command, .error = error};
    *o = (options){.max_delete = {UINT64_MAX, 0},
                   .fsync = true,
                   .timeout_ns = 60 * NS,
                   .contimeout_ns = 10 * NS,
                   .retries = 10};
    error[0] = '\0';
    if (!arguments_read(&r, argc, argv)) {
        return false;
    }
    if (o->help || o->version) {
        return true; /* not even a broken config file is in the way of help */
    }
    return environment_read(&r) && config_read(&r);
}

void options_free(options *o)
{
    for (size_t i = 0; i < o->owned.count; i++) {
        free((char *)o->owned.items[i]);
    }
    free(o->owned.items);
    free(o->operands.items);
    free(o->listen.items);
    free(o->names.items);
    free(o->rules.items);
    *o = (options){0};
}
