/* fs_job.c: what the ops of the file-system host have in common: the directory at hand, the
 * staging directory, renaming onto nothing, and making directories durable.
 *
 * Items of one op are mostly neighbours, so a job keeps the directory of the last item open
 * and uses it for the next; that makes most items cost no path resolution at all. The
 * price: if somebody moves that directory meanwhile, the next items go where it went, as
 * they would have gone had they been a moment earlier. To keep "a moment" short the
 * directory is opened again after HELD_USES_MAX items, and it is never kept beyond the op.
 * The engine itself never runs an op beside one whose directories it moves or removes.
 *
 * The staging directory is made when first needed and goes when DISCARD or aq_fs_close
 * finds it empty. Jobs count themselves as its users, so that nobody's descriptor is closed
 * under him.
 */
#include "fs_job.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { HELD_USES_MAX = 64 };

void aq_slot_name(char name[AQ_SLOT_NAME_SIZE], uint64_t slot)
{
    for (int i = 15; i >= 0; i--) {
        name[i] = "0123456789abcdef"[slot & 15];
        slot >>= 4;
    }
    name[16] = '\0';
}

bool aq_slot_is_name(const char *name)
{
    return strspn(name, "0123456789abcdef") == 16 && name[16] == '\0';
}

mode_t aq_mode_with_exec(mode_t mode, bool exec)
{
    mode &= 0777;
    if (!exec) {
        return mode & ~(mode_t)0111;
    }
    return mode & S_IXUSR ? mode : mode | S_IXUSR | (mode & 0444) >> 2;
}

void aq_job_begin(aq_job *job, aq_fs *fs, aq_op *op)
{
    *job = (aq_job){.fs = fs, .op = op, .stage = -1, .held.fd = -1, .target.fd = -1};
}

/* ---- the directory at hand -------------------------------------------------------------
 */

/* A removal or a move that a power cut undoes is done again by the next sync; only what was
 * published has been called safe. */
static bool is_durable(const aq_job *job)
{
    return job->fs->fsync && job->op->kind == AQ_OP_PUBLISH;
}

static void held_drop(aq_job *job, aq_held *held)
{
    if (held->fd >= 0 && held->changed && is_durable(job) && !job->changed_many) {
        if (job->changed_count < AQ_SYNC_EACH_MAX) {
            job->changed[job->changed_count++] = held->fd;
            held->fd = -1;
        } else {
            job->changed_many = true;
        }
    }
    if (held->fd >= 0) {
        close(held->fd);
    }
    *held = (aq_held){.fd = -1};
}

/* A peer's path may lead into the staging directory where the file system folds names; by
 * inode there are no two ways to write it. */
static bool is_metadata(const aq_fs *fs, const struct stat *st)
{
    static const char *const names[] = {AQ_METADATA_NAME, AQ_METADATA_NAME "/stage"};
    struct stat now;
    if (!fs->writable || st->st_dev != fs->device ||
        (st->st_ino != fs->metadata_inode && st->st_ino != fs->stage_inode)) {
        return false;
    }
    /* It may be gone by now, and its number given to a directory of the user's. */
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (fstatat(fs->beneath.root, names[i], &now, AT_SYMLINK_NOFOLLOW) == 0 &&
            now.st_dev == st->st_dev && now.st_ino == st->st_ino) {
            return true;
        }
    }
    return false;
}

static aq_status make_directories(aq_job *job, const char *path, size_t size)
{
    for (size_t end = 0; end < size; end++) {
        end += strcspn(path + end, "/");
        size_t start = end;
        while (start > 0 && path[start - 1] != '/') {
            start--;
        }
        char name[AQ_NAME_MAX + 1];
        int fd;
        if (end - start >= sizeof name) {
            return AQ_NAME;
        }
        memcpy(name, path + start, end - start);
        name[end - start] = '\0';
        aq_status status =
            aq_beneath_open(&job->fs->beneath, path, start > 0 ? start - 1 : 0, false, &fd);
        if (status != AQ_OK) {
            return status;
        }
        if (mkdirat(fd, name, 0777) != 0 && errno != EEXIST) {
            status = aq_status_of_errno(errno);
        }
        close(fd);
        if (status != AQ_OK) {
            return status;
        }
    }
    return AQ_OK;
}

static bool held_is(const aq_held *held, const char *path, size_t size)
{
    return held->fd >= 0 && held->size == size && memcmp(held->path, path, size) == 0;
}

static aq_status held_take(aq_job *job, aq_held *held, const char *path, size_t size,
                           bool make)
{
    int fd;
    struct stat st;
    aq_status status = aq_beneath_open(&job->fs->beneath, path, size, false, &fd);
    if (status == AQ_NOT_FOUND && make) {
        status = make_directories(job, path, size);
        if (status == AQ_OK) {
            status = aq_beneath_open(&job->fs->beneath, path, size, false, &fd);
        }
    }
    if (status != AQ_OK) {
        held_drop(job, held);
        return status;
    }
    if (fstat(fd, &st) != 0 || is_metadata(job->fs, &st)) {
        close(fd);
        return AQ_NAME;
    }
    if (held_is(held, path, size) && held->inode == st.st_ino) {
        close(fd); /* it still is what the path leads to */
        held->uses = 0;
        return AQ_OK;
    }
    held_drop(job, held);
    *held = (aq_held){.fd = fd, .path = path, .size = size, .inode = st.st_ino};
    return AQ_OK;
}

aq_status aq_job_parent(aq_job *job, aq_held *held, const char *path, bool make,
                        const char **name)
{
    const char *slash = strrchr(path, '/');
    size_t size = slash ? (size_t)(slash - path) : 0;
    *name = slash ? slash + 1 : path;
    if (!aq_beneath_is_path(path)) {
        return AQ_NAME;
    }
    if (held_is(held, path, size) && ++held->uses < HELD_USES_MAX) {
        return AQ_OK;
    }
    return held_take(job, held, path, size, make);
}

/* ---- the staging directory -------------------------------------------------------------
 */

static int open_private(int directory, const char *name, bool make)
{
    const int flags = O_RDONLY | O_DIRECTORY;
    int fd = aq_beneath_file(directory, name, flags, 0);
    if (fd < 0 && errno == ENOENT && make) {
        if (mkdirat(directory, name, 0700) != 0 && errno != EEXIST) {
            return -1;
        }
        fd = aq_beneath_file(directory, name, flags, 0);
    }
    return fd;
}

static int open_stage(aq_fs *fs, bool make)
{
    struct stat st;
    int metadata = open_private(fs->beneath.root, AQ_METADATA_NAME, make);
    if (metadata < 0) {
        return -1;
    }
    if (fstat(metadata, &st) == 0) {
        fs->metadata_inode = st.st_ino;
    }
    int stage = open_private(metadata, "stage", make);
    int error = errno;
    if (stage >= 0 && fstat(stage, &st) == 0) {
        fs->stage_inode = st.st_ino;
    }
    close(metadata);
    errno = error;
    return stage;
}

/* A user may have cleaned up. */
static bool is_removed(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_nlink == 0;
}

aq_status aq_job_stage(aq_job *job, bool make)
{
    aq_fs *fs = job->fs;
    if (job->stage >= 0) {
        return AQ_OK;
    }
    aq_status status = AQ_OK;
    pthread_mutex_lock(&fs->mutex);
    if (fs->stage >= 0 && fs->stage_users == 0 && is_removed(fs->stage)) {
        close(fs->stage);
        fs->stage = -1;
    }
    if (fs->stage < 0) {
        fs->stage = open_stage(fs, make);
        status = fs->stage < 0 ? aq_status_of_errno(errno) : AQ_OK;
    }
    if (status == AQ_OK) {
        fs->stage_users++;
        job->stage = fs->stage;
    }
    pthread_mutex_unlock(&fs->mutex);
    return status;
}

static void job_stage_give(aq_job *job)
{
    if (job->stage >= 0) {
        pthread_mutex_lock(&job->fs->mutex);
        job->fs->stage_users--;
        pthread_mutex_unlock(&job->fs->mutex);
        job->stage = -1;
    }
}

/* What a crash left is removed after the engine has set the root's time, or found it right:
 * that is no change of the user's folder, and must not look like one. */
static void metadata_remove(int root)
{
    struct stat st;
    bool known = fstat(root, &st) == 0;
    if (unlinkat(root, AQ_METADATA_NAME, AT_REMOVEDIR) == 0 && known) {
        struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, st.st_mtim};
        (void)futimens(root, times);
    }
}

void aq_fs_stage_retire(aq_fs *fs)
{
    pthread_mutex_lock(&fs->mutex);
    if (fs->stage_users == 0) {
        if (fs->stage >= 0) {
            close(fs->stage);
            fs->stage = -1;
        }
        int metadata =
            aq_beneath_file(fs->beneath.root, AQ_METADATA_NAME, O_RDONLY | O_DIRECTORY, 0);
        if (metadata >= 0) {
            (void)unlinkat(metadata, "stage", AT_REMOVEDIR);
            close(metadata);
            metadata_remove(fs->beneath.root);
        }
    }
    pthread_mutex_unlock(&fs->mutex);
}

aq_status aq_job_stage_names(aq_job *job, void (*each)(aq_job *job, const char *name))
{
    aq_status status = aq_job_stage(job, false);
    if (status != AQ_OK) {
        return status;
    }
    int fd = aq_beneath_file(job->stage, ".", O_RDONLY | O_DIRECTORY, 0);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    if (!directory) {
        status = aq_status_of_errno(errno);
        if (fd >= 0) {
            close(fd);
        }
        return status;
    }
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        each(job, entry->d_name);
    }
    closedir(directory);
    return AQ_OK;
}

/* ---- renaming onto nothing -------------------------------------------------------------
 */

/* Some file systems know neither flag of renameat2. A hard link is as good for files: it
 * never replaces. For the rest there is a look and a hope. */
static int rename_new_plainly(int from, const char *name, int to, const char *to_name)
{
    struct stat st;
    if (linkat(from, name, to, to_name, 0) == 0) {
        return unlinkat(from, name, 0);
    }
    if (errno == EEXIST || errno == ENOENT || errno == EXDEV || errno == ENOSPC ||
        errno == EDQUOT) {
        return -1;
    }
    if (fstatat(to, to_name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return -1;
    }
    return renameat(from, name, to, to_name);
}

int aq_fs_rename_new(aq_fs *fs, int from, const char *name, int to, const char *to_name)
{
    if (fs->can_noreplace) {
        if (renameat2(from, name, to, to_name, RENAME_NOREPLACE) == 0) {
            return 0;
        }
        /* EINVAL also means a directory moved into itself, which the plain way tells too.
         */
        if (errno != EINVAL && errno != ENOSYS) {
            return -1;
        }
        if (errno == ENOSYS) {
            fs->can_noreplace = false;
        }
    }
    return rename_new_plainly(from, name, to, to_name);
}

/* ---- durability ------------------------------------------------------------------------
 */

aq_status aq_fs_sync_all(aq_fs *fs)
{
    if (!fs->can_syncfs) {
        return AQ_UNSUPPORTED;
    }
    if (syncfs(fs->beneath.root) != 0) {
        fs->can_syncfs = false;
    }
    /* Another thread's syncfs may have been told of an error that is about our bytes. */
    return fs->can_syncfs ? AQ_OK : AQ_UNSUPPORTED;
}

static void fail_published(aq_job *job)
{
    for (uint32_t i = 0; i < job->op->item_count; i++) {
        if (job->op->items[i].status == AQ_OK) {
            job->op->items[i].status = AQ_IO;
        }
    }
}

static void sync_directory(aq_job *job, int fd)
{
    /* EBADF: a directory that we may not read; EINVAL: a file system without this. */
    if (fsync(fd) != 0 && errno != EBADF && errno != EINVAL) {
        fail_published(job);
    }
}

/* Where syncing everything is not to be had, the root stands for the directories that did
 * not fit into the list: with a journal, which is in order, that makes them durable too. */
static void sync_changed(aq_job *job)
{
    if (job->changed_many && aq_fs_sync_all(job->fs) == AQ_OK) {
        return;
    }
    for (unsigned i = 0; i < job->changed_count; i++) {
        sync_directory(job, job->changed[i]);
    }
    if (job->changed_many) {
        sync_directory(job, job->fs->beneath.root);
    }
}

void aq_job_end(aq_job *job)
{
    held_drop(job, &job->held);
    held_drop(job, &job->target);
    sync_changed(job);
    for (unsigned i = 0; i < job->changed_count; i++) {
        close(job->changed[i]);
    }
    job_stage_give(job);
}
