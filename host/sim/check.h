/* check.h: the oracle's comparisons of whole trees. */
#ifndef SIM_CHECK_H
#define SIM_CHECK_H

#include "ledger.h"

typedef struct sim_check {
    const sim_ledger *ledger;
    const char *excluded; /* names that end so take no part; NULL: all do */
    const char *backup;   /* a directory of the destination's root; NULL: none */
    bool delete_extra;
    bool times; /* mtimes of directories too */
    char *text; /* out: the first difference */
    size_t text_size;
    uint64_t blocked; /* out: places that a directory in the way keeps as they are */
} sim_check;

/* Is `to` what a one-way sync of `from` makes of it? */
bool sim_check_synced(sim_check *check, const sim_disk *from, const sim_disk *to);

/* Does everything visible hold bytes that a user wrote? */
bool sim_check_known(sim_check *check, const sim_disk *disk);

/* Is there a name that cannot travel (not UTF-8), where the sync looks? */
bool sim_check_finds_bad(const sim_check *check, const sim_disk *disk);

bool sim_check_excludes(const sim_check *check, const char *name);
bool sim_check_excludes_path(const sim_check *check, const char *path);

/* What was at the destination before must stay, at paths that the source never had, when
 * extras are not deleted; with a backup every content must stay somewhere. */
typedef struct sim_kept {
    const char *path;
    aq_type type;
    uint64_t content;
} sim_kept;

typedef struct sim_keeps {
    sim_kept *items;
    size_t count;
    size_t room;
} sim_keeps;

void sim_keeps_take(sim_keeps *keeps, sim_arena *arena, const sim_disk *disk);
bool sim_check_kept(sim_check *check, const sim_keeps *keeps, sim_disk *disk);

/* Bytes of all files in it. */
uint64_t sim_content_size(const sim_object *object);

#endif
