/* report.c: output of sync, check and diff. All lines of results go to stdout, all errors
 * to stderr; with --json everything goes to stdout, one object a line (docs/JSON.md).
 *
 * The line of progress stands on a terminal's last line and is redrawn in place; whoever
 * prints something else clears it first. Without a terminal --progress prints it once a
 * second as a line of its own.
 */
#include "report.h"
#include "fail.h"
#include "text.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const uint64_t SECOND = 1000000000;

static bool uses_color(void)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    return (no_color == NULL || no_color[0] == '\0') && term != NULL &&
           strcmp(term, "dumb") != 0;
}

void report_open(report *r, const options *o)
{
    *r = (report){.o = o};
    r->terminal = isatty(STDOUT_FILENO) == 1;
    r->shows_progress = o->progress || (!o->quiet && (r->terminal || o->json));
}

void report_clear(report *r)
{
    if (r->line_stands) {
        fputs("\r\033[K", stdout);
        r->line_stands = false;
    }
}

void report_say(report *r, const char *format, ...)
{
    char line[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (r->o->quiet || r->o->json) {
        return;
    }
    report_clear(r);
    fflush(stdout);
    fputs("acequia: ", stderr);
    text_print(stderr, line);
    fputc('\n', stderr);
}

/* ---- changes ---------------------------------------------------------------------- */

static const char *const change_names[] = {
    [AQ_CHANGE_NEW] = "new",   [AQ_CHANGE_CONTENT] = "content",
    [AQ_CHANGE_META] = "meta", [AQ_CHANGE_DELETE] = "delete",
    [AQ_CHANGE_MOVE] = "move", [AQ_CHANGE_TYPE] = "type"};

static const char *type_name(aq_type type)
{
    static const char *const names[] = {[AQ_TYPE_NONE] = "none",
                                        [AQ_TYPE_FILE] = "file",
                                        [AQ_TYPE_DIRECTORY] = "directory",
                                        [AQ_TYPE_SYMLINK] = "symlink",
                                        [AQ_TYPE_OTHER] = "other"};
    return (unsigned)type < sizeof names / sizeof *names ? names[type] : "other";
}

static void path_print(const aq_note *note, FILE *out)
{
    text_print(out, note->path[0] == '\0' ? "." : note->path);
    if (note->type == AQ_TYPE_DIRECTORY) {
        fputc('/', out);
    }
}

void report_itemize(const report *r, const aq_note *note, FILE *out)
{
    char kind = note->type == AQ_TYPE_DIRECTORY ? 'd'
                : note->type == AQ_TYPE_SYMLINK ? 'L'
                                                : 'f';
    char update = kind != 'f' ? 'c' : r->push ? '<' : '>';
    switch (note->change) {
    case AQ_CHANGE_NEW:
    case AQ_CHANGE_TYPE:
        fprintf(out, "%c%c+++++++++ ", update, kind);
        break;
    case AQ_CHANGE_CONTENT:
        fprintf(out, "%c%cc........ ", update, kind);
        break;
    case AQ_CHANGE_META:
        fprintf(out, ".%c..t...... ", kind);
        break;
    case AQ_CHANGE_DELETE:
        fputs("*deleting   ", out);
        break;
    case AQ_CHANGE_MOVE:
        fputs("*moving     ", out);
        break;
    }
    path_print(note, out);
    if (note->change == AQ_CHANGE_MOVE ||
        (note->type == AQ_TYPE_SYMLINK && note->text[0] != '\0')) {
        fputs(" -> ", out);
        text_print(out, note->text);
    }
    fputc('\n', out);
}

static void change_print(report *r, const aq_note *note)
{
    const options *o = r->o;
    r->changes++;
    if (o->json) {
        json j = json_open(stdout, "change");
        json_text(&j, "change",
                  (unsigned)note->change < sizeof change_names / sizeof *change_names
                      ? change_names[note->change]
                      : "other");
        json_text(&j, "type", type_name(note->type));
        json_text(&j, "path", note->path);
        if (note->change == AQ_CHANGE_MOVE) {
            json_text(&j, "to", note->text);
        }
        json_number(&j, "size", note->size);
        json_close(&j);
        return;
    }
    if (o->quiet) {
        return;
    }
    report_clear(r);
    if (o->itemize || r->only_compares) {
        report_itemize(r, note, stdout);
    } else if (o->verbose > 0 && (note->change != AQ_CHANGE_META || o->verbose > 1)) {
        fputs(note->change == AQ_CHANGE_DELETE ? "deleting "
              : note->change == AQ_CHANGE_MOVE ? "moving "
                                               : "",
              stdout);
        path_print(note, stdout);
        if (note->change == AQ_CHANGE_MOVE) {
            fputs(" -> ", stdout);
            text_print(stdout, note->text);
        }
        fputc('\n', stdout);
    }
}

/* ---- problems --------------------------------------------------------------------- */

static void problem_print(report *r, const aq_note *note)
{
    const char *side = note->remote ? " (at the other end)" : "";
    r->problems++;
    if (r->o->json) {
        json j = json_open(stdout, "problem");
        json_text(&j, "status", aq_status_name(note->status));
        json_number(&j, "exit", (uint64_t)aq_status_exit(note->status));
        json_text(&j, "path", note->path);
        json_text(&j, "message",
                  note->text[0] != '\0' ? note->text : aq_status_text(note->status));
        json_bool(&j, "remote", note->remote);
        json_close(&j);
        return;
    }
    report_clear(r);
    fail_with(false, note->status, "%s%s%s%s%s%s", note->path,
              note->path[0] != '\0' ? ": " : "", aq_status_text(note->status), side,
              note->text[0] != '\0' ? ": " : "", note->text);
}

static void warning_print(report *r, const aq_note *note)
{
    if (r->o->quiet) {
        return;
    }
    if (r->o->json) {
        json j = json_open(stdout, "warning");
        json_text(&j, "message", note->text);
        if (note->path[0] != '\0') {
            json_text(&j, "path", note->path);
        }
        json_close(&j);
        return;
    }
    report_say(r, "%s%s%s", note->path, note->path[0] != '\0' ? ": " : "", note->text);
}

void report_note(report *r, const aq_note *note)
{
    switch (note->kind) {
    case AQ_NOTE_CHANGE:
        change_print(r, note);
        break;
    case AQ_NOTE_PROBLEM:
        problem_print(r, note);
        break;
    case AQ_NOTE_WARNING:
        warning_print(r, note);
        break;
    case AQ_NOTE_LINK_UP:
        if (r->o->verbose > 1) {
            report_say(r, "connected");
        }
        break;
    case AQ_NOTE_LINK_DOWN:
    case AQ_NOTE_BEGIN:
    case AQ_NOTE_END:
        break;
    }
}

/* ---- progress --------------------------------------------------------------------- */

static unsigned terminal_columns(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        return size.ws_col - 1u;
    }
    return 79;
}

static void progress_json(report *r, const aq_stats *s, uint64_t now_ns)
{
    uint64_t seconds;
    json j = json_open(stdout, "progress");
    json_bool(&j, "complete", s->complete);
    json_number(&j, "files_total", s->files_total);
    json_number(&j, "bytes_total", s->bytes_total);
    json_number(&j, "files_changed", s->files_changed);
    json_number(&j, "bytes_changed", s->bytes_changed);
    json_number(&j, "files_done", s->files_done);
    json_number(&j, "bytes_done", s->bytes_done);
    json_number(&j, "bytes_sent", s->bytes_sent);
    json_number(&j, "bytes_received", s->bytes_received);
    json_number(&j, "rate", progress_rate(&r->progress));
    if (s->complete) {
        json_real(&j, "percent", progress_permille(&r->progress, s) / 10.0);
    }
    if (progress_left(&r->progress, s, now_ns, &seconds)) {
        json_number(&j, "eta_seconds", seconds);
    }
    json_text(&j, "current", s->current);
    json_close(&j);
}

void report_tick(report *r, const aq_stats *stats, uint64_t now_ns)
{
    progress_feed(&r->progress, stats, now_ns);
    bool in_place = r->terminal && !r->o->json;
    uint64_t pause = in_place ? SECOND / 10 : SECOND;
    if (r->shown_at_ns == 0) {
        r->shown_at_ns = now_ns; /* nothing to show in the first moment */
    }
    if (!r->shows_progress || now_ns - r->shown_at_ns < pause) {
        return;
    }
    r->shown_at_ns = now_ns;
    if (r->o->json) {
        progress_json(r, stats, now_ns);
        return;
    }
    char line[PROGRESS_LINE_SIZE];
    progress_line(&r->progress, stats, now_ns, in_place ? terminal_columns() : 200, line);
    if (!in_place) {
        puts(line);
    } else {
        bool color = uses_color();
        printf("\r%s%s%s\033[K", color ? "\033[36m" : "", line, color ? "\033[0m" : "");
        r->line_stands = true;
    }
    fflush(stdout);
}

/* ---- the end ---------------------------------------------------------------------- */

static void done_json(const report *r, const aq_stats *s, double seconds,
                      const char *transport)
{
    json j = json_open(stdout, "done");
    json_number(&j, "files", r->only_compares ? s->files_changed : s->files_done);
    json_number(&j, "bytes_sent", s->bytes_sent);
    json_number(&j, "bytes_received", s->bytes_received);
    json_number(&j, "bytes_literal", s->bytes_literal);
    json_number(&j, "bytes_matched", s->bytes_matched);
    json_real(&j, "seconds", seconds);
    json_text(&j, "transport", transport);
    json_close(&j);
}

static void stats_print(const aq_stats *s)
{
    const struct {
        const char *name;
        uint64_t value;
        const char *unit;
    } lines[] = {
        {"Number of files", s->files_total, ""},
        {"Number of created directories", s->directories_made, ""},
        {"Number of created links", s->links_made, ""},
        {"Number of deleted files", s->files_deleted, ""},
        {"Number of moved files", s->files_moved, ""},
        {"Number of files changed", s->files_changed, ""},
        {"Number of files transferred", s->files_done, ""},
        {"Total file size", s->bytes_total, " bytes"},
        {"Total changed file size", s->bytes_changed, " bytes"},
        {"Literal data", s->bytes_literal, " bytes"},
        {"Matched data", s->bytes_matched, " bytes"},
        {"Total bytes sent", s->bytes_sent, ""},
        {"Total bytes received", s->bytes_received, ""},
    };
    char number[TEXT_NUMBER_SIZE];
    putchar('\n');
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        printf("%s: %s%s\n", lines[i].name, text_count(lines[i].value, number),
               lines[i].unit);
    }
}

/* rsync's last two lines. */
static void speed_print(const report *r, const aq_stats *s, double seconds)
{
    char sent[TEXT_NUMBER_SIZE], received[TEXT_NUMBER_SIZE], total[TEXT_NUMBER_SIZE],
        rate[TEXT_NUMBER_SIZE];
    uint64_t wire = s->bytes_sent + s->bytes_received;
    printf("\nsent %s bytes  received %s bytes  %s bytes/sec\n",
           text_count(s->bytes_sent, sent), text_count(s->bytes_received, received),
           text_count(seconds > 0.001 ? (uint64_t)((double)wire / seconds) : wire, rate));
    printf("total size is %s  speedup is %.2f%s\n", text_count(s->bytes_total, total),
           wire == 0 ? 0.0 : (double)s->bytes_total / (double)wire,
           r->only_compares ? " (DRY RUN)" : "");
}

static void summary_print(const aq_stats *s, double seconds)
{
    char files[TEXT_NUMBER_SIZE], bytes[TEXT_NUMBER_SIZE], wire[TEXT_NUMBER_SIZE];
    printf("%s files, %s; %s on the wire in %.1f s\n", text_count(s->files_done, files),
           text_bytes(s->bytes_done, bytes),
           text_bytes(s->bytes_sent + s->bytes_received, wire), seconds);
}

void report_done(report *r, const aq_stats *stats, double seconds, const char *transport)
{
    report_clear(r);
    if (r->o->json) {
        done_json(r, stats, seconds, transport);
        return;
    }
    if (r->o->stats) {
        stats_print(stats);
    }
    if (r->o->stats || (r->o->verbose > 0 && !r->o->quiet)) {
        speed_print(r, stats, seconds);
    } else if (r->terminal && !r->o->quiet && !r->only_compares) {
        summary_print(stats, seconds);
    }
}
