/* native_fs.h: what the tests of the file-system host share: a scratch root, one-item ops,
 * and stand-ins for the engine's two functions that the host calls. */
#ifndef TEST_NATIVE_FS_H
#define TEST_NATIVE_FS_H

#include "../../host/native/fs.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

/* ---- the engine's part -----------------------------------------------------------------
 */

static void (*work_hook)(aq_op *op);

void aq_work(aq_op *op)
{
    if (work_hook) {
        work_hook(op);
    }
}

typedef struct listed {
    aq_stamp stamp;
    size_t name_size;
    size_t target_size;
} listed;

bool aq_list_put(aq_item *item, const char *name, size_t name_size, const aq_stamp *stamp,
                 const char *target, size_t target_size)
{
    listed head = {*stamp, name_size, target_size};
    uint64_t size = sizeof head + name_size + target_size;
    if (item->size - item->done < size) {
        return false;
    }
    uint8_t *to = item->data + item->done;
    memcpy(to, &head, sizeof head);
    memcpy(to + sizeof head, name, name_size);
    if (target) {
        memcpy(to + sizeof head + name_size, target, target_size);
    }
    item->done += size;
    return true;
}

/* ---- a scratch root --------------------------------------------------------------------
 */

typedef struct bench {
    char top[64]; /* a new directory; `root` and `outside` are in it */
    char root[80];
    aq_fs *fs;
} bench;

static inline const char *in(const bench *b, const char *path)
{
    static _Thread_local char full[4][8192];
    static _Thread_local unsigned turn;
    char *out = full[turn++ % 4];
    (void)snprintf(out, sizeof full[0], "%s/%s", b->root, path);
    return out;
}

static inline void bench_reopen(bench *b, unsigned without)
{
    aq_fs_options options = {
        .create = true, .writable = true, .fsync = false, .without = without};
    aq_fs_close(b->fs);
    CHECK_EQ(aq_fs_open(&b->fs, b->root, &options), AQ_OK);
}

static inline void bench_open_at(bench *b, const char *where, unsigned without)
{
    memset(b, 0, sizeof *b);
    (void)snprintf(b->top, sizeof b->top, "%s/acequia-test-XXXXXX", where);
    CHECK(mkdtemp(b->top) != NULL);
    (void)snprintf(b->root, sizeof b->root, "%s/root", b->top);
    bench_reopen(b, without);
}

static inline void bench_open(bench *b, unsigned without)
{
    bench_open_at(b, "/tmp", without);
}

static inline void bench_close(bench *b)
{
    char command[128];
    aq_fs_close(b->fs);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", b->top);
    CHECK_EQ(system(command), 0);
}

/* ---- what a user does ------------------------------------------------------------------
 */

static inline void user_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static inline const char *user_read(const char *path)
{
    static _Thread_local char text[4][256];
    static _Thread_local unsigned turn;
    char *out = text[turn++ % 4];
    int fd = open(path, O_RDONLY | O_NOFOLLOW);
    if (fd < 0) {
        return "(nothing)";
    }
    ssize_t size = read(fd, out, sizeof text[0] - 1);
    out[size > 0 ? size : 0] = '\0';
    close(fd);
    return out;
}

static inline bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

/* ---- ops -------------------------------------------------------------------------------
 */

static inline aq_status run_items(const bench *b, aq_op_kind kind, aq_item *items,
                                  uint32_t count)
{
    aq_op op = {.kind = kind, .items = items, .item_count = count};
    aq_fs_run(b->fs, &op);
    return count ? items[0].status : AQ_OK;
}

static inline aq_status run(const bench *b, aq_op_kind kind, aq_item *item)
{
    item->status = AQ_OK;
    return run_items(b, kind, item, 1);
}

static inline aq_stamp stamp_at(const bench *b, const char *path)
{
    aq_item item = {.path = path};
    CHECK_EQ(run(b, AQ_OP_STAT, &item), AQ_OK);
    return item.stamp;
}

static inline aq_status stage_text(const bench *b, uint64_t slot, const char *text)
{
    aq_item item = {.slot = slot,
                    .data = (uint8_t *)(uintptr_t)text,
                    .size = strlen(text),
                    .mtime_ns = 1000000000,
                    .type = AQ_TYPE_FILE};
    return run(b, AQ_OP_STAGE, &item);
}

/* Stages text and publishes it at path; *stamp, if given, is what came out. */
static inline aq_status publish_text(const bench *b, const char *path, const char *text,
                                     const aq_stamp *expect, const char *target,
                                     aq_stamp *stamp)
{
    static _Atomic uint64_t slot = 100;
    aq_item item = {.path = path,
                    .slot = slot++,
                    .size = strlen(text),
                    .mtime_ns = 1000000000,
                    .target = target};
    if (expect) {
        item.expect = *expect;
    }
    if (stamp) {
        *stamp = (aq_stamp){0}; /* may be where `expect` was */
    }
    aq_status status = stage_text(b, item.slot, text);
    if (status != AQ_OK) {
        return status;
    }
    status = run(b, AQ_OP_PUBLISH, &item);
    if (stamp) {
        *stamp = item.stamp;
    }
    return status;
}

static inline aq_status read_text(const bench *b, const char *path, const aq_stamp *expect,
                                  char text[256])
{
    aq_item item = {.path = path, .data = (uint8_t *)text, .size = 255};
    if (expect) {
        item.expect = *expect;
    }
    aq_status status = run(b, AQ_OP_READ, &item);
    text[item.done] = '\0';
    return status;
}

/* Every way of doing things; each behaviour is tested in all of them. */
static const unsigned ways[] = {
    0,
    AQ_FS_NO_OPENAT2 | AQ_FS_NO_COPY_RANGE,
    AQ_FS_NO_EXCHANGE | AQ_FS_NO_NOREPLACE,
};

#define EACH_WAY(way)                                                                      \
    for (unsigned way##_ = 0, way; way##_ < 3 && (way = ways[way##_], 1); way##_++)

#endif
