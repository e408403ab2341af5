/* filter.h: which paths take part in a sync. Rules are text, one a line, in rsync's spirit;
 * docs/SEMANTICS.md, "Filters", defines them:
 *
 *     + pattern      include          the first pattern that matches decides;
 *     - pattern      exclude          when none does, the path is included
 *     = path         one of the chosen paths (all after the patterns, in bytewise order);
 *                    if there is any, nothing but these, their parents and what lies below
 *                    them takes part, and patterns still apply
 *
 * Rules may come from a peer: checking one path costs at most the size of the rules times
 * the size of the path in steps, whatever the patterns are. */
#ifndef AQ_SYNC_FILTER_H
#define AQ_SYNC_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    AQ_FILTER_PATTERN_MAX = 1024 /* bytes of a pattern that has wildcards */
};

/* A view over rules that somebody else holds. */
typedef struct aq_filter {
    const char *patterns; /* lent; the "+" and "-" lines */
    const char *paths;    /* the "=" lines; == end when there are none */
    const char *end;
} aq_filter;

/* Checks the rules and makes the view, which lives as long as they do. On failure
 * *bad_line (may be NULL) is the first line that is not a rule. NULL or "": everything
 * passes. */
bool aq_filter_open(aq_filter *filter, const char *rules, const char **bad_line);

/* Does the path take part, and all of its parents? The root itself ("") always does. */
bool aq_filter_passes(const aq_filter *filter, const char *path, bool is_directory);

/* The same for somebody who walks the tree and has asked for the parents already. */
bool aq_filter_passes_below(const aq_filter *filter, const char *path, bool is_directory);

/* For a single question. `rules` must be valid. */
bool aq_filter_valid(const char *rules, const char **bad_line);
bool aq_filter_allows(const char *rules, const char *path, bool is_directory);

#endif
