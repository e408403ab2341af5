/* rules.c: builds the filter text. Options give patterns and files of patterns in order;
 * files of paths are collected, tidied as rsync does ("./a//b/" is a/b), sorted and put
 * behind the patterns, in several texts if they are many.
 *
 * As in rsync's files of patterns: empty lines and those that begin with '#' or ';' are
 * comments (but not with --from0), "+ " and "- " at the start override the option, and a
 * lone "!" forgets all patterns so far.
 */
#include "rules.h"
#include "engine/sync/filter.h"
#include "text.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_SIZE_MAX = 4096 };

typedef struct builder {
    char *text; /* patterns */
    size_t size;
    char **paths;
    size_t path_count;
    const char *below; /* where patterns and paths begin; "": at the root */
    bool chosen;       /* --files-from was given: no path means nothing, not everything */
    bool all;          /* the root itself was chosen */
    char *error;
} builder;

static bool fail(builder *b, const char *what, const char *name, const char *why)
{
    char shown[OPTION_ERROR_SIZE / 2];
    text_escape(name, shown, sizeof shown);
    snprintf(b->error, OPTION_ERROR_SIZE, "%s \"%s\": %s", what, shown, why);
    return false;
}

static void *checked(void *memory)
{
    if (memory == NULL) {
        abort();
    }
    return memory;
}

static void text_add(builder *b, const char *text, size_t size)
{
    b->text = checked(realloc(b->text, b->size + size + 1));
    memcpy(b->text + b->size, text, size);
    b->size += size;
    b->text[b->size] = '\0';
}

static void text_add_escaped(builder *b, const char *text, const char *which)
{
    for (; *text != '\0'; text++) {
        if (strchr(which, *text) != NULL) {
            text_add(b, "\\", 1);
        }
        text_add(b, text, 1);
    }
}

/* ---- patterns --------------------------------------------------------------------- */

/* An anchored pattern starts in `below`. There, a backslash takes the meaning from the next
 * character only if the pattern has wildcards. */
static void pattern_write(builder *b, const char *pattern)
{
    static const char wildcards[] = "*?[";
    if (pattern[0] != '/' || b->below[0] == '\0') {
        text_add(b, pattern, strlen(pattern));
        return;
    }
    bool has = strpbrk(pattern, wildcards) != NULL;
    bool below_has = strpbrk(b->below, wildcards) != NULL;
    text_add(b, "/", 1);
    text_add_escaped(b, b->below, has || below_has ? "*?[\\" : "");
    text_add_escaped(b, pattern, below_has && !has ? "\\" : "");
}

static bool pattern_add(builder *b, char sign, const char *pattern)
{
    if (strcmp(pattern, "!") == 0) {
        b->size = 0;
        return true;
    }
    if ((pattern[0] == '+' || pattern[0] == '-') && pattern[1] == ' ') {
        sign = pattern[0];
        pattern += 2;
    }
    if (strchr(pattern, '\n') != NULL) {
        return fail(b, "pattern", pattern, "it contains a newline; write ? for it");
    }
    char head[] = {sign, ' '};
    size_t start = b->size;
    text_add(b, head, sizeof head);
    pattern_write(b, pattern);
    if (!aq_filter_valid(b->text + start, NULL)) {
        return fail(b, "pattern", pattern,
                    "it is empty, too long, has \"//\" or an open bracket");
    }
    text_add(b, "\n", 1);
    return true;
}

/* ---- paths ------------------------------------------------------------------------ */

/* Without "." parts and spare slashes; false if it leaves the root. */
static bool path_tidy(char *path)
{
    char *to = path;
    for (char *part = path; part != NULL;) {
        char *slash = strchr(part, '/');
        size_t size = slash == NULL ? strlen(part) : (size_t)(slash - part);
        if (size == 2 && part[0] == '.' && part[1] == '.') {
            return false;
        }
        if (size > 1 || (size == 1 && part[0] != '.')) {
            if (to != path) {
                *to++ = '/';
            }
            memmove(to, part, size);
            to += size;
        }
        part = slash == NULL ? NULL : slash + 1;
    }
    *to = '\0';
    return true;
}

static bool path_add(builder *b, const char *path)
{
    char *copy = checked(malloc(strlen(b->below) + strlen(path) + 2));
    strcpy(copy, path);
    if (path_tidy(copy)) {
        sprintf(copy, "%s/%s", b->below, path);
        path_tidy(copy);
    } else {
        free(copy);
        return fail(b, "path", path, "\"..\" leads out of the source");
    }
    if (strlen(copy) >= PATH_SIZE_MAX) {
        free(copy);
        return fail(b, "path", path, "it is too long");
    }
    b->chosen = true;
    if (copy[0] == '\0') {
        b->all = true;
        free(copy);
        return true;
    }
    b->paths = checked(realloc(b->paths, (b->path_count + 1) * sizeof *b->paths));
    b->paths[b->path_count++] = copy;
    return true;
}

static int path_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* One "= path" line; returns where it ends. */
static char *path_write(char *to, const char *path)
{
    *to++ = '=';
    *to++ = ' ';
    for (; *path != '\0'; path++) {
        if (*path == '\n' || *path == '\\') {
            *to++ = '\\';
        }
        *to++ = *path == '\n' ? 'n' : *path;
    }
    *to++ = '\n';
    return to;
}

static char *text_new(rules *out)
{
    char *text = checked(malloc(RULES_SIZE_MAX + 1));
    out->texts = checked(realloc(out->texts, (out->count + 1) * sizeof *out->texts));
    out->texts[out->count++] = text;
    return text;
}

/* The patterns, and behind them as many paths as fit, as often as is needed. */
static void texts_write(const builder *b, rules *out)
{
    char *text = text_new(out), *to = text;
    memcpy(to, b->text, b->size);
    to += b->size;
    for (size_t i = 0; i < b->path_count; i++) {
        if (i > 0 && strcmp(b->paths[i - 1], b->paths[i]) == 0) {
            continue;
        }
        size_t room = RULES_SIZE_MAX - (size_t)(to - text);
        if (2 * strlen(b->paths[i]) + 3 > room) {
            *to = '\0';
            text = text_new(out);
            memcpy(text, b->text, b->size);
            to = text + b->size;
        }
        to = path_write(to, b->paths[i]);
    }
    *to = '\0';
}

/* ---- files ------------------------------------------------------------------------ */

static bool line_add(builder *b, rule_source source, const char *line, bool comments)
{
    bool comment = comments && (line[0] == '#' || line[0] == ';');
    if (line[0] == '\0' || comment) {
        return true;
    }
    if (source == RULE_FILES_FROM) {
        return path_add(b, line);
    }
    return pattern_add(b, source == RULE_INCLUDE_FROM ? '+' : '-', line);
}

static bool file_add(builder *b, rule_source source, const char *name, bool from0)
{
    bool is_stdin = strcmp(name, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(name, "re");
    if (file == NULL) {
        return fail(b, "file", name, strerror(errno));
    }
    b->chosen = b->chosen || source == RULE_FILES_FROM;
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    bool good = true;
    while (good && (size = getdelim(&line, &room, from0 ? '\0' : '\n', file)) > 0) {
        if (!from0 && line[size - 1] == '\n') {
            line[--size] = '\0';
        }
        if (!from0 && size > 0 && line[size - 1] == '\r') {
            line[--size] = '\0';
        }
        good = line_add(b, source, line, !from0);
    }
    if (good && ferror(file)) {
        good = fail(b, "file", name, strerror(errno));
    }
    free(line);
    if (!is_stdin) {
        fclose(file);
    }
    return good;
}

static bool option_add(builder *b, const rule_option *rule, bool from0)
{
    switch (rule->source) {
    case RULE_INCLUDE:
        return pattern_add(b, '+', rule->value);
    case RULE_EXCLUDE:
        return pattern_add(b, '-', rule->value);
    case RULE_INCLUDE_FROM:
    case RULE_EXCLUDE_FROM:
    case RULE_FILES_FROM:
        return file_add(b, rule->source, rule->value, from0);
    }
    return false;
}

static bool build(builder *b, const options *o, const char *below, const char *chosen)
{
    bool good = true;
    for (size_t i = 0; i < o->rules.count && good; i++) {
        good = option_add(b, &o->rules.items[i], o->from0);
    }
    if (good && chosen != NULL) {
        good = path_add(b, chosen);
    }
    if (good && below != NULL) {
        size_t size = b->size; /* no pattern may leave out the directory itself */
        char *after = b->text;
        b->text = NULL;
        b->size = 0;
        good = pattern_add(b, '+', "/");
        text_add(b, after == NULL ? "" : after, size);
        free(after);
        good = good && (b->chosen || path_add(b, ""));
    }
    if (good && b->chosen && !b->all && b->path_count == 0) {
        b->size = 0; /* an empty list chooses nothing */
        good = pattern_add(b, '-', "*");
    }
    if (good && b->size > RULES_SIZE_MAX - 2 * PATH_SIZE_MAX - 3) {
        snprintf(b->error, OPTION_ERROR_SIZE, "the patterns are too many: %zu bytes",
                 b->size);
        good = false;
    }
    return good;
}

bool rules_build(const options *o, const char *below, const char *chosen, rules *out,
                 char error[OPTION_ERROR_SIZE])
{
    builder b = {.error = error, .below = below == NULL ? "" : below};
    *out = (rules){NULL, 0};
    bool good = build(&b, o, below, chosen);
    if (b.all) {
        while (b.path_count > 0) {
            free(b.paths[--b.path_count]);
        }
    }
    if (b.path_count > 0) {
        qsort(b.paths, b.path_count, sizeof *b.paths, path_order);
    }
    if (good && b.size + b.path_count > 0) {
        text_add(&b, "", 0);
        texts_write(&b, out);
    }
    for (size_t i = 0; i < b.path_count; i++) {
        free(b.paths[i]);
    }
    free(b.paths);
    free(b.text);
    return good;
}

void rules_free(rules *r)
{
    for (size_t i = 0; i < r->count; i++) {
        free(r->texts[i]);
    }
    free(r->texts);
    *r = (rules){NULL, 0};
}

bool rules_allow(const rules *r, const char *path, bool is_directory)
{
    bool allow = r->count == 0;
    for (size_t i = 0; i < r->count && !allow; i++) {
        allow = aq_filter_allows(r->texts[i], path, is_directory);
    }
    return allow;
}
