/* fs_stage.c: bytes on their way in. A slot is a file (or a symbolic link) in
 * `.acequia/stage`, named by its number in 16 hexadecimal digits; nothing else there has
 * such a name. It gets its final permissions, size and time when it is published.
 *
 * Zeros become holes where they come in whole aligned blocks: beyond the slot's end by not
 * writing them, within it by punching (that range of a slot is written by one op at a time,
 * but others may write elsewhere in it). The last page of an item is always written, since
 * only writing moves the end of a file without a race against other writers.
 *
 * Durability: few slots are synced one by one, many by one syncfs. An error is never tried
 * again on the same slot: the kernel reports it once, and afterwards believes the lost
 * pages clean. The engine stages afresh.
 */
#include "fs_job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { HOLE_BLOCK = 64 * 1024, PAGE = 4096 };

int aq_fs_write_fully(int fd, const uint8_t *data, size_t size, uint64_t offset)
{
    while (size > 0) {
        ssize_t put = pwrite(fd, data, size, (off_t)offset);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return errno;
        }
        if (put == 0) {
            return EIO;
        }
        data += put;
        size -= (size_t)put;
        offset += (uint64_t)put;
    }
    return 0;
}

/* ---- whole objects ---------------------------------------------------------------------
 */

static aq_status stage_file(aq_job *job, const aq_item *item, const char *slot)
{
    int fd = aq_beneath_file(job->stage, slot, O_WRONLY | O_CREAT | O_EXCL,
                             item->exec ? 0777 : 0666);
    if (fd < 0) {
        return aq_status_of_errno(errno);
    }
    int error = aq_fs_write_fully(fd, item->data, item->size, 0);
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, aq_timespec_of_ns(item->mtime_ns)};
    if (error == 0 && futimens(fd, times) != 0) {
        error = errno;
    }
    /* Some file systems tell of a full disk only here. */
    if (close(fd) != 0 && error == 0 && errno != EINTR) {
        error = errno;
    }
    return aq_status_of_errno(error);
}

static aq_status stage_symlink(aq_job *job, const aq_item *item, const char *slot)
{
    char target[AQ_PATH_MAX];
    if (item->size == 0 || item->size >= sizeof target ||
        memchr(item->data, '\0', item->size)) {
        return AQ_NAME;
    }
    memcpy(target, item->data, item->size);
    target[item->size] = '\0';
    return symlinkat(target, job->stage, slot) == 0 ? AQ_OK : aq_status_of_errno(errno);
}

void aq_fs_stage(aq_job *job, aq_item *item)
{
    char slot[AQ_SLOT_NAME_SIZE];
    if (item->type != AQ_TYPE_FILE && item->type != AQ_TYPE_SYMLINK) {
        item->status = AQ_USAGE;
        return;
    }
    aq_status (*stage)(aq_job *, const aq_item *, const char *) =
        item->type == AQ_TYPE_FILE ? stage_file : stage_symlink;
    item->status = aq_job_stage(job, true);
    if (item->status != AQ_OK) {
        return;
    }
    aq_slot_name(slot, item->slot);
    item->status = stage(job, item, slot);
    if (item->status == AQ_EXISTS && unlinkat(job->stage, slot, 0) == 0) {
        item->status = stage(job, item, slot);
    }
    if (item->status != AQ_OK) {
        (void)unlinkat(job->stage, slot, 0); /* no half object, and room again */
    }
}

/* ---- ranges ----------------------------------------------------------------------------
 */

aq_status aq_fs_slot_open(aq_job *job, uint64_t slot, int *fd)
{
    char name[AQ_SLOT_NAME_SIZE];
    struct stat st;
    *fd = -1;
    aq_status status = aq_job_stage(job, true);
    if (status != AQ_OK) {
        return status;
    }
    aq_slot_name(name, slot);
    *fd = aq_beneath_file(job->stage, name, O_WRONLY | O_CREAT, 0666);
    if (*fd < 0 && errno == ELOOP && unlinkat(job->stage, name, 0) == 0) {
        *fd = aq_beneath_file(job->stage, name, O_WRONLY | O_CREAT, 0666);
    }
    if (*fd < 0) {
        return aq_status_of_errno(errno);
    }
    if (fstat(*fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(*fd);
        return AQ_EXISTS;
    }
    return AQ_OK;
}

static bool is_zero(const uint8_t *data, size_t size)
{
    return data[0] == 0 && memcmp(data, data + 1, size - 1) == 0;
}

/* Bytes at the start that may become a hole: whole aligned blocks of zeros, if there is one
 * here at all. The last page of what is left is not among them. */
static size_t zeros_here(const uint8_t *data, size_t size, uint64_t offset)
{
    size_t run = 0;
    if (offset % HOLE_BLOCK == 0) {
        while (size - run >= HOLE_BLOCK && is_zero(data + run, HOLE_BLOCK)) {
            run += HOLE_BLOCK;
        }
    }
    return run == size && run > 0 ? run - PAGE : run;
}

/* Bytes at the start up to the next block that may become a hole. */
static size_t data_here(const uint8_t *data, size_t size, uint64_t offset)
{
    size_t run = HOLE_BLOCK - (size_t)(offset % HOLE_BLOCK);
    while (run < size && zeros_here(data + run, size - run, offset + run) == 0) {
        run += HOLE_BLOCK;
    }
    return run < size ? run : size;
}

static int make_hole(int fd, const uint8_t *zeros, size_t size, uint64_t offset,
                     uint64_t end)
{
    if (offset >= end || fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                   (off_t)offset, (off_t)size) == 0) {
        return 0;
    }
    return aq_fs_write_fully(fd, zeros, size, offset);
}

static int write_range(int fd, const uint8_t *data, size_t size, uint64_t offset)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return errno;
    }
    while (size > 0) {
        size_t part = zeros_here(data, size, offset);
        int error;
        if (part > 0) {
            error = make_hole(fd, data, part, offset, (uint64_t)st.st_size);
        } else {
            part = data_here(data, size, offset);
            error = aq_fs_write_fully(fd, data, part, offset);
        }
        if (error != 0) {
            return error;
        }
        data += part;
        size -= part;
        offset += part;
    }
    return 0;
}

void aq_fs_write(aq_job *job, aq_item *item)
{
    int fd;
    item->done = 0;
    item->status = aq_fs_slot_open(job, item->slot, &fd);
    if (item->status != AQ_OK) {
        return;
    }
    int error = write_range(fd, item->data, item->size, item->offset);
    if (close(fd) != 0 && error == 0 && errno != EINTR) {
        error = errno;
    }
    item->status = aq_status_of_errno(error);
    item->done = error == 0 ? item->size : 0;
}

/* ---- durability and the end ------------------------------------------------------------
 */

static aq_status flush_slot(aq_job *job, uint64_t slot)
{
    char name[AQ_SLOT_NAME_SIZE];
    aq_slot_name(name, slot);
    int fd = aq_beneath_file(job->stage, name, O_RDONLY, 0);
    if (fd < 0) {
        /* A symbolic link has no bytes but its name, which goes with the directory. */
        return errno == ELOOP ? AQ_OK : aq_status_of_errno(errno);
    }
    aq_status status = fdatasync(fd) == 0 ? AQ_OK : aq_status_of_errno(errno);
    close(fd);
    return status;
}

static void flush_fail(aq_op *op, aq_status status)
{
    for (uint32_t i = 0; i < op->item_count; i++) {
        if (op->items[i].status == AQ_OK) {
            op->items[i].status = status;
        }
    }
}

void aq_fs_flush_op(aq_job *job)
{
    aq_op *op = job->op;
    if (!job->fs->fsync) {
        return;
    }
    aq_status status = aq_job_stage(job, false);
    if (status != AQ_OK ||
        (op->item_count > AQ_SYNC_EACH_MAX && aq_fs_sync_all(job->fs) == AQ_OK)) {
        flush_fail(op, status);
        return;
    }
    for (uint32_t i = 0; i < op->item_count; i++) {
        op->items[i].status = flush_slot(job, op->items[i].slot);
    }
    if (fsync(job->stage) != 0 && errno != EINVAL) {
        flush_fail(op, AQ_IO);
    }
}

static void discard_name(aq_job *job, const char *name)
{
    if (aq_slot_is_name(name)) {
        (void)unlinkat(job->stage, name, 0);
    }
}

void aq_fs_discard_op(aq_job *job)
{
    if (job->op->item_count == 0) {
        (void)aq_job_stage_names(job, discard_name);
        return;
    }
    for (uint32_t i = 0; i < job->op->item_count; i++) {
        aq_item *item = &job->op->items[i];
        char name[AQ_SLOT_NAME_SIZE];
        aq_slot_name(name, item->slot);
        item->status = aq_job_stage(job, false);
        if (item->status == AQ_OK && unlinkat(job->stage, name, 0) != 0) {
            item->status = aq_status_of_errno(errno);
        }
        if (item->status == AQ_NOT_FOUND) {
            item->status = AQ_OK;
        }
    }
}
