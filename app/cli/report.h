/* report.h: what a sync says while it runs and at its end, in the form that the options ask
 * for: lines for people, rsync's itemized changes, or JSON; and the line of progress on a
 * terminal.
 */
#ifndef AQ_CLI_REPORT_H
#define AQ_CLI_REPORT_H

#include "options.h"
#include "progress.h"
#include <stdio.h>

typedef struct report {
    const options *o;
    bool push;          /* rsync's '<' instead of '>' */
    bool only_compares; /* check, diff and dry runs */
    bool terminal;      /* stdout is one */
    bool shows_progress;
    bool line_stands; /* a line of progress is on the terminal */
    progress progress;
    uint64_t shown_at_ns;
    uint64_t changes;
    uint64_t problems;
} report;

void report_open(report *r, const options *o);

/* A note of the engine, but for AQ_NOTE_END. */
void report_note(report *r, const aq_note *note);

/* Something to tell people, unless they asked for quiet; escaped. */
void report_say(report *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Called about every 100 ms. */
void report_tick(report *r, const aq_stats *stats, uint64_t now_ns);

/* Takes the line of progress away: call it before anything else is printed. */
void report_clear(report *r);

/* Figures at the end. `transport`: "websocket", "local". */
void report_done(report *r, const aq_stats *stats, double seconds, const char *transport);

/* rsync's eleven characters for a change, and the path as it prints it, for one line. */
void report_itemize(const report *r, const aq_note *note, FILE *out);

#endif
