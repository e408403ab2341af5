/* filter.c: rsync's include and exclude patterns over a plain text of rules.
 *
 * Nothing is compiled or allocated: the rules stay text and each question reads them. Most
 * patterns are decided by comparing their literal end with the path's end. The others run
 * as a nondeterministic automaton whose states are the pattern's byte offsets: for each
 * character of the path every active state takes one step, so hostile patterns
 * ("*a*a*a*b") cost pattern times path and never more.
 *
 *     pattern   m a * . c
 *     state     0 1 2 3 4 5        after "mai": {2 3}    after "main.": {2 3 4}
 *                                  after "main.c": {2 3 5}; 5 is the end: it matches
 *
 * A pattern that starts with '/' is *anchored*: it must match the whole path. Any other may
 * start at any component, but sees the last one only when it has neither '/' nor "**".
 *
 * The chosen paths ("= path") can be very many, so they are sorted and are found by halving
 * the text: jump into the middle, go back to the line's start, compare.
 */
#include "engine/sync/filter.h"
#include "engine/base/assert.h"
#include "engine/base/bytes.h"

enum {
    NOT_UTF8 = 0x110000, /* a byte that is not part of a character counts from here on */
    PATH_MAX_SIZE = 4096
};

typedef struct span {
    const char *at;
    size_t size;
} span;

/* ---- characters ------------------------------------------------------------------- */

/* How many bytes follow this first byte of a character; 0 for ASCII, 4: not a first byte.
 */
static size_t char_more(uint8_t first)
{
    if (first < 0x80) {
        return 0;
    }
    return first < 0xc2 ? 4 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : first < 0xf5 ? 3 : 4;
}

/* The character at offset *at, which moves behind it. */
static uint32_t char_next(span text, size_t *at)
{
    const uint8_t *p = (const uint8_t *)text.at + *at;
    size_t more = char_more(p[0]);
    if (more < 4 && more < text.size - *at) {
        uint32_t c = more == 0 ? p[0] : p[0] & (0x3fu >> more);
        size_t i = 1;
        while (i <= more && (p[i] & 0xc0) == 0x80) {
            c = c << 6 | (p[i++] & 0x3fu);
        }
        if (i > more) {
            *at += i;
            return c;
        }
    }
    *at += 1;
    return NOT_UTF8 + p[0];
}

/* ---- character classes: [a-z], [!abc], [[:digit:]] -------------------------------- */

static bool in_range(uint32_t c, char low, char high)
{
    return c >= (uint32_t)low && c <= (uint32_t)high;
}

/* [:name:] of C's "C" locale; *known is false for any other name. */
static bool named_class_has(span name, uint32_t c, bool *known)
{
    bool upper = in_range(c, 'A', 'Z'), lower = in_range(c, 'a', 'z');
    bool digit = in_range(c, '0', '9'), graph = in_range(c, '!', '~');
    const struct {
        const char *name;
        bool has;
    } classes[] = {
        {"alnum", upper || lower || digit},
        {"alpha", upper || lower},
        {"blank", c == ' ' || c == '\t'},
        {"cntrl", c < ' ' || c == 0x7f},
        {"digit", digit},
        {"graph", graph},
        {"lower", lower},
        {"print", graph || c == ' '},
        {"punct", graph && !upper && !lower && !digit},
        {"space", c == ' ' || (c >= '\t' && c <= '\r')},
        {"upper", upper},
        {"xdigit", digit || in_range(c, 'a', 'f') || in_range(c, 'A', 'F')},
    };
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        if (aq_string_size(classes[i].name) == name.size &&
            aq_compare(classes[i].name, name.at, name.size) == 0) {
            *known = true;
            return classes[i].has;
        }
    }
    *known = false;
    return false;
}

/* A "[:name:]" at `at`: its size, 0 if there is none. */
static size_t named_class_size(span pattern, size_t at)
{
    if (at + 1 >= pattern.size || pattern.at[at] != '[' || pattern.at[at + 1] != ':') {
        return 0;
    }
    for (size_t i = at + 2; i + 1 < pattern.size; i++) {
        if (pattern.at[i] == ':' && pattern.at[i + 1] == ']') {
            return i + 2 - at;
        }
        if (pattern.at[i] < 'a' || pattern.at[i] > 'z') {
            return 0;
        }
    }
    return 0;
}

/* One end of a range, with its escape undone. */
static uint32_t class_char(span pattern, size_t *at)
{
    if (pattern.at[*at] == '\\' && *at + 1 < pattern.size) {
        *at += 1;
    }
    return char_next(pattern, at);
}

/* Reads the class whose '[' is at offset *at, which moves behind its ']'. Says in *has
 * whether c is in it; a slash never is. False: not a class. */
static bool class_read(span pattern, size_t *at, uint32_t c, bool *has)
{
    size_t i = *at + 1;
    bool inverted = i < pattern.size && (pattern.at[i] == '!' || pattern.at[i] == '^');
    i += inverted;
    bool found = false;
    for (size_t first = i; i < pattern.size; first = 0) {
        if (pattern.at[i] == ']' && i != first) {
            *at = i + 1;
            *has = found != inverted && c != '/';
            return true;
        }
        size_t named = named_class_size(pattern, i);
        if (named != 0) {
            bool known;
            span name = {pattern.at + i + 2, named - 4};
            found = named_class_has(name, c, &known) || found;
            if (!known) {
                return false;
            }
            i += named;
            continue;
        }
        uint32_t low = class_char(pattern, &i), high = low;
        if (i + 1 < pattern.size && pattern.at[i] == '-' && pattern.at[i + 1] != ']') {
            i++;
            high = class_char(pattern, &i);
        }
        found = found || (c >= low && c <= high);
    }
    return false;
}

/* ---- the automaton ---------------------------------------------------------------- */

typedef struct state_set {
    uint16_t states[AQ_FILTER_PATTERN_MAX + 1];
    size_t count;
} state_set;

typedef struct automaton {
    span pattern;
    state_set now;
    state_set next;
    bool seen[AQ_FILTER_PATTERN_MAX + 1]; /* what is in `next` */
} automaton;

static size_t star_run(span pattern, size_t at)
{
    size_t i = at;
    while (i < pattern.size && pattern.at[i] == '*') {
        i++;
    }
    return i - at;
}

/* Adds the state to `next`, and what stars let follow it without a character. */
static void state_add(automaton *a, size_t state)
{
    for (;;) {
        if (!a->seen[state]) {
            a->seen[state] = true;
            a->next.states[a->next.count++] = (uint16_t)state;
        }
        size_t stars = star_run(a->pattern, state);
        if (stars == 0) {
            return;
        }
        state += stars;
    }
}

static void states_swap(automaton *a)
{
    for (size_t i = 0; i < a->next.count; i++) {
        a->seen[a->next.states[i]] = false;
    }
    aq_copy(a->now.states, a->next.states, a->next.count * sizeof a->next.states[0]);
    a->now.count = a->next.count;
    a->next.count = 0;
}

/* Where the state goes when it meets character c. */
static void state_step(automaton *a, size_t state, uint32_t c)
{
    if (state == a->pattern.size) {
        return;
    }
    size_t stars = star_run(a->pattern, state), after = state;
    bool has = false;
    if (stars != 0) {
        if (stars > 1 || c != '/') {
            state_add(a, state);
        }
        return;
    }
    switch (a->pattern.at[state]) {
    case '?':
        has = c != '/';
        after++;
        break;
    case '[':
        has = class_read(a->pattern, &after, c, &has) && has;
        break;
    case '\\':
        after++;
        has = after < a->pattern.size && char_next(a->pattern, &after) == c;
        break;
    default:
        has = char_next(a->pattern, &after) == c;
        break;
    }
    if (has) {
        state_add(a, after);
    }
}

/* Does the pattern match the text, or (unless anchored) the text from some component on? */
static bool automaton_matches(span pattern, span text, bool anchored)
{
    automaton a;
    a.pattern = pattern;
    a.next.count = 0;
    aq_fill(a.seen, 0, pattern.size + 1);
    state_add(&a, 0);
    states_swap(&a);
    for (size_t at = 0; at < text.size;) {
        uint32_t c = char_next(text, &at);
        for (size_t i = 0; i < a.now.count; i++) {
            state_step(&a, a.now.states[i], c);
        }
        if (c == '/' && !anchored) {
            state_add(&a, 0);
        }
        states_swap(&a);
        if (a.now.count == 0 && anchored) {
            return false;
        }
    }
    for (size_t i = 0; i < a.now.count; i++) {
        if (a.now.states[i] == pattern.size) {
            return true;
        }
    }
    return false;
}

/* ---- one pattern ------------------------------------------------------------------ */

static bool is_special(char c)
{
    return c == '*' || c == '?' || c == '[' || c == ']' || c == '\\';
}

static bool has_wildcard(span pattern)
{
    for (size_t i = 0; i < pattern.size; i++) {
        if (pattern.at[i] == '*' || pattern.at[i] == '?' || pattern.at[i] == '[') {
            return true;
        }
    }
    return false;
}

static bool has_slash_or_double_star(span pattern)
{
    for (size_t i = 0; i < pattern.size; i++) {
        if (pattern.at[i] == '/' ||
            (pattern.at[i] == '*' && i + 1 < pattern.size && pattern.at[i + 1] == '*')) {
            return true;
        }
    }
    return false;
}

static bool ends_with(span text, span end)
{
    return text.size >= end.size &&
           aq_compare(text.at + text.size - end.size, end.at, end.size) == 0;
}

static span last_component(span path)
{
    size_t i = path.size;
    while (i > 0 && path.at[i - 1] != '/') {
        i--;
    }
    return (span){path.at + i, path.size - i};
}

/* The pattern without anchors and directory marks against the text. */
static bool text_matches(span pattern, span text, bool anchored)
{
    if (!has_wildcard(pattern)) {
        bool at_component =
            text.size == pattern.size || (!anchored && text.size > pattern.size &&
                                          text.at[text.size - pattern.size - 1] == '/');
        return at_component && ends_with(text, pattern);
    }
    size_t plain = 0;
    while (plain < pattern.size && !is_special(pattern.at[pattern.size - plain - 1])) {
        plain++;
    }
    if (!ends_with(text, (span){pattern.at + pattern.size - plain, plain})) {
        return false;
    }
    return automaton_matches(pattern, text, anchored);
}

static bool pattern_matches(span pattern, span path, bool is_directory)
{
    if (pattern.at[pattern.size - 1] == '/') {
        if (!is_directory) {
            return false;
        }
        pattern.size--;
    }
    bool anchored = pattern.at[0] == '/';
    bool whole = has_slash_or_double_star(pattern);
    if (anchored) {
        pattern.at++;
        pattern.size--;
    } else {
        size_t stars = star_run(pattern, 0);
        if (stars > 1 && stars < pattern.size && pattern.at[stars] == '/') {
            pattern.at += stars + 1; /* any parents, or none: not being anchored says it */
            pattern.size -= stars + 1;
        }
    }
    span text = whole ? path : last_component(path);
    span inside = {"/***", 4};
    if (is_directory && pattern.size > 4 && ends_with(pattern, inside) &&
        text_matches((span){pattern.at, pattern.size - 4}, text, anchored)) {
        return true; /* "dir/" followed by three stars is the directory and all below it */
    }
    return text_matches(pattern, text, anchored);
}

/* ---- lines ------------------------------------------------------------------------ */

/* The line at `at` without its newline, and where the next one starts. */
static span line_at(const char *at, const char *end, const char **next)
{
    const char *p = at;
    while (p < end && *p != '\n') {
        p++;
    }
    *next = p < end ? p + 1 : end;
    return (span){at, (size_t)(p - at)};
}

/* The next byte of a "= path" line, whose escapes are \n and \\; -1 at its end. */
static int path_byte(span line, size_t *at)
{
    if (*at >= line.size) {
        return -1;
    }
    char c = line.at[(*at)++];
    if (c == '\\' && *at < line.size) {
        c = line.at[(*at)++] == 'n' ? '\n' : '\\';
    }
    return (uint8_t)c;
}

/* Orders a line against a path; with `below`, every line that lies below it is equal. */
static int path_compare(span line, span path, bool below)
{
    size_t at = 2;
    for (size_t i = 0; i < path.size; i++) {
        int c = path_byte(line, &at), want = (uint8_t)path.at[i];
        if (c != want) {
            return c < want ? -1 : 1;
        }
    }
    int c = path_byte(line, &at), want = below ? '/' : -1;
    return c < want ? -1 : c > want;
}

static int lines_compare(span a, span b)
{
    size_t i = 2, j = 2;
    for (;;) {
        int x = path_byte(a, &i), y = path_byte(b, &j);
        if (x != y || x == -1) {
            return x < y ? -1 : x > y;
        }
    }
}

/* Is the path chosen or, with `below`, something that lies below it? */
static bool paths_have(const aq_filter *f, span path, bool below)
{
    const char *low = f->paths, *high = f->end;
    while (low < high) {
        const char *middle = low + (high - low) / 2, *next;
        while (middle > low && middle[-1] != '\n') {
            middle--;
        }
        int order = path_compare(line_at(middle, f->end, &next), path, below);
        if (order == 0) {
            return true;
        }
        if (order < 0) {
            low = next;
        } else {
            high = middle;
        }
    }
    return false;
}

/* Chosen, below something chosen, or a parent of it. */
static bool paths_pass(const aq_filter *f, span path, bool is_directory)
{
    if (f->paths == f->end) {
        return true;
    }
    for (size_t i = path.size; i > 0; i--) {
        if ((i == path.size || path.at[i] == '/') &&
            paths_have(f, (span){path.at, i}, false)) {
            return true;
        }
    }
    return is_directory && paths_have(f, path, true);
}

static bool patterns_pass(const aq_filter *f, span path, bool is_directory)
{
    const char *next = f->patterns;
    while (next < f->paths) {
        span line = line_at(next, f->paths, &next);
        span pattern = {line.at + 2, line.size - 2};
        if (pattern_matches(pattern, path, is_directory)) {
            return line.at[0] == '+';
        }
    }
    return true;
}

/* ---- checking the rules ----------------------------------------------------------- */

static bool wildcards_are_valid(span pattern)
{
    if (pattern.size > AQ_FILTER_PATTERN_MAX) {
        return false;
    }
    for (size_t i = 0; i < pattern.size;) {
        bool has;
        if (pattern.at[i] == '[') {
            if (!class_read(pattern, &i, 0, &has)) {
                return false;
            }
            continue;
        }
        i += pattern.at[i] == '\\';
        if (i == pattern.size) {
            return false;
        }
        char_next(pattern, &i);
    }
    return true;
}

static bool pattern_is_valid(span line)
{
    span pattern = {line.at + 2, line.size - 2};
    if (pattern.size == 0 || pattern.size > PATH_MAX_SIZE ||
        (pattern.size == 1 && pattern.at[0] == '/')) {
        return false;
    }
    for (size_t i = 1; i < pattern.size; i++) {
        if (pattern.at[i] == '/' && pattern.at[i - 1] == '/') {
            return false;
        }
    }
    return !has_wildcard(pattern) || wildcards_are_valid(pattern);
}

static bool path_line_is_valid(span line)
{
    if (line.size < 3 || line.size > 2 * PATH_MAX_SIZE || line.at[2] == '/' ||
        line.at[line.size - 1] == '/') {
        return false;
    }
    for (size_t i = 2; i < line.size; i++) {
        if (line.at[i] == '\\') {
            i++;
            if (i == line.size || (line.at[i] != 'n' && line.at[i] != '\\')) {
                return false;
            }
        }
    }
    return true;
}

/* ---- the interface ---------------------------------------------------------------- */

bool aq_filter_open(aq_filter *filter, const char *rules, const char **bad_line)
{
    const char *next = rules == NULL ? "" : rules;
    *filter = (aq_filter){next, NULL, next + aq_string_size(next)};
    span before = {NULL, 0};
    while (next < filter->end) {
        span line = line_at(next, filter->end, &next);
        bool is_path = line.size >= 2 && line.at[0] == '=';
        bool valid = line.size >= 2 && line.at[1] == ' ';
        if (is_path) {
            valid = valid && path_line_is_valid(line) &&
                    (before.at == NULL || lines_compare(before, line) < 0);
            if (filter->paths == NULL) {
                filter->paths = line.at;
            }
            before = line;
        } else {
            valid = valid && (line.at[0] == '+' || line.at[0] == '-') &&
                    filter->paths == NULL && pattern_is_valid(line);
        }
        if (!valid) {
            if (bad_line != NULL) {
                *bad_line = line.at;
            }
            return false;
        }
    }
    if (filter->paths == NULL) {
        filter->paths = filter->end;
    }
    return true;
}

bool aq_filter_passes_below(const aq_filter *filter, const char *path, bool is_directory)
{
    span p = {path, aq_string_size(path)};
    return p.size == 0 ||
           (patterns_pass(filter, p, is_directory) && paths_pass(filter, p, is_directory));
}

bool aq_filter_passes(const aq_filter *filter, const char *path, bool is_directory)
{
    for (size_t i = 0; path[i] != '\0'; i++) {
        if (path[i] == '/' && !patterns_pass(filter, (span){path, i}, true)) {
            return false;
        }
    }
    return aq_filter_passes_below(filter, path, is_directory);
}

bool aq_filter_valid(const char *rules, const char **bad_line)
{
    aq_filter filter;
    return aq_filter_open(&filter, rules, bad_line);
}

bool aq_filter_allows(const char *rules, const char *path, bool is_directory)
{
    aq_filter filter;
    bool valid = aq_filter_open(&filter, rules, NULL);
    AQ_ASSERT(valid);
    return aq_filter_passes(&filter, path, is_directory);
}
