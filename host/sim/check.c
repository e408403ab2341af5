/* What must be true of two trees after a sync that said it was complete, written from
 * docs/SEMANTICS.md without a look at the engine.
 *
 * Only one exception is known: a directory at the destination keeps its name against a file
 * or symlink of the source when extras are not to be deleted, or when it holds excluded
 * names (rule R14). Such places are counted, and the sync must have said that something was
 * left undone. */
#include "check.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

static bool differ(sim_check *check, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (check->text[0] == '\0') {
        (void)vsnprintf(check->text, check->text_size, format, args);
    }
    va_end(args);
    return false;
}

/* The one that users here make. */
static bool is_bad(const char *name)
{
    return strchr(name, '\xff') != NULL;
}

bool sim_check_excludes(const sim_check *check, const char *name)
{
    if (is_bad(name)) {
        return true;
    }
    if (check->excluded == NULL) {
        return false;
    }
    size_t size = strlen(name), end = strlen(check->excluded);
    return size >= end && strcmp(name + size - end, check->excluded) == 0;
}

bool sim_check_excludes_path(const sim_check *check, const char *path)
{
    char name[256];
    while (*path != '\0') {
        size_t size = strcspn(path, "/");
        memcpy(name, path, size < 255 ? size : 255);
        name[size < 255 ? size : 255] = '\0';
        if (sim_check_excludes(check, name)) {
            return true;
        }
        path += size + (path[size] == '/');
    }
    return false;
}

static bool same_bytes(const sim_object *a, const sim_object *b)
{
    return a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

static const char *type_name(aq_type type)
{
    static const char *const names[] = {"nothing", "a file", "a directory", "a symlink",
                                        "something else"};
    return names[type];
}

/* Does a directory hold anything that the sync would not have removed? */
static bool holds_rest(const sim_check *check, const sim_object *directory)
{
    for (size_t i = 0; i < directory->entry_count; i++) {
        const sim_entry *entry = &directory->entries[i];
        if (!check->delete_extra || sim_check_excludes(check, entry->name) ||
            entry->object->type == AQ_TYPE_OTHER ||
            (entry->object->type == AQ_TYPE_DIRECTORY &&
             holds_rest(check, entry->object))) {
            return true;
        }
    }
    return false;
}

static bool file_synced(sim_check *check, const char *path, const sim_object *from,
                        const sim_object *to)
{
    if (!same_bytes(from, to)) {
        return differ(check, "\"%s\" differs: %zu bytes here, %zu there", path, from->size,
                      to->size);
    }
    if (from->mtime_ns != to->mtime_ns) {
        return differ(check, "\"%s\" has another mtime: %lld, not %lld", path,
                      (long long)to->mtime_ns, (long long)from->mtime_ns);
    }
    if (from->exec != to->exec) {
        return differ(check, "\"%s\" has another exec bit: %d", path, to->exec);
    }
    return true;
}

static bool directory_synced(sim_check *check, const char *path, const sim_object *from,
                             const sim_object *to);

static bool object_synced(sim_check *check, const char *path, const sim_object *from,
                          const sim_object *to)
{
    if (to == NULL || from->type != to->type) {
        bool blocks = to != NULL && (to->type == AQ_TYPE_OTHER ||
                                     (to->type == AQ_TYPE_DIRECTORY &&
                                      (!check->delete_extra || holds_rest(check, to))));
        if (blocks) {
            check->blocked++;
            return true;
        }
        return differ(check, "\"%s\" is %s here, %s there", path, type_name(from->type),
                      type_name(to == NULL ? AQ_TYPE_NONE : to->type));
    }
    switch (from->type) {
    case AQ_TYPE_FILE:
        return file_synced(check, path, from, to);
    case AQ_TYPE_DIRECTORY:
        return directory_synced(check, path, from, to);
    case AQ_TYPE_SYMLINK:
        if (!same_bytes(from, to)) {
            return differ(check, "symlink \"%s\" has another target", path);
        }
        return true;
    case AQ_TYPE_NONE:
    case AQ_TYPE_OTHER:
        break;
    }
    return true;
}

static const char *path_join(char *room, size_t size, const char *path, const char *name)
{
    (void)snprintf(room, size, "%s%s%s", path, *path ? "/" : "", name);
    return room;
}

static bool is_backup(const sim_check *check, const char *path, const char *name)
{
    return *path == '\0' && check->backup != NULL && strcmp(name, check->backup) == 0;
}

/* Our own name at the root is no content. */
static bool is_reserved(const char *path, const char *name)
{
    return *path == '\0' && strcasecmp(name, ".acequia") == 0;
}

static bool finds_bad(const sim_check *check, const char *path, const sim_object *directory)
{
    char room[4200];
    for (size_t i = 0; i < directory->entry_count; i++) {
        const sim_entry *entry = &directory->entries[i];
        if (is_bad(entry->name) && entry->object->type != AQ_TYPE_OTHER) {
            return true;
        }
        if (!sim_check_excludes(check, entry->name) && !is_reserved(path, entry->name) &&
            finds_bad(check, path_join(room, sizeof room, path, entry->name),
                      entry->object)) {
            return true;
        }
    }
    return false;
}

bool sim_check_finds_bad(const sim_check *check, const sim_disk *disk)
{
    return finds_bad(check, "", disk->root);
}

static bool directory_synced(sim_check *check, const char *path, const sim_object *from,
                             const sim_object *to)
{
    char room[4200];
    if (check->times && from->mtime_ns != to->mtime_ns) {
        return differ(check, "directory \"%s\" has another mtime: %lld, not %lld", path,
                      (long long)to->mtime_ns, (long long)from->mtime_ns);
    }
    for (size_t i = 0; i < from->entry_count; i++) {
        const sim_entry *entry = &from->entries[i];
        if (sim_check_excludes(check, entry->name) || is_reserved(path, entry->name) ||
            entry->object->type == AQ_TYPE_OTHER) {
            continue;
        }
        if (!object_synced(check, path_join(room, sizeof room, path, entry->name),
                           entry->object, sim_object_entry(to, entry->name))) {
            return false;
        }
    }
    for (size_t i = 0; check->delete_extra && i < to->entry_count; i++) {
        const sim_entry *entry = &to->entries[i];
        if (sim_object_entry(from, entry->name) != NULL ||
            is_backup(check, path, entry->name) || sim_check_excludes(check, entry->name) ||
            is_reserved(path, entry->name) || entry->object->type == AQ_TYPE_OTHER) {
            continue;
        }
        if (entry->object->type == AQ_TYPE_DIRECTORY && holds_rest(check, entry->object)) {
            continue;
        }
        return differ(check, "extra \"%s\" was not deleted",
                      path_join(room, sizeof room, path, entry->name));
    }
    return true;
}

bool sim_check_synced(sim_check *check, const sim_disk *from, const sim_disk *to)
{
    return directory_synced(check, "", from->root, to->root);
}

/* ---- nothing mixed, nothing lost ----
 */

static bool object_known(sim_check *check, const char *path, const sim_object *object)
{
    char room[4200];
    if ((object->type == AQ_TYPE_FILE || object->type == AQ_TYPE_SYMLINK) &&
        !sim_ledger_knows(check->ledger, object)) {
        return differ(check, "\"%s\" holds %zu bytes that no user wrote", path,
                      object->size);
    }
    for (size_t i = 0; i < object->entry_count; i++) {
        const sim_entry *entry = &object->entries[i];
        if (!object_known(check, path_join(room, sizeof room, path, entry->name),
                          entry->object)) {
            return false;
        }
    }
    return true;
}

bool sim_check_known(sim_check *check, const sim_disk *disk)
{
    return object_known(check, "", disk->root);
}

static uint64_t kept_content(const sim_object *object)
{
    return sim_hash(object->data, object->size, (uint64_t)object->type);
}

static void keeps_add(sim_keeps *keeps, sim_arena *arena, const char *path,
                      const sim_object *object)
{
    keeps->items =
        sim_arena_grow(arena, keeps->items, keeps->count, &keeps->room, sizeof(sim_kept));
    keeps->items[keeps->count++] = (sim_kept){path, object->type, kept_content(object)};
    for (size_t i = 0; i < object->entry_count; i++) {
        const sim_entry *entry = &object->entries[i];
        keeps_add(keeps, arena,
                  sim_arena_print(arena, "%s%s%s", path, *path ? "/" : "", entry->name),
                  entry->object);
    }
}

void sim_keeps_take(sim_keeps *keeps, sim_arena *arena, const sim_disk *disk)
{
    keeps->count = 0;
    keeps_add(keeps, arena, "", disk->root);
}

static bool holds_content(const sim_object *object, uint64_t content)
{
    if (object->type != AQ_TYPE_DIRECTORY && kept_content(object) == content) {
        return true;
    }
    for (size_t i = 0; i < object->entry_count; i++) {
        if (holds_content(object->entries[i].object, content)) {
            return true;
        }
    }
    return false;
}

bool sim_check_kept(sim_check *check, const sim_keeps *keeps, sim_disk *disk)
{
    for (size_t i = 0; i < keeps->count; i++) {
        const sim_kept *kept = &keeps->items[i];
        bool excluded = sim_check_excludes_path(check, kept->path);
        bool was_sources = sim_ledger_seen(check->ledger, kept->path) != NULL;
        const sim_object *object = sim_disk_get(disk, kept->path);
        bool same = object != NULL && object->type == kept->type &&
                    kept_content(object) == kept->content;
        if ((excluded || !(check->delete_extra || was_sources)) && !same) {
            return differ(check, "\"%s\" was not the source's and is gone or changed",
                          kept->path);
        }
        if (check->backup != NULL && kept->type != AQ_TYPE_DIRECTORY && !same &&
            !holds_content(disk->root, kept->content)) {
            return differ(check, "what \"%s\" was is in no backup", kept->path);
        }
    }
    return true;
}

uint64_t sim_content_size(const sim_object *object)
{
    uint64_t size = object->type == AQ_TYPE_FILE ? object->size : 0;
    for (size_t i = 0; i < object->entry_count; i++) {
        size += sim_content_size(object->entries[i].object);
    }
    return size;
}
