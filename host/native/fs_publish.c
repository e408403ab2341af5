/* fs_publish.c: everything that displaces what a user has (rules R3 and R4).
 *
 * What is in the way is exchanged with the newcomer in one step, and looked at afterwards,
 * when no path leads to it any more and so nobody can change which object it is:
 *
 *     path      old ──┐  RENAME_EXCHANGE  ┌── path      new
 *     stage     new ──┘ ────────────────► └── stage     old    as expected: dropped, or to
 *                                                              the backup; else kept beside
 *
 * A removal does the same with nothing for a newcomer: rename into the stage, look, then
 * drop, or put back. Where the file system knows no exchange there is a look before a plain
 * rename instead, and a user's edit between those two calls is lost; docs/SEMANTICS.md says
 * so.
 *
 * Should the process die between the exchange and the look, the stage holds something whose
 * rights are unknown, so it stands there under a name that says it all:
 *
 *     SLOT.NEWCOMER.INODE.SIZE.MTIME.DROP       (hexadecimal; the inode of the newcomer,
 *                                                then what was expected; 1: may be dropped)
 *
 * The next process reads these names (aq_fs_recover) before anything else: the newcomer
 * becomes a slot again, what was expected is dropped, all else is moved to where the user
 * sees it.
 *
 * Only files and symbolic links are displaced. Directories and devices in the way stay.
 */
#include "fs_job.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    DOUBT_NAME_SIZE = 128,
    TRIES_MAX = 16, /* when something keeps changing under us */
    COPIES_MAX = 9999
};

typedef struct displacement {
    aq_job *job;
    aq_item *item;
    int to;           /* the directory of the path, */
    const char *name; /* and its last name */
    char slot[AQ_SLOT_NAME_SIZE];
    struct stat fresh; /* what is published */
    struct stat old;   /* what is there, if */
    bool there;
    aq_status status; /* of a publication that succeeds */
} displacement;

static bool look(int directory, const char *name, struct stat *st)
{
    return fstatat(directory, name, st, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool is_displaceable(const struct stat *st)
{
    return S_ISREG(st->st_mode) || S_ISLNK(st->st_mode);
}

static bool is_expected(const displacement *d, const struct stat *st, bool moved)
{
    aq_stamp stamp = aq_stamp_of_stat(st);
    return aq_stamp_is_expected(&d->item->expect, &stamp, moved);
}

/* ---- where displaced things go ---------------------------------------------------------
 */

/* base + suffix, base cut at a character's border so that it is a possible name. */
static void name_join(char out[AQ_NAME_MAX + 1], const char *base, const char *suffix)
{
    size_t room = AQ_NAME_MAX - strlen(suffix);
    size_t size = strlen(base);
    if (size > room) {
        for (size = room; size > 0 && (base[size] & 0xc0) == 0x80; size--) {
        }
    }
    memcpy(out, base, size);
    strcpy(out + size, suffix);
}

/* Renames to base + suffix, or with a number after it if that is taken. 0, or errno. */
static int rename_numbered(aq_fs *fs, int from, const char *name, int to, const char *base,
                           const char *suffix)
{
    char to_name[AQ_NAME_MAX + 1];
    name_join(to_name, base, suffix);
    for (int copy = 1; aq_fs_rename_new(fs, from, name, to, to_name) != 0; copy++) {
        char numbered[64];
        if (errno != EEXIST || copy > COPIES_MAX) {
            return errno;
        }
        (void)snprintf(numbered, sizeof numbered, "%s.~%d~", suffix, copy);
        name_join(to_name, base, numbered);
    }
    return 0;
}

/* Keeps what nobody expected where the user will find it. */
static aq_status keep_beside(displacement *d, int from, const char *name)
{
    char suffix[48];
    (void)snprintf(suffix, sizeof suffix, ".displaced-%s", d->slot);
    int error = rename_numbered(d->job->fs, from, name, d->to, d->name, suffix);
    d->job->held.changed = true;
    return error == 0 ? AQ_CHANGED : aq_status_of_errno(error);
}

static aq_status keep_as_backup(displacement *d, int from, const char *name)
{
    aq_job *job = d->job;
    const char *to_name;
    aq_status status = aq_job_parent(job, &job->target, d->item->target, true, &to_name);
    if (status == AQ_OK) {
        int error = rename_numbered(job->fs, from, name, job->target.fd, to_name, "");
        status = aq_status_of_errno(error);
        job->target.changed = true;
    }
    return status;
}

/* The object was as expected, and stands in the stage under `doubt`. */
static aq_status let_go(displacement *d, const char *doubt)
{
    if (!d->item->target) {
        return unlinkat(d->job->stage, doubt, 0) == 0 ? AQ_OK : aq_status_of_errno(errno);
    }
    aq_status status = keep_as_backup(d, d->job->stage, doubt);
    return status == AQ_OK ? status : keep_beside(d, d->job->stage, doubt);
}

static void doubt_name(char name[DOUBT_NAME_SIZE], const displacement *d, bool expected)
{
    const aq_stamp *expect = &d->item->expect;
    (void)snprintf(name, DOUBT_NAME_SIZE,
                   "%s.%" PRIx64 ".%" PRIx64 ".%" PRIx64 ".%" PRIx64 ".%d", d->slot,
                   (uint64_t)d->fresh.st_ino, expect->inode, expect->size,
                   (uint64_t)expect->mtime_ns, expected && !d->item->target);
}

/* Finds out in time whether there can be a backup: else nothing is displaced. */
static aq_status prepare_backup(displacement *d)
{
    const char *name;
    return d->item->target
               ? aq_job_parent(d->job, &d->job->target, d->item->target, true, &name)
               : AQ_OK;
}

/* ---- publishing ------------------------------------------------------------------------
 */

/* What is at the path now. EXISTS: something that is not displaced. */
static aq_status look_there(displacement *d)
{
    d->there = look(d->to, d->name, &d->old);
    if (!d->there && errno != ENOENT) {
        return aq_status_of_errno(errno);
    }
    return d->there && !is_displaceable(&d->old) ? AQ_EXISTS : AQ_OK;
}

/* A replaced file keeps its permissions, as editing it would have. */
static mode_t mode_wanted(const displacement *d)
{
    bool inherits = d->there && S_ISREG(d->old.st_mode);
    return aq_mode_with_exec(inherits ? d->old.st_mode : d->fresh.st_mode, d->item->exec);
}

static int prepare_file(displacement *d, bool resize, bool rights)
{
    int fd = aq_beneath_file(d->job->stage, d->slot, resize ? O_WRONLY : O_RDONLY, 0);
    if (fd < 0) {
        return errno;
    }
    int error = 0;
    if ((resize && ftruncate(fd, (off_t)d->item->size) != 0) ||
        (rights && fchmod(fd, mode_wanted(d)) != 0)) {
        error = errno;
    }
    close(fd);
    return error;
}

/* Gives the slot its size, permissions and time; mostly STAGE has done so already. */
static aq_status prepare(displacement *d)
{
    aq_job *job = d->job;
    if (!look(job->stage, d->slot, &d->fresh)) {
        return aq_status_of_errno(errno);
    }
    if (!is_displaceable(&d->fresh)) {
        return AQ_EXISTS;
    }
    struct timespec mtime = aq_timespec_of_ns(d->item->mtime_ns);
    bool file = S_ISREG(d->fresh.st_mode);
    bool resize = file && (uint64_t)d->fresh.st_size != d->item->size;
    bool rights = file && (d->fresh.st_mode & 07777) != mode_wanted(d);
    bool retime = resize || d->fresh.st_mtim.tv_sec != mtime.tv_sec ||
                  d->fresh.st_mtim.tv_nsec != mtime.tv_nsec;
    if (resize || rights) {
        int error = prepare_file(d, resize, rights);
        if (error != 0) {
            return aq_status_of_errno(error);
        }
    }
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, mtime};
    if (retime && utimensat(job->stage, d->slot, times, AT_SYMLINK_NOFOLLOW) != 0) {
        return aq_status_of_errno(errno);
    }
    if ((resize || rights || retime) && !look(job->stage, d->slot, &d->fresh)) {
        return aq_status_of_errno(errno);
    }
    return AQ_OK;
}

/* The exchange is done; what came out stands in the stage as `doubt`. */
static aq_status settle(displacement *d, const char *doubt, bool expected)
{
    int stage = d->job->stage;
    struct stat out;
    if (!look(stage, doubt, &out)) {
        return aq_status_of_errno(errno);
    }
    if (!is_displaceable(&out)) {
        /* It came there between the look and the exchange: as if it had been there. */
        if (renameat2(stage, doubt, d->to, d->name, RENAME_EXCHANGE) == 0) {
            (void)renameat(stage, doubt, stage, d->slot);
            return AQ_EXISTS;
        }
        return keep_beside(d, stage, doubt);
    }
    if (expected && is_expected(d, &out, true)) {
        return let_go(d, doubt);
    }
    return keep_beside(d, stage, doubt);
}

/* True: begin again, d->there says what with. */
static bool replace_by_exchange(displacement *d)
{
    int stage = d->job->stage;
    bool expected = is_expected(d, &d->old, false);
    char doubt[DOUBT_NAME_SIZE];
    doubt_name(doubt, d, expected);
    if (renameat(stage, d->slot, stage, doubt) != 0) {
        d->status = aq_status_of_errno(errno);
        return false;
    }
    if (renameat2(stage, doubt, d->to, d->name, RENAME_EXCHANGE) != 0) {
        int error = errno;
        (void)renameat(stage, doubt, stage, d->slot);
        if (error == EINVAL || error == ENOSYS) {
            d->job->fs->can_exchange = false;
            return true;
        }
        d->status = error == ENOENT ? look_there(d) : aq_status_of_errno(error);
        return d->status == AQ_OK;
    }
    d->status = settle(d, doubt, expected);
    return false;
}

/* Without an exchange: what may not be lost is first moved away. True: begin again. */
static bool replace_plainly(displacement *d)
{
    if (is_expected(d, &d->old, false)) {
        if (!d->item->target) {
            int result = renameat(d->job->stage, d->slot, d->to, d->name);
            d->status = result == 0 ? AQ_OK : aq_status_of_errno(errno);
            return false;
        }
        d->status = keep_as_backup(d, d->to, d->name);
    } else {
        d->status = keep_beside(d, d->to, d->name);
    }
    d->there = false;
    return d->status == AQ_OK || d->status == AQ_CHANGED;
}

static bool put_new(displacement *d)
{
    if (aq_fs_rename_new(d->job->fs, d->job->stage, d->slot, d->to, d->name) == 0) {
        return false;
    }
    if (errno != EEXIST) {
        d->status = aq_status_of_errno(errno);
        return false;
    }
    aq_status status = look_there(d);
    if (status != AQ_OK) {
        d->status = status;
    }
    return status == AQ_OK;
}

static void put(displacement *d)
{
    for (int tries = 0; tries < TRIES_MAX; tries++) {
        bool again = !d->there                  ? put_new(d)
                     : d->job->fs->can_exchange ? replace_by_exchange(d)
                                                : replace_plainly(d);
        if (!again) {
            return;
        }
    }
    d->status = AQ_EXISTS;
}

/* If somebody replaced or changed it already, the stamp must not be that of his bytes. */
static void stamp_published(displacement *d)
{
    struct stat now;
    bool ours = look(d->to, d->name, &now) && now.st_ino == d->fresh.st_ino &&
                now.st_size == d->fresh.st_size &&
                now.st_mtim.tv_sec == d->fresh.st_mtim.tv_sec &&
                now.st_mtim.tv_nsec == d->fresh.st_mtim.tv_nsec;
    d->item->stamp = aq_stamp_of_stat(ours ? &now : &d->fresh);
}

static aq_status locate(displacement *d)
{
    aq_status status = aq_job_parent(d->job, &d->job->held, d->item->path, false, &d->name);
    d->to = d->job->held.fd;
    return status;
}

void aq_fs_publish(aq_job *job, aq_item *item)
{
    displacement d = {.job = job, .item = item, .status = AQ_OK};
    aq_slot_name(d.slot, item->slot);
    item->status = aq_job_stage(job, false);
    if (item->status == AQ_OK) {
        item->status = locate(&d);
    }
    if (item->status == AQ_OK && item->expect.type != AQ_TYPE_NONE) {
        item->status = look_there(&d);
    }
    if (item->status == AQ_OK && d.there && is_expected(&d, &d.old, false)) {
        item->status = prepare_backup(&d);
    }
    if (item->status == AQ_OK) {
        item->status = prepare(&d);
    }
    if (item->status != AQ_OK) {
        return;
    }
    put(&d);
    item->status = d.status;
    if (d.status == AQ_OK || d.status == AQ_CHANGED) {
        job->held.changed = true;
        stamp_published(&d);
    }
}

/* ---- removing --------------------------------------------------------------------------
 */

/* A directory goes only when it is empty, so nothing is lost by it. */
static aq_status remove_directory(displacement *d)
{
    if (unlinkat(d->to, d->name, AT_REMOVEDIR) != 0) {
        return errno == EEXIST    ? AQ_NOT_EMPTY
               : errno == ENOTDIR ? AQ_CHANGED
                                  : aq_status_of_errno(errno);
    }
    d->job->held.changed = true;
    const char *name;
    if (d->item->target &&
        aq_job_parent(d->job, &d->job->target, d->item->target, true, &name) == AQ_OK) {
        (void)mkdirat(d->job->target.fd, name, 0777);
    }
    return AQ_OK;
}

static aq_status remove_object(displacement *d)
{
    char doubt[DOUBT_NAME_SIZE];
    aq_job *job = d->job;
    struct stat out;
    aq_status status = aq_job_stage(job, true);
    if (status == AQ_OK) {
        status = prepare_backup(d);
    }
    if (status != AQ_OK) {
        return status;
    }
    aq_slot_name(d->slot, job->fs->removals++);
    doubt_name(doubt, d, true);
    if (aq_fs_rename_new(job->fs, d->to, d->name, job->stage, doubt) != 0) {
        return errno == ENOENT ? AQ_NOT_FOUND : aq_status_of_errno(errno);
    }
    job->held.changed = true;
    if (look(job->stage, doubt, &out) && is_expected(d, &out, true)) {
        return let_go(d, doubt);
    }
    if (aq_fs_rename_new(job->fs, job->stage, doubt, d->to, d->name) == 0) {
        return AQ_CHANGED;
    }
    return keep_beside(d, job->stage, doubt);
}

static aq_status remove_item(displacement *d)
{
    aq_status status = locate(d);
    if (status != AQ_OK) {
        return status;
    }
    if (!look(d->to, d->name, &d->old)) {
        return errno == ENOENT && d->item->expect.type == AQ_TYPE_NONE
                   ? AQ_OK
                   : aq_status_of_errno(errno);
    }
    if (!is_expected(d, &d->old, false)) {
        return AQ_CHANGED;
    }
    if (S_ISDIR(d->old.st_mode)) {
        return remove_directory(d);
    }
    return is_displaceable(&d->old) ? remove_object(d) : AQ_UNSUPPORTED;
}

void aq_fs_remove(aq_job *job, aq_item *item)
{
    displacement d = {.job = job, .item = item};
    item->status = remove_item(&d);
}

/* ---- after a crash ---------------------------------------------------------------------
 */

static void recover_name(aq_job *job, const char *name)
{
    uint64_t newcomer, inode, size, mtime;
    int drop;
    struct stat st;
    char slot[AQ_SLOT_NAME_SIZE];
    if (strlen(name) < 16 || name[16] != '.' ||
        sscanf(name + 17, "%" SCNx64 ".%" SCNx64 ".%" SCNx64 ".%" SCNx64 ".%d", &newcomer,
               &inode, &size, &mtime, &drop) != 5 ||
        !look(job->stage, name, &st)) {
        return;
    }
    memcpy(slot, name, 16);
    slot[16] = '\0';
    if (st.st_ino == newcomer) {
        (void)aq_fs_rename_new(job->fs, job->stage, name, job->stage, slot);
        return;
    }
    aq_stamp stamp = aq_stamp_of_stat(&st);
    if (drop && stamp.inode == inode && stamp.size == size &&
        stamp.mtime_ns == (int64_t)mtime) {
        (void)unlinkat(job->stage, name, 0);
        return;
    }
    (void)rename_numbered(job->fs, job->stage, name, job->fs->beneath.root, "displaced-",
                          slot);
}

void aq_fs_recover(aq_job *job)
{
    (void)aq_job_stage_names(job, recover_name);
}
