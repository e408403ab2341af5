/* progress.c: from figures to the line of progress. Pure: the time is given, the terminal
 * is the caller's.
 *
 * The rate is that of the last 16 seconds or so. Time left comes from it; what is shown
 * never grows, so when things slow down the shown time stands until it is true again, and
 * when it is far from true, or nothing moves, "stalled" or "?" stands there instead.
 */
#include "progress.h"
#include "text.h"
#include <stdio.h>
#include <string.h>

static const uint64_t SECOND = 1000000000;

void progress_feed(progress *p, const aq_stats *stats, uint64_t now_ns)
{
    if (p->sample_count == 0 || stats->bytes_done > p->bytes_seen) {
        p->moved_at_ns = now_ns;
        p->bytes_seen = stats->bytes_done;
    }
    if (p->sample_count > 0) {
        const progress_sample *last = &p->samples[(p->sample_count - 1) % PROGRESS_SAMPLES];
        if (now_ns - last->at_ns < SECOND / 4) {
            return;
        }
    }
    p->samples[p->sample_count++ % PROGRESS_SAMPLES] =
        (progress_sample){now_ns, stats->bytes_done};
}

uint64_t progress_rate(const progress *p)
{
    if (p->sample_count < 2) {
        return 0;
    }
    unsigned oldest =
        p->sample_count > PROGRESS_SAMPLES ? p->sample_count - PROGRESS_SAMPLES : 0;
    const progress_sample *first = &p->samples[oldest % PROGRESS_SAMPLES];
    const progress_sample *last = &p->samples[(p->sample_count - 1) % PROGRESS_SAMPLES];
    if (last->bytes <= first->bytes || last->at_ns <= first->at_ns) {
        return 0;
    }
    double seconds = (double)(last->at_ns - first->at_ns) / (double)SECOND;
    return (uint64_t)((double)(last->bytes - first->bytes) / seconds);
}

/* 1000 is for the end alone: until all is done it stays below. */
unsigned progress_permille(progress *p, const aq_stats *stats)
{
    if (!stats->complete) {
        return p->permille;
    }
    uint64_t done = stats->bytes_done, all = stats->bytes_changed;
    if (all == 0) {
        done = stats->files_done;
        all = stats->files_changed;
    }
    unsigned now =
        all == 0 || done >= all ? 1000 : (unsigned)((double)done / (double)all * 1000.0);
    bool finished = all == 0 || (done >= all && stats->files_done >= stats->files_changed);
    now = now >= 1000 && !finished ? 999 : now;
    p->permille = now > p->permille ? now : p->permille;
    return p->permille;
}

bool progress_left(progress *p, const aq_stats *stats, uint64_t now_ns, uint64_t *seconds)
{
    uint64_t rate = progress_rate(p);
    if (!stats->complete || rate == 0 || p->sample_count < 5 ||
        stats->bytes_done >= stats->bytes_changed || now_ns - p->moved_at_ns > 5 * SECOND) {
        return false;
    }
    uint64_t left = (stats->bytes_changed - stats->bytes_done + rate - 1) / rate;
    if (p->left_shown && left > p->left_s + p->left_s / 2 + 5) {
        return false;
    }
    if (!p->left_shown || left < p->left_s) {
        p->left_s = left;
        p->left_shown = true;
    }
    *seconds = p->left_s;
    return true;
}

/* Puts the path at the end of the line, losing its start where room is short. */
static void current_add(char *line, size_t size, const char *path, unsigned columns)
{
    char shown[sizeof((aq_stats *)0)->current * TEXT_ESCAPED_MAX];
    size_t used = text_columns(line);
    if (path[0] == '\0' || used + 12 > columns) {
        return;
    }
    size_t room = columns - used - 2;
    text_escape(path, shown, sizeof shown);
    const char *from = shown;
    size_t wide = text_columns(shown);
    bool cut = wide > room;
    for (; wide > (cut ? room - 3 : room); wide--) {
        do {
            from++;
        } while (((unsigned char)*from & 0xc0) == 0x80);
    }
    size_t end = strlen(line);
    snprintf(line + end, size - end, "  %s%s", cut ? "..." : "", from);
}

static void scanning_line(progress *p, const aq_stats *s, char *out)
{
    char files[TEXT_NUMBER_SIZE], total[TEXT_NUMBER_SIZE], done[TEXT_NUMBER_SIZE],
        rate[TEXT_NUMBER_SIZE];
    text_count(s->files_total, files);
    text_bytes(s->bytes_total, total);
    if (s->bytes_done == 0) {
        snprintf(out, PROGRESS_LINE_SIZE, "scanning: at least %s files, %s", files, total);
        return;
    }
    snprintf(out, PROGRESS_LINE_SIZE, "at least %s files, %s; %s done, %s/s", files, total,
             text_bytes(s->bytes_done, done), text_bytes(progress_rate(p), rate));
}

static void planned_line(progress *p, const aq_stats *s, uint64_t now_ns, char *out)
{
    char done[TEXT_NUMBER_SIZE], all[TEXT_NUMBER_SIZE], rate[TEXT_NUMBER_SIZE],
        left[TEXT_NUMBER_SIZE + 8] = "", files_done[TEXT_NUMBER_SIZE],
                                files[TEXT_NUMBER_SIZE];
    uint64_t seconds;
    unsigned permille = progress_permille(p, s);
    if (progress_left(p, s, now_ns, &seconds)) {
        strcpy(left, "ETA ");
        text_seconds(seconds, left + 4);
    } else if (permille >= 1000) {
        strcpy(left, "finishing");
    } else {
        strcpy(left, now_ns - p->moved_at_ns > 5 * SECOND ? "stalled" : "ETA ?");
    }
    snprintf(out, PROGRESS_LINE_SIZE, "%3u.%u%%  %s of %s  %s/s  %s  %s/%s files",
             permille / 10, permille % 10, text_bytes(s->bytes_done, done),
             text_bytes(s->bytes_changed, all), text_bytes(progress_rate(p), rate), left,
             text_count(s->files_done, files_done), text_count(s->files_changed, files));
}

void progress_line(progress *p, const aq_stats *stats, uint64_t now_ns, unsigned columns,
                   char out[PROGRESS_LINE_SIZE])
{
    columns = columns < 20 ? 20 : columns > 200 ? 200 : columns;
    if (stats->complete) {
        planned_line(p, stats, now_ns, out);
    } else {
        scanning_line(p, stats, out);
    }
    if (strlen(out) > columns) {
        out[columns] = '\0'; /* ASCII so far */
    }
    current_add(out, PROGRESS_LINE_SIZE, stats->current, columns);
}
