/* A host in small: it turns one engine's crank as acequia.h shows, on virtual time.
 *
 * An op is a row of steps (an item each, mostly). When they happen between the asking and
 * the answer is chance: at once, late, or spread out; so an answer may be stale, ops
 * overtake each other, and a crash leaves an op done by half.
 *
 * It also watches the border: ops whose order would matter must not be in flight together,
 * buffers lie in the engine's memory, a source is never changed. */
#include "node.h"
#include "net.h"
#include "store.h"

#include <stdio.h>

/* How often what waits for a suspended process looks again: it may be continued early. */
#define THAW_NS (100ULL * SIM_MS)

static void violation(sim_node *node, const char *format, const char *a, const char *b)
{
    char text[700];
    (void)snprintf(text, sizeof text, format, a, b);
    char whole[800];
    (void)snprintf(whole, sizeof whole, "%s: %s", node->name, text);
    node->on_violation(node->watcher, whole);
}

int64_t sim_node_wall(const sim_node *node)
{
    return 1700000000000000000 + (int64_t)node->clock->now_ns + node->skew_ns;
}

/* ---- what an engine may ask ----
 */

static bool changes_tree(aq_op_kind kind)
{
    return kind == AQ_OP_PUBLISH || kind == AQ_OP_REMOVE || kind == AQ_OP_RENAME ||
           kind == AQ_OP_MKDIR || kind == AQ_OP_META;
}

static bool changes_slot(aq_op_kind kind)
{
    return kind == AQ_OP_STAGE || kind == AQ_OP_WRITE || kind == AQ_OP_COPY ||
           kind == AQ_OP_FLUSH || kind == AQ_OP_PUBLISH || kind == AQ_OP_DISCARD;
}

static bool path_touches(const char *a, const char *b)
{
    if (a == NULL || b == NULL) {
        return false;
    }
    size_t size = strlen(a);
    return strncmp(a, b, size) == 0 && (b[size] == '/' || b[size] == '\0');
}

/* Two changes of one path, or of a path and what lies below it. Two changes inside one
 * directory are no conflict, and neither are two METAs or MKDIRs above and below. */
static bool trees_conflict(aq_op_kind x, const aq_item *a, aq_op_kind y, const aq_item *b)
{
    const char *of_a[] = {a->path, x == AQ_OP_RENAME ? a->target : NULL};
    const char *of_b[] = {b->path, y == AQ_OP_RENAME ? b->target : NULL};
    for (int i = 0; i < 2; i++) {
        for (int j = 0; j < 2; j++) {
            const char *p = of_a[i], *q = of_b[j];
            if (p != NULL && q != NULL && strcmp(p, q) == 0) {
                return true;
            }
            bool above = path_touches(p, q) && x != AQ_OP_META;
            bool below = path_touches(q, p) && y != AQ_OP_META;
            if (above || below) {
                return true;
            }
        }
    }
    return false;
}

static bool slots_conflict(const aq_op *x, const aq_item *a, const aq_op *y,
                           const aq_item *b)
{
    if (a->slot != b->slot) {
        return false;
    }
    bool x_flushes = x->kind == AQ_OP_FLUSH, y_flushes = y->kind == AQ_OP_FLUSH;
    bool x_writes =
        x->kind == AQ_OP_WRITE || x->kind == AQ_OP_COPY || x->kind == AQ_OP_READ;
    bool y_writes = y->kind == AQ_OP_WRITE || y->kind == AQ_OP_COPY;
    if (x_writes && y_writes) {
        uint64_t from_a = x->kind == AQ_OP_COPY ? a->to_offset : a->offset;
        uint64_t from_b = y->kind == AQ_OP_COPY ? b->to_offset : b->offset;
        return from_a < from_b + b->size && from_b < from_a + a->size;
    }
    /* A flush promises only what was written before it began. */
    bool beside = (x_flushes && (y_writes || y_flushes)) || (y_flushes && x_writes);
    return !beside;
}

static bool reads_slot(const aq_op *op, const aq_item *item)
{
    return op->kind == AQ_OP_READ && (item->flags & AQ_ITEM_SLOT);
}

static bool items_conflict(const aq_op *x, const aq_item *a, const aq_op *y,
                           const aq_item *b)
{
    if (changes_tree(x->kind) && changes_tree(y->kind) &&
        trees_conflict(x->kind, a, y->kind, b)) {
        return true;
    }
    if (changes_slot(x->kind) && changes_slot(y->kind) && slots_conflict(x, a, y, b)) {
        return true;
    }
    if (reads_slot(x, a) && changes_slot(y->kind) && y->kind != AQ_OP_FLUSH &&
        slots_conflict(x, a, y, b)) {
        return true;
    }
    bool states =
        (x->kind == AQ_OP_SAVE && (y->kind == AQ_OP_SAVE || y->kind == AQ_OP_LOAD)) ||
        (x->kind == AQ_OP_LOAD && y->kind == AQ_OP_SAVE);
    return states && strcmp(a->path, b->path) == 0;
}

static void order_check(sim_node *node, const aq_op *op)
{
    for (int p = 0; p < SIM_OPS_MAX; p++) {
        const aq_op *other = node->pending[p].op;
        for (uint32_t i = 0; other != NULL && i < op->item_count; i++) {
            for (uint32_t j = 0; j < other->item_count; j++) {
                if (items_conflict(op, &op->items[i], other, &other->items[j]) ||
                    items_conflict(other, &other->items[j], op, &op->items[i])) {
                    violation(node, "ops in flight whose order matters: %s and %s",
                              sim_op_name(op->kind), sim_op_name(other->kind));
                    return;
                }
            }
        }
    }
}

static bool path_is_inside(const char *path)
{
    if (path[0] == '/') {
        return false;
    }
    while (*path != '\0') {
        size_t size = strcspn(path, "/");
        if (size == 0 || size > 255 || (size == 1 && path[0] == '.') ||
            (size == 2 && path[0] == '.' && path[1] == '.')) {
            return false;
        }
        path += size + (path[size] == '/');
    }
    return true;
}

static void item_check(sim_node *node, const aq_op *op, const aq_item *item)
{
    const char *name = sim_op_name(op->kind);
    const uint8_t *low = node->memory;
    const uint8_t *high = low + node->memory_size;
    bool is_state = op->kind == AQ_OP_LOAD || op->kind == AQ_OP_SAVE;
    bool has_path = item->path != NULL && !is_state && !(item->flags & AQ_ITEM_SLOT);
    if (has_path && !path_is_inside(item->path)) {
        violation(node, "%s of a path outside the root: \"%s\"", name, item->path);
    }
    if (item->target != NULL && !path_is_inside(item->target)) {
        violation(node, "%s to a path outside the root: \"%s\"", name, item->target);
    }
    bool has_data = op->kind == AQ_OP_READ || op->kind == AQ_OP_LIST ||
                    op->kind == AQ_OP_LOAD || op->kind == AQ_OP_WRITE ||
                    op->kind == AQ_OP_STAGE;
    if (has_data && item->size > 0 &&
        (item->data < low || item->data > high ||
         item->size > (size_t)(high - item->data))) {
        violation(node, "%s with a buffer outside the engine's memory%s", name, "");
    }
    if (item->status != AQ_OK && op->kind != AQ_OP_HANGUP) {
        violation(node, "%s with an item that is not OK: %s", name,
                  aq_status_name(item->status));
    }
}

static void op_check(sim_node *node, const aq_op *op)
{
    if (node->read_only && (changes_tree(op->kind) || changes_slot(op->kind))) {
        violation(node, "%s changes a source%s", sim_op_name(op->kind), "");
    }
    for (uint32_t i = 0; i < op->item_count; i++) {
        item_check(node, op, &op->items[i]);
    }
    order_check(node, op);
}

/* ---- doing ops ----
 */

static void op_answer(sim_node *node, sim_pending *pending)
{
    aq_op *op = pending->op;
    pending->op = NULL;
    sim_trace_done(node->trace, node->name, op);
    uint32_t link = op->link;
    aq_status reason = op->item_count > 0 ? op->items[0].status : AQ_CLOSED;
    bool hangs_up = op->kind == AQ_OP_HANGUP;
    aq_done(node->engine, op);
    if (hangs_up) {
        sim_net_hangup(node->net, node, link, reason);
    }
    sim_node_crank(node);
}

static uint64_t op_delay(sim_node *node)
{
    if (sim_chance_hit(&node->chance, node->slow)) {
        return sim_chance_range(&node->chance, 10 * SIM_MS, 3ULL * SIM_S);
    }
    return node->reorder ? sim_chance_skewed(&node->chance, 2 * SIM_MS) : 20 * SIM_US;
}

static void op_step(sim_node *node, sim_pending *pending)
{
    sim_store_step(&node->disk, pending->op, pending->step);
    node->on_step(node->watcher, node, pending->op, pending->step);
    pending->step++;
}

static void thaw_event(void *context, uint64_t a, uint64_t b)
{
    sim_node *node = context;
    (void)a;
    (void)b;
    sim_node_crank(node);
}

void sim_node_freeze(sim_node *node, uint64_t until_ns)
{
    sim_trace_event(node->trace, "%s is suspended", node->name);
    node->frozen_ns = until_ns;
    sim_clock_plan(node->clock, until_ns, thaw_event, node, 0, 0);
}

/* a: which of the pending ops, b: its number; stale when that is another one by now. */
static void op_event(void *context, uint64_t a, uint64_t b)
{
    sim_node *node = context;
    sim_pending *pending = &node->pending[a];
    if (pending->op == NULL || pending->number != b) {
        return;
    }
    if (node->clock->now_ns < node->frozen_ns) {
        sim_clock_plan(node->clock, node->clock->now_ns + THAW_NS, op_event, node, a, b);
        return;
    }
    if (sim_chance_hit(&node->chance, node->crash_op)) {
        node->on_crash(node->watcher, node);
        return;
    }
    if (pending->op->kind == AQ_OP_HANGUP) {
        pending->step = pending->steps;
    }
    bool at_once = !node->reorder || sim_chance_hit(&node->chance, 700);
    while (pending->step < pending->steps) {
        op_step(node, pending);
        if (!at_once && pending->step < pending->steps) {
            sim_clock_plan(node->clock, node->clock->now_ns + op_delay(node) / 4, op_event,
                           node, a, b);
            return;
        }
    }
    op_answer(node, pending);
}

static void op_start(sim_node *node, aq_op *op)
{
    sim_trace_start(node->trace, node->name, op);
    op_check(node, op);
    uint64_t at = 0;
    while (at < SIM_OPS_MAX && node->pending[at].op != NULL) {
        at++;
    }
    if (at == SIM_OPS_MAX) {
        violation(node, "more ops in flight than agreed%s%s", "", "");
        return;
    }
    sim_pending *pending = &node->pending[at];
    *pending =
        (sim_pending){.op = op, .steps = sim_store_steps(op), .number = ++node->number};
    /* Done now and answered later: what it saw may be old by then. */
    if (op->kind != AQ_OP_HANGUP && node->reorder && sim_chance_hit(&node->chance, 200)) {
        while (pending->step < pending->steps) {
            op_step(node, pending);
        }
    }
    sim_clock_plan(node->clock, node->clock->now_ns + op_delay(node), op_event, node, at,
                   pending->number);
}

/* ---- the crank ----
 */

static void tick_event(void *context, uint64_t a, uint64_t b)
{
    sim_node *node = context;
    (void)b;
    if (node->life == a && node->tick_ns == node->clock->now_ns && node->engine != NULL) {
        node->tick_ns = UINT64_MAX;
        sim_node_crank(node);
    }
}

static void tick_plan(sim_node *node)
{
    uint64_t deadline = aq_deadline(node->engine);
    if (deadline != UINT64_MAX) {
        deadline += node->started_ns;
    }
    if (deadline < node->tick_ns && deadline != UINT64_MAX) {
        node->tick_ns = deadline > node->clock->now_ns ? deadline : node->clock->now_ns + 1;
        sim_clock_plan(node->clock, node->tick_ns, tick_event, node, node->life, 0);
    }
}

void sim_node_crank(sim_node *node)
{
    if (node->engine == NULL || node->clock->now_ns < node->frozen_ns) {
        return;
    }
    uint64_t life = node->life;
    int64_t wall = sim_node_wall(node);
    node->disk.clock_ns = wall > node->disk.clock_ns ? wall : node->disk.clock_ns;
    aq_tick(node->engine, node->clock->now_ns - node->started_ns, wall);
    aq_op *op;
    while ((op = aq_poll(node->engine)) != NULL) {
        op_start(node, op);
    }
    uint32_t link;
    while ((link = aq_poll_link(node->engine)) != 0) {
        sim_net_pump(node->net, node, link);
    }
    aq_note note;
    while (aq_poll_note(node->engine, &note)) {
        sim_trace_note(node->trace, node->name, &note);
        node->on_note(node->watcher, node, &note);
        if (node->engine == NULL || node->life != life) {
            return;
        }
    }
    uint64_t used = aq_memory_used(node->engine);
    node->memory_peak = used > node->memory_peak ? used : node->memory_peak;
    tick_plan(node);
}

void sim_node_start(sim_node *node)
{
    node->life++;
    node->tick_ns = UINT64_MAX;
    node->frozen_ns = 0;
    /* A process' monotonic clock need not start at zero, but its zero is its own. */
    node->started_ns = node->clock->now_ns / 2;
    for (size_t i = 0; i < sizeof node->config.seed; i++) {
        node->config.seed[i] = (uint8_t)sim_chance_next(&node->chance);
    }
    node->engine = aq_open(&node->config, node->memory, node->memory_size);
    if (node->engine == NULL) {
        violation(node, "aq_open found its memory too small%s%s", "", "");
        return;
    }
    node->root = aq_root_add(node->engine, "", node->rights);
    sim_trace_event(node->trace, "%s starts", node->name);
    sim_node_crank(node);
}

void sim_node_crash(sim_node *node, sim_chance *chance, bool power_loss)
{
    if (node->engine == NULL) {
        return;
    }
    sim_trace_event(node->trace, "%s crashes%s", node->name,
                    power_loss ? ", the power is out" : "");
    for (int i = 0; i < SIM_OPS_MAX; i++) {
        sim_pending *pending = &node->pending[i];
        if (pending->op == NULL || pending->op->kind == AQ_OP_HANGUP) {
            pending->op = NULL;
            continue;
        }
        uint64_t more = sim_chance_below(chance, pending->steps - pending->step + 1);
        while (more-- > 0) {
            op_step(node, pending);
        }
        pending->op = NULL;
    }
    if (power_loss) {
        sim_disk_power_loss(&node->disk, chance);
    } else {
        sim_disk_forgive(&node->disk);
    }
    node->engine = NULL;
    node->life++;
    memset(node->memory, 0xdb, node->memory_size < 65536 ? node->memory_size : 65536);
    sim_net_node_down(node->net, node);
}
