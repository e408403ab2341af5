/* rules.h: from --include, --exclude and the -from options to the engine's filter text. */
#ifndef AQ_CLI_RULES_H
#define AQ_CLI_RULES_H

#include "options.h"

enum {
    RULES_SIZE_MAX = 48 << 10 /* of one text: they travel in one frame */
};

/* Texts of rules (engine/sync/filter.h), to be synced one after another: a list of very
 * many paths does not fit into one. None: everything takes part. */
typedef struct rules {
    char **texts;
    size_t count;
} rules;

/* Builds the rules in *out, for rules_free. With `below`, the options are about that
 * directory, which lies in the root, and nothing else takes part. With `chosen`, that is
 * one more path as --files-from would list it. Both may be NULL. False: `error` says what
 * is wrong, and *out is empty. */
bool rules_build(const options *o, const char *below, const char *chosen, rules *out,
                 char error[OPTION_ERROR_SIZE]);
void rules_free(rules *r);

/* Does the path take part by any of the texts? */
bool rules_allow(const rules *r, const char *path, bool is_directory);

#endif
