/* operand.c: rsync's SRC and DST. In short, for a source directory:
 *
 *     src/ dst        the contents of src become the contents of dst
 *     src  dst        src itself becomes dst/src
 *     URL  dst        as src/: a served folder is its contents
 *     src  URL        the folder gets a directory src: here the root is src's parent, and a
 *                     filter lets nothing but src take part
 *
 * Anything else at SRC (a file, a link) is synced under its own name, by a filter on its
 * parent directory.
 */
#include "operand.h"
#include "options.h"
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

__attribute__((format(printf, 3, 4))) static aq_status fail(char *error, aq_status status,
                                                            const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error, OPTION_ERROR_SIZE, format, args);
    va_end(args);
    return status;
}

static bool ends_in_slash(const char *path)
{
    size_t size = strlen(path);
    return size > 0 && path[size - 1] == '/';
}

/* The last component, without slashes at its end; "" for "/", and "." and ".." as such. */
static void base_of(const char *path, char *out, size_t size)
{
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/') {
        end--;
    }
    size_t start = end;
    while (start > 0 && path[start - 1] != '/') {
        start--;
    }
    snprintf(out, size, "%.*s", (int)(end - start), path + start);
}

static void parent_of(const char *path, char out[PLACE_PATH_SIZE])
{
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/') {
        end--;
    }
    while (end > 0 && path[end - 1] != '/') {
        end--;
    }
    while (end > 1 && path[end - 1] == '/') {
        end--;
    }
    snprintf(out, PLACE_PATH_SIZE, "%.*s", (int)end, path);
    if (end == 0) {
        strcpy(out, ".");
    }
}

/* "src/", "src/.", ".", "..": names the contents. */
static bool names_contents(const char *path, const char *base)
{
    return ends_in_slash(path) || strcmp(base, ".") == 0 || strcmp(base, "..") == 0;
}

static aq_status errno_status(int error)
{
    return error == ENOENT || error == ENOTDIR ? AQ_ROOT
           : error == EACCES                   ? AQ_ACCESS
                                               : AQ_IO;
}

static aq_status place_read(place *p, const char *what, const char *text, char *error)
{
    *p = (place){0};
    p->is_url = aq_url_is(text);
    if (p->is_url) {
        const char *why = aq_url_parse(text, &p->url);
        return why == NULL ? AQ_OK : fail(error, AQ_USAGE, "%s: %s", text, why);
    }
    if (strstr(text, "://") != NULL) {
        return fail(error, AQ_USAGE, "%s: this scheme is unknown; ./%s would be a path",
                    text, text);
    }
    if (text[0] == '\0' || strlen(text) >= sizeof p->path) {
        return fail(error, AQ_USAGE, "%s is %s", what,
                    text[0] == '\0' ? "empty; write . for this directory" : "too long");
    }
    strcpy(p->path, text);
    struct stat st;
    p->exists = stat(text, &st) == 0;
    return AQ_OK;
}

static aq_status destination_directory(places *p, char *error)
{
    struct stat st;
    const char *path = p->destination.path;
    if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode)) {
        return fail(error, AQ_NOT_DIRECTORY, "%s: it is not a directory", path);
    }
    if (!p->destination.exists) {
        char parent[PLACE_PATH_SIZE];
        parent_of(path, parent);
        if (stat(parent, &st) != 0) {
            return fail(error, errno_status(errno), "%s: cannot be made: %s: %s", path,
                        parent, strerror(errno));
        }
    }
    return AQ_OK;
}

/* SRC is a file or a link: its parent is the root. */
static aq_status single_resolve(places *p, const char *base, char *error)
{
    struct stat st;
    char source[PLACE_PATH_SIZE], name[256];
    strcpy(source, p->source.path);
    strcpy(p->chosen, base);
    parent_of(source, p->source.path);
    if (p->destination.is_url) {
        return AQ_OK;
    }
    char *path = p->destination.path;
    bool is_directory = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    if (is_directory || ends_in_slash(path)) {
        return destination_directory(p, error);
    }
    base_of(path, name, sizeof name);
    if (strcmp(name, base) != 0) {
        return fail(error, AQ_USAGE,
                    "%s: no such directory; a single file keeps its name (to make the "
                    "directory, end its name with a slash)",
                    path);
    }
    char copy[PLACE_PATH_SIZE];
    strcpy(copy, path);
    parent_of(copy, path);
    p->destination.exists = stat(path, &st) == 0;
    return destination_directory(p, error);
}

static aq_status directory_resolve(places *p, const char *base, char *error)
{
    if (names_contents(p->source.path, base) || base[0] == '\0') {
        return p->destination.is_url ? AQ_OK : destination_directory(p, error);
    }
    if (p->destination.is_url) {
        char source[PLACE_PATH_SIZE];
        strcpy(source, p->source.path);
        strcpy(p->below, base);
        parent_of(source, p->source.path);
        return AQ_OK;
    }
    aq_status status = destination_directory(p, error);
    char *path = p->destination.path;
    size_t size = strlen(path);
    if (status == AQ_OK && size + strlen(base) + 2 > PLACE_PATH_SIZE) {
        return fail(error, AQ_NAME, "%s: too long", path);
    }
    if (status == AQ_OK) {
        snprintf(path + size, PLACE_PATH_SIZE - size, "%s%s",
                 ends_in_slash(path) ? "" : "/", base);
        struct stat st;
        p->destination.exists = stat(path, &st) == 0;
        if (p->destination.exists && !S_ISDIR(st.st_mode)) {
            return fail(error, AQ_NOT_DIRECTORY, "%s: it is not a directory", path);
        }
    }
    return status;
}

aq_status places_resolve(places *p, const char *source, const char *destination,
                         char *error)
{
    *p = (places){0};
    aq_status status = place_read(&p->source, "SRC", source, error);
    if (status == AQ_OK) {
        status = place_read(&p->destination, "DST", destination, error);
    }
    if (status != AQ_OK) {
        return status;
    }
    if (p->source.is_url) {
        return p->destination.is_url ? fail(error, AQ_USAGE,
                                            "SRC and DST are both URLs: run the command on "
                                            "one of the machines")
                                     : destination_directory(p, error);
    }
    struct stat st;
    char base[256];
    base_of(source, base, sizeof base);
    if (lstat(source, &st) != 0) {
        return fail(error, errno_status(errno), "%s: %s", source, strerror(errno));
    }
    return S_ISDIR(st.st_mode) ? directory_resolve(p, base, error)
                               : single_resolve(p, base, error);
}

/* realpath, also of what is still to be made in an existing directory. */
static bool path_real(const char *path, char out[PATH_MAX])
{
    char parent[PLACE_PATH_SIZE], base[256], real[PATH_MAX];
    if (realpath(path, out) != NULL) {
        return true;
    }
    parent_of(path, parent);
    base_of(path, base, sizeof base);
    if (strcmp(parent, path) == 0 || !path_real(parent, real) ||
        strlen(real) + strlen(base) + 2 > PATH_MAX) {
        return false;
    }
    strcpy(out, real);
    strcat(out, strcmp(real, "/") == 0 ? "" : "/");
    strcat(out, base);
    return true;
}

const char *places_nested(const places *p, char room[PLACE_PATH_SIZE])
{
    char source[PATH_MAX], destination[PATH_MAX];
    if (p->source.is_url || p->destination.is_url || !path_real(p->source.path, source) ||
        !path_real(p->destination.path, destination)) {
        return NULL;
    }
    size_t size = strcmp(source, "/") == 0 ? 0 : strlen(source);
    if (strncmp(source, destination, size) != 0 ||
        (destination[size] != '/' && destination[size] != '\0')) {
        return NULL;
    }
    snprintf(room, PLACE_PATH_SIZE, "%s",
             destination[size] == '/' ? destination + size + 1 : "");
    return room;
}
