/* fs_job.h: inside the file-system host: one op under way on one thread, and what its kinds
 * share. For fs.c and the fs_*.c files only. */
#ifndef AQ_NATIVE_FS_JOB_H
#define AQ_NATIVE_FS_JOB_H

#include "beneath.h"
#include "fs.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    AQ_SLOT_NAME_SIZE = 17, /* 16 hexadecimal digits and the NUL */
    AQ_SYNC_EACH_MAX = 8    /* more things to make durable than this: one syncfs */
};

struct aq_fs {
    aq_beneath beneath;
    char *path;
    char *identity;
    dev_t device;
    ino_t inode;
    bool writable;
    bool fsync;
    /* Cleared when the file system turns out not to know the call. */
    atomic_bool can_exchange;
    atomic_bool can_noreplace;
    atomic_bool can_copy_range;
    atomic_bool can_syncfs;
    atomic_bool can_noatime;
    atomic_bool in_use;                  /* an op has run: what a crash left is settled */
    atomic_uint_fast64_t removals;       /* numbers them */
    atomic_uint_fast64_t metadata_inode; /* of `.acequia` and of the stage, once seen */
    atomic_uint_fast64_t stage_inode;
    pthread_mutex_t mutex; /* guards what follows */
    int stage;             /* `.acequia/stage`, or -1 */
    unsigned stage_users;  /* jobs that hold it */
};

/* The directory that a job used last. */
typedef struct aq_held {
    int fd;           /* -1: none */
    const char *path; /* [0..size), lent by the op */
    size_t size;
    uint64_t inode;
    unsigned uses;
    bool changed; /* entries came: it is synced at the end */
} aq_held;

typedef struct aq_job {
    aq_fs *fs;
    aq_op *op;
    int stage;      /* -1 until aq_job_stage */
    aq_held held;   /* where the items' paths are */
    aq_held target; /* where their targets are */
    int changed[AQ_SYNC_EACH_MAX];
    unsigned changed_count;
    bool changed_many;
} aq_job;

/* ---- fs_job.c --------------------------------------------------------------------------
 */

void aq_job_begin(aq_job *job, aq_fs *fs, aq_op *op);
/* Makes changed directories durable, closes all. */
void aq_job_end(aq_job *job);

/* The directory that path is in, and its last name. The descriptor belongs to `held` until
 * the next call. `make`: creates missing directories. */
aq_status aq_job_parent(aq_job *job, aq_held *held, const char *path, bool make,
                        const char **name);

/* Sets job->stage; `make`: creating the directory if need be, else NOT_FOUND. */
aq_status aq_job_stage(aq_job *job, bool make);

/* Removes the staging directory if it is empty and no job uses it. */
void aq_fs_stage_retire(aq_fs *fs);

/* renameat, but never over anything: EEXIST. 0, or -1 with errno. */
int aq_fs_rename_new(aq_fs *fs, int from, const char *name, int to, const char *to_name);

/* Everything written to the file system so far is on the disk. UNSUPPORTED: do it file by
 * file (also for good after it failed once, since the kernel tells an error only once). */
aq_status aq_fs_sync_all(aq_fs *fs);

/* The permission bits of `mode`, with those for executing set where reading is allowed, or
 * cleared. */
mode_t aq_mode_with_exec(mode_t mode, bool exec);

/* Calls `each` for every name in the staging directory. */
aq_status aq_job_stage_names(aq_job *job, void (*each)(aq_job *job, const char *name));

void aq_slot_name(char name[AQ_SLOT_NAME_SIZE], uint64_t slot);
bool aq_slot_is_name(const char *name);

/* ---- the kinds of op, each one item unless it says op ----------------------------------
 */

void aq_fs_list(aq_job *job, aq_item *item); /* fs_list.c */
void aq_fs_read(aq_job *job, aq_item *item); /* fs_read.c */
void aq_fs_copy(aq_job *job, aq_item *item);
void aq_fs_stage(aq_job *job, aq_item *item); /* fs_stage.c */
void aq_fs_write(aq_job *job, aq_item *item);
void aq_fs_flush_op(aq_job *job);
void aq_fs_discard_op(aq_job *job);
/* Opens the slot to write to it, creating it if it is missing. */
aq_status aq_fs_slot_open(aq_job *job, uint64_t slot, int *fd);
/* 0, or errno. */
int aq_fs_write_fully(int fd, const uint8_t *data, size_t size, uint64_t offset);
void aq_fs_publish(aq_job *job, aq_item *item); /* fs_publish.c */
void aq_fs_remove(aq_job *job, aq_item *item);
/* Settles what a crash left between displacing something and looking at it. */
void aq_fs_recover(aq_job *job);

#endif
