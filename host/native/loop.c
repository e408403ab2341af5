/* loop.c: the crank, on libuv.
 *
 *      ┌──────────────────────── aq_loop_run ────────────────────────┐
 *      │  sockets, timers, finished ops ──▶ inputs of the engine     │
 *      │                                        │                    │
 *      │  before the loop sleeps:  crank ◀──────┘                    │
 *      │     tick; until nothing is left:                            │
 *      │       ops ──▶ thread pool      links ──▶ sockets            │
 *      │       notes ──▶ hooks                                       │
 *      └─────────────────────────────────────────────────────────────┘
 *
 * There is one place that cranks, the prepare handle, which libuv calls each time before it
 * waits. Events only record, so many of them cost one crank. Every op that may block runs
 * on the thread pool, and touches only its root and what the engine lent; the engine itself
 * is this thread's alone.
 *
 * The engine's memory is address space that is reserved at once and taken from the system
 * page by page as the engine grows. */
#include "loop.h"

#include "fs.h"
#include "links.h"
#include "lock.h"
#include "state.h"

#include "engine/base/assert.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

enum {
    TICK_MS = 100,
    ROUNDS_MAX = 8, /* of a crank, before sockets and threads get their turn */
    SIGNALS = 3,
    POOL_MIN = 4 /* threads: disks like more than one request, however few the cores */
};

static const uint64_t memory_max = UINT64_C(8) << 30;
static const uint64_t memory_min = UINT64_C(128) << 20;

typedef struct loop_root {
    struct loop_root *next;
    uint32_t number;
    aq_fs *fs;
    aq_state *state;
    aq_lock *lock;
    bool warned; /* that its state was damaged */
} loop_root;

typedef struct loop_job {
    struct loop_job *next; /* while it is free */
    uv_work_t work;
    aq_loop *loop;
    loop_root *root;
    aq_op *op;
} loop_job;

struct aq_loop {
    uv_loop_t uv;
    uv_prepare_t prepare;
    uv_idle_t idle; /* runs while a crank was cut short: then the loop does not sleep */
    uv_timer_t deadline;
    uint64_t deadline_ns; /* that the timer is set to; UINT64_MAX: none */
    uv_timer_t tick;
    uv_signal_t signals[SIGNALS];
    aq_engine *engine;
    void *memory;
    uint64_t memory_size;
    char *state_directory; /* NULL: the default */
    loop_root *roots;
    loop_job *free_jobs;
    aq_links *links;
    const aq_loop_hooks *hooks; /* while it runs */
};

/* ---- ops
 * --------------------------------------------------------------------------------- */

static void on_work(uv_work_t *work)
{
    loop_job *job = work->data;
    switch (job->op->kind) {
    case AQ_OP_LIST:
    case AQ_OP_STAT:
    case AQ_OP_READ:
    case AQ_OP_STAGE:
    case AQ_OP_WRITE:
    case AQ_OP_COPY:
    case AQ_OP_FLUSH:
    case AQ_OP_PUBLISH:
    case AQ_OP_REMOVE:
    case AQ_OP_RENAME:
    case AQ_OP_MKDIR:
    case AQ_OP_META:
    case AQ_OP_DISCARD:
        aq_fs_run(job->root->fs, job->op);
        break;
    case AQ_OP_LOAD:
    case AQ_OP_SAVE:
        aq_state_run(job->root->state, job->op);
        break;
    case AQ_OP_WORK:
        aq_work(job->op);
        break;
    case AQ_OP_HANGUP:
        break;
    }
}

static void on_work_done(uv_work_t *work, int status)
{
    loop_job *job = work->data;
    AQ_ASSERT(status == 0); /* jobs are never cancelled */
    aq_done(job->loop->engine, job->op);
    job->next = job->loop->free_jobs;
    job->loop->free_jobs = job;
}

static loop_job *job_take(aq_loop *loop)
{
    loop_job *job = loop->free_jobs;
    if (job) {
        loop->free_jobs = job->next;
    } else {
        job = malloc(sizeof *job);
    }
    return job;
}

static loop_root *root_find(aq_loop *loop, uint32_t number)
{
    loop_root *root = loop->roots;
    while (root && root->number != number) {
        root = root->next;
    }
    return root;
}

static void op_start(aq_loop *loop, aq_op *op)
{
    if (op->kind == AQ_OP_HANGUP) {
        aq_links_hangup(loop->links, op);
        return;
    }
    loop_job *job = job_take(loop);
    loop_root *root = root_find(loop, op->root);
    AQ_ASSERT(root || op->kind == AQ_OP_WORK);
    if (!job) {
        for (uint32_t i = 0; i < op->item_count; i++) {
            op->items[i].status = AQ_MEMORY;
        }
        aq_done(loop->engine, op);
        return;
    }
    job->work.data = job;
    job->loop = loop;
    job->root = root;
    job->op = op;
    (void)uv_queue_work(&loop->uv, &job->work, on_work, on_work_done);
}

/* ---- the crank
 * --------------------------------------------------------------------------- */

static void note_give(aq_loop *loop, const aq_note *note)
{
    if (loop->hooks && loop->hooks->on_note) {
        loop->hooks->on_note(loop->hooks->context, note);
    }
}

static void warn(aq_loop *loop, uint32_t link, const char *text)
{
    aq_note note = {.kind = AQ_NOTE_WARNING, .link = link};
    (void)snprintf(note.text, sizeof note.text, "%s", text);
    note_give(loop, &note);
}

static void on_link_warning(void *context, uint32_t link, const char *text)
{
    warn(context, link, text);
}

static void roots_check(aq_loop *loop)
{
    for (loop_root *root = loop->roots; root; root = root->next) {
        if (!root->warned && aq_state_was_damaged(root->state)) {
            char text[512];
            root->warned = true;
            (void)snprintf(text, sizeof text,
                           "what was remembered of %.400s is damaged and begun anew",
                           aq_fs_path(root->fs));
            warn(loop, 0, text);
        }
    }
}

static void tick(aq_loop *loop)
{
    struct timespec wall;
    (void)clock_gettime(CLOCK_REALTIME, &wall);
    aq_tick(loop->engine, uv_hrtime(),
            (int64_t)wall.tv_sec * 1000000000 + (int64_t)wall.tv_nsec);
}

/* True if there was anything to do: then there may be more. */
static bool crank_once(aq_loop *loop)
{
    bool busy = aq_links_continue(loop->links);
    aq_op *op;
    uint32_t link;
    aq_note note;
    while ((op = aq_poll(loop->engine))) {
        busy = true;
        op_start(loop, op);
    }
    while ((link = aq_poll_link(loop->engine))) {
        busy = true;
        aq_links_pump(loop->links, link);
    }
    while (aq_poll_note(loop->engine, &note)) {
        busy = true;
        note_give(loop, &note);
    }
    return busy;
}

static void on_deadline(uv_timer_t *timer)
{
    aq_loop *loop = timer->data;
    loop->deadline_ns = UINT64_MAX; /* the crank that follows ticks, and sets it again */
}

static void deadline_set(aq_loop *loop)
{
    uint64_t deadline_ns = aq_deadline(loop->engine);
    if (deadline_ns == loop->deadline_ns) {
        return;
    }
    loop->deadline_ns = deadline_ns;
    if (deadline_ns == UINT64_MAX) {
        (void)uv_timer_stop(&loop->deadline);
        return;
    }
    uint64_t now_ns = uv_hrtime();
    uint64_t wait_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    uv_update_time(&loop->uv);
    (void)uv_timer_start(&loop->deadline, on_deadline, (wait_ns + 999999) / 1000000, 0);
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle;
}

static void on_prepare(uv_prepare_t *prepare)
{
    aq_loop *loop = prepare->data;
    int rounds = 0;
    tick(loop);
    while (crank_once(loop) && ++rounds < ROUNDS_MAX) {
    }
    if (rounds == ROUNDS_MAX) {
        (void)uv_idle_start(&loop->idle, on_idle);
    } else {
        (void)uv_idle_stop(&loop->idle);
    }
    deadline_set(loop);
}

static void on_tick(uv_timer_t *timer)
{
    aq_loop *loop = timer->data;
    roots_check(loop);
    if (loop->hooks->on_tick) {
        loop->hooks->on_tick(loop->hooks->context);
    }
}

static void on_signal(uv_signal_t *signal, int number)
{
    aq_loop *loop = signal->data;
    loop->hooks->on_signal(loop->hooks->context, number);
}

void aq_loop_run(aq_loop *loop, const aq_loop_hooks *hooks)
{
    static const int numbers[SIGNALS] = {SIGINT, SIGTERM, SIGHUP};
    loop->hooks = hooks;
    (void)uv_prepare_start(&loop->prepare, on_prepare);
    (void)uv_timer_start(&loop->tick, on_tick, TICK_MS, TICK_MS);
    for (int i = 0; i < SIGNALS && hooks->on_signal; i++) {
        (void)uv_signal_start(&loop->signals[i], on_signal, numbers[i]);
    }
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
    for (int i = 0; i < SIGNALS; i++) {
        (void)uv_signal_stop(&loop->signals[i]);
    }
    (void)uv_timer_stop(&loop->tick);
    (void)uv_prepare_stop(&loop->prepare);
    loop->hooks = NULL;
}

void aq_loop_stop(aq_loop *loop)
{
    uv_stop(&loop->uv);
}

/* ---- folders
 * ----------------------------------------------------------------------------- */

static aq_status root_fault(aq_fault *fault, aq_status status, const char *path)
{
    switch (status) {
    case AQ_ROOT:
        return aq_fault_set(fault, status, "%s: the folder is missing", path);
    case AQ_NOT_DIRECTORY:
        return aq_fault_set(fault, status, "%s is not a folder", path);
    default:
        return aq_fault_set(fault, status, "%s: %s", path, aq_status_text(status));
    }
}

/* A folder that is to be written to is settled after a crash when it is opened, which only
 * its owner may do; and the lock needs the folder's identity. So it is opened twice. */
static aq_status root_lock(aq_loop *loop, const aq_root_config *config, loop_root *root,
                           aq_fault *fault)
{
    char owner[256] = "";
    aq_fs_options options = {.create = config->create};
    aq_status status = aq_fs_open(&root->fs, config->path, &options);
    if (status != AQ_OK) {
        return root_fault(fault, status, config->path);
    }
    status = aq_lock_take(&root->lock, loop->state_directory, aq_fs_identity(root->fs),
                          config->writable ? AQ_LOCK_EXCLUSIVE : AQ_LOCK_SHARED, owner,
                          sizeof owner);
    aq_fs_close(root->fs);
    root->fs = NULL;
    if (status == AQ_BUSY) {
        return aq_fault_set(fault, status, "%s is in use by %s", config->path,
                            *owner ? owner : "another process");
    }
    return status == AQ_OK ? AQ_OK : root_fault(fault, status, config->path);
}

static aq_status root_open(aq_loop *loop, const aq_root_config *config, loop_root *root,
                           aq_fault *fault)
{
    aq_fs_options options = {.writable = config->writable, .fsync = !config->no_fsync};
    aq_status status = root_lock(loop, config, root, fault);
    if (status != AQ_OK) {
        return status;
    }
    status = aq_fs_open(&root->fs, config->path, &options);
    if (status != AQ_OK) {
        return root_fault(fault, status, config->path);
    }
    status = aq_state_open(&root->state, loop->state_directory, aq_fs_identity(root->fs));
    if (status != AQ_OK) {
        return aq_fault_set(
            fault, status, "cannot keep notes about %s in %s: %s", config->path,
            loop->state_directory ? loop->state_directory : "the state directory",
            aq_status_text(status));
    }
    return AQ_OK;
}

static void root_close(loop_root *root)
{
    aq_state_close(root->state);
    aq_fs_close(root->fs);
    aq_lock_give(root->lock);
    free(root);
}

aq_status aq_loop_root_add(aq_loop *loop, const aq_root_config *config, uint32_t *number,
                           aq_fault *fault)
{
    loop_root *root = calloc(1, sizeof *root);
    if (!root) {
        return aq_fault_set(fault, AQ_MEMORY, "out of memory");
    }
    aq_status status = root_open(loop, config, root, fault);
    if (status != AQ_OK) {
        root_close(root);
        return status;
    }
    *number = root->number = aq_root_add(loop->engine, config->name, config->rights);
    root->next = loop->roots;
    loop->roots = root;
    return AQ_OK;
}

/* ---- links
 * ------------------------------------------------------------------------------- */

aq_status aq_loop_listen(aq_loop *loop, const aq_listen_config *config, aq_url *url,
                         aq_fault *fault)
{
    return aq_links_listen(loop->links, config, url, fault);
}

uint32_t aq_loop_dial(aq_loop *loop, const aq_url *url, const aq_dial_config *config)
{
    return aq_links_dial(loop->links, url, config);
}

void aq_loop_pair(aq_loop *loop, uint32_t links[2])
{
    aq_links_pair(loop->links, links);
}

const char *aq_loop_link_error(const aq_loop *loop, uint32_t link)
{
    return aq_links_error(loop->links, link);
}

const char *aq_loop_link_peer(const aq_loop *loop, uint32_t link)
{
    return aq_links_peer(loop->links, link);
}

/* ---- opening and closing
 * ----------------------------------------------------------------- */

aq_engine *aq_loop_engine(aq_loop *loop)
{
    return loop->engine;
}

static void pool_size_set(void)
{
    char text[24];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    (void)snprintf(text, sizeof text, "%ld", cores > POOL_MIN ? cores : (long)POOL_MIN);
    (void)setenv("UV_THREADPOOL_SIZE", text, 0); /* the user's own choice stands */
}

/* As much as the system lets us reserve: it may be told to count reservations. */
static bool memory_reserve(aq_loop *loop)
{
    for (uint64_t size = memory_max; size >= memory_min; size /= 2) {
        void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory != MAP_FAILED) {
            loop->memory = memory;
            loop->memory_size = size;
            return true;
        }
    }
    return false;
}

static bool engine_open(aq_loop *loop, const aq_loop_config *config)
{
    aq_config engine = {.profile = config->profile,
                        .buffer_max = config->buffer_max,
                        .op_max = config->op_max,
                        .timeout_ns = config->timeout_ns,
                        .token = config->token,
                        .auth_required = config->auth_required};
    if (getrandom(engine.seed, sizeof engine.seed, 0) != (ssize_t)sizeof engine.seed ||
        !memory_reserve(loop)) {
        return false;
    }
    loop->engine = aq_open(&engine, loop->memory, loop->memory_size);
    explicit_bzero(engine.seed, sizeof engine.seed);
    if (loop->engine) {
        tick(loop); /* links count their time from when they were opened */
    }
    return loop->engine != NULL;
}

static void handles_init(aq_loop *loop)
{
    (void)uv_prepare_init(&loop->uv, &loop->prepare);
    (void)uv_idle_init(&loop->uv, &loop->idle);
    (void)uv_timer_init(&loop->uv, &loop->deadline);
    (void)uv_timer_init(&loop->uv, &loop->tick);
    loop->prepare.data = loop->deadline.data = loop->tick.data = loop;
    for (int i = 0; i < SIGNALS; i++) {
        (void)uv_signal_init(&loop->uv, &loop->signals[i]);
        loop->signals[i].data = loop;
    }
    loop->deadline_ns = UINT64_MAX;
}

aq_loop *aq_loop_open(const aq_loop_config *config, aq_fault *fault)
{
    static const aq_links_owner owner_template = {NULL, on_link_warning};
    aq_loop *loop = calloc(1, sizeof *loop);
    pool_size_set();
    (void)signal(SIGPIPE, SIG_IGN);
    if (!loop || uv_loop_init(&loop->uv)) {
        (void)aq_fault_set(fault, AQ_MEMORY, "out of memory");
        free(loop);
        return NULL;
    }
    handles_init(loop);
    aq_links_owner owner = owner_template;
    owner.context = loop;
    bool good = engine_open(loop, config) &&
                (loop->links = aq_links_open(&loop->uv, loop->engine, &owner)) != NULL;
    if (good && config->state_directory) {
        loop->state_directory = strdup(config->state_directory);
        good = loop->state_directory != NULL;
    }
    if (!good) {
        (void)aq_fault_set(fault, AQ_MEMORY, "out of memory: not even %u MiB can be had",
                           (unsigned)(memory_min >> 20));
        aq_loop_close(loop);
        return NULL;
    }
    return loop;
}

static void on_walk(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

void aq_loop_close(aq_loop *loop)
{
    if (loop->links) {
        aq_links_drop(loop->links);
    }
    /* What is left are the loop's own handles, and jobs, which are waited for. */
    uv_walk(&loop->uv, on_walk, NULL);
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
    AQ_ASSERT(uv_loop_close(&loop->uv) == 0);
    if (loop->links) {
        aq_links_close(loop->links);
    }
    while (loop->roots) {
        loop_root *root = loop->roots;
        loop->roots = root->next;
        root_close(root);
    }
    while (loop->free_jobs) {
        loop_job *job = loop->free_jobs;
        loop->free_jobs = job->next;
        free(job);
    }
    if (loop->memory) {
        (void)munmap(loop->memory, loop->memory_size);
    }
    free(loop->state_directory);
    free(loop);
}
