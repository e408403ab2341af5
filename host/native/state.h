/* state.h: what the engine remembers of a root between runs, as keys and values in a SQLite
 * file of its own. It is a cache of facts: when it is damaged it is set aside and begun
 * anew.
 */
#ifndef AQ_NATIVE_STATE_H
#define AQ_NATIVE_STATE_H

#include "acequia.h"

typedef struct aq_state aq_state;

/* `state_dir`: NULL for $XDG_STATE_HOME/acequia (~/.local/state/acequia); made if missing.
 * `identity`: from aq_fs_identity. A file that is damaged, foreign or of a newer version is
 * renamed to *.corrupt. ACCESS, NO_SPACE, READ_ONLY, MEMORY, IO; NOT_FOUND: no home
 * directory is known. */
aq_status aq_state_open(aq_state **out, const char *state_dir, const char *identity);

/* NULL is fine. */
void aq_state_close(aq_state *state);

/* Does LOAD and SAVE, blocking, from any thread. Other kinds: every item says USAGE. */
void aq_state_run(aq_state *state, aq_op *op);

/* True once a damaged file was set aside, at opening or since: tell the user why this run
 * reads everything again. */
bool aq_state_was_damaged(const aq_state *state);

#endif
