/* A job stands for a person, or a script, with the command: it dials, starts a sync, waits
 * for its END and, while there is trouble, does it again. Once the world is healed it goes
 * through stages that each must hold:
 *
 *     DRY -> REAL (until it ends well) -> trees compared -> EMPTY -> AGAIN -> VERIFY
 */
#include "world.h"

#include <stdio.h>

enum { ATTEMPTS_MAX = 4 }; /* of a stage, when all is well */

static const uint64_t patience_ns = 1800ULL * SIM_S;

static void attempt_begin(sim_job *job);

/* ---- one attempt ----
 */

static void dial_event(void *context, uint64_t a, uint64_t b)
{
    sim_job *job = context;
    (void)b;
    if (job->number == a && job->state == SIM_JOB_IDLE && job->client->engine != NULL) {
        attempt_begin(job);
    }
}

void sim_job_plan(sim_job *job, uint64_t after_ns)
{
    sim_world *world = job->world;
    job->number++;
    sim_clock_plan(&world->clock, world->clock.now_ns + after_ns, dial_event, job,
                   job->number, 0);
}

/* Options that only make one attempt do less. */
static void options_vary(sim_job *job)
{
    sim_chance *draw = &job->world->draw;
    aq_sync_options *now = &job->now;
    job->is_odd = true;
    now->update = sim_chance_hit(draw, 150);
    now->existing = sim_chance_hit(draw, 150);
    now->ignore_existing = sim_chance_hit(draw, 150);
    now->modify_window_ns = sim_chance_hit(draw, 150) ? 2LL * SIM_S : 0;
    now->transfer_max = sim_chance_hit(draw, 150) ? sim_chance_skewed(draw, 1 << 16) : 0;
    now->delete_max = sim_chance_hit(draw, 200) ? sim_chance_below(draw, 8) : UINT64_MAX;
    now->delete_max_percent = sim_chance_hit(draw, 200) ? 20 : 0;
    now->bytes_per_s_in =
        sim_chance_hit(draw, 200) ? 1000 + sim_chance_skewed(draw, 99999) : 0;
    now->bytes_per_s_out =
        sim_chance_hit(draw, 200) ? 1000 + sim_chance_skewed(draw, 99999) : 0;
}

static void attempt_begin(sim_job *job)
{
    sim_world *world = job->world;
    job->now = job->options;
    job->counts = world->healed;
    job->changes = 0;
    job->refused = 0;
    job->attempts++;
    job->stage_attempts++;
    if (world->healed) {
        job->now.dry_run = job->stage == SIM_STAGE_DRY || job->stage == SIM_STAGE_EMPTY;
        job->now.verify_only = job->stage == SIM_STAGE_VERIFY;
    } else if (world->trouble[SIM_DRY]) {
        job->now.dry_run = sim_chance_hit(&world->draw, 150);
        job->now.verify_only = sim_chance_hit(&world->draw, 100);
    }
    job->is_odd = false;
    if (!world->healed && world->trouble[SIM_ODD]) {
        options_vary(job);
    }
    if (!sim_net_is_open(&world->net, job->link)) {
        job->link = 0;
    }
    if (job->link != 0 && sim_chance_hit(&world->draw, 300)) {
        job->state = SIM_JOB_DIALS;
        sim_job_dialled(job, job->link);
        sim_node_crank(job->client);
        return;
    }
    job->state = SIM_JOB_DIALS;
    job->life = job->client->life;
    if (job->link != 0) {
        sim_net_close(&world->net, job->link);
        job->link = 0;
    }
    sim_net_dial(&world->net, job->client, job->server, job->index);
}

/* a: the job's number when the sync began. */
static void stop_event(void *context, uint64_t a, uint64_t b)
{
    sim_job *job = context;
    if (job->number != a || job->state != SIM_JOB_RUNS) {
        return;
    }
    if (b == 0) {
        aq_sync_stop(job->client->engine, job->sync);
    } else {
        aq_sync_pause(job->client->engine, job->sync, b == 1);
    }
    sim_node_crank(job->client);
}

static void stop_plan(sim_job *job)
{
    sim_world *world = job->world;
    if (world->healed || !world->trouble[SIM_STOP]) {
        return;
    }
    uint64_t at = world->clock.now_ns + sim_chance_skewed(&world->draw, 4ULL * SIM_S);
    uint64_t later = at + sim_chance_skewed(&world->draw, 4ULL * SIM_S);
    if (sim_chance_hit(&world->draw, 200)) {
        sim_clock_plan(&world->clock, at, stop_event, job, job->number, 0);
        if (sim_chance_hit(&world->draw, 300)) {
            sim_clock_plan(&world->clock, later, stop_event, job, job->number, 0);
        }
    } else if (sim_chance_hit(&world->draw, 200)) {
        sim_clock_plan(&world->clock, at, stop_event, job, job->number, 1);
        sim_clock_plan(&world->clock, later, stop_event, job, job->number, 2);
    }
}

/* a: the job's number. Nobody waits for ever, in trouble or not. */
static void patience_event(void *context, uint64_t a, uint64_t b)
{
    sim_job *job = context;
    (void)b;
    if (job->number == a && job->state == SIM_JOB_RUNS) {
        sim_world_fail(job->world, "the sync of attempt %llu never ends",
                       (unsigned long long)job->attempts);
    }
}

void sim_job_dialled(sim_job *job, uint32_t link)
{
    sim_world *world = job->world;
    if (job->state != SIM_JOB_DIALS || job->life != job->client->life) {
        return;
    }
    if (link == 0) {
        job->state = SIM_JOB_IDLE;
        sim_job_plan(job, sim_chance_skewed(&world->draw, 2ULL * SIM_S));
        return;
    }
    job->link = link;
    job->seen = (aq_stats){0};
    job->state = SIM_JOB_RUNS;
    job->attempt_before_ns = job->attempt_ns;
    job->attempt_ns = world->clock.now_ns;
    job->tree_hash = sim_disk_hash(&job->destination->disk);
    aq_direction direction = job->client == job->source ? AQ_PUSH : AQ_PULL;
    sim_trace_event(&world->trace, "job %llu: attempt %llu, %s%s%s%s%s%s",
                    (unsigned long long)job->index, (unsigned long long)job->attempts,
                    direction == AQ_PUSH ? "push" : "pull", job->now.dry_run ? " dry" : "",
                    job->now.verify_only ? " verify" : "",
                    job->now.delete_extra ? " delete" : "",
                    job->now.checksum ? " checksum" : "", job->now.filter ? " filter" : "");
    job->sync = aq_sync_start(job->client->engine, link, job->client->root, "", direction,
                              &job->now);
    job->number++;
    sim_clock_plan(&world->clock, world->clock.now_ns + patience_ns, patience_event, job,
                   job->number, 0);
    stop_plan(job);
}

/* ---- what must hold ----
 */

static sim_check check_make(const sim_job *job, char *text, size_t size)
{
    text[0] = '\0';
    return (sim_check){.ledger = &job->world->ledger,
                       .excluded = job->excluded,
                       .backup = job->backup,
                       .delete_extra = job->options.delete_extra,
                       .text = text,
                       .text_size = size};
}

/* What interruptions may cost: a crash loses what was not yet durable, a lost link what was
 * under way. Only where nothing else makes content travel again. */
static void cost_check(const sim_job *job, uint64_t content)
{
    sim_world *world = job->world;
    static const sim_trouble others[] = {SIM_EDIT,  SIM_CHANGE, SIM_LOCAL,  SIM_READ,
                                         SIM_WRITE, SIM_FULL,   SIM_STATE,  SIM_FLIP,
                                         SIM_GONE,  SIM_ODD,    SIM_CORRUPT};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (world->trouble[others[i]]) {
            return;
        }
    }
    uint64_t most = content * (1 + world->crashes) + job->attempts * (64 << 10);
    if (job->literal > most) {
        sim_world_fail(world, "%llu bytes travelled for %llu",
                       (unsigned long long)job->literal, (unsigned long long)content);
    }
}

static void trees_check(sim_job *job, bool partial)
{
    char text[600];
    sim_check check = check_make(job, text, sizeof text);
    check.times = !partial;
    /* Where the source cannot be read whole nothing is deleted. */
    bool bad = sim_check_finds_bad(&check, &job->source->disk);
    check.delete_extra &= !bad;
    bad |= sim_check_finds_bad(&check, &job->destination->disk);
    if (job->refused > 0) {
        job->stage = SIM_STAGE_VERIFY; /* it cannot become equal */
        return;
    }
    bool good = sim_check_synced(&check, &job->source->disk, &job->destination->disk) &&
                sim_check_known(&check, &job->destination->disk);
    /* An earlier attempt may have seen the source without such names. */
    check.delete_extra = job->options.delete_extra;
    good = good && sim_check_kept(&check, &job->keeps, &job->destination->disk);
    if (!good) {
        sim_world_fail(job->world, "after a complete sync: %s", text);
    } else if (partial != (check.blocked > 0 || bad)) {
        sim_world_fail(job->world, "%llu places are blocked, but the sync ended %s",
                       (unsigned long long)check.blocked, partial ? "PARTIAL" : "OK");
    }
    job->blocked = check.blocked + bad;
    if (check.blocked == 0) {
        cost_check(job, sim_content_size(job->source->disk.root));
    }
    if (job->destination->disk.slots->entry_count > 0) {
        sim_world_fail(job->world, "%zu slots are left after a complete sync",
                       job->destination->disk.slots->entry_count);
    }
}

static void unchanged_check(sim_job *job, const char *what)
{
    if (sim_disk_hash(&job->destination->disk) != job->tree_hash) {
        sim_world_fail(job->world, "%s changed the destination", what);
    }
}

static void stage_end(sim_job *job, aq_status status, const aq_stats *stats)
{
    bool partial = status == AQ_PARTIAL;
    switch (job->stage) {
    case SIM_STAGE_DRY:
        unchanged_check(job, "a dry run");
        break;
    case SIM_STAGE_REAL:
        trees_check(job, partial);
        break;
    case SIM_STAGE_EMPTY:
        unchanged_check(job, "a dry run");
        if (job->changes > 0 && job->blocked == 0) {
            sim_world_fail(job->world, "a dry run of equal trees wants %llu changes",
                           (unsigned long long)job->changes);
        }
        break;
    case SIM_STAGE_AGAIN:
        unchanged_check(job, "a sync of equal trees");
        if (stats->bytes_literal > 0 && job->blocked == 0) {
            sim_world_fail(job->world, "a sync of equal trees sent %llu bytes",
                           (unsigned long long)stats->bytes_literal);
        }
        break;
    case SIM_STAGE_VERIFY:
        unchanged_check(job, "a check");
        if (job->blocked == 0 && job->refused == 0 && (partial || job->changes > 0)) {
            sim_world_fail(job->world, "a check of equal trees finds %llu differences",
                           (unsigned long long)job->changes);
        }
        break;
    case SIM_STAGE_OVER:
        break;
    }
    job->stage++;
    job->stage_attempts = 0;
}

/* Only where the oracle allows it (trees_check) may a sync end PARTIAL. */
static bool is_good(aq_status status)
{
    return status == AQ_OK || status == AQ_PARTIAL;
}

/* Nobody but the sync changes anything, and it was to do all: OK means equal, troubles or
 * not. */
static bool is_still(const sim_job *job)
{
    const bool *trouble = job->world->trouble;
    return !trouble[SIM_EDIT] && !trouble[SIM_CHANGE] && !trouble[SIM_LOCAL] &&
           !trouble[SIM_CORRUPT] && !job->now.dry_run && !job->now.verify_only &&
           !job->is_odd;
}

static void attempt_end(sim_job *job, aq_status status)
{
    sim_world *world = job->world;
    aq_stats stats;
    aq_sync_stats(job->client->engine, job->sync, &stats);
    job->literal += stats.bytes_literal;
    job->state = SIM_JOB_IDLE;
    uint64_t pause = sim_chance_skewed(&world->draw, 3ULL * SIM_S);
    if (!job->counts && status == AQ_OK && is_still(job)) {
        trees_check(job, false);
    }
    if (!job->counts) {
        sim_job_plan(job, world->healed ? 10ULL * SIM_S : pause);
        return;
    }
    if (is_good(status)) {
        stage_end(job, status, &stats);
    } else if (job->stage_attempts > ATTEMPTS_MAX) {
        sim_world_fail(world, "when all is well a sync still ends %s",
                       aq_status_name(status));
    }
    if (job->stage == SIM_STAGE_OVER) {
        job->state = SIM_JOB_OVER;
        if (job->link != 0) {
            sim_net_close(&world->net, job->link);
        }
        return;
    }
    sim_job_plan(job, pause);
}

void sim_job_watch(sim_job *job)
{
    if (job->state != SIM_JOB_RUNS || job->client->engine == NULL) {
        return;
    }
    aq_stats now;
    const aq_stats *seen = &job->seen;
    aq_sync_stats(job->client->engine, job->sync, &now);
    if (now.files_total == 0 && now.files_changed == 0) {
        return; /* nothing is known yet, or another start has let it go already */
    }
    if (now.files_total < seen->files_total || now.bytes_total < seen->bytes_total) {
        sim_world_fail(job->world, "the totals shrank from %llu to %llu bytes",
                       (unsigned long long)seen->bytes_total,
                       (unsigned long long)now.bytes_total);
    } else if (now.files_done < seen->files_done || now.bytes_done < seen->bytes_done ||
               now.bytes_changed < seen->bytes_changed) {
        sim_world_fail(
            job->world, "progress ran backwards: %llu of %llu bytes, then %llu of %llu",
            (unsigned long long)seen->bytes_done, (unsigned long long)seen->bytes_changed,
            (unsigned long long)now.bytes_done, (unsigned long long)now.bytes_changed);
    } else if (now.bytes_done > now.bytes_changed || now.files_done > now.files_changed) {
        sim_world_fail(
            job->world, "%llu of %llu bytes, %llu of %llu files are done",
            (unsigned long long)now.bytes_done, (unsigned long long)now.bytes_changed,
            (unsigned long long)now.files_done, (unsigned long long)now.files_changed);
    }
    job->seen = now;
}

void sim_job_note(sim_job *job, const aq_note *note)
{
    if (note->sync != job->sync || job->life != job->client->life) {
        return;
    }
    if (note->kind == AQ_NOTE_CHANGE) {
        job->changes++;
    }
    if (note->kind == AQ_NOTE_END) {
        if (job->state != SIM_JOB_RUNS) {
            sim_world_fail(job->world, "sync %u ends twice", note->sync);
            return;
        }
        attempt_end(job, note->status);
    }
}

void sim_job_down(sim_job *job)
{
    if (job->state == SIM_JOB_RUNS) {
        aq_stats stats;
        aq_sync_stats(job->client->engine, job->sync, &stats);
        job->literal += stats.bytes_literal;
    }
    if (job->state != SIM_JOB_OVER) {
        job->state = SIM_JOB_IDLE;
    }
    job->link = 0;
    job->sync = 0; /* the next engine counts from the beginning */
    job->number++;
}

void sim_job_heal(sim_job *job)
{
    if (job->world->trouble[SIM_LOCAL]) {
        sim_keeps_take(&job->keeps, job->world->arena, &job->destination->disk);
    }
    job->stage_attempts = 0;
    if (job->state == SIM_JOB_IDLE) {
        sim_job_plan(job, 10ULL * SIM_S);
    }
}

void sim_job_open(sim_job *job, sim_world *world, uint64_t index)
{
    sim_chance *draw = &world->draw;
    bool push = world->trouble[SIM_PUSH];
    *job = (sim_job){.world = world, .index = index};
    job->source = &world->nodes[0];
    job->destination = &world->nodes[index + 1];
    job->client = push ? job->source : job->destination;
    job->server = push ? job->destination : job->source;
    job->stage = sim_chance_hit(draw, 500) ? SIM_STAGE_DRY : SIM_STAGE_REAL;
    job->options = (aq_sync_options){.delete_extra = world->trouble[SIM_DELETE],
                                     .checksum = world->trouble[SIM_CHECKSUM],
                                     .itemize = true,
                                     .delete_max = UINT64_MAX};
    if (world->trouble[SIM_FILTER]) {
        job->options.filter = "- *.skip\n";
        job->excluded = ".skip";
    }
    if (world->trouble[SIM_BACKUP]) {
        job->options.backup = job->backup = "kept.bak";
    }
    sim_job_plan(job, sim_chance_skewed(draw, SIM_S));
}
