/* engine_host.h: for tests of whole engines: a host of a few hundred lines with a disk in
 * memory, and a peer that speaks frames by hand, so that it can lie. No libc: it runs as
 * WASM, too. */
#ifndef ENGINE_HOST_H
#define ENGINE_HOST_H

#include "acequia.h"
#include "engine/base/bytes.h"
#include "engine/swarm/wire.h"
#include "tests/unit/test.h"

enum { OBJECTS_MAX = 48, OBJECT_SIZE_MAX = 24 << 10, HOST_MEMORY = 24 << 20, LINK = 1 };

#define SECOND UINT64_C(1000000000)

/* ---- a disk ---- */

/* A file, directory or symlink at a path; or, with `slot` not 0, something staged. */
typedef struct object {
    bool used;
    uint64_t slot;
    char path[96];
    uint8_t type, exec;
    bool secret;       /* reading it is not allowed */
    unsigned restless; /* so often it grows after somebody looked at it */
    int64_t mtime_ns;
    uint32_t size;
    uint32_t inode;
    uint8_t data[OBJECT_SIZE_MAX];
} object;

typedef struct host {
    aq_engine *e;
    object objects[OBJECTS_MAX];
    uint32_t inodes;
    uint64_t now_ns;
    /* what was seen */
    uint32_t ops[AQ_OP_HANGUP + 1];
    uint64_t read_items, read_bytes;
    bool strange_path; /* an op named something that no path can be */
    bool up, down, ended, hung_up;
    aq_status down_status, end_status;
    uint32_t problems, changes, warnings;
    aq_status problem_status;
    char problem[512];
    bool holds_reads;      /* READ ops stay with the host */
    const char *long_name; /* one more file in the root */
    aq_op *held[64];
    uint32_t held_count;
    uint32_t other; /* the link of another host, which takes our bytes */
    _Alignas(64) uint8_t memory[HOST_MEMORY];
} host;

static inline object *object_find(host *h, const char *path)
{
    for (object *o = h->objects; o != h->objects + OBJECTS_MAX; o++) {
        if (o->used && o->slot == 0 && test_same(o->path, path)) {
            return o;
        }
    }
    return NULL;
}

static inline object *slot_find(host *h, uint64_t slot)
{
    for (object *o = h->objects; o != h->objects + OBJECTS_MAX; o++) {
        if (o->used && o->slot == slot) {
            return o;
        }
    }
    return NULL;
}

/* NULL: the disk is full. */
static inline object *object_new(host *h)
{
    for (object *o = h->objects; o != h->objects + OBJECTS_MAX; o++) {
        if (!o->used) {
            o->used = true;
            o->slot = 0;
            o->exec = 0;
            o->secret = false;
            o->restless = 0;
            o->size = 0;
            o->inode = ++h->inodes;
            aq_fill(o->data, 0, sizeof o->data);
            return o;
        }
    }
    return NULL;
}

static inline void path_set(object *o, const char *path)
{
    size_t size = aq_string_size(path);
    CHECK(size < sizeof o->path);
    aq_copy(o->path, path, size + 1);
}

static inline object *object_add(host *h, uint8_t type, const char *path, int64_t mtime_ns)
{
    object *o = object_new(h);
    CHECK(o != NULL);
    o = o != NULL ? o : h->objects;
    o->type = type;
    o->mtime_ns = mtime_ns;
    path_set(o, path);
    return o;
}

/* A file of bytes that follow from `seed`. */
static inline object *file_add(host *h, const char *path, uint32_t size, uint32_t seed)
{
    object *o = object_add(h, AQ_TYPE_FILE, path, 1000 + seed);
    uint32_t x = seed * 2654435761u + 1;
    for (uint32_t i = 0; i < size; i++) {
        x = x * 1664525 + 1013904223;
        o->data[i] = (uint8_t)(x >> 24);
    }
    o->size = size;
    return o;
}

static inline aq_stamp stamp_of(const object *o)
{
    return (aq_stamp){.size = o->type == AQ_TYPE_DIRECTORY ? 0 : o->size,
                      .mtime_ns = o->mtime_ns,
                      .inode = o->inode,
                      .type = o->type,
                      .exec = o->exec};
}

static inline bool stamps_agree(const aq_stamp *a, const aq_stamp *b)
{
    return a->type == b->type &&
           (a->type == AQ_TYPE_DIRECTORY ||
            (a->size == b->size && a->mtime_ns == b->mtime_ns && a->exec == b->exec));
}

/* Is `path` a name directly below `dir`? Then the name. */
static inline const char *name_below(const char *path, const char *dir)
{
    size_t i = 0;
    if (dir[0] != 0) {
        for (; dir[i] != 0; i++) {
            if (path[i] != dir[i]) {
                return NULL;
            }
        }
        if (path[i++] != '/') {
            return NULL;
        }
    }
    for (size_t j = i; path[j] != 0; j++) {
        if (path[j] == '/') {
            return NULL;
        }
    }
    return path[i] != 0 ? path + i : NULL;
}

static inline void do_list(host *h, aq_item *item)
{
    item->done = 0;
    item->offset = 0;
    const object *dir = object_find(h, item->path);
    bool slots = (item->flags & AQ_ITEM_SLOT) != 0;
    if (!slots && item->path[0] != 0 && dir == NULL) {
        item->status = AQ_NOT_FOUND;
        return;
    }
    item->stamp = (aq_stamp){.type = AQ_TYPE_DIRECTORY, .mtime_ns = 77};
    if (h->long_name != NULL && item->path[0] == 0 && !slots) {
        aq_stamp stamp = {.type = AQ_TYPE_FILE, .size = 1};
        CHECK(
            aq_list_put(item, h->long_name, aq_string_size(h->long_name), &stamp, NULL, 0));
    }
    for (const object *o = h->objects; o != h->objects + OBJECTS_MAX; o++) {
        if (!o->used || slots != (o->slot != 0)) {
            continue;
        }
        char hex[17];
        const char *name = slots ? hex : name_below(o->path, item->path);
        if (slots) {
            for (unsigned i = 0; i < 16; i++) {
                hex[i] = "0123456789abcdef"[o->slot >> (60 - 4 * i) & 15];
            }
            hex[16] = 0;
        }
        if (name != NULL) {
            aq_stamp stamp = stamp_of(o);
            bool is_link = o->type == AQ_TYPE_SYMLINK;
            CHECK(aq_list_put(item, name, aq_string_size(name), &stamp,
                              is_link ? (const char *)o->data : NULL,
                              is_link ? o->size : 0));
        }
    }
}

static inline void do_read(host *h, aq_item *item)
{
    const object *o = (item->flags & AQ_ITEM_SLOT) != 0 ? slot_find(h, item->slot)
                                                        : object_find(h, item->path);
    h->read_items++;
    h->read_bytes += item->size;
    item->done = 0;
    if (o == NULL) {
        item->status = AQ_NOT_FOUND;
        return;
    }
    if (o->secret) {
        item->status = AQ_ACCESS;
        return;
    }
    item->stamp = stamp_of(o);
    if (item->expect.type != AQ_TYPE_NONE && !stamps_agree(&item->stamp, &item->expect)) {
        item->status = AQ_CHANGED;
        return;
    }
    h->strange_path |= o->slot == 0 && item->offset > o->size;
    if (item->offset < o->size) {
        uint64_t left = o->size - item->offset;
        item->done = item->size < left ? item->size : left;
        aq_copy(item->data, o->data + item->offset, (size_t)item->done);
    }
}

static inline void do_write(host *h, aq_item *item, bool whole)
{
    object *o = slot_find(h, item->slot);
    if (o == NULL || whole) {
        o = o != NULL ? o : object_new(h);
        if (o == NULL) {
            item->status = AQ_NO_SPACE;
            return;
        }
        o->slot = item->slot;
        o->type = whole ? item->type : AQ_TYPE_FILE;
        o->size = 0;
    }
    uint64_t end = item->offset + item->size;
    if (end > OBJECT_SIZE_MAX) {
        item->status = AQ_NO_SPACE;
        return;
    }
    aq_copy(o->data + item->offset, item->data, (size_t)item->size);
    o->size = end > o->size ? (uint32_t)end : o->size;
    o->mtime_ns = item->mtime_ns;
    o->exec = item->exec;
}

static inline void do_copy(host *h, aq_item *item)
{
    const object *from = object_find(h, item->path);
    aq_stamp stamp = from != NULL ? stamp_of(from) : (aq_stamp){0};
    if (from == NULL || !stamps_agree(&stamp, &item->expect)) {
        item->status = AQ_CHANGED;
        return;
    }
    aq_item write = *item;
    write.offset = item->to_offset;
    write.data = (uint8_t *)(uintptr_t)from->data + item->offset;
    do_write(h, &write, false);
    item->status = write.status;
}

static inline void do_publish(host *h, aq_item *item)
{
    object *from = slot_find(h, item->slot);
    object *there = object_find(h, item->path);
    if (from == NULL) {
        item->status = AQ_NOT_FOUND;
        return;
    }
    aq_stamp stamp = there != NULL ? stamp_of(there) : (aq_stamp){0};
    if (there != NULL && there->type == AQ_TYPE_DIRECTORY) {
        item->status = AQ_EXISTS;
        return;
    }
    item->status = stamps_agree(&stamp, &item->expect) ? AQ_OK : AQ_CHANGED;
    if (there != NULL) {
        there->used = false;
    }
    from->slot = 0;
    path_set(from, item->path);
    from->size = (uint32_t)item->size;
    from->mtime_ns = item->mtime_ns;
    from->exec = item->exec;
    item->stamp = stamp_of(from);
}

static inline void do_remove(host *h, aq_item *item)
{
    object *o = object_find(h, item->path);
    if (o == NULL) {
        item->status = AQ_NOT_FOUND;
        return;
    }
    aq_stamp stamp = stamp_of(o);
    for (const object *c = h->objects; c != h->objects + OBJECTS_MAX; c++) {
        if (c->used && c->slot == 0 && name_below(c->path, item->path) != NULL) {
            item->status = AQ_NOT_EMPTY;
            return;
        }
    }
    if (!stamps_agree(&stamp, &item->expect)) {
        item->status = AQ_CHANGED;
        return;
    }
    o->used = false;
}

static inline void do_item(host *h, const aq_op *op, aq_item *item)
{
    object *o;
    switch (op->kind) {
    case AQ_OP_LIST:
        do_list(h, item);
        break;
    case AQ_OP_STAT:
        o = object_find(h, item->path);
        item->stamp = o != NULL ? stamp_of(o) : (aq_stamp){0};
        if (o != NULL && o->restless != 0) {
            o->restless--;
            o->size += 500;
            o->mtime_ns++;
        }
        break;
    case AQ_OP_READ:
        do_read(h, item);
        break;
    case AQ_OP_STAGE:
    case AQ_OP_WRITE:
        if (item->status == AQ_OK) {
            do_write(h, item, op->kind == AQ_OP_STAGE);
        }
        break;
    case AQ_OP_COPY:
        do_copy(h, item);
        break;
    case AQ_OP_PUBLISH:
        do_publish(h, item);
        break;
    case AQ_OP_REMOVE:
        do_remove(h, item);
        break;
    case AQ_OP_RENAME:
        o = object_find(h, item->path);
        item->status = o == NULL                              ? AQ_NOT_FOUND
                       : object_find(h, item->target) != NULL ? AQ_EXISTS
                                                              : AQ_OK;
        if (item->status == AQ_OK) {
            path_set(o, item->target);
        }
        break;
    case AQ_OP_MKDIR:
        o = object_find(h, item->path) == NULL ? object_new(h) : NULL;
        if (o != NULL) {
            o->type = AQ_TYPE_DIRECTORY;
            path_set(o, item->path);
        }
        break;
    case AQ_OP_META:
        o = object_find(h, item->path);
        if (o != NULL) {
            o->mtime_ns = item->mtime_ns;
            o->exec = item->exec;
        }
        break;
    case AQ_OP_DISCARD:
        o = slot_find(h, item->slot);
        if (o != NULL) {
            o->used = false;
        }
        break;
    case AQ_OP_HANGUP:
        h->hung_up = true;
        break;
    case AQ_OP_FLUSH:
    case AQ_OP_LOAD:
    case AQ_OP_SAVE:
    case AQ_OP_WORK:
        break;
    }
}

static inline void op_do(host *h, aq_op *op)
{
    bool works_first = op->kind == AQ_OP_STAGE || op->kind == AQ_OP_WRITE;
    if (works_first) {
        aq_work(op);
    }
    for (uint32_t i = 0; i < op->item_count; i++) {
        do_item(h, op, &op->items[i]);
    }
    if (op->kind == AQ_OP_DISCARD && op->item_count == 0) {
        for (object *o = h->objects; o != h->objects + OBJECTS_MAX; o++) {
            o->used &= o->slot == 0;
        }
    }
    if (!works_first) {
        aq_work(op);
    }
    aq_done(h->e, op);
}

/* ---- the crank ---- */

static inline void host_open(host *h, const aq_config *config, bool keeps_disk)
{
    if (!keeps_disk) {
        aq_fill(h, 0, offsetof(host, memory));
    }
    h->now_ns = SECOND;
    h->up = h->down = h->ended = h->hung_up = false;
    h->problems = h->changes = h->warnings = 0;
    h->e = aq_open(config, h->memory, sizeof h->memory);
    CHECK(h->e != NULL);
    aq_tick(h->e, h->now_ns, 0);
}

static inline void notes_take(host *h)
{
    aq_note note;
    while (aq_poll_note(h->e, &note)) {
        switch (note.kind) {
        case AQ_NOTE_LINK_UP:
            h->up = true;
            break;
        case AQ_NOTE_LINK_DOWN:
            h->down = true;
            h->down_status = note.status;
            break;
        case AQ_NOTE_END:
            h->ended = true;
            h->end_status = note.status;
            break;
        case AQ_NOTE_PROBLEM:
            h->problems++;
            h->problem_status = note.status;
            aq_copy(h->problem, note.path, sizeof note.path);
            break;
        case AQ_NOTE_CHANGE:
            h->changes++;
            break;
        case AQ_NOTE_WARNING:
            h->warnings++;
            break;
        case AQ_NOTE_BEGIN:
            break;
        }
    }
}

/* Does everything that the engine asks for. */
static inline void host_run(host *h)
{
    for (aq_op *op; (op = aq_poll(h->e)) != NULL;) {
        h->ops[op->kind]++;
        if (op->kind == AQ_OP_READ && h->holds_reads && h->held_count < 64) {
            h->held[h->held_count++] = op;
        } else {
            op_do(h, op);
        }
    }
    notes_take(h);
}

static inline void host_release(host *h)
{
    h->holds_reads = false;
    while (h->held_count != 0) {
        op_do(h, h->held[--h->held_count]);
    }
    host_run(h);
}

static inline void host_wait(host *h, uint64_t ns)
{
    h->now_ns += ns;
    aq_tick(h->e, h->now_ns, 0);
    host_run(h);
}

static inline aq_config config_of(uint8_t seed)
{
    return (aq_config){.seed = {seed}, .profile = AQ_PROFILE_SMALL, .buffer_max = 2 << 20};
}

/* Two hosts talk, `piece` bytes at a time at most, until nothing moves any more. */
static inline bool hosts_pump(host *a, host *b, size_t piece)
{
    host_run(a);
    host_run(b);
    bool any = false;
    host *ends[2] = {a, b};
    for (unsigned i = 0; i < 2; i++) {
        const uint8_t *data;
        size_t size = aq_link_out(ends[i]->e, LINK, &data);
        size = size < piece ? size : piece;
        if (size != 0) {
            aq_link_recv(ends[1 - i]->e, LINK, data, size);
            aq_link_sent(ends[i]->e, LINK, size);
            any = true;
        }
    }
    return any;
}

static inline void hosts_talk(host *a, host *b, size_t piece, unsigned seconds)
{
    for (unsigned i = 0; i < 100 * seconds; i++) {
        for (unsigned rounds = 0; hosts_pump(a, b, piece) && rounds < 1000000; rounds++) {
        }
        host_wait(a, SECOND / 100);
        host_wait(b, SECOND / 100);
    }
}

/* ---- a peer by hand ---- */

/* What the engine sent to it, frame by frame. */
typedef struct raw {
    host *h;
    bool client;
    size_t size, at;
    uint8_t bytes[1 << 20];
} raw;

/* One frame's body, under construction. */
static uint8_t raw_room[AQ_FRAME_MAX + 16];
static aq_writer raw_writer;

static inline aq_writer *body(void)
{
    raw_writer = aq_writer_over(raw_room, sizeof raw_room);
    return &raw_writer;
}

/* A body that begins with the session's channel. */
static inline aq_writer *body_of(uint32_t channel)
{
    aq_writer_varint(body(), channel);
    return &raw_writer;
}

static inline void raw_bytes(raw *p, const void *bytes, size_t size)
{
    aq_link_recv(p->h->e, LINK, bytes, size);
}

/* Without letting the engine act on it. */
static inline void raw_queue(raw *p, uint8_t type)
{
    uint8_t head[8];
    aq_writer w = aq_writer_over(head, sizeof head);
    CHECK(aq_writer_fits(&raw_writer));
    aq_writer_varint(&w, raw_writer.size);
    aq_writer_byte(&w, type);
    raw_bytes(p, head, w.size);
    raw_bytes(p, raw_writer.start, raw_writer.size);
}

static inline void raw_send(raw *p, uint8_t type)
{
    raw_queue(p, type);
    host_run(p->h);
}

static inline void raw_receive(raw *p)
{
    const uint8_t *data;
    for (size_t size; (size = aq_link_out(p->h->e, LINK, &data)) != 0;) {
        if (p->at == p->size) {
            p->at = p->size = 0;
        } else if (p->at > sizeof p->bytes / 2) {
            aq_move(p->bytes, p->bytes + p->at, p->size - p->at);
            p->size -= p->at;
            p->at = 0;
        }
        if (size > sizeof p->bytes - p->size) {
            break;
        }
        aq_copy(p->bytes + p->size, data, size);
        p->size += size;
        aq_link_sent(p->h->e, LINK, size);
        host_run(p->h);
    }
}

/* The next frame of that type; those before it are passed over. False: there is none. */
static inline bool raw_next(raw *p, uint8_t type, aq_reader *r)
{
    raw_receive(p);
    while (p->at < p->size) {
        aq_reader head = aq_reader_over(p->bytes + p->at, p->size - p->at);
        size_t size = (size_t)aq_reader_varint(&head);
        uint8_t got = aq_reader_byte(&head);
        const uint8_t *at = aq_reader_bytes(&head, size);
        if (head.failed) {
            break;
        }
        p->at = (size_t)(head.at - p->bytes);
        if (got == type) {
            *r = aq_reader_over(at, size);
            if (aq_frame_is_session(type)) {
                (void)aq_reader_varint(r); /* the channel */
            }
            return true;
        }
        raw_receive(p);
    }
    return false;
}

static inline void raw_open(raw *p, host *h, bool client)
{
    p->h = h;
    p->client = client;
    p->size = p->at = 0;
    aq_link_open(h->e, LINK, &(aq_link_config){.client = !client});
}

static inline void hello_write(uint64_t low, uint64_t high, uint8_t flags)
{
    aq_writer *w = body();
    static const uint8_t nonce[AQ_NONCE_SIZE] = {1, 2, 3};
    aq_writer_bytes(w, "Acequia\n", 8);
    aq_writer_varint(w, low);
    aq_writer_varint(w, high);
    aq_writer_varint(w, 0);
    aq_writer_bytes(w, nonce, sizeof nonce);
    aq_writer_varint(w, AQ_PROFILE_SMALL);
    aq_writer_byte(w, flags);
}

static inline void raw_hello(raw *p)
{
    hello_write(1, 1, 0);
    raw_send(p, AQ_FRAME_HELLO);
    CHECK(p->h->up);
}

/* The peer opens the engine's folder "f"; `role` is the engine's. */
static inline void raw_opens(raw *p, uint8_t role, const aq_sync_options *options)
{
    aq_writer *w = body_of(1);
    aq_writer_byte(w, role);
    aq_writer_string(w, "f", 1);
    aq_options_write(w, options);
    raw_send(p, AQ_FRAME_OPEN);
}

/* The peer agrees to what the engine opened. */
static inline void raw_agrees(raw *p)
{
    aq_reader r;
    CHECK(raw_next(p, AQ_FRAME_OPEN, &r));
    aq_writer_varint(body_of(1), AQ_OK);
    raw_send(p, AQ_FRAME_OPENED);
}

#endif
