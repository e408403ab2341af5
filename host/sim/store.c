/* Storage and state ops on the virtual disk, with exactly the semantics that acequia.h
 * states: this file is a second reading of that header, and where the native host and it
 * disagree, one of the three is wrong.
 *
 * What is not modelled: an exchange that the crash leaves with the displaced file in the
 * slot. Here displacing and keeping beside are one step. */
#include "store.h"

#include <stdio.h>
#include <stdlib.h>

bool sim_store_same(const aq_stamp *a, const aq_stamp *b)
{
    if (a->type == AQ_TYPE_DIRECTORY || a->type == AQ_TYPE_NONE) {
        return a->type == b->type;
    }
    return a->type == b->type && a->size == b->size && a->mtime_ns == b->mtime_ns &&
           a->ctime_ns == b->ctime_ns && a->inode == b->inode && a->exec == b->exec;
}

static bool fault(sim_disk *disk, unsigned permille)
{
    return permille > 0 && sim_chance_hit(&disk->chance, permille);
}

static aq_status grow_check(sim_disk *disk)
{
    if (disk->faults.full) {
        return AQ_NO_SPACE;
    }
    return fault(disk, disk->faults.write_error) ? AQ_IO : AQ_OK;
}

/* ---- looking ----
 */

typedef struct listed {
    uint64_t key; /* never 0; LIST's order, and where to go on */
    const sim_entry *entry;
} listed;

static int listed_compare(const void *a, const void *b)
{
    uint64_t x = ((const listed *)a)->key, y = ((const listed *)b)->key;
    return (x > y) - (x < y);
}

static aq_status list_from(sim_disk *disk, aq_item *item, const sim_object *directory)
{
    size_t count = 0;
    listed *order = sim_arena_take(disk->arena, directory->entry_count * sizeof *order);
    for (size_t i = 0; i < directory->entry_count; i++) {
        const char *name = directory->entries[i].name;
        uint64_t key = sim_hash(name, strlen(name), disk->salt) | 1;
        if (key >= item->offset) {
            order[count++] = (listed){key, &directory->entries[i]};
        }
    }
    qsort(order, count, sizeof *order, listed_compare);
    bool fails = fault(disk, disk->faults.list_error);
    size_t stop = fails ? (size_t)sim_chance_below(&disk->chance, count + 1) : count;
    item->offset = 0;
    for (size_t i = 0; i < stop; i++) {
        const sim_object *object = order[i].entry->object;
        const char *name = order[i].entry->name;
        aq_stamp stamp = sim_object_stamp(object);
        bool is_link = object->type == AQ_TYPE_SYMLINK;
        if (!aq_list_put(item, name, strlen(name), &stamp,
                         is_link ? (const char *)object->data : NULL,
                         is_link ? object->size : 0)) {
            item->offset = order[i].key;
            break;
        }
    }
    return fails ? AQ_IO : AQ_OK;
}

static aq_status list(sim_disk *disk, aq_item *item)
{
    sim_object *parent, *directory = disk->slots;
    const char *leaf;
    if (!(item->flags & AQ_ITEM_SLOT)) {
        aq_status status = sim_disk_find(disk, item->path, &parent, &leaf, &directory);
        if (status != AQ_OK) {
            return status;
        }
    }
    if (directory == NULL) {
        return AQ_NOT_FOUND;
    }
    if (directory->type != AQ_TYPE_DIRECTORY) {
        return AQ_NOT_DIRECTORY;
    }
    item->done = 0;
    item->stamp = sim_object_stamp(directory);
    return list_from(disk, item, directory);
}

static aq_status stat_item(sim_disk *disk, aq_item *item)
{
    sim_object *object;
    if (item->flags & AQ_ITEM_SLOT) {
        object = sim_disk_slot(disk, item->slot);
    } else {
        object = sim_disk_get(disk, item->path);
    }
    item->stamp = sim_object_stamp(object);
    return AQ_OK;
}

/* The file that READ and COPY open: as with a descriptor, what is at the path later does
 * not matter. */
static aq_status file_open(sim_disk *disk, const aq_item *item, bool from_slot,
                           sim_object **file)
{
    sim_object *parent;
    const char *leaf;
    if (from_slot) {
        *file = sim_disk_slot(disk, item->slot);
    } else {
        aq_status status = sim_disk_find(disk, item->path, &parent, &leaf, file);
        if (status != AQ_OK) {
            return status == AQ_NOT_DIRECTORY ? AQ_NOT_FOUND : status;
        }
    }
    if (*file == NULL) {
        return AQ_NOT_FOUND;
    }
    aq_stamp stamp = sim_object_stamp(*file);
    if (item->expect.type != AQ_TYPE_NONE && !sim_store_same(&item->expect, &stamp)) {
        return AQ_CHANGED;
    }
    if ((*file)->type != AQ_TYPE_FILE) {
        return AQ_UNSUPPORTED;
    }
    return fault(disk, disk->faults.read_error) ? AQ_IO : AQ_OK;
}

static uint64_t range_copy(const sim_object *file, uint64_t offset, uint64_t size,
                           uint8_t *to)
{
    if (offset >= file->size) {
        return 0;
    }
    if (size > file->size - offset) {
        size = file->size - offset;
    }
    sim_copy(to, file->data + offset, size);
    return size;
}

static void half_read(sim_disk *disk, const aq_item *item)
{
    if (disk->on_half_read != NULL && !(item->flags & AQ_ITEM_SLOT) &&
        fault(disk, disk->faults.read_change)) {
        disk->on_half_read(disk->watcher, item->path);
    }
}

/* Bytes of file into item->data or, for COPY, into `to`; the user may act in the middle. */
static aq_status range_read(sim_disk *disk, aq_item *item, const sim_object *file,
                            uint8_t *to)
{
    uint64_t half = item->size / 2;
    item->done = range_copy(file, item->offset, half, to);
    half_read(disk, item);
    if (item->done == half) {
        item->done += range_copy(file, item->offset + half, item->size - half, to + half);
    }
    item->stamp = sim_object_stamp(file);
    if (item->expect.type != AQ_TYPE_NONE && !sim_store_same(&item->expect, &item->stamp)) {
        return AQ_CHANGED;
    }
    return AQ_OK;
}

static aq_status read_item(sim_disk *disk, aq_item *item)
{
    sim_object *file;
    item->done = 0;
    aq_status status = file_open(disk, item, item->flags & AQ_ITEM_SLOT, &file);
    if (status != AQ_OK) {
        return status;
    }
    status = range_read(disk, item, file, item->data);
    if (item->done > 0 && fault(disk, disk->faults.read_flip)) {
        item->data[sim_chance_below(&disk->chance, item->done)] ^= 0x10;
    }
    return status;
}

/* ---- slots ----
 */

static sim_object *slot_make(sim_disk *disk, uint64_t slot, aq_type type)
{
    sim_object *object = sim_disk_make(disk, type);
    sim_disk_slot_link(disk, slot, object);
    return object;
}

static aq_status stage(sim_disk *disk, aq_item *item)
{
    aq_status status = grow_check(disk);
    if (status != AQ_OK) {
        return status;
    }
    sim_object *object = slot_make(disk, item->slot, (aq_type)item->type);
    if (item->type == AQ_TYPE_SYMLINK) {
        uint8_t *target = sim_arena_take(disk->arena, item->size + 1);
        sim_copy(target, item->data, item->size);
        object->data = target;
        object->size = object->room = item->size;
    } else {
        sim_disk_write(disk, object, 0, item->data, item->size);
    }
    sim_disk_touch(disk, object, item->mtime_ns, item->exec);
    return AQ_OK;
}

static aq_status slot_write(sim_disk *disk, aq_item *item, uint64_t offset,
                            const uint8_t *data, uint64_t size)
{
    sim_object *object = sim_disk_slot(disk, item->slot);
    aq_status status = grow_check(disk);
    if (status != AQ_OK && size > 0 && object != NULL && object->type == AQ_TYPE_FILE) {
        size = sim_chance_below(&disk->chance, size);
        sim_disk_write(disk, object, offset, data, size);
    }
    if (status != AQ_OK) {
        return status;
    }
    if (object == NULL || object->type != AQ_TYPE_FILE) {
        object = slot_make(disk, item->slot, AQ_TYPE_FILE);
    }
    sim_disk_write(disk, object, offset, data, size);
    return AQ_OK;
}

static aq_status write_item(sim_disk *disk, aq_item *item)
{
    return slot_write(disk, item, item->offset, item->data, item->size);
}

static aq_status copy(sim_disk *disk, aq_item *item)
{
    sim_object *file;
    item->done = 0;
    if (fault(disk, disk->faults.copy_refuse)) {
        return AQ_UNSUPPORTED;
    }
    aq_status status = file_open(disk, item, false, &file);
    if (status != AQ_OK) {
        return status;
    }
    uint8_t *bytes = sim_arena_take(disk->arena, item->size);
    aq_status read = range_read(disk, item, file, bytes);
    status = slot_write(disk, item, item->to_offset, bytes, item->done);
    return status != AQ_OK ? status : read;
}

static aq_status flush(sim_disk *disk, aq_item *item)
{
    sim_object *object = sim_disk_slot(disk, item->slot);
    if (object == NULL) {
        return AQ_NOT_FOUND;
    }
    if (fault(disk, disk->faults.write_error)) {
        object->poisoned = object->dirty;
        return AQ_IO;
    }
    sim_disk_sync_slot(disk, item->slot);
    return AQ_OK;
}

static void discard_all(sim_disk *disk)
{
    while (disk->slots->entry_count > 0) {
        sim_disk_link(disk, disk->slots, disk->slots->entries[0].name, NULL);
    }
}

/* ---- the visible tree ----
 */

/* path + suffix, the last name cut so that it is a possible one. */
static char *name_join(sim_disk *disk, const char *path, const char *suffix)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    size_t size = strlen(name), room = 255 - strlen(suffix);
    if (size > room) {
        for (size = room; ((uint8_t)name[size] & 0xc0) == 0x80; size--) {
        }
    }
    return sim_arena_print(disk->arena, "%.*s%s", (int)(name + size - path), path, suffix);
}

/* Puts object at path + suffix, or with a number behind it if that is taken. Its ctime
 * moves, as rename's does. */
static aq_status put_numbered(sim_disk *disk, sim_object *object, const char *path,
                              const char *suffix)
{
    for (unsigned copy = 1;; copy++) {
        char numbered[60];
        (void)snprintf(numbered, sizeof numbered, "%s", suffix);
        if (copy > 1) {
            (void)snprintf(numbered, sizeof numbered, "%s.~%u~", suffix, copy);
        }
        sim_object *parent, *there;
        const char *leaf;
        char *to = name_join(disk, path, numbered);
        aq_status status = sim_disk_find(disk, to, &parent, &leaf, &there);
        if (status != AQ_OK || parent == NULL) {
            return status != AQ_OK ? status : AQ_EXISTS;
        }
        if (there == NULL) {
            sim_disk_link(disk, parent, leaf, object);
            sim_disk_touch(disk, object, object->mtime_ns, object->exec);
            return AQ_OK;
        }
    }
}

static aq_status move_to(sim_disk *disk, sim_object *object, const char *target)
{
    aq_status status = disk->faults.full ? AQ_NO_SPACE : sim_disk_parents(disk, target);
    return status != AQ_OK ? status : put_numbered(disk, object, target, "");
}

static void keep_beside(sim_disk *disk, sim_object *object, const aq_item *item)
{
    char suffix[40];
    (void)snprintf(suffix, sizeof suffix, ".displaced-%016llx",
                   (unsigned long long)item->slot);
    (void)put_numbered(disk, object, item->path, suffix);
}

static aq_status publish(sim_disk *disk, aq_item *item)
{
    sim_object *parent, *there;
    const char *leaf;
    sim_object *object = sim_disk_slot(disk, item->slot);
    aq_status status = sim_disk_find(disk, item->path, &parent, &leaf, &there);
    if (status != AQ_OK || object == NULL || parent == NULL) {
        return status != AQ_OK ? status : AQ_NOT_FOUND;
    }
    if (there != NULL &&
        (there->type == AQ_TYPE_DIRECTORY || there->type == AQ_TYPE_OTHER)) {
        return AQ_EXISTS;
    }
    if (fault(disk, disk->faults.write_error)) {
        return AQ_IO;
    }
    aq_stamp stamp = sim_object_stamp(there);
    bool expected = sim_store_same(&item->expect, &stamp);
    if (there != NULL && expected && item->target != NULL) {
        status = move_to(disk, there, item->target);
        if (status != AQ_OK) {
            return status;
        }
    }
    sim_disk_slot_link(disk, item->slot, NULL);
    sim_disk_link(disk, parent, leaf, object);
    if (object->type == AQ_TYPE_FILE) {
        sim_disk_truncate(disk, object, item->size);
    }
    sim_disk_touch(disk, object, item->mtime_ns, item->exec);
    if (there != NULL && !expected) {
        keep_beside(disk, there, item);
    }
    item->stamp = sim_object_stamp(object);
    if (disk->on_visible != NULL) {
        disk->on_visible(disk->watcher, item->path, object);
    }
    return there == NULL || expected ? AQ_OK : AQ_CHANGED;
}

static aq_status remove_item(sim_disk *disk, aq_item *item)
{
    sim_object *parent, *there;
    const char *leaf;
    aq_status status = sim_disk_find(disk, item->path, &parent, &leaf, &there);
    if (status != AQ_OK || there == NULL || parent == NULL) {
        return status != AQ_OK ? status : AQ_NOT_FOUND;
    }
    aq_stamp stamp = sim_object_stamp(there);
    if (!sim_store_same(&item->expect, &stamp)) {
        return AQ_CHANGED;
    }
    if (there->type == AQ_TYPE_DIRECTORY && there->entry_count > 0) {
        return AQ_NOT_EMPTY;
    }
    if (fault(disk, disk->faults.write_error)) {
        return AQ_IO;
    }
    if (item->target != NULL) {
        status = move_to(disk, there, item->target);
        if (status != AQ_OK) {
            return status;
        }
    }
    sim_disk_link(disk, parent, leaf, NULL);
    return AQ_OK;
}

static bool is_inside(const char *path, const char *directory)
{
    size_t size = strlen(directory);
    return strncmp(path, directory, size) == 0 && (path[size] == '/' || path[size] == '\0');
}

static aq_status rename_item(sim_disk *disk, aq_item *item)
{
    sim_object *parent, *object, *to, *there;
    const char *leaf, *to_leaf;
    aq_status status = sim_disk_find(disk, item->path, &parent, &leaf, &object);
    if (status != AQ_OK || object == NULL || parent == NULL) {
        return status != AQ_OK ? status : AQ_NOT_FOUND;
    }
    status = sim_disk_find(disk, item->target, &to, &to_leaf, &there);
    if (status != AQ_OK || to == NULL) {
        return status != AQ_OK ? status : AQ_EXISTS;
    }
    if (there != NULL) {
        return AQ_EXISTS;
    }
    if (is_inside(item->target, item->path)) {
        return AQ_USAGE;
    }
    aq_stamp stamp = sim_object_stamp(object);
    if (item->expect.type != AQ_TYPE_NONE && !sim_store_same(&item->expect, &stamp)) {
        return AQ_CHANGED;
    }
    if (fault(disk, disk->faults.write_error)) {
        return AQ_IO;
    }
    sim_disk_link(disk, parent, leaf, NULL);
    sim_disk_link(disk, to, to_leaf, object);
    sim_disk_touch(disk, object, object->mtime_ns, object->exec);
    item->stamp = sim_object_stamp(object);
    return AQ_OK;
}

static aq_status make_directory(sim_disk *disk, aq_item *item)
{
    sim_object *parent, *there;
    const char *leaf;
    aq_status status = sim_disk_find(disk, item->path, &parent, &leaf, &there);
    if (status != AQ_OK) {
        return status;
    }
    if (there != NULL) {
        return there->type == AQ_TYPE_DIRECTORY ? AQ_OK : AQ_EXISTS;
    }
    status = grow_check(disk);
    if (status == AQ_OK) {
        sim_disk_link(disk, parent, leaf, sim_disk_make(disk, AQ_TYPE_DIRECTORY));
    }
    return status;
}

static aq_status meta(sim_disk *disk, aq_item *item)
{
    sim_object *object = sim_disk_get(disk, item->path);
    if (object == NULL) {
        return AQ_NOT_FOUND;
    }
    if (object->type != item->expect.type) {
        return AQ_CHANGED;
    }
    if (fault(disk, disk->faults.write_error)) {
        return AQ_IO;
    }
    sim_disk_touch(disk, object, item->mtime_ns, item->exec);
    item->stamp = sim_object_stamp(object);
    return AQ_OK;
}

/* ---- state ----
 */

static aq_status load(sim_disk *disk, aq_item *item)
{
    const sim_row *row = sim_disk_row(disk, item->path);
    item->done = 0;
    if (fault(disk, disk->faults.state_error)) {
        return AQ_IO;
    }
    if (row == NULL) {
        return AQ_NOT_FOUND;
    }
    item->done = row->size;
    sim_copy(item->data, row->data, row->size);
    return AQ_OK;
}

static void save(sim_disk *disk, aq_op *op)
{
    aq_status status = disk->faults.full                       ? AQ_NO_SPACE
                       : fault(disk, disk->faults.state_error) ? AQ_IO
                                                               : AQ_OK;
    for (uint32_t i = 0; i < op->item_count; i++) {
        aq_item *item = &op->items[i];
        item->status = status;
        if (status == AQ_OK) {
            sim_disk_row_set(disk, item->path, item->data, item->size);
        }
    }
    sim_disk_batch(disk);
}

/* ---- ops ----
 */

static aq_status item_run(sim_disk *disk, aq_op_kind kind, aq_item *item)
{
    switch (kind) {
    case AQ_OP_LIST:
        return list(disk, item);
    case AQ_OP_STAT:
        return stat_item(disk, item);
    case AQ_OP_READ:
        return read_item(disk, item);
    case AQ_OP_STAGE:
        return stage(disk, item);
    case AQ_OP_WRITE:
        return write_item(disk, item);
    case AQ_OP_COPY:
        return copy(disk, item);
    case AQ_OP_FLUSH:
        return flush(disk, item);
    case AQ_OP_PUBLISH:
        return publish(disk, item);
    case AQ_OP_REMOVE:
        return remove_item(disk, item);
    case AQ_OP_RENAME:
        return rename_item(disk, item);
    case AQ_OP_MKDIR:
        return make_directory(disk, item);
    case AQ_OP_META:
        return meta(disk, item);
    case AQ_OP_DISCARD:
        sim_disk_slot_link(disk, item->slot, NULL);
        return AQ_OK;
    case AQ_OP_LOAD:
        return load(disk, item);
    case AQ_OP_SAVE:
    case AQ_OP_WORK:
    case AQ_OP_HANGUP:
        break;
    }
    return AQ_OK;
}

static bool is_batch(const aq_op *op)
{
    return op->kind == AQ_OP_SAVE || op->kind == AQ_OP_WORK || op->item_count == 0;
}

uint32_t sim_store_steps(const aq_op *op)
{
    return is_batch(op) ? 1 : op->item_count;
}

static void batch_run(sim_disk *disk, aq_op *op)
{
    if (op->kind == AQ_OP_SAVE) {
        save(disk, op);
    } else if (op->kind == AQ_OP_WORK) {
        aq_work(op);
    } else if (op->kind == AQ_OP_DISCARD) {
        discard_all(disk);
    }
}

/* True when a missing root keeps the op from being done. State lies elsewhere. */
static bool is_gone(const sim_disk *disk, const aq_op *op)
{
    return disk->faults.gone && op->kind != AQ_OP_LOAD && op->kind != AQ_OP_SAVE &&
           op->kind != AQ_OP_WORK;
}

void sim_store_step(sim_disk *disk, aq_op *op, uint32_t step)
{
    sim_disk_group(disk);
    if (step == 0 && (op->kind == AQ_OP_STAGE || op->kind == AQ_OP_WRITE)) {
        aq_work(op);
    }
    if (is_batch(op)) {
        batch_run(disk, op);
        return;
    }
    aq_item *item = &op->items[step];
    if (is_gone(disk, op)) {
        item->done = 0;
        item->status = AQ_ROOT;
    } else if (item->status == AQ_OK) {
        item->status = item_run(disk, op->kind, item);
    }
    if (step + 1 == sim_store_steps(op)) {
        if (op->kind == AQ_OP_READ) {
            aq_work(op);
        }
        if (op->kind == AQ_OP_PUBLISH) {
            sim_disk_sync_names(disk);
        }
    }
}
