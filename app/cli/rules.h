/* rules.h: from --include, --exclude and the -from options to the engine's filter text. */
#ifndef AQ_CLI_RULES_H
#define AQ_CLI_RULES_H

#include "options.h"

/* Builds the rules (engine/sync/filter.h) in *out, to be freed; NULL when there are none.
 * With `below`, the options are about that directory, which lies in the root, and nothing
 * else takes part. With `chosen`, that is one more path as --files-from would list it. Both
 * may be NULL. False: `error` says what is wrong. */
bool rules_build(const options *o, const char *below, const char *chosen, char **out,
                 char error[OPTION_ERROR_SIZE]);

#endif
