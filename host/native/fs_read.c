/* fs_read.c: reading what users have, and copying from it.
 *
 * A file is read between two looks at it. If what is seen is not what was expected, before
 * or after, nobody may rely on the bytes (rule R22); so a growing file, a replaced one or a
 * pipe in a file's place only say CHANGED. Reading leaves no trace (no access times) where
 * that is allowed.
 */
#include "fs_job.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

typedef struct source {
    int fd;
    aq_stamp stamp;
} source;

static int open_quietly(aq_fs *fs, int directory, const char *name)
{
    if (fs->can_noatime) {
        int fd = aq_beneath_file(directory, name, O_RDONLY | O_NOATIME, 0);
        if (fd >= 0 || errno != EPERM) {
            return fd;
        }
        /* Only a file's owner may; who does not own one here mostly owns none. */
        fs->can_noatime = false;
    }
    return aq_beneath_file(directory, name, O_RDONLY, 0);
}

static aq_status source_locate(aq_job *job, const aq_item *item, bool slot, int *directory,
                               const char **name, char slot_name[AQ_SLOT_NAME_SIZE])
{
    if (slot) {
        aq_status status = aq_job_stage(job, false);
        aq_slot_name(slot_name, item->slot);
        *directory = job->stage;
        *name = slot_name;
        return status;
    }
    aq_status status = aq_job_parent(job, &job->held, item->path, false, name);
    *directory = job->held.fd;
    /* Below what is no directory there is nothing. */
    return status == AQ_NOT_DIRECTORY ? AQ_NOT_FOUND : status;
}

/* What is said of something that is no file, or not the expected one. */
static aq_status other_than(const aq_item *item)
{
    return item->expect.type != AQ_TYPE_NONE ? AQ_CHANGED : AQ_UNSUPPORTED;
}

static aq_status source_look(const aq_item *item, source *from)
{
    struct stat st;
    if (fstat(from->fd, &st) != 0) {
        return aq_status_of_errno(errno);
    }
    from->stamp = aq_stamp_of_stat(&st);
    if (from->stamp.type != AQ_TYPE_FILE) {
        return other_than(item);
    }
    return item->expect.type == AQ_TYPE_NONE ||
                   aq_stamp_is_expected(&item->expect, &from->stamp, false)
               ? AQ_OK
               : AQ_CHANGED;
}

static aq_status source_open(aq_job *job, aq_item *item, bool slot, source *from)
{
    int directory;
    const char *name;
    char slot_name[AQ_SLOT_NAME_SIZE];
    from->fd = -1;
    aq_status status = source_locate(job, item, slot, &directory, &name, slot_name);
    if (status != AQ_OK) {
        return status;
    }
    from->fd = open_quietly(job->fs, directory, name);
    if (from->fd < 0) {
        /* ELOOP: a symbolic link; ENXIO: a socket. */
        return errno == ELOOP || errno == ENXIO ? other_than(item)
                                                : aq_status_of_errno(errno);
    }
    status = source_look(item, from);
    item->stamp = from->stamp;
    return status;
}

/* The second look; the answer's stamp is of now. */
static aq_status source_check(aq_item *item, source *from)
{
    if (item->expect.type == AQ_TYPE_NONE) {
        return AQ_OK;
    }
    aq_stamp before = from->stamp;
    aq_status status = source_look(item, from);
    item->stamp = from->stamp;
    if (status == AQ_OK && !aq_stamp_is_expected(&before, &from->stamp, false)) {
        status = AQ_CHANGED;
    }
    return status;
}

/* How much of the range the file has. */
static uint64_t source_size(const source *from, uint64_t offset, uint64_t size)
{
    if (offset >= from->stamp.size) {
        return 0;
    }
    uint64_t rest = from->stamp.size - offset;
    return size < rest ? size : rest;
}

/* Returns bytes read (fewer only at the end of the file), or -1 with errno. */
static int64_t read_fully(int fd, uint8_t *data, uint64_t size, uint64_t offset)
{
    uint64_t done = 0;
    while (done < size) {
        ssize_t got = pread(fd, data + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return -1;
        }
        if (got == 0) {
            break;
        }
        done += (uint64_t)got;
    }
    return (int64_t)done;
}

void aq_fs_read(aq_job *job, aq_item *item)
{
    source from;
    item->done = 0;
    item->status = source_open(job, item, (item->flags & AQ_ITEM_SLOT) != 0, &from);
    if (item->status == AQ_OK) {
        int64_t got =
            read_fully(from.fd, item->data, source_size(&from, item->offset, item->size),
                       item->offset);
        if (got < 0) {
            item->status = aq_status_of_errno(errno);
        } else {
            item->done = (uint64_t)got;
            item->status = source_check(item, &from);
        }
    }
    if (from.fd >= 0) {
        close(from.fd);
    }
}

/* ---- copying ---------------------------------------------------------------------------
 */

typedef struct transfer {
    int from;
    int to;
    uint64_t offset;
    uint64_t to_offset;
    uint64_t size; /* left */
} transfer;

static void transfer_advance(transfer *copy, uint64_t size)
{
    copy->offset += size;
    copy->to_offset += size;
    copy->size -= size;
}

/* Within the kernel: file systems that can share blocks do so. Stops early at anything but
 * success: the plain way then finds out what it was. Returns whether it moved anything. */
static bool copy_in_kernel(transfer *copy)
{
    bool moved = false;
    errno = 0;
    while (copy->size > 0) {
        off_t in = (off_t)copy->offset;
        off_t out = (off_t)copy->to_offset;
        size_t part = copy->size < (1U << 30) ? (size_t)copy->size : 1U << 30;
        ssize_t got = copy_file_range(copy->from, &in, copy->to, &out, part, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        transfer_advance(copy, (uint64_t)got);
        moved = true;
    }
    return moved;
}

static int copy_plainly(transfer *copy)
{
    uint8_t buffer[64 * 1024];
    while (copy->size > 0) {
        uint64_t part = copy->size < sizeof buffer ? copy->size : sizeof buffer;
        int64_t got = read_fully(copy->from, buffer, part, copy->offset);
        if (got < 0) {
            return errno;
        }
        if (got == 0) {
            break;
        }
        int error = aq_fs_write_fully(copy->to, buffer, (size_t)got, copy->to_offset);
        if (error != 0) {
            return error;
        }
        transfer_advance(copy, (uint64_t)got);
    }
    return 0;
}

static aq_status copy_to(aq_job *job, aq_item *item, const source *from, int to)
{
    transfer copy = {
        .from = from->fd,
        .to = to,
        .offset = item->offset,
        .to_offset = item->to_offset,
        .size = source_size(from, item->offset, item->size),
    };
    uint64_t size = copy.size;
    aq_fs *fs = job->fs;
    if (fs->can_copy_range && !copy_in_kernel(&copy) && size > 0 &&
        (errno == ENOSYS || errno == EOPNOTSUPP)) {
        fs->can_copy_range = false;
    }
    int error = copy_plainly(&copy);
    item->done = size - copy.size;
    return aq_status_of_errno(error);
}

void aq_fs_copy(aq_job *job, aq_item *item)
{
    source from;
    int to;
    item->done = 0;
    item->status = source_open(job, item, false, &from);
    if (item->status == AQ_OK) {
        item->status = aq_fs_slot_open(job, item->slot, &to);
        if (item->status == AQ_OK) {
            item->status = copy_to(job, item, &from, to);
            close(to);
        }
        if (item->status == AQ_OK) {
            item->status = source_check(item, &from);
        }
    }
    if (from.fd >= 0) {
        close(from.fd);
    }
}
