/* The hash covers ops as they are asked (kinds, items, bytes), every byte on a link, and
 * notes; the virtual times at which they come are part of it too. Printing changes nothing:
 * a failing seed is simply run again with --trace. */
#include "trace.h"

#include <stdarg.h>
#include <stdio.h>

const char *sim_op_name(aq_op_kind kind)
{
    static const char *const names[] = {
        [AQ_OP_LIST] = "LIST",       [AQ_OP_STAT] = "STAT",       [AQ_OP_READ] = "READ",
        [AQ_OP_STAGE] = "STAGE",     [AQ_OP_WRITE] = "WRITE",     [AQ_OP_COPY] = "COPY",
        [AQ_OP_FLUSH] = "FLUSH",     [AQ_OP_PUBLISH] = "PUBLISH", [AQ_OP_REMOVE] = "REMOVE",
        [AQ_OP_RENAME] = "RENAME",   [AQ_OP_MKDIR] = "MKDIR",     [AQ_OP_META] = "META",
        [AQ_OP_DISCARD] = "DISCARD", [AQ_OP_LOAD] = "LOAD",       [AQ_OP_SAVE] = "SAVE",
        [AQ_OP_WORK] = "WORK",       [AQ_OP_HANGUP] = "HANGUP",
    };
    return (unsigned)kind < sizeof names / sizeof *names ? names[kind] : "?";
}

static void add(sim_trace *trace, const void *data, size_t size)
{
    trace->hash = sim_hash(data, size, trace->hash);
}

static void add_number(sim_trace *trace, uint64_t number)
{
    add(trace, &number, sizeof number);
}

static void add_text(sim_trace *trace, const char *text)
{
    add(trace, text, text != NULL ? strlen(text) : 0);
}

static void print_head(const sim_trace *trace, const char *node)
{
    uint64_t us = trace->clock->now_ns / SIM_US;
    printf("%6llu.%06llu %-5s ", (unsigned long long)(us / 1000000),
           (unsigned long long)(us % 1000000), node);
}

static void print_item(const aq_op *op, const aq_item *item, bool done)
{
    if (item->path != NULL && !(item->flags & AQ_ITEM_SLOT)) {
        printf("  \"%s\"", item->path);
    }
    if (item->target != NULL) {
        printf(" to \"%s\"", item->target);
    }
    if ((item->flags & AQ_ITEM_SLOT) || op->kind == AQ_OP_STAGE ||
        op->kind == AQ_OP_WRITE || op->kind == AQ_OP_COPY || op->kind == AQ_OP_FLUSH ||
        op->kind == AQ_OP_PUBLISH || op->kind == AQ_OP_DISCARD) {
        printf(" slot %llx", (unsigned long long)item->slot);
    }
    printf(" @%llu+%llu", (unsigned long long)item->offset, (unsigned long long)item->size);
    if (done) {
        printf(" = %s %llu", aq_status_name(item->status), (unsigned long long)item->done);
    } else if (item->expect.type != AQ_TYPE_NONE) {
        printf(" expects %u:%llu", item->expect.type,
               (unsigned long long)item->expect.size);
    }
}

static void print_op(const sim_trace *trace, const char *node, const aq_op *op, bool done)
{
    print_head(trace, node);
    printf("%s %s #%u", done ? "done" : "asks", sim_op_name(op->kind), op->id);
    for (uint32_t i = 0; i < op->item_count; i++) {
        print_item(op, &op->items[i], done);
    }
    printf("\n");
}

void sim_trace_start(sim_trace *trace, const char *node, const aq_op *op)
{
    trace->ops++;
    add_text(trace, node);
    add_number(trace, trace->clock->now_ns);
    add_number(trace, (uint64_t)op->kind << 32 | op->item_count);
    for (uint32_t i = 0; i < op->item_count; i++) {
        const aq_item *item = &op->items[i];
        uint64_t numbers[] = {item->slot,         item->offset,
                              item->to_offset,    item->size,
                              item->flags,        (uint64_t)item->mtime_ns,
                              item->exec,         item->expect.size,
                              item->expect.inode, (uint64_t)item->expect.mtime_ns,
                              item->expect.type,  (uint64_t)item->expect.ctime_ns};
        add_text(trace, item->path);
        add_text(trace, item->target);
        add(trace, numbers, sizeof numbers);
        if (item->data != NULL && (op->kind == AQ_OP_STAGE || op->kind == AQ_OP_WRITE ||
                                   op->kind == AQ_OP_SAVE)) {
            add(trace, item->data, item->size);
        }
    }
    if (trace->print) {
        print_op(trace, node, op, false);
    }
}

void sim_trace_done(sim_trace *trace, const char *node, const aq_op *op)
{
    if (trace->print) {
        print_op(trace, node, op, true);
    }
}

void sim_trace_bytes(sim_trace *trace, const char *node, uint32_t link, const uint8_t *data,
                     size_t size)
{
    trace->bytes += size;
    add_text(trace, node);
    add_number(trace, link);
    add(trace, data, size);
    if (trace->print) {
        print_head(trace, node);
        printf("sends %zu bytes on link %u\n", size, link);
    }
}

void sim_trace_note(sim_trace *trace, const char *node, const aq_note *note)
{
    static const char *const kinds[] = {"change",    "problem", "warning", "link-up",
                                        "link-down", "begin",   "end"};
    add_number(trace, (uint64_t)note->kind << 32 | note->status);
    add_text(trace, note->path);
    if (trace->print) {
        print_head(trace, node);
        printf("notes %s %s %d \"%s\" %s%s\n", kinds[note->kind],
               aq_status_name(note->status), (int)note->change, note->path, note->text,
               note->remote ? " (remote)" : "");
    }
}

void sim_trace_event(sim_trace *trace, const char *format, ...)
{
    if (!trace->print) {
        return;
    }
    print_head(trace, "-----");
    va_list args;
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    printf("\n");
}
