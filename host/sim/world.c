/* One seed's world: it draws what there is and which troubles come, lets them happen for a
 * while, then heals everything and demands that all jobs end well.
 *
 *     0 ........ heal ................................ end
 *     edits, faults, crashes     | each job's stages   (job.c)
 *     after every step: nothing mixed becomes visible, nothing that the source has is
 *     removed, nothing outside the root is named, memory stays bounded
 */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>

enum {
    QUIET_MAX = 192 << 10, /* engine memory without links and syncs */
    PEAK_MAX = 12 << 20    /* engine memory at any time, for such small trees */
};

void sim_world_fail(sim_world *world, const char *format, ...)
{
    va_list args;
    if (world->failed) {
        return;
    }
    va_start(args, format);
    (void)vsnprintf(world->failure, sizeof world->failure, format, args);
    va_end(args);
    world->failed = true;
    sim_trace_event(&world->trace, "FAILED: %s", world->failure);
}

/* ---- what the oracle sees at each step ----
 */

static void on_violation(void *watcher, const char *text)
{
    sim_world_fail(watcher, "%s", text);
}

static void on_visible(void *watcher, const char *path, const sim_object *object)
{
    sim_world *world = watcher;
    if (!sim_ledger_knows(&world->ledger, object)) {
        sim_world_fail(world, "\"%s\" was published with %zu bytes that no user wrote",
                       path, object->size);
    } else if (!world->trouble[SIM_CORRUPT] &&
               !sim_ledger_knows_at(&world->ledger, path, object)) {
        sim_world_fail(world, "\"%s\" was published with bytes that were never there",
                       path);
    }
}

static sim_job *job_of(sim_world *world, const sim_node *destination)
{
    for (uint32_t i = 0; i < world->job_count; i++) {
        if (world->jobs[i].destination == destination) {
            return &world->jobs[i];
        }
    }
    return NULL;
}

/* A removal is right only if the source does not have such a thing, or did not when the
 * sync began. An op may be of the attempt before. */
static void removal_check(sim_world *world, const sim_job *job, const aq_item *item)
{
    const sim_seen *seen = sim_ledger_seen(&world->ledger, item->path);
    if (seen != NULL && seen->type == item->expect.type &&
        seen->since_ns < job->attempt_before_ns) {
        sim_world_fail(world, "\"%s\" was removed though the source has it", item->path);
    }
    if (!job->options.delete_extra && (seen == NULL || item->expect.type == AQ_TYPE_NONE)) {
        sim_world_fail(world, "\"%s\" was removed though extras are to stay", item->path);
    }
    sim_check check = {.excluded = job->excluded};
    if (sim_check_excludes_path(&check, item->path)) {
        sim_world_fail(world, "\"%s\" was removed though it is excluded", item->path);
    }
}

/* A backup of a file keeps what is below a directory of that name from having one. */
static void backup_look(const aq_op *op, uint32_t step, sim_job *job)
{
    const aq_item *item = &op->items[step];
    bool refused = item->status == AQ_NOT_DIRECTORY || item->status == AQ_EXISTS;
    if ((op->kind == AQ_OP_REMOVE || op->kind == AQ_OP_PUBLISH) && item->target != NULL &&
        refused) {
        job->refused++;
    }
}

static void crash_event(void *context, uint64_t a, uint64_t b);

static void on_step(void *watcher, sim_node *node, const aq_op *op, uint32_t step)
{
    sim_world *world = watcher;
    if (++world->op_steps == world->options.crash_at) {
        sim_clock_plan(&world->clock, world->clock.now_ns, crash_event, world,
                       (uint64_t)(node - world->nodes), 0);
    }
    sim_job *job = job_of(world, node);
    if (job != NULL && step < op->item_count) {
        backup_look(op, step, job);
    }
    /* Names that a link changed mean something else: only TLS guards them. */
    if (op->kind == AQ_OP_REMOVE && op->items[step].status == AQ_OK && job != NULL &&
        !world->trouble[SIM_CORRUPT]) {
        removal_check(world, job, &op->items[step]);
    }
}

static void on_half_read(void *watcher, const char *path)
{
    sim_world *world = watcher;
    sim_trace_event(&world->trace, "user changes \"%s\" while it is read", path);
    sim_user_edit_file(&world->users[0], path, world->clock.now_ns);
}

static void on_note(void *watcher, sim_node *node, const aq_note *note)
{
    sim_world *world = watcher;
    for (uint32_t i = 0; i < world->job_count; i++) {
        if (world->jobs[i].client == node) {
            sim_job_note(&world->jobs[i], note);
        }
    }
}

static void on_dialled(void *watcher, uint64_t tag, uint32_t link)
{
    sim_world *world = watcher;
    sim_job_dialled(&world->jobs[tag], link);
}

/* ---- crashes ----
 */

static void start_event(void *context, uint64_t a, uint64_t b)
{
    sim_world *world = context;
    sim_node *node = &world->nodes[a];
    (void)b;
    if (node->engine != NULL) {
        return;
    }
    sim_node_start(node);
    for (uint32_t i = 0; i < world->job_count; i++) {
        sim_job *job = &world->jobs[i];
        if (job->client == node && job->state != SIM_JOB_OVER) {
            sim_job_plan(job, sim_chance_skewed(&world->draw, SIM_S));
        }
    }
}

static void on_crash(void *watcher, sim_node *node)
{
    sim_world *world = watcher;
    bool ordered = world->options.crash_at != 0;
    if ((world->healed && !ordered) || node->engine == NULL) {
        return;
    }
    world->crashes++;
    for (uint32_t i = 0; i < world->job_count; i++) {
        if (world->jobs[i].client == node) {
            sim_job_down(&world->jobs[i]);
        }
    }
    bool power = ordered ? world->options.crash_at % 2 != 0
                         : world->trouble[SIM_POWER] && sim_chance_hit(&world->crash, 600);
    sim_node_crash(node, &world->crash, power);
    sim_job *job = job_of(world, node);
    if (power && job != NULL && job->stage > SIM_STAGE_REAL &&
        job->stage < SIM_STAGE_OVER) {
        job->stage = SIM_STAGE_REAL; /* times and removals may have to be done again */
    }
    if (world->trouble[SIM_STATE] && sim_chance_hit(&world->crash, 100)) {
        sim_trace_event(&world->trace, "%s loses its state", node->name);
        sim_disk_lose_state(&node->disk);
    }
    char text[600] = "";
    sim_check check = {.ledger = &world->ledger, .text = text, .text_size = sizeof text};
    if (!sim_check_known(&check, &node->disk)) {
        sim_world_fail(world, "after a crash: %s", text);
    }
    sim_clock_plan(&world->clock,
                   world->clock.now_ns + sim_chance_skewed(&world->crash, 5ULL * SIM_S),
                   start_event, world, (uint64_t)(node - world->nodes), 0);
}

static void crash_event(void *context, uint64_t a, uint64_t b)
{
    sim_world *world = context;
    (void)b;
    on_crash(world, &world->nodes[a]);
}

/* ---- troubles that come and go ----
 */

static void suspend_event(void *context, uint64_t a, uint64_t b)
{
    sim_world *world = context;
    sim_node *node = &world->nodes[a];
    if (node->engine != NULL && !world->healed) {
        sim_node_freeze(node, world->clock.now_ns + b);
    }
}

static void time_event(void *context, uint64_t a, uint64_t b)
{
    sim_world *world = context;
    const int64_t year_ns = 31536000000000000;
    world->nodes[a].skew_ns = ((int64_t)(b % 21) - 10) * year_ns;
    sim_trace_event(&world->trace, "the clock of %s jumps", world->nodes[a].name);
}

static void jumps_plan(sim_world *world, uint64_t node)
{
    uint64_t at = sim_chance_below(&world->draw, world->heal_ns);
    if (world->trouble[SIM_SUSPEND]) {
        sim_clock_plan(&world->clock, at, suspend_event, world, node,
                       sim_chance_skewed(&world->draw, 200ULL * SIM_S));
    }
    at = sim_chance_below(&world->draw, world->heal_ns);
    if (world->trouble[SIM_TIME]) {
        sim_clock_plan(&world->clock, at, time_event, world, node,
                       sim_chance_next(&world->draw));
    }
}

/* a: what (0 the disk is full, 1 the source is gone), b: which node, and on or off. */
static void window_event(void *context, uint64_t a, uint64_t b)
{
    sim_world *world = context;
    sim_disk_faults *faults = &world->nodes[b >> 1].disk.faults;
    bool on = (b & 1) && !world->healed;
    if (a == 0) {
        faults->full = on;
    } else {
        faults->gone = on;
    }
    sim_trace_event(&world->trace, "%s: %s %s", world->nodes[b >> 1].name,
                    a == 0 ? "disk full" : "root gone", on ? "begins" : "ends");
}

static void window_plan(sim_world *world, uint64_t what, uint64_t node)
{
    uint64_t from = sim_chance_below(&world->draw, world->heal_ns);
    uint64_t to = from + sim_chance_skewed(&world->draw, 20ULL * SIM_S);
    sim_clock_plan(&world->clock, from, window_event, world, what, node << 1 | 1);
    sim_clock_plan(&world->clock, to, window_event, world, what, node << 1);
}

static void edit_event(void *context, uint64_t a, uint64_t b)
{
    sim_world *world = context;
    (void)b;
    sim_user *user = &world->users[a];
    user->disk->clock_ns = sim_node_wall(&world->nodes[a]) > user->disk->clock_ns
                               ? sim_node_wall(&world->nodes[a])
                               : user->disk->clock_ns;
    sim_trace_event(&world->trace, "the user of %s edits", world->nodes[a].name);
    sim_user_edit(user, world->clock.now_ns);
}

static void edits_plan(sim_world *world, uint64_t node)
{
    uint64_t count = sim_chance_skewed(&world->draw, 60);
    for (uint64_t i = 0; i < count; i++) {
        sim_clock_plan(&world->clock, sim_chance_below(&world->draw, world->heal_ns),
                       edit_event, world, node, 0);
    }
}

static void crashes_plan(sim_world *world)
{
    uint64_t count = sim_chance_skewed(&world->crash, 12);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t node = sim_chance_below(&world->crash, world->node_count);
        uint64_t at = sim_chance_below(&world->crash, world->heal_ns);
        sim_clock_plan(&world->clock, at, crash_event, world, node, 0);
    }
    uint64_t node = sim_chance_below(&world->crash, world->node_count);
    if (sim_chance_hit(&world->crash, 400)) {
        world->nodes[node].crash_op = (unsigned)sim_chance_skewed(&world->crash, 30);
    }
}

static unsigned rate_draw(sim_world *world, sim_trouble trouble, unsigned high)
{
    return world->trouble[trouble] ? (unsigned)sim_chance_skewed(&world->draw, high) : 0;
}

static void disk_troubles_draw(sim_world *world, uint64_t i)
{
    sim_disk_faults *faults = &world->nodes[i].disk.faults;
    faults->read_error = rate_draw(world, SIM_READ, 100);
    faults->list_error = rate_draw(world, SIM_READ, 300);
    faults->write_error = rate_draw(world, SIM_WRITE, 100);
    faults->state_error = rate_draw(world, SIM_STATE, 200);
    faults->copy_refuse = rate_draw(world, SIM_COPY, 1000);
    if (i == 0) {
        faults->read_change = rate_draw(world, SIM_CHANGE, 200);
    } else {
        faults->read_flip = rate_draw(world, SIM_FLIP, 50);
    }
}

static void troubles_plan(sim_world *world)
{
    sim_net_faults *net = &world->net.faults;
    net->cut = rate_draw(world, SIM_CUT, 900);
    net->stall = rate_draw(world, SIM_STALL, 500);
    net->half_open = rate_draw(world, SIM_HALF, 700);
    net->fragment = rate_draw(world, SIM_FRAGMENT, 1000);
    net->corrupt = rate_draw(world, SIM_CORRUPT, 400);
    net->refuse = rate_draw(world, SIM_REFUSE, 500);
    for (uint64_t i = 0; i < world->node_count; i++) {
        disk_troubles_draw(world, i);
        world->nodes[i].slow = rate_draw(world, SIM_SLOW, 100);
        jumps_plan(world, i);
        if (i > 0 && world->trouble[SIM_FULL]) {
            window_plan(world, 0, i);
        }
        if (i > 0 && world->trouble[SIM_LOCAL]) {
            edits_plan(world, i);
        }
    }
    if (world->trouble[SIM_GONE]) {
        window_plan(world, 1, 0);
    }
    if (world->trouble[SIM_EDIT]) {
        edits_plan(world, 0);
    }
    if (world->trouble[SIM_CRASH]) {
        crashes_plan(world);
    }
}

static void heal_event(void *context, uint64_t a, uint64_t b)
{
    sim_world *world = context;
    (void)a;
    (void)b;
    sim_trace_event(&world->trace, "all is well from now on");
    world->healed = true;
    sim_net_heal(&world->net);
    for (uint32_t i = 0; i < world->node_count; i++) {
        sim_node *node = &world->nodes[i];
        node->disk.faults = (sim_disk_faults){0};
        node->slow = 0;
        node->crash_op = 0;
        node->frozen_ns = 0;
        sim_node_crank(node);
        start_event(world, i, 0);
    }
    for (uint32_t i = 0; i < world->job_count; i++) {
        sim_job_heal(&world->jobs[i]);
    }
}

/* ---- drawing a world ----
 */

static void node_open(sim_world *world, uint32_t i, void *memory)
{
    static const char *const names[] = {"src", "dst", "dst2"};
    static const char *const concerns[] = {"disk source", "disk first", "disk second"};
    sim_node *node = &world->nodes[i];
    *node = (sim_node){.name = names[i],
                       .arena = world->arena,
                       .clock = &world->clock,
                       .net = &world->net,
                       .trace = &world->trace,
                       .chance = sim_chance_open(world->options.seed, names[i]),
                       .memory = (uint8_t *)memory + (size_t)i * SIM_MEMORY,
                       .memory_size = world->options.memory_size,
                       .rights = i == 0 ? AQ_READ : AQ_READ | AQ_WRITE,
                       .read_only = i == 0,
                       .reorder = world->trouble[SIM_REORDER],
                       .watcher = world,
                       .on_note = on_note,
                       .on_crash = on_crash,
                       .on_step = on_step,
                       .on_violation = on_violation};
    node->skew_ns = (int64_t)sim_chance_below(&world->draw, 20ULL * SIM_S) - 10LL * SIM_S;
    node->config = (aq_config){.profile = AQ_PROFILE_SMALL,
                               .buffer_max = 64 << (10 + sim_chance_below(&world->draw, 5)),
                               .op_max = (uint32_t)sim_chance_range(&world->draw, 2, 32),
                               .timeout_ns = 30ULL * SIM_S};
    if (world->trouble[SIM_AUTH]) {
        node->config.token = "a secret that both know";
        node->config.auth_required = true;
    }
    sim_disk_open(&node->disk, world->arena, world->options.seed, concerns[i]);
    node->disk.watcher = world;
    node->disk.on_visible = i > 0 ? on_visible : NULL;
    node->disk.on_half_read = i == 0 ? on_half_read : NULL;
}

static void user_open(sim_world *world, uint32_t i)
{
    static const char *const concerns[] = {"user source", "user first", "user second"};
    bool large = sim_chance_hit(&world->draw, 80);
    world->users[i] =
        (sim_user){.disk = &world->nodes[i].disk,
                   .ledger = &world->ledger,
                   .chance = sim_chance_open(world->options.seed, concerns[i]),
                   .is_source = i == 0,
                   .file_max = 32 << sim_chance_below(&world->draw, large ? 14 : 11),
                   .path_max = 300};
}

/* The destination: empty, something else, the same, or what was the same once. */
static void destination_draw(sim_world *world, uint32_t i)
{
    sim_user *user = &world->users[i];
    uint64_t kind = sim_chance_below(&world->draw, 10);
    if (kind < 3) {
        return;
    }
    if (kind < 4) {
        sim_user_populate(user, sim_chance_skewed(&world->draw, 40), 0);
        return;
    }
    sim_user_clone(user, &world->users[0], 0);
    if (kind < 6) {
        return;
    }
    for (uint64_t edits = sim_chance_skewed(&world->draw, 30); edits > 0; edits--) {
        sim_user_edit(user, 0);
    }
}

static void trees_draw(sim_world *world)
{
    uint64_t high = sim_chance_hit(&world->draw, 150) ? 250 : 60;
    uint64_t count = sim_chance_skewed(&world->draw, high);
    sim_user_populate(&world->users[0], count, 0);
    for (uint32_t i = 1; i < world->node_count; i++) {
        destination_draw(world, i);
    }
    if (sim_chance_hit(&world->draw, 300)) {
        for (uint64_t moves = sim_chance_skewed(&world->draw, 20); moves > 0; moves--) {
            sim_user_rename(&world->users[0], 0);
        }
    } else if (sim_chance_hit(&world->draw, 700)) {
        for (uint64_t edits = sim_chance_skewed(&world->draw, 30); edits > 0; edits--) {
            sim_user_edit(&world->users[0], 0);
        }
    }
    while (world->nodes[0].disk.root->entry_count == 0) {
        sim_user_populate(&world->users[0], 1, 0);
    }
}

static void troubles_draw(sim_world *world)
{
    for (int i = 0; i < SIM_TROUBLE_COUNT; i++) {
        bool drawn = sim_chance_hit(&world->draw, i == SIM_THIRD ? 150 : 350);
        bool is_trouble = i < SIM_PUSH;
        world->trouble[i] = drawn && !world->options.without[i] &&
                            !(world->options.only_calm && is_trouble);
    }
    world->trouble[SIM_CORRUPT] = world->options.corrupt;
}

static void world_open(sim_world *world, void *memory)
{
    uint64_t seed = world->options.seed;
    world->draw = sim_chance_open(seed, "draw");
    world->crash = sim_chance_open(seed, "crash");
    world->clock = (sim_clock){.arena = world->arena, .now_ns = SIM_S};
    world->trace = (sim_trace){.print = world->options.print, .clock = &world->clock};
    troubles_draw(world);
    world->heal_ns = SIM_S + sim_chance_skewed(&world->draw, 60ULL * SIM_S);
    world->net = (sim_net){.arena = world->arena,
                           .clock = &world->clock,
                           .trace = &world->trace,
                           .chance = sim_chance_open(seed, "net"),
                           .trusted = !world->trouble[SIM_AUTH],
                           .cut_at = world->options.cut_at,
                           .watcher = world,
                           .on_dialled = on_dialled};
    sim_ledger_open(&world->ledger, world->arena);
    world->ledger.twins = world->trouble[SIM_CHECKSUM] && sim_chance_hit(&world->draw, 500);
    world->node_count = world->trouble[SIM_THIRD] ? 3 : 2;
    for (uint32_t i = 0; i < world->node_count && i < SIM_NODES_MAX; i++) {
        node_open(world, i, memory);
        user_open(world, i);
    }
    trees_draw(world);
    troubles_plan(world);
    world->job_count = world->node_count - 1;
    for (uint32_t i = 0; i < world->job_count; i++) {
        sim_job_open(&world->jobs[i], world, i);
        sim_keeps_take(&world->jobs[i].keeps, world->arena,
                       &world->jobs[i].destination->disk);
    }
    for (uint32_t i = 0; i < world->node_count; i++) {
        start_event(world, i, 0);
    }
    sim_clock_plan(&world->clock, world->heal_ns, heal_event, world, 0, 0);
}

static bool world_is_over(const sim_world *world)
{
    for (uint32_t i = 0; i < world->job_count; i++) {
        if (world->jobs[i].state != SIM_JOB_OVER) {
            return false;
        }
    }
    return true;
}

static void result_take(sim_world *world, sim_result *result)
{
    *result = (sim_result){.failed = world->failed,
                           .hash = world->trace.hash,
                           .steps = world->steps,
                           .op_steps = world->op_steps,
                           .ops = world->trace.ops,
                           .bytes = world->trace.bytes,
                           .virtual_ns = world->clock.now_ns,
                           .crashes = world->crashes,
                           .cuts = world->net.cuts,
                           .content = sim_content_size(world->nodes[0].disk.root)};
    memcpy(result->failure, world->failure, sizeof result->failure);
    for (uint32_t i = 0; i < world->node_count; i++) {
        uint64_t peak = world->nodes[i].memory_peak;
        result->memory_peak = peak > result->memory_peak ? peak : result->memory_peak;
    }
    for (uint32_t i = 0; i < world->job_count; i++) {
        result->attempts += world->jobs[i].attempts;
        result->literal += world->jobs[i].literal;
    }
}

/* A client keeps its last sync until another starts: let it be one that never began. */
static void last_sync_forget(sim_node *node)
{
    const uint32_t link = UINT32_MAX;
    aq_link_config config = {.client = true, .trusted = true};
    aq_sync_options options = {.delete_max = UINT64_MAX};
    for (uint32_t i = 0; i < 2; i++) {
        aq_link_open(node->engine, link - i, &config);
        (void)aq_sync_start(node->engine, link - i, node->root, "", AQ_PUSH, &options);
        aq_link_closed(node->engine, link - i, AQ_CLOSED);
        while (aq_poll(node->engine) != NULL) {
        }
    }
    aq_note note;
    while (aq_poll_note(node->engine, &note)) {
    }
}

/* When everything is over engines hold next to nothing, whatever happened. */
static void quiet_check(sim_world *world)
{
    uint64_t until = world->clock.now_ns + 300ULL * SIM_S;
    while (!world->failed && world->clock.count > 0 && world->clock.heap[0].at_ns < until) {
        (void)sim_clock_step(&world->clock);
        world->steps++;
    }
    for (uint32_t i = 0; i < world->node_count && !world->failed; i++) {
        sim_node *node = &world->nodes[i];
        last_sync_forget(node);
        uint64_t used = aq_memory_used(node->engine);
        if (used > QUIET_MAX) {
            sim_world_fail(world, "%s still holds %llu bytes when all is over", node->name,
                           (unsigned long long)used);
        }
        if (node->memory_peak > PEAK_MAX) {
            sim_world_fail(world, "%s needed %llu bytes of memory", node->name,
                           (unsigned long long)node->memory_peak);
        }
    }
}

void sim_world_run(const sim_options *options, sim_arena *arena, void *memory,
                   sim_result *result)
{
    sim_arena_reset(arena);
    sim_world *world = sim_arena_take(arena, sizeof *world);
    world->options = *options;
    world->arena = arena;
    world_open(world, memory);
    while (!world->failed && !world_is_over(world)) {
        if (!sim_clock_step(&world->clock)) {
            sim_world_fail(world, "nothing happens any more, but a job is not done");
        } else if (++world->steps > options->steps_max) {
            sim_world_fail(world, "it does not end within %llu steps",
                           (unsigned long long)options->steps_max);
        }
        for (uint32_t i = 0; world->steps % 16 == 0 && i < world->job_count; i++) {
            sim_job_watch(&world->jobs[i]);
        }
    }
    quiet_check(world);
    result_take(world, result);
}
