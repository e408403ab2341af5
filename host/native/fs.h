/* fs.h: a root in the file system. Answers the storage ops of one root by blocking calls,
 * on any number of threads at once. Nothing outside the root is reached, whatever links,
 * moves or mounts a user or a peer arranges in it (docs/SAFETY rules R3, R4, R20, R22).
 */
#ifndef AQ_NATIVE_FS_H
#define AQ_NATIVE_FS_H

#include "acequia.h"

typedef struct aq_fs aq_fs;

/* What to do without, as on an old kernel or a plain file system: for tests. */
enum {
    AQ_FS_NO_OPENAT2 = 1,
    AQ_FS_NO_EXCHANGE = 2,
    AQ_FS_NO_NOREPLACE = 4,
    AQ_FS_NO_COPY_RANGE = 8,
    AQ_FS_NO_SYNCFS = 16
};

typedef struct aq_fs_options {
    bool create;      /* make the directory (not its parents) if it is missing */
    bool writable;    /* check now that it can be written to, settle what a crash left */
    bool fsync;       /* false: FLUSH and PUBLISH do not wait for the disk */
    unsigned without; /* AQ_FS_NO_… */
} aq_fs_options;

/* `path` may lead to the root by symbolic links; inside the root none is followed.
 * ROOT (missing), NOT_DIRECTORY, ACCESS, READ_ONLY, MEMORY, IO. */
aq_status aq_fs_open(aq_fs **out, const char *path, const aq_fs_options *options);

/* No op may be running. Removes the staging directory if nothing is in it. NULL is fine. */
void aq_fs_close(aq_fs *fs);

/* Does LIST STAT READ STAGE WRITE COPY FLUSH PUBLISH REMOVE RENAME MKDIR META DISCARD or
 * WORK: sets each item's status and out fields, and calls aq_work where acequia.h says so.
 * Other kinds of op: every item says USAGE. */
void aq_fs_run(aq_fs *fs, aq_op *op);

/* "DEVICE:INODE FILE-SYSTEM:INODE PATH": the first word names the directory in the running
 * system (for the lock: the same by every path and mount), the rest also after a reboot
 * (for the state). Lent until aq_fs_close. */
const char *aq_fs_identity(const aq_fs *fs);

/* The absolute path, without symbolic links, as it was when opened. Lent. */
const char *aq_fs_path(const aq_fs *fs);

#endif
