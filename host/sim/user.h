/* user.h: somebody who works in a folder: makes trees, and changes them at bad moments. */
#ifndef SIM_USER_H
#define SIM_USER_H

#include "ledger.h"

typedef struct sim_user {
    sim_disk *disk;
    sim_ledger *ledger;
    sim_chance chance;
    bool is_source;
    uint64_t file_max; /* bytes */
    uint64_t path_max; /* objects in the tree */
} sim_user;

/* Makes about `count` objects. */
void sim_user_populate(sim_user *user, uint64_t count, uint64_t now_ns);
/* Makes the tree what the other user has now, times included. */
void sim_user_clone(sim_user *user, const sim_user *from, uint64_t now_ns);
/* One change somewhere. */
void sim_user_edit(sim_user *user, uint64_t now_ns);
/* Gives something another name, or place. */
void sim_user_rename(sim_user *user, uint64_t now_ns);
/* One change of this file's bytes. */
void sim_user_edit_file(sim_user *user, const char *path, uint64_t now_ns);

#endif
