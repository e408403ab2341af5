/* The virtual disk.
 *
 * Objects live in an arena and are never freed while their world lasts, so undoing is
 * putting an old pointer back. Two kinds of memory loss are modelled, as a journalling file
 * system shows them after the power went:
 *
 *   names    every change of a directory entry, and of an object's own fields, goes into
 * one log. A machine crash undoes a suffix of it, at a group's border: an operation that is
 * atomic (rename, exchange) is one group. A sync forgets the log. bytes    a file that was
 * written since it was last synced is dirty, and keeps what the platter had. A crash leaves
 * each sector old, new or zero.
 *
 * State rows are batches in order; a crash loses some of the last of them. A crash of the
 * process alone loses nothing that was done here: the kernel still has it. */
#include "disk.h"

#include <stdlib.h>

enum { ROW_BATCHES_UNSYNCED = 4 };

void sim_disk_open(sim_disk *disk, sim_arena *arena, uint64_t seed, const char *concern)
{
    *disk = (sim_disk){.arena = arena, .chance = sim_chance_open(seed, concern)};
    disk->salt = sim_chance_next(&disk->chance);
    disk->inode_next = 1000 + sim_chance_below(&disk->chance, 1000);
    disk->clock_ns = 1700000000000000000;
    disk->root = sim_disk_make(disk, AQ_TYPE_DIRECTORY);
    disk->slots = sim_disk_make(disk, AQ_TYPE_DIRECTORY);
}

/* No two changes happen at the same instant. */
static int64_t clock_step(sim_disk *disk)
{
    return ++disk->clock_ns;
}

/* ---- finding ----
 */

/* The index of name, or of where it would go. */
static size_t entry_index(const sim_object *directory, const char *name, bool *found)
{
    size_t low = 0, high = directory->entry_count;
    *found = false;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(directory->entries[middle].name, name);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

sim_object *sim_object_entry(const sim_object *directory, const char *name)
{
    bool found;
    size_t index = entry_index(directory, name, &found);
    return found ? directory->entries[index].object : NULL;
}

aq_status sim_disk_find(sim_disk *disk, const char *path, sim_object **parent,
                        const char **leaf, sim_object **object)
{
    *parent = NULL;
    *leaf = "";
    *object = disk->root;
    while (*path != '\0') {
        size_t size = strcspn(path, "/");
        if (*object == NULL) {
            return AQ_NOT_FOUND;
        }
        if ((*object)->type != AQ_TYPE_DIRECTORY) {
            return AQ_NOT_DIRECTORY;
        }
        char name[256];
        if (size == 0 || size >= sizeof name) {
            return AQ_NAME;
        }
        sim_copy(name, path, size);
        name[size] = '\0';
        *parent = *object;
        *leaf = path;
        *object = sim_object_entry(*parent, name);
        path += size + (path[size] == '/');
    }
    return AQ_OK;
}

sim_object *sim_disk_get(sim_disk *disk, const char *path)
{
    sim_object *parent, *object;
    const char *leaf;
    return sim_disk_find(disk, path, &parent, &leaf, &object) == AQ_OK ? object : NULL;
}

static void slot_name(uint64_t slot, char name[20])
{
    static const char digits[] = "0123456789abcdef";
    size_t size = 1;
    while (size < 16 && slot >> (4 * size) != 0) {
        size++;
    }
    for (size_t i = 0; i < size; i++) {
        name[i] = digits[slot >> (4 * (size - 1 - i)) & 15];
    }
    name[size] = '\0';
}

sim_object *sim_disk_slot(sim_disk *disk, uint64_t slot)
{
    char name[20];
    slot_name(slot, name);
    return sim_object_entry(disk->slots, name);
}

aq_stamp sim_object_stamp(const sim_object *object)
{
    if (object == NULL) {
        return (aq_stamp){.type = AQ_TYPE_NONE};
    }
    bool has_size = object->type == AQ_TYPE_FILE || object->type == AQ_TYPE_SYMLINK;
    return (aq_stamp){.size = has_size ? object->size : 0,
                      .mtime_ns = object->mtime_ns,
                      .ctime_ns = object->ctime_ns,
                      .inode = object->inode,
                      .type = (uint8_t)object->type,
                      .exec = object->type == AQ_TYPE_FILE && object->exec};
}

/* ---- changing ----
 */

static sim_undo *undo_add(sim_disk *disk, sim_object *object)
{
    disk->undo = sim_arena_grow(disk->arena, disk->undo, disk->undo_count, &disk->undo_room,
                                sizeof *disk->undo);
    sim_undo *undo = &disk->undo[disk->undo_count++];
    *undo = (sim_undo){.group = disk->group,
                       .object = object,
                       .mtime_ns = object->mtime_ns,
                       .ctime_ns = object->ctime_ns,
                       .size = object->size,
                       .exec = object->exec};
    return undo;
}

void sim_disk_group(sim_disk *disk)
{
    disk->group++;
}

sim_object *sim_disk_make(sim_disk *disk, aq_type type)
{
    sim_object *object = sim_arena_take(disk->arena, sizeof *object);
    object->type = type;
    object->inode = disk->inode_next++;
    object->mtime_ns = object->ctime_ns = clock_step(disk);
    return object;
}

static void entry_put(sim_disk *disk, sim_object *directory, const char *name,
                      sim_object *object)
{
    bool found;
    size_t index = entry_index(directory, name, &found);
    sim_entry *at;
    if (found && object != NULL) {
        directory->entries[index].object = object;
    } else if (found) {
        at = &directory->entries[index];
        directory->entry_count--;
        memmove(at, at + 1, (directory->entry_count - index) * sizeof *at);
    } else if (object != NULL) {
        directory->entries =
            sim_arena_grow(disk->arena, directory->entries, directory->entry_count,
                           &directory->entry_room, sizeof *directory->entries);
        at = &directory->entries[index];
        memmove(at + 1, at, (directory->entry_count - index) * sizeof *at);
        *at = (sim_entry){name, object};
        directory->entry_count++;
    }
}

void sim_disk_link(sim_disk *disk, sim_object *directory, const char *name,
                   sim_object *object)
{
    name = sim_arena_copy(disk->arena, name, strlen(name) + 1);
    sim_undo *undo = undo_add(disk, directory);
    undo->name = name;
    undo->before = sim_object_entry(directory, name);
    entry_put(disk, directory, name, object);
    directory->mtime_ns = directory->ctime_ns = clock_step(disk);
}

void sim_disk_slot_link(sim_disk *disk, uint64_t slot, sim_object *object)
{
    char name[20];
    slot_name(slot, name);
    sim_disk_link(disk, disk->slots, name, object);
}

void sim_disk_touch(sim_disk *disk, sim_object *object, int64_t mtime_ns, bool exec)
{
    (void)undo_add(disk, object);
    object->mtime_ns = mtime_ns;
    object->exec = exec && object->type == AQ_TYPE_FILE;
    object->ctime_ns = clock_step(disk);
}

static void room_make(sim_disk *disk, sim_object *object, size_t size)
{
    if (size > object->room) {
        size_t room = size < 64 ? 64 : size + size / 2;
        uint8_t *data = sim_arena_take(disk->arena, room);
        if (object->size > 0) {
            sim_copy(data, object->data, object->size);
        }
        object->data = data;
        object->room = room;
    }
}

/* The bytes are kept behind the end until something is written there, so undoing a cut
 * needs only the old size. Growing shows zeros. */
void sim_disk_truncate(sim_disk *disk, sim_object *object, size_t size)
{
    if (size == object->size) {
        return;
    }
    if (size > object->size) {
        size_t old = object->size;
        room_make(disk, object, size);
        memset(object->data + old, 0, size - old);
    }
    (void)undo_add(disk, object);
    object->size = size;
    object->mtime_ns = object->ctime_ns = clock_step(disk);
}

static void dirty_set(sim_disk *disk, sim_object *object)
{
    if (object->dirty) {
        return;
    }
    object->dirty = true;
    object->synced = sim_arena_copy(disk->arena, object->data, object->size);
    object->synced_size = object->size;
    disk->dirty = sim_arena_grow(disk->arena, disk->dirty, disk->dirty_count,
                                 &disk->dirty_room, sizeof(sim_object *));
    disk->dirty[disk->dirty_count++] = object;
}

void sim_disk_write(sim_disk *disk, sim_object *object, uint64_t offset, const void *data,
                    size_t size)
{
    dirty_set(disk, object);
    size_t end = (size_t)offset + size;
    if (end > object->size) {
        size_t old = object->size;
        room_make(disk, object, end);
        memset(object->data + old, 0, end - old);
        object->size = end;
    }
    sim_copy(object->data + offset, data, size);
    object->mtime_ns = object->ctime_ns = clock_step(disk);
}

aq_status sim_disk_parents(sim_disk *disk, const char *path)
{
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        char *above = sim_arena_copy(disk->arena, path, (size_t)(slash - path) + 1);
        above[slash - path] = '\0';
        sim_object *parent, *object;
        const char *leaf;
        aq_status status = sim_disk_find(disk, above, &parent, &leaf, &object);
        if (status != AQ_OK) {
            return status;
        }
        if (object == NULL && parent != NULL) {
            sim_disk_link(disk, parent, leaf, sim_disk_make(disk, AQ_TYPE_DIRECTORY));
        } else if (object == NULL || object->type != AQ_TYPE_DIRECTORY) {
            return AQ_NOT_DIRECTORY;
        }
    }
    return AQ_OK;
}

/* ---- durability ----
 */

void sim_disk_sync_object(sim_disk *disk, sim_object *object)
{
    if (object->poisoned) {
        return;
    }
    object->dirty = false;
    object->synced = NULL;
    for (size_t i = 0; i < disk->dirty_count; i++) {
        if (disk->dirty[i] == object) {
            disk->dirty[i] = disk->dirty[--disk->dirty_count];
            break;
        }
    }
}

void sim_disk_forgive(sim_disk *disk)
{
    for (size_t i = 0; i < disk->dirty_count; i++) {
        disk->dirty[i]->poisoned = false;
    }
}

void sim_disk_sync_slot(sim_disk *disk, uint64_t slot)
{
    char name[20];
    slot_name(slot, name);
    for (size_t i = 0; i < disk->undo_count; i++) {
        sim_undo *undo = &disk->undo[i];
        if (undo->object == disk->slots && undo->name != NULL &&
            strcmp(undo->name, name) == 0) {
            undo->durable = true;
        }
    }
    sim_object *object = sim_object_entry(disk->slots, name);
    if (object != NULL) {
        sim_disk_sync_object(disk, object);
    }
}

void sim_disk_sync_names(sim_disk *disk)
{
    disk->undo_count = 0;
}

static void names_undo(sim_disk *disk, sim_chance *chance)
{
    size_t keep = (size_t)sim_chance_below(chance, disk->undo_count + 1);
    while (keep > 0 && keep < disk->undo_count &&
           disk->undo[keep].group == disk->undo[keep - 1].group) {
        keep--;
    }
    while (disk->undo_count > keep) {
        sim_undo *undo = &disk->undo[--disk->undo_count];
        sim_object *object = undo->object;
        if (undo->durable) {
            continue;
        }
        if (undo->name != NULL) {
            entry_put(disk, object, undo->name, undo->before);
        } else {
            object->exec = undo->exec;
            object->size = undo->size;
        }
        object->mtime_ns = undo->mtime_ns;
        object->ctime_ns = undo->ctime_ns;
    }
    disk->undo_count = 0;
}

static void bytes_tear(sim_object *object, sim_chance *chance)
{
    static const size_t sectors[] = {1, 64, 512};
    size_t sector = sectors[sim_chance_below(chance, 3)];
    unsigned kept = (unsigned)sim_chance_below(chance, 1001);
    if (sim_chance_hit(chance, 300)) {
        object->size =
            object->synced_size < object->size ? object->synced_size : object->size;
    } else if (sim_chance_hit(chance, 300)) {
        object->size = (size_t)sim_chance_below(chance, object->size + 1);
    }
    for (size_t at = 0; at < object->size; at += sector) {
        size_t size = object->size - at < sector ? object->size - at : sector;
        if (sim_chance_hit(chance, kept)) {
            continue;
        }
        for (size_t i = at; i < at + size; i++) {
            object->data[i] = i < object->synced_size ? object->synced[i] : 0;
        }
    }
    object->dirty = object->poisoned = false;
    object->synced = NULL;
}

static void rows_undo(sim_disk *disk, sim_chance *chance);

void sim_disk_power_loss(sim_disk *disk, sim_chance *chance)
{
    names_undo(disk, chance);
    for (size_t i = 0; i < disk->dirty_count; i++) {
        bytes_tear(disk->dirty[i], chance);
    }
    disk->dirty_count = 0;
    rows_undo(disk, chance);
    disk->group++;
}

/* ---- state rows ----
 */

static size_t row_index(const sim_disk *disk, const char *key, bool *found)
{
    size_t low = 0, high = disk->row_count;
    *found = false;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(disk->rows[middle].key, key);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

const sim_row *sim_disk_row(const sim_disk *disk, const char *key)
{
    bool found;
    size_t index = row_index(disk, key, &found);
    return found ? &disk->rows[index] : NULL;
}

static void row_put(sim_disk *disk, sim_row row)
{
    bool found;
    size_t index = row_index(disk, row.key, &found);
    if (found && row.data != NULL) {
        disk->rows[index] = row;
    } else if (found) {
        disk->row_count--;
        memmove(&disk->rows[index], &disk->rows[index + 1],
                (disk->row_count - index) * sizeof *disk->rows);
    } else if (row.data != NULL) {
        disk->rows = sim_arena_grow(disk->arena, disk->rows, disk->row_count,
                                    &disk->row_room, sizeof *disk->rows);
        memmove(&disk->rows[index + 1], &disk->rows[index],
                (disk->row_count - index) * sizeof *disk->rows);
        disk->rows[index] = row;
        disk->row_count++;
    }
}

void sim_disk_row_set(sim_disk *disk, const char *key, const uint8_t *data, size_t size)
{
    const sim_row *old = sim_disk_row(disk, key);
    sim_row before = {.key = sim_arena_copy(disk->arena, key, strlen(key) + 1)};
    if (old != NULL) {
        before = *old;
    }
    disk->row_undo = sim_arena_grow(disk->arena, disk->row_undo, disk->row_undo_count,
                                    &disk->row_undo_room, sizeof *disk->row_undo);
    disk->row_undo[disk->row_undo_count++] = (sim_row_undo){disk->batch, before};
    sim_row row = {.key = before.key, .size = size};
    if (data != NULL) {
        uint8_t *copy = sim_arena_take(disk->arena, size + 1);
        sim_copy(copy, data, size);
        row.data = copy;
    }
    row_put(disk, row);
}

void sim_disk_batch(sim_disk *disk)
{
    disk->batch++;
    size_t old = 0;
    while (old < disk->row_undo_count &&
           disk->row_undo[old].batch + ROW_BATCHES_UNSYNCED < disk->batch) {
        old++;
    }
    disk->row_undo_count -= old;
    if (old > 0 && disk->row_undo_count > 0) {
        memmove(disk->row_undo, disk->row_undo + old,
                disk->row_undo_count * sizeof *disk->row_undo);
    }
}

static void rows_undo(sim_disk *disk, sim_chance *chance)
{
    uint64_t lost = sim_chance_below(chance, ROW_BATCHES_UNSYNCED + 1);
    while (disk->row_undo_count > 0 &&
           disk->row_undo[disk->row_undo_count - 1].batch + lost >= disk->batch) {
        row_put(disk, disk->row_undo[--disk->row_undo_count].before);
    }
    disk->row_undo_count = 0;
}

void sim_disk_lose_state(sim_disk *disk)
{
    disk->row_count = 0;
    disk->row_undo_count = 0;
}

/* ---- comparing ----
 */

static uint64_t object_hash(const sim_object *object, const char *name, uint64_t seed)
{
    uint64_t head[4] = {(uint64_t)object->type, (uint64_t)object->mtime_ns, object->exec,
                        object->inode};
    uint64_t h = sim_hash(name, strlen(name), seed);
    h = sim_hash(head, sizeof head, h);
    h = sim_hash(object->data, object->size, h);
    for (size_t i = 0; i < object->entry_count; i++) {
        h = object_hash(object->entries[i].object, object->entries[i].name, h);
    }
    return sim_mix(h + 1);
}

uint64_t sim_disk_hash(const sim_disk *disk)
{
    return object_hash(disk->root, "", 7);
}
