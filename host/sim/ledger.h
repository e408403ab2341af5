/* ledger.h: what users ever wrote, where, and when it was there. */
#ifndef SIM_LEDGER_H
#define SIM_LEDGER_H

#include "disk.h"

typedef struct sim_ledger_row {
    uint64_t key; /* 0: free */
    uint64_t value;
} sim_ledger_row;

typedef struct sim_seen {
    const char *path;
    aq_type type; /* now; NONE: gone */
    uint64_t since_ns;
    bool seen;
} sim_seen;

typedef struct sim_ledger {
    sim_arena *arena;
    sim_ledger_row *rows;
    size_t row_count;
    size_t row_room; /* a power of two */
    sim_seen *paths; /* every path that the source ever had */
    size_t path_count;
    size_t path_room;
    bool twins; /* files may differ though path, size and mtime are the same */
} sim_ledger;

void sim_ledger_open(sim_ledger *ledger, sim_arena *arena);

/* A user has changed this disk's tree: notes every content. Unless `twins` are allowed, a
 * file that a quick check would take for another version of itself is touched first. */
void sim_ledger_note(sim_ledger *ledger, sim_disk *disk, bool is_source, uint64_t now_ns);

/* Did any user ever write these bytes (or this symlink), anywhere? */
bool sim_ledger_knows(const sim_ledger *ledger, const sim_object *object);
/* Did the source's user ever have them at this path? */
bool sim_ledger_knows_at(const sim_ledger *ledger, const char *path,
                         const sim_object *object);
/* What the source has, or ever had (type NONE then), at path; NULL: never anything. */
const sim_seen *sim_ledger_seen(const sim_ledger *ledger, const char *path);

#endif
