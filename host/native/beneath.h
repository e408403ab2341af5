/* beneath.h: reaching things below a root and nothing else; and what the file system says,
 * in the engine's terms. For the fs_*.c files only. */
#ifndef AQ_NATIVE_BENEATH_H
#define AQ_NATIVE_BENEATH_H

#include "acequia.h"

#include <sys/stat.h>
#include <sys/types.h>

enum {
    AQ_NAME_MAX = 255, /* bytes of one name, without its NUL */
    AQ_PATH_MAX = 4096 /* bytes of a path or a symlink's target, with its NUL */
};

#define AQ_METADATA_NAME ".acequia"

typedef struct aq_beneath {
    int root;  /* the directory */
    bool walk; /* without openat2: name by name */
} aq_beneath;

/* Prepares both fields' use: finds out whether openat2 works, unless `walk` is set. */
void aq_beneath_init(aq_beneath *beneath, int root, bool walk);

/* Opens the directory path[0..size) without following any symbolic link; the caller closes
 * it. `readable`: it must be possible to list it. NOT_DIRECTORY: a symbolic link or a file
 * is in the way. NAME: the path is not one that the engine lets through. */
aq_status aq_beneath_open(const aq_beneath *beneath, const char *path, size_t size,
                          bool readable, int *out);

/* openat that is not followed if it is a symbolic link, never blocks on what is no file,
 * and waits a moment when descriptors have run out. -1 with errno. */
int aq_beneath_file(int directory, const char *name, int flags, mode_t mode);

/* True if path is names joined by '/', none of them "", "." or "..", and the first is not
 * the metadata's; "" is not. */
bool aq_beneath_is_path(const char *path);

aq_status aq_status_of_errno(int error);
aq_stamp aq_stamp_of_stat(const struct stat *st);
struct timespec aq_timespec_of_ns(int64_t ns);

/* Is it what was expected? Fields of `expect` that are 0 for want of knowledge (inode,
 * ctime_ns) are not compared; of directories only type and inode are, since their times
 * change with what is in them. `moved`: it has been renamed since, so ctime_ns may differ.
 */
bool aq_stamp_is_expected(const aq_stamp *expect, const aq_stamp *stamp, bool moved);

#endif
