/* beneath.c: the one way from a root's descriptor to the directories below it.
 *
 * A path is only ever a list of names below the root's descriptor. The kernel is told so
 * where it can be (openat2 with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS); elsewhere the
 * path is walked name by name, each opened with O_NOFOLLOW in the directory before it. So
 * whoever swaps a directory for a symbolic link, at whatever moment, gets an error and no
 * escape.
 *
 * No directory's descriptor is kept from one op to the next. To trust a kept one, its path
 * would have to be resolved again, and that is all that opening it afresh costs. See
 * fs_job.c for how one op goes on using the directory of its last item.
 */
#include "beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    AGAIN_MAX = 64, /* openat2 lost races against renames before it is given up */
    WAITS_MAX = 200 /* of 5 ms each */
};

aq_status aq_status_of_errno(int error)
{
    switch (error) {
    case 0:
        return AQ_OK;
    case ENOENT:
        return AQ_NOT_FOUND;
    case EEXIST:
        return AQ_EXISTS;
    case EACCES:
    case EPERM:
        return AQ_ACCESS;
    case ENOSPC:
    case EDQUOT:
        return AQ_NO_SPACE;
    case ENAMETOOLONG:
    case EILSEQ:
    case EINVAL:
        return AQ_NAME;
    case ENOTDIR:
    case ELOOP:
        return AQ_NOT_DIRECTORY;
    case ENOTEMPTY:
        return AQ_NOT_EMPTY;
    case EROFS:
        return AQ_READ_ONLY;
    case EXDEV:
    case EOPNOTSUPP:
    case ENOSYS:
    case ENOTTY:
    case EFBIG:
    case ETXTBSY:
    case EMLINK:
        return AQ_UNSUPPORTED;
    case ENOMEM:
        return AQ_MEMORY;
    case EBUSY:
        return AQ_BUSY;
    default:
        return AQ_IO;
    }
}

static int64_t ns_of_timespec(struct timespec time)
{
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

struct timespec aq_timespec_of_ns(int64_t ns)
{
    int64_t seconds = ns / 1000000000;
    int64_t rest = ns % 1000000000;
    if (rest < 0) {
        seconds--;
        rest += 1000000000;
    }
    return (struct timespec){.tv_sec = (time_t)seconds, .tv_nsec = (long)rest};
}

static aq_type type_of_mode(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return AQ_TYPE_FILE;
    case S_IFDIR:
        return AQ_TYPE_DIRECTORY;
    case S_IFLNK:
        return AQ_TYPE_SYMLINK;
    default:
        return AQ_TYPE_OTHER;
    }
}

aq_stamp aq_stamp_of_stat(const struct stat *st)
{
    aq_type type = type_of_mode(st->st_mode);
    bool sized = type == AQ_TYPE_FILE || type == AQ_TYPE_SYMLINK;
    return (aq_stamp){
        .size = sized ? (uint64_t)st->st_size : 0,
        .mtime_ns = ns_of_timespec(st->st_mtim),
        .ctime_ns = ns_of_timespec(st->st_ctim),
        .inode = st->st_ino,
        .type = (uint8_t)type,
        .exec = type == AQ_TYPE_FILE && (st->st_mode & S_IXUSR) != 0,
    };
}

bool aq_stamp_is_expected(const aq_stamp *expect, const aq_stamp *stamp, bool moved)
{
    if (expect->type != stamp->type ||
        (expect->inode != 0 && expect->inode != stamp->inode)) {
        return false;
    }
    if (expect->type == AQ_TYPE_DIRECTORY || expect->type == AQ_TYPE_NONE) {
        return true;
    }
    return expect->size == stamp->size && expect->mtime_ns == stamp->mtime_ns &&
           expect->exec == stamp->exec &&
           (moved || expect->ctime_ns == 0 || expect->ctime_ns == stamp->ctime_ns);
}

bool aq_beneath_is_path(const char *path)
{
    const char *name = path;
    for (;;) {
        size_t size = strcspn(name, "/");
        if (size == 0 || (size == 1 && name[0] == '.') ||
            (size == 2 && name[0] == '.' && name[1] == '.') ||
            (name == path && size == sizeof AQ_METADATA_NAME - 1 &&
             memcmp(name, AQ_METADATA_NAME, size) == 0)) {
            return false;
        }
        if (name[size] == '\0') {
            return true;
        }
        name += size + 1;
    }
}

/* True if the call that failed is worth repeating, after a pause where one helps: until a
 * descriptor is free, or until whoever holds a lease on the file (Samba) gives it up. */
static bool may_retry(int error, unsigned *waits)
{
    if (error == EINTR) {
        return true;
    }
    bool waiting_helps = error == EMFILE || error == ENFILE || error == EWOULDBLOCK;
    if (!waiting_helps || ++*waits > WAITS_MAX) {
        return false;
    }
    (void)nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    return true;
}

static int open_patiently(int directory, const char *name, int flags, mode_t mode)
{
    unsigned waits = 0;
    for (;;) {
        int fd = openat(directory, name, flags, mode);
        if (fd >= 0 || !may_retry(errno, &waits)) {
            return fd;
        }
    }
}

int aq_beneath_file(int directory, const char *name, int flags, mode_t mode)
{
    return open_patiently(directory, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
                          mode);
}

/* openat2 answers EAGAIN when something was renamed meanwhile and it cannot tell whether
 * that mattered. */
static int open_resolved(int root, const char *path, int flags)
{
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    unsigned waits = 0;
    for (int again = 0;;) {
        int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
        if (fd >= 0 || (errno == EAGAIN && ++again >= AGAIN_MAX) ||
            (errno != EAGAIN && !may_retry(errno, &waits))) {
            return fd;
        }
    }
}

/* `path` is taken apart in place. */
static int open_walking(int root, char *path, int flags)
{
    int at = root;
    for (char *name = path;;) {
        char *slash = strchr(name, '/');
        if (slash) {
            *slash = '\0';
        }
        int next = open_patiently(
            at, name, (slash ? O_PATH : flags) | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
        int error = errno;
        if (at != root) {
            close(at);
        }
        if (next < 0 || !slash) {
            errno = error;
            return next;
        }
        at = next;
        name = slash + 1;
    }
}

void aq_beneath_init(aq_beneath *beneath, int root, bool walk)
{
    *beneath = (aq_beneath){.root = root, .walk = walk};
    if (!walk) {
        /* Old kernels lack the call, and some containers forbid it. */
        int fd = open_resolved(root, ".", O_PATH | O_DIRECTORY);
        beneath->walk = fd < 0;
        if (fd >= 0) {
            close(fd);
        }
    }
}

static int open_directory(const aq_beneath *beneath, char *path, int flags)
{
    if (path[0] == '\0') {
        return open_patiently(beneath->root, ".", flags | O_DIRECTORY | O_CLOEXEC, 0);
    }
    if (!beneath->walk) {
        int fd = open_resolved(beneath->root, path, flags | O_DIRECTORY);
        if (fd >= 0 || errno != EAGAIN) {
            return fd;
        }
    }
    return open_walking(beneath->root, path, flags);
}

aq_status aq_beneath_open(const aq_beneath *beneath, const char *path, size_t size,
                          bool readable, int *out)
{
    char copy[AQ_PATH_MAX];
    *out = -1;
    if (size >= sizeof copy) {
        return AQ_NAME;
    }
    memcpy(copy, path, size);
    copy[size] = '\0';
    if (size != 0 && !aq_beneath_is_path(copy)) {
        return AQ_NAME;
    }
    *out = open_directory(beneath, copy, O_RDONLY);
    if (*out < 0 && errno == EACCES && !readable) {
        /* One may pass through a directory that one may not list. */
        memcpy(copy, path, size);
        *out = open_directory(beneath, copy, O_PATH);
    }
    if (*out >= 0) {
        return AQ_OK;
    }
    return errno == EXDEV ? AQ_NOT_DIRECTORY : aq_status_of_errno(errno);
}
