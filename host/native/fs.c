/* fs.c: a root in the file system, and the ops that need no staging.
 *
 *     fs.c          opening a root; STAT MKDIR META RENAME; hands out the rest
 *     fs_list.c     LIST                 fs_read.c     READ COPY
 *     fs_stage.c    STAGE WRITE FLUSH DISCARD
 *     fs_publish.c  PUBLISH REMOVE: everything that displaces what a user has
 *     fs_job.c      one op under way     beneath.c     the way down from the root
 *
 * These files make all of the native host's calls on the files of a root, each relative to
 * a directory's descriptor that beneath.c opened. An op is a loop over items; nothing is
 * remembered between ops but the staging directory's descriptor and what the file system
 * cannot do.
 */
#include "fs_job.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

/* ---- opening ---------------------------------------------------------------------------
 */

static aq_status root_open(const char *path, const aq_fs_options *options, int *out)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    *out = open(path, flags);
    if (*out < 0 && errno == ENOENT && options->create) {
        if (mkdir(path, 0777) == 0 || errno == EEXIST) {
            *out = open(path, flags);
        }
    }
    if (*out < 0) {
        return errno == ENOENT ? AQ_ROOT : aq_status_of_errno(errno);
    }
    if (options->writable && faccessat(*out, ".", W_OK | X_OK, AT_EACCESS) != 0) {
        return aq_status_of_errno(errno);
    }
    return AQ_OK;
}

/* Device numbers may change from boot to boot; a file system's own id does not, where it
 * has one. */
static uint64_t file_system_id(const aq_fs *fs)
{
    struct statfs st;
    uint64_t id = 0;
    if (fstatfs(fs->beneath.root, &st) == 0) {
        memcpy(&id, &st.f_fsid,
               sizeof st.f_fsid < sizeof id ? sizeof st.f_fsid : sizeof id);
    }
    return id ? id : (uint64_t)fs->device;
}

static aq_status identify(aq_fs *fs, const char *path)
{
    struct stat st;
    if (fstat(fs->beneath.root, &st) != 0) {
        return AQ_IO;
    }
    fs->device = st.st_dev;
    fs->inode = st.st_ino;
    fs->path = realpath(path, NULL);
    if (!fs->path) {
        return errno == ENOENT ? AQ_ROOT : aq_status_of_errno(errno);
    }
    if (asprintf(&fs->identity, "%" PRIx64 ":%" PRIx64 " %" PRIx64 ":%" PRIx64 " %s",
                 (uint64_t)fs->device, (uint64_t)fs->inode, file_system_id(fs),
                 (uint64_t)fs->inode, fs->path) < 0) {
        fs->identity = NULL;
        return AQ_MEMORY;
    }
    return AQ_OK;
}

aq_status aq_fs_open(aq_fs **out, const char *path, const aq_fs_options *options)
{
    *out = NULL;
    aq_fs *fs = calloc(1, sizeof *fs);
    if (!fs) {
        return AQ_MEMORY;
    }
    int root;
    aq_status status = root_open(path, options, &root);
    pthread_mutex_init(&fs->mutex, NULL);
    fs->stage = -1;
    fs->beneath.root = root;
    fs->writable = options->writable;
    fs->fsync = options->fsync;
    atomic_init(&fs->can_exchange, !(options->without & AQ_FS_NO_EXCHANGE));
    atomic_init(&fs->can_noreplace, !(options->without & AQ_FS_NO_NOREPLACE));
    atomic_init(&fs->can_copy_range, !(options->without & AQ_FS_NO_COPY_RANGE));
    atomic_init(&fs->can_syncfs, !(options->without & AQ_FS_NO_SYNCFS));
    atomic_init(&fs->can_noatime, true);
    if (status == AQ_OK) {
        aq_beneath_init(&fs->beneath, root, options->without & AQ_FS_NO_OPENAT2);
        status = identify(fs, path);
    }
    if (status != AQ_OK) {
        aq_fs_close(fs);
        return status;
    }
    *out = fs;
    return AQ_OK;
}

void aq_fs_close(aq_fs *fs)
{
    if (!fs) {
        return;
    }
    if (fs->beneath.root >= 0) {
        if (fs->in_use) {
            aq_fs_stage_retire(fs);
        }
        if (fs->stage >= 0) {
            close(fs->stage);
        }
        close(fs->beneath.root);
    }
    pthread_mutex_destroy(&fs->mutex);
    free(fs->path);
    free(fs->identity);
    free(fs);
}

const char *aq_fs_identity(const aq_fs *fs)
{
    return fs->identity;
}

const char *aq_fs_path(const aq_fs *fs)
{
    return fs->path;
}

/* ---- the simple ops --------------------------------------------------------------------
 */

static aq_status stat_at(int directory, const char *name, struct stat *st)
{
    return fstatat(directory, name, st, AT_SYMLINK_NOFOLLOW) == 0
               ? AQ_OK
               : aq_status_of_errno(errno);
}

static aq_status stat_item(aq_job *job, const aq_item *item, struct stat *st)
{
    const char *name;
    aq_status status;
    if (item->flags & AQ_ITEM_SLOT) {
        char slot[AQ_SLOT_NAME_SIZE];
        aq_slot_name(slot, item->slot);
        status = aq_job_stage(job, false);
        return status == AQ_OK ? stat_at(job->stage, slot, st) : status;
    }
    if (item->path[0] == '\0') {
        return fstat(job->fs->beneath.root, st) == 0 ? AQ_OK : AQ_ROOT;
    }
    status = aq_job_parent(job, &job->held, item->path, false, &name);
    return status == AQ_OK ? stat_at(job->held.fd, name, st) : status;
}

static void run_stat(aq_job *job, aq_item *item)
{
    struct stat st;
    item->status = stat_item(job, item, &st);
    if (item->status == AQ_OK) {
        item->stamp = aq_stamp_of_stat(&st);
    } else if (item->status == AQ_NOT_FOUND || item->status == AQ_NOT_DIRECTORY) {
        item->stamp = (aq_stamp){.type = AQ_TYPE_NONE};
        item->status = AQ_OK;
    }
}

static void run_mkdir(aq_job *job, aq_item *item)
{
    const char *name;
    struct stat st;
    item->status = aq_job_parent(job, &job->held, item->path, false, &name);
    if (item->status != AQ_OK) {
        return;
    }
    if (mkdirat(job->held.fd, name, 0777) != 0 && errno != EEXIST) {
        item->status = aq_status_of_errno(errno);
        return;
    }
    item->status = stat_at(job->held.fd, name, &st);
    if (item->status == AQ_OK) {
        item->stamp = aq_stamp_of_stat(&st);
        item->status = S_ISDIR(st.st_mode) ? AQ_OK : AQ_EXISTS;
    }
}

/* Opened for its descriptor alone: fchmod follows no link. */
static aq_status set_exec(int directory, const char *name, const struct stat *st, bool exec)
{
    mode_t mode = aq_mode_with_exec(st->st_mode, exec);
    struct stat now;
    int fd = aq_beneath_file(directory, name, O_RDONLY, 0);
    if (fd < 0 && errno == EACCES) {
        fd = aq_beneath_file(directory, name, O_WRONLY, 0);
    }
    if (fd < 0) {
        return aq_status_of_errno(errno);
    }
    aq_status status = AQ_OK;
    if (fstat(fd, &now) != 0 || now.st_ino != st->st_ino || !S_ISREG(now.st_mode)) {
        status = AQ_CHANGED;
    } else if (fchmod(fd, mode) != 0) {
        status = aq_status_of_errno(errno);
    }
    close(fd);
    return status;
}

static aq_status set_meta(int directory, aq_item *item, const char *name, struct stat *st)
{
    aq_status status = stat_at(directory, name, st);
    if (status != AQ_OK) {
        return status;
    }
    aq_stamp stamp = aq_stamp_of_stat(st);
    if (stamp.type != item->expect.type) {
        return AQ_CHANGED;
    }
    if (stamp.type == AQ_TYPE_FILE && stamp.exec != (item->exec != 0)) {
        status = set_exec(directory, name, st, item->exec);
        if (status != AQ_OK) {
            return status;
        }
    }
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, aq_timespec_of_ns(item->mtime_ns)};
    if (utimensat(directory, name, times, AT_SYMLINK_NOFOLLOW) != 0) {
        return aq_status_of_errno(errno);
    }
    return stat_at(directory, name, st);
}

static void run_meta(aq_job *job, aq_item *item)
{
    const char *name;
    struct stat st;
    if (item->path[0] == 0) {
        item->status = set_meta(job->fs->beneath.root, item, ".", &st);
    } else {
        item->status = aq_job_parent(job, &job->held, item->path, false, &name);
        if (item->status == AQ_OK) {
            item->status = set_meta(job->held.fd, item, name, &st);
        }
    }
    if (item->status == AQ_OK) {
        item->stamp = aq_stamp_of_stat(&st);
    }
}

static aq_status rename_item(aq_job *job, aq_item *item)
{
    const char *name;
    const char *to_name;
    struct stat st;
    aq_status status = aq_job_parent(job, &job->held, item->path, false, &name);
    if (status == AQ_OK) {
        status = aq_job_parent(job, &job->target, item->target, false, &to_name);
    }
    if (status == AQ_OK && item->expect.type != AQ_TYPE_NONE) {
        status = stat_at(job->held.fd, name, &st);
        aq_stamp stamp = status == AQ_OK ? aq_stamp_of_stat(&st) : (aq_stamp){0};
        if (status == AQ_OK && !aq_stamp_is_expected(&item->expect, &stamp, false)) {
            status = AQ_CHANGED;
        }
    }
    if (status != AQ_OK) {
        return status;
    }
    if (aq_fs_rename_new(job->fs, job->held.fd, name, job->target.fd, to_name) != 0) {
        return aq_status_of_errno(errno);
    }
    job->held.changed = true;
    job->target.changed = true;
    status = stat_at(job->target.fd, to_name, &st);
    if (status == AQ_OK) {
        item->stamp = aq_stamp_of_stat(&st);
    }
    return AQ_OK;
}

static void run_rename(aq_job *job, aq_item *item)
{
    item->status = item->target ? rename_item(job, item) : AQ_USAGE;
}

/* ---- running ---------------------------------------------------------------------------
 */

static void each(aq_job *job, void (*run)(aq_job *job, aq_item *item))
{
    for (uint32_t i = 0; i < job->op->item_count; i++) {
        run(job, &job->op->items[i]);
    }
}

/* Verifies first, then does what is left. */
static void each_worked(aq_job *job, void (*run)(aq_job *job, aq_item *item))
{
    aq_work(job->op);
    for (uint32_t i = 0; i < job->op->item_count; i++) {
        if (job->op->items[i].status == AQ_OK) {
            run(job, &job->op->items[i]);
        }
    }
}

static void refuse(aq_job *job, aq_item *item)
{
    (void)job;
    item->status = AQ_USAGE;
}

static void run_kind(aq_job *job)
{
    switch (job->op->kind) {
    case AQ_OP_LIST:
        each(job, aq_fs_list);
        break;
    case AQ_OP_STAT:
        each(job, run_stat);
        break;
    case AQ_OP_READ:
        each(job, aq_fs_read);
        aq_work(job->op);
        break;
    case AQ_OP_STAGE:
        each_worked(job, aq_fs_stage);
        break;
    case AQ_OP_WRITE:
        each_worked(job, aq_fs_write);
        break;
    case AQ_OP_COPY:
        each(job, aq_fs_copy);
        break;
    case AQ_OP_FLUSH:
        aq_fs_flush_op(job);
        break;
    case AQ_OP_PUBLISH:
        each(job, aq_fs_publish);
        break;
    case AQ_OP_REMOVE:
        each(job, aq_fs_remove);
        break;
    case AQ_OP_RENAME:
        each(job, run_rename);
        break;
    case AQ_OP_MKDIR:
        each(job, run_mkdir);
        break;
    case AQ_OP_META:
        each(job, run_meta);
        break;
    case AQ_OP_DISCARD:
        aq_fs_discard_op(job);
        break;
    case AQ_OP_WORK:
        aq_work(job->op);
        break;
    case AQ_OP_LOAD:
    case AQ_OP_SAVE:
    case AQ_OP_HANGUP:
        each(job, refuse);
        break;
    }
}

/* Not when opened: only now is the root surely locked (the lock needs its identity). */
static void recover_once(aq_fs *fs, aq_job *job)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&mutex);
    if (!fs->in_use) {
        aq_fs_recover(job);
        fs->in_use = true;
    }
    pthread_mutex_unlock(&mutex);
}

static bool only_reads(aq_op_kind kind)
{
    return kind == AQ_OP_LIST || kind == AQ_OP_STAT || kind == AQ_OP_READ ||
           kind == AQ_OP_WORK;
}

void aq_fs_run(aq_fs *fs, aq_op *op)
{
    aq_job job;
    aq_job_begin(&job, fs, op);
    if (fs->writable && !fs->in_use) {
        recover_once(fs, &job);
    }
    if (fs->writable || only_reads(op->kind)) {
        run_kind(&job);
    } else {
        each(&job, refuse); /* a source is never written to */
    }
    aq_job_end(&job);
    if (op->kind == AQ_OP_DISCARD && op->item_count == 0 && fs->writable) {
        aq_fs_stage_retire(fs);
    }
}
