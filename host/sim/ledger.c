/* The oracle's memory. Contents are known by a 64-bit hash that is not the engine's. One
 * table holds three kinds of facts, told apart by a salt in the key:
 *
 *     content                     some user wrote it
 *     path, content               the source had it there
 *     path, size, mtime → content what a quick check identifies
 *     path → index in `paths`     presence */
#include "ledger.h"

enum { CONTENT = 1, AT_PATH, QUICK, PRESENCE };

void sim_ledger_open(sim_ledger *ledger, sim_arena *arena)
{
    *ledger = (sim_ledger){.arena = arena, .row_room = 1024};
    ledger->rows = sim_arena_take(arena, ledger->row_room * sizeof *ledger->rows);
}

static sim_ledger_row *row_find(const sim_ledger *ledger, uint64_t key)
{
    size_t at = key & (ledger->row_room - 1);
    while (ledger->rows[at].key != 0 && ledger->rows[at].key != key) {
        at = (at + 1) & (ledger->row_room - 1);
    }
    return &ledger->rows[at];
}

static void row_put(sim_ledger *ledger, uint64_t key, uint64_t value)
{
    sim_ledger_row *row = row_find(ledger, key);
    if (row->key == key) {
        row->value = value;
        return;
    }
    *row = (sim_ledger_row){key, value};
    if (++ledger->row_count * 2 > ledger->row_room) {
        sim_ledger_row *old = ledger->rows;
        size_t old_room = ledger->row_room;
        ledger->row_room *= 2;
        ledger->rows = sim_arena_take(ledger->arena, ledger->row_room * sizeof *old);
        for (size_t i = 0; i < old_room; i++) {
            if (old[i].key != 0) {
                *row_find(ledger, old[i].key) = old[i];
            }
        }
    }
}

static uint64_t content_of(const sim_object *object)
{
    return sim_hash(object->data, object->size, (uint64_t)object->type);
}

static uint64_t key_content(const sim_object *object)
{
    return sim_mix(content_of(object) + CONTENT) | 1;
}

static uint64_t key_path(const char *path, uint64_t salt)
{
    return sim_hash(path, strlen(path), salt) | 1;
}

static uint64_t key_at(const char *path, const sim_object *object)
{
    return key_path(path, content_of(object) + AT_PATH);
}

static uint64_t key_quick(const char *path, const sim_object *object)
{
    return key_path(path, sim_mix((uint64_t)object->mtime_ns + QUICK) ^ object->size);
}

bool sim_ledger_knows(const sim_ledger *ledger, const sim_object *object)
{
    uint64_t key = key_content(object);
    return row_find(ledger, key)->key == key;
}

bool sim_ledger_knows_at(const sim_ledger *ledger, const char *path,
                         const sim_object *object)
{
    uint64_t key = key_at(path, object);
    return row_find(ledger, key)->key == key;
}

const sim_seen *sim_ledger_seen(const sim_ledger *ledger, const char *path)
{
    uint64_t key = key_path(path, PRESENCE);
    const sim_ledger_row *row = row_find(ledger, key);
    return row->key == key ? &ledger->paths[row->value] : NULL;
}

static void presence_note(sim_ledger *ledger, const char *path, aq_type type,
                          uint64_t now_ns)
{
    uint64_t key = key_path(path, PRESENCE);
    sim_ledger_row *row = row_find(ledger, key);
    if (row->key != key) {
        ledger->paths = sim_arena_grow(ledger->arena, ledger->paths, ledger->path_count,
                                       &ledger->path_room, sizeof *ledger->paths);
        ledger->paths[ledger->path_count] = (sim_seen){.path = path};
        row_put(ledger, key, ledger->path_count++);
        row = row_find(ledger, key);
    }
    sim_seen *seen = &ledger->paths[row->value];
    if (seen->type != type) {
        seen->type = type;
        seen->since_ns = now_ns;
    }
    seen->seen = true;
}

static void quick_settle(sim_ledger *ledger, sim_disk *disk, const char *path,
                         sim_object *object)
{
    for (;;) {
        uint64_t key = key_quick(path, object);
        const sim_ledger_row *row = row_find(ledger, key);
        if (ledger->twins || row->key != key || row->value == content_of(object)) {
            row_put(ledger, key, content_of(object));
            return;
        }
        sim_disk_touch(disk, object, ++disk->clock_ns, object->exec);
    }
}

static void object_note(sim_ledger *ledger, sim_disk *disk, const char *path,
                        sim_object *object, bool is_source, uint64_t now_ns)
{
    if (object->type == AQ_TYPE_FILE || object->type == AQ_TYPE_SYMLINK) {
        row_put(ledger, key_content(object), 0);
        if (object->type == AQ_TYPE_FILE) {
            quick_settle(ledger, disk, path, object);
        }
        if (is_source) {
            row_put(ledger, key_at(path, object), 0);
        }
    }
    if (is_source) {
        presence_note(ledger, path, object->type, now_ns);
    }
    for (size_t i = 0; i < object->entry_count; i++) {
        const sim_entry *entry = &object->entries[i];
        object_note(
            ledger, disk,
            sim_arena_print(ledger->arena, "%s%s%s", path, *path ? "/" : "", entry->name),
            entry->object, is_source, now_ns);
    }
}

void sim_ledger_note(sim_ledger *ledger, sim_disk *disk, bool is_source, uint64_t now_ns)
{
    for (size_t i = 0; is_source && i < ledger->path_count; i++) {
        ledger->paths[i].seen = false;
    }
    object_note(ledger, disk, "", disk->root, is_source, now_ns);
    for (size_t i = 0; is_source && i < ledger->path_count; i++) {
        sim_seen *seen = &ledger->paths[i];
        if (!seen->seen && seen->type != AQ_TYPE_NONE) {
            seen->type = AQ_TYPE_NONE;
            seen->since_ns = now_ns;
        }
    }
}
