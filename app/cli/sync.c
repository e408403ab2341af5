/* sync.c: the commands sync, check and diff, which are one: an engine, one or two folders,
 * a link, and a sync over it.
 *
 *     path, URL      the folder here is the engine's root; the link is dialled
 *     path, path     both folders are roots of one engine, whose ends are joined in memory;
 *                    the destination pulls
 *
 * A link that is lost is dialled again, with growing pauses, and a new sync goes on from
 * what is confirmed: the run ends only when there was no progress for too many tries.
 *
 *              +---------- END, link lost: pause, dial ----------+
 *              +---------- END, more rules: start again ---------+
 *              v                                                 |
 *     start: SYNCING ------- END: anything else ------> finished: leave the loop
 *              | first signal, --max-duration: aq_sync_stop      ^
 *              +-- second signal: aq_sync_stop again; at the latest 2 s later -+
 */
#include "account.h"
#include "command.h"
#include "fail.h"
#include "operand.h"
#include "report.h"
#include "rules.h"
#include "secret.h"
#include "text.h"
#include "host/native/loop.h"
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef enum task { TASK_SYNC, TASK_CHECK, TASK_DIFF } task;

enum {
    FIRST_TRIES = 3 /* before the link was up once: a refused connection is an answer */
};

static const uint64_t SECOND = 1000000000;

typedef struct session {
    const options *o;
    task task;
    places places;
    rules rules;
    size_t rules_at; /* the text that is being synced by */
    const char *backup;
    char token[AQ_TOKEN_SIZE];
    char scratch[64]; /* a dry run's empty stand-in for a missing DST; "": none */
    aq_loop *loop;
    uint32_t root;
    uint32_t link, sync;
    bool local, push;
    const char *folder;
    report report;
    account account;
    uint64_t started_ns;

    bool was_up;
    uint64_t tries;         /* since there was progress */
    uint64_t redial_at_ns;  /* 0: not waiting */
    uint64_t bytes_at_dial; /* content that had crossed when the link was dialled */
    unsigned signals;
    uint64_t hurry_at_ns; /* leave the loop then, come what may; 0: no hurry */
    bool out_of_time;
    bool finished;
    aq_status worst; /* of earlier texts of rules */
    aq_status status;
    aq_fault fault; /* text: more about the status, or "" */
} session;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

/* ---- one sync over one link ------------------------------------------------------- */

static aq_sync_options sync_options(const session *s)
{
    const options *o = s->o;
    return (aq_sync_options){
        .dry_run = o->dry_run || s->task == TASK_DIFF,
        .delete_extra = o->delete_extra,
        .checksum = o->checksum,
        .size_only = o->size_only,
        .update = o->update,
        .ignore_existing = o->ignore_existing,
        .existing = o->existing,
        .itemize = s->report.only_compares || o->itemize || o->verbose > 0,
        .verify_only = s->task == TASK_CHECK,
        .modify_window_ns = (int64_t)o->modify_window_ns,
        .delete_max = o->max_delete.files,
        .delete_max_percent = o->max_delete.percent,
        .transfer_max = o->max_transfer,
        .backup = s->backup,
        .filter = s->rules.count == 0 ? NULL : s->rules.texts[s->rules_at],
        .bytes_per_s_in = o->bwlimit.down,
        .bytes_per_s_out = o->bwlimit.up,
    };
}

static void sync_start(session *s)
{
    aq_sync_options so = sync_options(s);
    s->sync = aq_sync_start(aq_loop_engine(s->loop), s->link, s->root, s->folder,
                            s->push ? AQ_PUSH : AQ_PULL, &so);
}

static void sync_begin(session *s)
{
    if (s->local) {
        uint32_t links[2];
        aq_loop_pair(s->loop, links);
        s->link = links[0];
    } else {
        const aq_url *url = s->push ? &s->places.destination.url : &s->places.source.url;
        aq_dial_config dial = {
            .tries = 1, .timeout_ns = s->o->contimeout_ns, .ca_file = s->o->ca_file};
        s->link = aq_loop_dial(s->loop, url, &dial);
    }
    s->bytes_at_dial = s->account.now.bytes_literal;
    sync_start(s);
}

static void figures_update(session *s)
{
    aq_stats stats;
    if (s->redial_at_ns == 0) {
        aq_sync_stats(aq_loop_engine(s->loop), s->sync, &stats);
        account_update(&s->account, &stats);
    }
}

static void finish(session *s, aq_status status, const char *text)
{
    if (!s->finished) {
        s->finished = true;
        s->status = status;
        aq_fault_set(&s->fault, status, "%s", text);
    }
    aq_loop_stop(s->loop);
}

/* ---- the link is lost ------------------------------------------------------------- */

static bool may_dial_again(const session *s, aq_status status)
{
    bool lost = status == AQ_CLOSED || status == AQ_TIMEOUT || status == AQ_CONNECT;
    uint64_t tries_max = s->o->retries;
    if (!s->was_up && tries_max > FIRST_TRIES - 1) {
        tries_max = FIRST_TRIES - 1;
    }
    return lost && !s->local && s->signals == 0 && !s->out_of_time && s->tries < tries_max;
}

/* Half a second, then twice as long each time, up to half a minute. */
static uint64_t pause_ns(uint64_t tries)
{
    uint64_t pause = SECOND / 2;
    for (uint64_t i = 0; i < tries && pause < 30 * SECOND; i++) {
        pause *= 2;
    }
    return pause < 30 * SECOND ? pause : 30 * SECOND;
}

static void dial_later(session *s, aq_status status, const char *text)
{
    uint64_t pause = pause_ns(s->tries);
    const char *what = text[0] != '\0' ? text : aq_status_text(status);
    if (s->o->json) {
        report_clear(&s->report);
        json j = json_open(stdout, "retry");
        json_text(&j, "status", aq_status_name(status));
        json_text(&j, "message", what);
        json_real(&j, "seconds", (double)pause / (double)SECOND);
        json_close(&j);
    } else {
        report_say(&s->report, "%s; dialling again in %.1f s", what,
                   (double)pause / (double)SECOND);
    }
    s->tries++;
    s->redial_at_ns = now_ns() + pause;
}

static void sync_ended(session *s, const aq_note *note)
{
    aq_status status = note->status;
    const char *text = note->text;
    figures_update(s);
    if (s->account.now.bytes_literal > s->bytes_at_dial) {
        s->tries = 0;
    }
    if (!s->local && (status == AQ_CLOSED || status == AQ_TIMEOUT || status == AQ_CONNECT ||
                      status == AQ_IDENTITY || status == AQ_PROTOCOL)) {
        const char *more = aq_loop_link_error(s->loop, s->link);
        text = more[0] != '\0' ? more : text;
    }
    if (!s->was_up && status == AQ_TIMEOUT) {
        status = AQ_CONNECT;
    }
    bool goes_on = status == AQ_OK || status == AQ_PARTIAL || status == AQ_NOT_FOUND;
    if (may_dial_again(s, status)) {
        account_again(&s->account);
        dial_later(s, status, text);
    } else if (goes_on && s->rules_at + 1 < s->rules.count && s->signals == 0) {
        s->worst = status != AQ_OK ? status : s->worst;
        s->rules_at++;
        account_next(&s->account);
        sync_start(s);
    } else if (status == AQ_OK && s->worst != AQ_OK) {
        finish(s, s->worst, "");
    } else {
        finish(s, status, text);
    }
}

/* ---- hooks ------------------------------------------------------------------------ */

static void on_note(void *context, const aq_note *note)
{
    session *s = context;
    if (note->kind == AQ_NOTE_END) {
        if (note->sync == s->sync && s->redial_at_ns == 0) {
            sync_ended(s, note);
        }
        return;
    }
    if (note->kind == AQ_NOTE_LINK_UP && note->link == s->link) {
        s->was_up = true;
    }
    report_note(&s->report, note);
}

static void on_tick(void *context)
{
    session *s = context;
    uint64_t now = now_ns();
    if (s->redial_at_ns != 0 && now >= s->redial_at_ns) {
        s->redial_at_ns = 0;
        sync_begin(s);
    }
    figures_update(s);
    report_tick(&s->report, &s->account.now, now);
    uint64_t limit = s->o->max_duration_ns;
    if (limit != 0 && now - s->started_ns > limit && !s->out_of_time) {
        s->out_of_time = true;
        if (s->redial_at_ns != 0) {
            finish(s, AQ_CANCELLED, "");
        } else {
            aq_sync_stop(aq_loop_engine(s->loop), s->sync);
        }
    }
    if (s->hurry_at_ns != 0 && now >= s->hurry_at_ns) {
        finish(s, AQ_CANCELLED, "");
    }
}

static void on_signal(void *context, int signal_number)
{
    session *s = context;
    (void)signal_number;
    s->signals++;
    if (s->redial_at_ns != 0 || s->signals > 2) {
        finish(s, AQ_CANCELLED, "");
        return;
    }
    if (s->signals == 1) {
        report_say(&s->report,
                   "stopping: what is under way is finished and saved; again to "
                   "stop at once");
    } else {
        s->hurry_at_ns = now_ns() + 2 * SECOND;
    }
    aq_sync_stop(aq_loop_engine(s->loop), s->sync);
}

/* ---- folders ---------------------------------------------------------------------- */

static int tree_remove_one(const char *path, const struct stat *st, int flag,
                           struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

/* A dry run makes no DST: an empty directory stands in for it, with state of its own. */
static aq_status scratch_make(session *s)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(s->scratch, sizeof s->scratch, "%s/acequia-XXXXXX",
             tmp != NULL && strlen(tmp) < 40 ? tmp : "/tmp");
    if (mkdtemp(s->scratch) == NULL) {
        s->scratch[0] = '\0';
        return aq_fault_set(&s->fault, AQ_ACCESS, "no temporary directory can be made");
    }
    char path[sizeof s->scratch + 8];
    snprintf(path, sizeof path, "%s/folder", s->scratch);
    mkdir(path, 0700);
    strcpy(s->places.destination.path, path);
    return AQ_OK;
}

static void scratch_remove(session *s)
{
    if (s->scratch[0] != '\0') {
        nftw(s->scratch, tree_remove_one, 8, FTW_DEPTH | FTW_PHYS);
    }
}

static aq_status roots_add(session *s)
{
    bool writes = s->task == TASK_SYNC && !s->o->dry_run;
    aq_fault *fault = &s->fault;
    uint32_t other;
    aq_status status = AQ_OK;
    const place *source = &s->places.source, *destination = &s->places.destination;
    if (writes && !destination->is_url && !destination->exists) {
        char parent[PLACE_PATH_SIZE];
        strcpy(parent, destination->path);
        char *slash = strrchr(parent, '/');
        if (slash != NULL && slash != parent && slash[1] != '\0') {
            *slash = '\0'; /* DST itself, when the root is DST/src; it may exist */
            mkdir(parent, 0777);
        }
    }
    if (!source->is_url) {
        aq_root_config root = {.path = source->path,
                               .name = s->local ? "source" : "",
                               .rights = s->local ? AQ_READ : 0};
        status = aq_loop_root_add(s->loop, &root, s->local ? &other : &s->root, fault);
    }
    if (status == AQ_OK && !destination->is_url) {
        aq_root_config root = {.path = destination->path,
                               .name = "",
                               .rights = 0,
                               .create = writes,
                               .writable = writes,
                               .no_fsync = !s->o->fsync};
        status = aq_loop_root_add(s->loop, &root, &s->root, fault);
    }
    return status;
}

/* ---- before ----------------------------------------------------------------------- */

/* --backup-dir may be given as an absolute path below DST. */
static aq_status backup_resolve(session *s)
{
    const char *backup = s->o->backup_dir;
    char real[PLACE_PATH_SIZE];
    if (backup == NULL || backup[0] != '/') {
        s->backup = backup;
        return AQ_OK;
    }
    if (!s->places.destination.is_url &&
        realpath(s->places.destination.path, real) != NULL) {
        size_t size = strlen(real);
        if (strncmp(backup, real, size) == 0 && backup[size] == '/') {
            s->backup = backup + size + strspn(backup + size, "/");
            return AQ_OK;
        }
    }
    return aq_fault_set(
        &s->fault, AQ_USAGE,
        "--backup-dir: %s is not below the destination; give a path relative "
        "to it",
        backup);
}

/* A destination inside the source would be copied into itself. */
static aq_status nesting_check(session *s)
{
    char room[PLACE_PATH_SIZE];
    const char *below = places_nested(&s->places, room);
    if (below == NULL) {
        return AQ_OK;
    }
    if (below[0] == '\0') {
        return aq_fault_set(&s->fault, AQ_USAGE, "SRC and DST are the same folder");
    }
    if (!rules_allow(&s->rules, below, true)) {
        return AQ_OK;
    }
    return aq_fault_set(&s->fault, AQ_USAGE,
                        "DST is inside SRC and would be copied into itself; "
                        "--exclude=/%.300s leaves it out",
                        below);
}

static aq_status session_prepare(session *s)
{
    const options *o = s->o;
    char error[OPTION_ERROR_SIZE];
    aq_status status =
        places_resolve(&s->places, o->operands.items[0], o->operands.items[1], error);
    if (status != AQ_OK) {
        return aq_fault_set(&s->fault, status, "%s", error);
    }
    const places *p = &s->places;
    if (!rules_build(o, p->below[0] != '\0' ? p->below : NULL,
                     p->chosen[0] != '\0' ? p->chosen : NULL, &s->rules, error)) {
        return aq_fault_set(&s->fault, AQ_USAGE, "%s", error);
    }
    s->push = p->destination.is_url;
    s->local = !p->source.is_url && !p->destination.is_url;
    s->folder = s->local  ? "source"
                : s->push ? p->destination.url.folder
                          : p->source.url.folder;
    status = nesting_check(s);
    if (status == AQ_OK) {
        status = backup_resolve(s);
    }
    if (status == AQ_OK && !s->local) {
        status = secret_find(o, s->token, &s->fault);
    }
    if (status == AQ_OK && !p->destination.is_url && !p->destination.exists) {
        if (s->task == TASK_CHECK) {
            return aq_fault_set(&s->fault, AQ_ROOT, "%s: it does not exist",
                                p->destination.path);
        }
        if (s->report.only_compares) {
            status = scratch_make(s);
        }
    }
    return status;
}

/* ---- running ---------------------------------------------------------------------- */

static aq_status session_run(session *s)
{
    static const aq_loop_hooks hooks_template = {NULL, on_note, on_tick, on_signal};
    aq_loop_hooks hooks = hooks_template;
    char state[sizeof s->scratch + 8];
    snprintf(state, sizeof state, "%s/state", s->scratch);
    aq_loop_config config = {.state_directory = s->scratch[0] != '\0' ? state : NULL,
                             .timeout_ns = s->o->timeout_ns,
                             .token = s->token[0] != '\0' ? s->token : NULL};
    s->fault = (aq_fault){0};
    s->finished = false;
    s->loop = aq_loop_open(&config, &s->fault);
    if (s->loop == NULL) {
        return s->fault.status;
    }
    aq_status status = roots_add(s);
    if (status == AQ_OK) {
        hooks.context = s;
        sync_begin(s);
        aq_loop_run(s->loop, &hooks);
        status = s->status;
    }
    aq_loop_close(s->loop);
    s->loop = NULL;
    report_clear(&s->report);
    return status;
}

/* A server that wants a token is answered by asking the person, if there is one. */
static aq_status session_run_with_token(session *s)
{
    aq_status status = session_run(s);
    while (status == AQ_DENIED && s->token[0] == '\0' && !s->o->json &&
           isatty(STDIN_FILENO) == 1) {
        const aq_url *url = s->push ? &s->places.destination.url : &s->places.source.url;
        if (!secret_ask(url->host, s->token)) {
            break;
        }
        status = session_run(s);
    }
    return status;
}

static int session_end(session *s, aq_status status)
{
    bool compared = s->account.now.files_total > 0 || s->was_up || s->local;
    int code = aq_status_exit(status);
    if (status == AQ_CANCELLED && s->out_of_time && s->signals == 0) {
        status = AQ_TIMEOUT;
        code = fail_with(s->o->json, status,
                         "stopped by --max-duration; run it again to go on");
    } else if (status == AQ_CANCELLED && s->o->max_transfer != 0 && s->signals == 0) {
        code = fail_with(s->o->json, AQ_PARTIAL,
                         "stopped by --max-transfer; run it again to go on");
    } else if (status == AQ_CANCELLED) {
        code = fail_with(s->o->json, status, "interrupted; run it again to go on");
    } else if (status == AQ_DENIED && s->token[0] == '\0' && !s->local) {
        code = fail_with(s->o->json, status,
                         "%s: the server wants a token, or this folder is not for you: use "
                         "--token-file or ACEQUIA_TOKEN",
                         aq_status_text(status));
    } else if (status != AQ_OK) {
        code = fail_with(s->o->json, status, "%s",
                         s->fault.text[0] != '\0' ? s->fault.text : aq_status_text(status));
    } else if (s->task == TASK_CHECK && s->report.changes > 0) {
        char count[TEXT_NUMBER_SIZE];
        code =
            fail_with(s->o->json, AQ_CORRUPT, "%s %s", text_count(s->report.changes, count),
                      s->report.changes == 1 ? "difference" : "differences");
    }
    if (compared) {
        report_done(&s->report, &s->account.now,
                    (double)(now_ns() - s->started_ns) / (double)SECOND,
                    s->local ? "local" : "websocket");
    }
    return code;
}

static int task_run(const options *o, task what)
{
    static session s; /* large, and one is enough */
    s = (session){.o = o, .task = what, .started_ns = now_ns()};
    report_open(&s.report, o);
    s.report.only_compares = o->dry_run || what != TASK_SYNC;
    aq_status status = session_prepare(&s);
    s.report.push = s.push;
    int code;
    if (status == AQ_OK) {
        status = session_run_with_token(&s);
        code = session_end(&s, status);
    } else {
        code = fail_with(o->json, status, "%s", s.fault.text);
    }
    if (status != AQ_OK && what == TASK_SYNC && !o->dry_run &&
        !s.places.destination.is_url && !s.places.destination.exists) {
        rmdir(s.places.destination.path); /* made for nothing; stays if it is not empty */
    }
    scratch_remove(&s);
    rules_free(&s.rules);
    return code;
}

int sync_run(const options *o)
{
    return task_run(o, TASK_SYNC);
}

int check_run(const options *o)
{
    return task_run(o, TASK_CHECK);
}

int diff_run(const options *o)
{
    return task_run(o, TASK_DIFF);
}
