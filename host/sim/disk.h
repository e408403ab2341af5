/* disk.h: a virtual file system with a root that users see and a staging place they do not.
 */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "arena.h"
#include "chance.h"

#include "acequia.h"

typedef struct sim_object sim_object;

typedef struct sim_entry {
    const char *name;
    sim_object *object;
} sim_entry;

/* A file, directory, symlink or other. Kept until the world ends, so that any of them can
 * come back when a crash undoes what was not durable. */
struct sim_object {
    aq_type type;
    bool exec;
    bool dirty;    /* some bytes are not on the platter yet */
    bool poisoned; /* a sync failed: the kernel will never write those bytes, and says OK */
    uint64_t inode;
    int64_t mtime_ns;
    int64_t ctime_ns;
    uint8_t *data; /* a file's bytes, a symlink's target */
    size_t size;
    size_t room;
    uint8_t *synced; /* what the platter holds, while dirty */
    size_t synced_size;
    sim_entry *entries; /* a directory's, by name in bytewise order */
    size_t entry_count;
    size_t entry_room;
};

/* One change of the namespace that a crash of the machine may undo. */
typedef struct sim_undo {
    uint64_t group; /* changes of one group stand or fall together */
    sim_object *object;
    const char *name; /* of the entry that changed; NULL: the object's own fields did */
    sim_object *before;
    int64_t mtime_ns;
    int64_t ctime_ns;
    size_t size;
    bool exec;
    bool durable;
} sim_undo;

/* Kinds of trouble, in permille of the calls that could have it; all zero when healed. */
typedef struct sim_disk_faults {
    unsigned read_error;  /* READ, COPY: EIO */
    unsigned read_change; /* the user edits the file between two halves of a READ */
    unsigned list_error;  /* LIST: EIO, sometimes after some entries */
    unsigned write_error; /* WRITE, STAGE, FLUSH, PUBLISH, …: EIO */
    unsigned copy_refuse; /* COPY: UNSUPPORTED */
    unsigned state_error; /* LOAD, SAVE: EIO */
    unsigned read_flip;   /* one bit of a READ is wrong */
    bool full;            /* nothing may grow */
    bool gone;            /* the root is not mounted */
} sim_disk_faults;

typedef struct sim_row {
    const char *key;
    const uint8_t *data;
    size_t size;
} sim_row;

/* One row as it was before a batch that the platter may not have yet. */
typedef struct sim_row_undo {
    uint64_t batch;
    sim_row before; /* data NULL: there was none */
} sim_row_undo;

typedef struct sim_disk {
    sim_arena *arena;
    sim_chance chance;
    sim_object *root;
    sim_object *slots;
    int64_t clock_ns; /* wall time, moved on by the world and by each change */
    uint64_t inode_next;
    uint64_t salt; /* gives LIST an order of its own */
    sim_undo *undo;
    size_t undo_count;
    size_t undo_room;
    uint64_t group;
    sim_object **dirty;
    size_t dirty_count;
    size_t dirty_room;
    sim_row *rows; /* by key */
    size_t row_count;
    size_t row_room;
    sim_row_undo *row_undo;
    size_t row_undo_count;
    size_t row_undo_room;
    uint64_t batch;
    sim_disk_faults faults;
    /* The world looks on: what became visible, when a READ is half done. */
    void *watcher;
    void (*on_visible)(void *watcher, const char *path, const sim_object *object);
    void (*on_half_read)(void *watcher, const char *path);
} sim_disk;

void sim_disk_open(sim_disk *disk, sim_arena *arena, uint64_t seed, const char *concern);

/* Finds path; *parent and *leaf are set whenever the parent exists. OK with *object NULL:
 * only the last name is missing. Symlinks are never followed. */
aq_status sim_disk_find(sim_disk *disk, const char *path, sim_object **parent,
                        const char **leaf, sim_object **object);
sim_object *sim_disk_get(sim_disk *disk, const char *path); /* NULL: nothing there */
sim_object *sim_disk_slot(sim_disk *disk, uint64_t slot);
aq_stamp sim_object_stamp(const sim_object *object);
sim_object *sim_object_entry(const sim_object *directory, const char *name);

/* Changes. Each is one step of the current group. */
sim_object *sim_disk_make(sim_disk *disk, aq_type type);
void sim_disk_group(sim_disk *disk);
void sim_disk_link(sim_disk *disk, sim_object *directory, const char *name,
                   sim_object *object); /* object NULL: unlinks */
void sim_disk_slot_link(sim_disk *disk, uint64_t slot, sim_object *object);
void sim_disk_touch(sim_disk *disk, sim_object *object, int64_t mtime_ns, bool exec);
void sim_disk_truncate(sim_disk *disk, sim_object *object, size_t size);
void sim_disk_write(sim_disk *disk, sim_object *object, uint64_t offset, const void *data,
                    size_t size);
/* Makes the missing directories above path. */
aq_status sim_disk_parents(sim_disk *disk, const char *path);

/* Durability. */
void sim_disk_sync_object(sim_disk *disk, sim_object *object);
void sim_disk_sync_slot(sim_disk *disk, uint64_t slot); /* its name and its bytes */
/* Failed syncs are forgotten. Without it a process that dies between a failed FLUSH and its
 * next op would leave a trap that no later process can know of. */
void sim_disk_forgive(sim_disk *disk);
void sim_disk_sync_names(sim_disk *disk);
/* The machine stops: each unsynced thing is there, or not, or half there, by chance. */
void sim_disk_power_loss(sim_disk *disk, sim_chance *chance);

/* State rows. */
const sim_row *sim_disk_row(const sim_disk *disk, const char *key);
void sim_disk_row_set(sim_disk *disk, const char *key, const uint8_t *data, size_t size);
void sim_disk_batch(sim_disk *disk); /* ends an atomic batch */
void sim_disk_lose_state(sim_disk *disk);

/* A hash over names, types, contents, times and exec bits of everything visible. */
uint64_t sim_disk_hash(const sim_disk *disk);

#endif
