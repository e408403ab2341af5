/* fs_list.c: listing directories, with a stat of every entry.
 *
 * The kernel's own cookies say where to go on (getdents64's d_off, given back to lseek), so
 * a listing in many calls costs no more than one in a single call, and entries that come or
 * go meanwhile disturb no others. An entry that vanishes between its name and its stat was
 * never there. An entry that cannot be looked at fails the whole directory: a listing must
 * not lack what is there, since absence may mean deletion (rule R20).
 */
#include "fs_job.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
    ENTRIES_SIZE = 32 * 1024 /* of names, for one call of getdents64 */
};

typedef struct listing {
    int fd;
    bool slots; /* only the slots of the staging directory */
    bool root;  /* hides the staging directory */
    aq_item *item;
} listing;

/* OK with *vanished: skip it. */
static aq_status entry_stat(int fd, const char *name, aq_stamp *stamp, char *target,
                            size_t *target_size, bool *vanished)
{
    struct stat st;
    *vanished = false;
    *target_size = 0;
    for (;;) {
        if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            *vanished = errno == ENOENT;
            return *vanished ? AQ_OK : aq_status_of_errno(errno);
        }
        *stamp = aq_stamp_of_stat(&st);
        if (!S_ISLNK(st.st_mode)) {
            return AQ_OK;
        }
        ssize_t size = readlinkat(fd, name, target, AQ_PATH_MAX);
        if (size >= 0) {
            *target_size = (size_t)size;
            stamp->size = (uint64_t)size;
            return AQ_OK;
        }
        if (errno != EINVAL && errno != ENOENT) {
            return aq_status_of_errno(errno);
        }
        /* It became something else, or nothing: look again. */
    }
}

static bool is_hidden(const listing *list, const char *name)
{
    if (list->slots) {
        return !aq_slot_is_name(name);
    }
    return (name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'))) ||
           (list->root && strcmp(name, AQ_METADATA_NAME) == 0);
}

/* False: stop; either the buffer is full or it failed. */
static bool put(listing *list, const char *name)
{
    aq_item *item = list->item;
    aq_stamp stamp;
    char target[AQ_PATH_MAX];
    size_t target_size;
    bool vanished;
    if (is_hidden(list, name)) {
        return true;
    }
    item->status = entry_stat(list->fd, name, &stamp, target, &target_size, &vanished);
    if (item->status != AQ_OK || vanished) {
        return item->status == AQ_OK;
    }
    if (aq_list_put(item, name, strlen(name), &stamp,
                    stamp.type == AQ_TYPE_SYMLINK ? target : NULL, target_size)) {
        return true;
    }
    if (item->done == 0) {
        item->status = AQ_MEMORY; /* not even one fits: going on would never end */
    }
    return false;
}

static void list_entries(listing *list)
{
    aq_item *item = list->item;
    _Alignas(struct dirent64) char entries[ENTRIES_SIZE];
    for (;;) {
        ssize_t size = getdents64(list->fd, entries, sizeof entries);
        if (size <= 0) {
            bool gone = size < 0 && errno == ENOENT; /* removed while we list it */
            item->status = size == 0 ? AQ_OK
                           : gone    ? AQ_NOT_FOUND
                                     : aq_status_of_errno(errno);
            item->offset = 0;
            return;
        }
        for (ssize_t at = 0; at < size;) {
            const struct dirent64 *entry = (const struct dirent64 *)(void *)(entries + at);
            if (!put(list, entry->d_name)) {
                return;
            }
            item->offset = (uint64_t)entry->d_off;
            at += entry->d_reclen;
        }
    }
}

/* The root's path may come to lead elsewhere (an unmounted disk, a replaced directory):
 * what we hold open is then not what the user means. */
static bool is_still_root(const aq_fs *fs)
{
    struct stat st;
    return stat(fs->path, &st) == 0 && st.st_dev == fs->device && st.st_ino == fs->inode;
}

static aq_status list_open(aq_job *job, listing *list)
{
    aq_item *item = list->item;
    if (list->slots) {
        aq_status status = aq_job_stage(job, false);
        if (status == AQ_OK) {
            list->fd = aq_beneath_file(job->stage, ".", O_RDONLY | O_DIRECTORY, 0);
            status = list->fd < 0 ? aq_status_of_errno(errno) : AQ_OK;
        }
        return status;
    }
    if (list->root && item->offset == 0 && !is_still_root(job->fs)) {
        return AQ_ROOT;
    }
    return aq_beneath_open(&job->fs->beneath, item->path, strlen(item->path), true,
                           &list->fd);
}

void aq_fs_list(aq_job *job, aq_item *item)
{
    listing list = {.fd = -1, .item = item, .slots = (item->flags & AQ_ITEM_SLOT) != 0};
    list.root = !list.slots && item->path[0] == '\0';
    struct stat st;
    item->done = 0;
    item->status = list_open(job, &list);
    if (item->status == AQ_OK &&
        (fstat(list.fd, &st) != 0 ||
         (item->offset != 0 && lseek(list.fd, (off_t)item->offset, SEEK_SET) < 0))) {
        item->status = aq_status_of_errno(errno);
    }
    if (item->status == AQ_OK) {
        item->stamp = aq_stamp_of_stat(&st);
        list_entries(&list);
    }
    if (list.slots && item->status == AQ_NOT_FOUND) {
        item->status = AQ_OK; /* no staging directory: no slots */
        item->offset = 0;
    }
    if (list.root && item->status == AQ_NOT_FOUND) {
        item->status = AQ_ROOT;
    }
    if (list.fd >= 0) {
        close(list.fd);
    }
}
