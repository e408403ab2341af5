/* memory_host.h: the smallest host: two engines, a file system of a few dozen objects in
 * memory, two links joined by copying. Ops are done at once, in order; time stands still
 * but for a millisecond a round. Everything that passes by goes into a digest. No libc, so
 * the same test runs as WASM. */
#ifndef MEMORY_HOST_H
#define MEMORY_HOST_H

#include "acequia.h"
#include "engine/base/bytes.h"
#include "engine/data/blake3.h"
#include "test.h"

enum {
    OBJECTS_MAX = 96,
    SLOTS_MAX = 96,
    ROWS_MAX = 16,
    CONTENT_MAX = 64 << 10,
    HOST_PATH_MAX = 128,
    ENGINE_SIZE = 8 << 20
};

typedef struct memory_object {
    char path[HOST_PATH_MAX];
    aq_stamp stamp; /* type NONE: free */
    char target[HOST_PATH_MAX];
    uint8_t *bytes;
} memory_object;

typedef struct memory_slot {
    bool used;
    uint64_t number;
    memory_object object;
} memory_slot;

typedef struct memory_row {
    char key[32]; /* "": free */
    uint8_t *value;
    uint64_t size;
} memory_row;

typedef struct memory_node {
    memory_object objects[OBJECTS_MAX];
    memory_slot slots[SLOTS_MAX];
    memory_row rows[ROWS_MAX];
    uint64_t inode_next;
    aq_engine *engine;
    aq_blake3_hasher *digest;
    uint64_t op_count;
    _Alignas(64) uint8_t memory[ENGINE_SIZE];
} memory_node;

/* Bytes of files are never given back: a test is short. */
static uint8_t memory_pool[24 << 20];
static size_t memory_pool_used;

static uint8_t *memory_bytes(uint64_t size)
{
    uint8_t *bytes = memory_pool + memory_pool_used;
    memory_pool_used += (size_t)size;
    if (memory_pool_used > sizeof memory_pool) {
        __builtin_trap();
    }
    return bytes;
}

static size_t text_size(const char *text)
{
    return aq_string_size(text);
}

static void text_copy(char *to, const char *from)
{
    size_t size = text_size(from);
    if (size >= HOST_PATH_MAX) {
        __builtin_trap();
    }
    aq_copy(to, from, size + 1);
}

static memory_object *object_find(memory_node *node, const char *path)
{
    for (size_t i = 0; i < OBJECTS_MAX; i++) {
        memory_object *o = &node->objects[i];
        if (o->stamp.type != AQ_TYPE_NONE && test_same(o->path, path)) {
            return o;
        }
    }
    return NULL;
}

static memory_object *object_make(memory_node *node, const char *path)
{
    memory_object *o = object_find(node, path);
    for (size_t i = 0; o == NULL; i++) {
        if (i == OBJECTS_MAX) {
            __builtin_trap();
        }
        if (node->objects[i].stamp.type == AQ_TYPE_NONE) {
            o = &node->objects[i];
        }
    }
    text_copy(o->path, path);
    o->stamp.inode = ++node->inode_next;
    return o;
}

/* The name of `path` directly below `directory`, or NULL. */
static const char *name_below(const char *directory, const char *path)
{
    size_t size = text_size(directory);
    if (size != 0) {
        for (size_t i = 0; i < size; i++) {
            if (path[i] != directory[i]) {
                return NULL;
            }
        }
        if (path[size] != '/') {
            return NULL;
        }
        path += size + 1;
    }
    for (const char *c = path; *c != 0; c++) {
        if (*c == '/') {
            return NULL;
        }
    }
    return *path == 0 ? NULL : path;
}

static memory_slot *slot_find(memory_node *node, uint64_t number, bool make)
{
    memory_slot *fresh = NULL;
    for (size_t i = 0; i < SLOTS_MAX; i++) {
        if (node->slots[i].used && node->slots[i].number == number) {
            return &node->slots[i];
        }
        fresh = fresh == NULL && !node->slots[i].used ? &node->slots[i] : fresh;
    }
    if (!make) {
        return NULL;
    }
    if (fresh == NULL) {
        __builtin_trap();
    }
    *fresh = (memory_slot){.used = true, .number = number};
    fresh->object.stamp.type = AQ_TYPE_FILE;
    fresh->object.bytes = memory_bytes(CONTENT_MAX);
    aq_fill(fresh->object.bytes, 0, CONTENT_MAX);
    return fresh;
}

static void item_list(memory_node *node, aq_item *item)
{
    if (item->flags & AQ_ITEM_SLOT) {
        return; /* nothing is ever left over here */
    }
    for (size_t i = OBJECTS_MAX; i-- > 0;) { /* in no helpful order */
        const memory_object *o = &node->objects[i];
        const char *name =
            o->stamp.type == AQ_TYPE_NONE ? NULL : name_below(item->path, o->path);
        if (name != NULL && !aq_list_put(item, name, text_size(name), &o->stamp, o->target,
                                         text_size(o->target))) {
            __builtin_trap();
        }
    }
    item->offset = 0;
}

static void item_read(memory_node *node, aq_item *item)
{
    const memory_slot *slot =
        item->flags & AQ_ITEM_SLOT ? slot_find(node, item->slot, false) : NULL;
    const memory_object *o = item->flags & AQ_ITEM_SLOT ? (slot ? &slot->object : NULL)
                                                        : object_find(node, item->path);
    if (o == NULL) {
        item->status = AQ_NOT_FOUND;
        return;
    }
    uint64_t size = item->flags & AQ_ITEM_SLOT ? CONTENT_MAX : o->stamp.size;
    uint64_t left = item->offset < size ? size - item->offset : 0;
    item->done = left < item->size ? left : item->size;
    aq_copy(item->data, o->bytes + item->offset, (size_t)item->done);
    item->stamp = o->stamp;
}

static void item_publish(memory_node *node, aq_item *item)
{
    memory_slot *slot = slot_find(node, item->slot, false);
    if (slot == NULL) {
        item->status = AQ_NOT_FOUND;
        return;
    }
    memory_object *o = object_make(node, item->path);
    uint64_t inode = o->stamp.inode;
    o->stamp = slot->object.stamp;
    o->stamp.inode = inode;
    o->stamp.size = item->size;
    o->stamp.mtime_ns = item->mtime_ns;
    o->stamp.exec = item->exec;
    o->bytes = slot->object.bytes;
    text_copy(o->target, slot->object.target);
    slot->used = false;
}

static void item_state(memory_node *node, aq_op_kind kind, aq_item *item)
{
    memory_row *row = NULL;
    for (size_t i = 0; i < ROWS_MAX; i++) {
        memory_row *r = &node->rows[i];
        if (test_same(r->key, item->path) || (row == NULL && r->key[0] == 0)) {
            row = r;
        }
    }
    bool here = row != NULL && row->key[0] != 0;
    if (kind == AQ_OP_LOAD) {
        item->status = here ? AQ_OK : AQ_NOT_FOUND;
        item->done = here ? row->size : 0;
        if (here && row->size <= item->size) {
            aq_copy(item->data, row->value, (size_t)row->size);
        }
        return;
    }
    if (item->data == NULL) {
        row->key[0] = 0;
        return;
    }
    text_copy(row->key, item->path);
    row->value = memory_bytes(item->size);
    row->size = item->size;
    aq_copy(row->value, item->data, (size_t)item->size);
}

static void item_run(memory_node *node, aq_op_kind kind, aq_item *item)
{
    memory_object *o = NULL;
    memory_slot *slot = NULL;
    switch (kind) {
    case AQ_OP_LIST:
        item_list(node, item);
        break;
    case AQ_OP_STAT:
        o = object_find(node, item->path);
        item->stamp = o != NULL ? o->stamp : (aq_stamp){0};
        break;
    case AQ_OP_READ:
        item_read(node, item);
        break;
    case AQ_OP_STAGE:
        slot = slot_find(node, item->slot, true);
        slot->object.stamp.type = item->type;
        if (item->type == AQ_TYPE_SYMLINK) {
            aq_copy(slot->object.target, item->data, (size_t)item->size);
            slot->object.target[item->size] = 0;
        } else {
            aq_copy(slot->object.bytes, item->data, (size_t)item->size);
        }
        break;
    case AQ_OP_WRITE:
        slot = slot_find(node, item->slot, true);
        aq_copy(slot->object.bytes + item->offset, item->data, (size_t)item->size);
        break;
    case AQ_OP_COPY:
        o = object_find(node, item->path);
        slot = slot_find(node, item->slot, true);
        aq_copy(slot->object.bytes + item->to_offset, o->bytes + item->offset,
                (size_t)item->size);
        break;
    case AQ_OP_FLUSH:
        break;
    case AQ_OP_PUBLISH:
        item_publish(node, item);
        break;
    case AQ_OP_REMOVE:
        o = object_find(node, item->path);
        if (o == NULL) {
            item->status = AQ_NOT_FOUND;
        } else {
            o->stamp.type = AQ_TYPE_NONE;
        }
        break;
    case AQ_OP_RENAME:
        o = object_find(node, item->path);
        if (o == NULL || o->stamp.type == AQ_TYPE_DIRECTORY) {
            item->status = AQ_UNSUPPORTED;
        } else {
            text_copy(o->path, item->target);
        }
        break;
    case AQ_OP_MKDIR:
        o = object_make(node, item->path);
        o->stamp.type = AQ_TYPE_DIRECTORY;
        break;
    case AQ_OP_META:
        o = item->path[0] == 0 ? NULL : object_find(node, item->path);
        if (o != NULL) {
            o->stamp.mtime_ns = item->mtime_ns;
            o->stamp.exec = o->stamp.type == AQ_TYPE_FILE ? item->exec : 0;
        }
        break;
    case AQ_OP_DISCARD:
        slot = slot_find(node, item->slot, false);
        if (slot != NULL) {
            slot->used = false;
        }
        break;
    case AQ_OP_LOAD:
    case AQ_OP_SAVE:
        item_state(node, kind, item);
        break;
    case AQ_OP_WORK:
    case AQ_OP_HANGUP:
        break;
    }
}

static void digest_number(aq_blake3_hasher *digest, uint64_t number)
{
    uint8_t form[8];
    aq_store64(form, number);
    aq_blake3_update(digest, form, sizeof form);
}

static void op_run(memory_node *node, aq_op *op)
{
    digest_number(node->digest, op->kind);
    digest_number(node->digest, op->item_count);
    node->op_count++;
    bool writes = op->kind == AQ_OP_STAGE || op->kind == AQ_OP_WRITE;
    if (writes) {
        aq_work(op);
    }
    for (uint32_t i = 0; i < op->item_count; i++) {
        aq_item *item = &op->items[i];
        if (item->path != NULL) {
            aq_blake3_update(node->digest, item->path, text_size(item->path) + 1);
        }
        digest_number(node->digest, item->slot);
        digest_number(node->digest, item->offset);
        digest_number(node->digest, item->size);
        if (item->status == AQ_OK) {
            item_run(node, op->kind, item);
        }
    }
    if (!writes) {
        aq_work(op);
    }
}

/* Turns both cranks until a sync ends; its status. Traps when it does not. */
static aq_status host_run(memory_node *a, memory_node *b)
{
    memory_node *nodes[2] = {a, b};
    static uint64_t now_ns = 1000000000;
    for (int round = 0; round < 20000; round++) {
        now_ns += 1000000;
        for (int n = 0; n < 2; n++) {
            memory_node *node = nodes[n];
            aq_note note;
            aq_op *op;
            aq_tick(node->engine, now_ns, 0);
            while ((op = aq_poll(node->engine)) != NULL) {
                op_run(node, op);
                aq_done(node->engine, op);
            }
            (void)aq_poll_link(node->engine);
            const uint8_t *data;
            size_t size;
            while ((size = aq_link_out(node->engine, 1, &data)) != 0) {
                aq_blake3_update(node->digest, data, size);
                aq_link_recv(nodes[!n]->engine, 1, data, size);
                aq_link_sent(node->engine, 1, size);
            }
            while (aq_poll_note(node->engine, &note)) {
                if (note.kind == AQ_NOTE_END && note.sync != 0) {
                    return note.status;
                }
            }
        }
    }
    __builtin_trap();
}

static void node_open(memory_node *node, aq_blake3_hasher *digest, uint8_t seed)
{
    aq_config config = {.profile = AQ_PROFILE_SMALL};
    aq_fill(config.seed, seed, sizeof config.seed);
    node->digest = digest;
    node->engine = aq_open(&config, node->memory, sizeof node->memory);
    CHECK(node->engine != NULL);
    aq_tick(node->engine, 1, 0);
}

#endif
