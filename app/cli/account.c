/* account.c: adds up syncs. Files and bytes on the wire are sums: what an earlier sync
 * finished the next one does not find changed any more. Bytes under way are not: the next
 * sync counts a half-done file whole again, so as soon as it knows what is left, the first
 * plan stays the measure and done is what is not left of it.
 */
#include "account.h"

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void bytes_update(aq_stats *now, const aq_stats *before)
{
    if (!before->complete) {
        return;
    }
    uint64_t all = larger(before->bytes_changed, now->bytes_changed);
    uint64_t left = now->bytes_changed - now->bytes_done;
    bool known = now->complete && now->bytes_done <= now->bytes_changed;
    now->bytes_changed = all;
    /* What is staged of a half-done file is found after the plan: no step back. */
    now->bytes_done = known ? larger(all - left, before->bytes_done) : before->bytes_done;
}

static void counts_add(aq_stats *to, const aq_stats *from)
{
    to->files_done += from->files_done;
    to->files_deleted += from->files_deleted;
    to->files_moved += from->files_moved;
    to->directories_made += from->directories_made;
    to->links_made += from->links_made;
    to->bytes_literal += from->bytes_literal;
    to->bytes_matched += from->bytes_matched;
    to->bytes_sent += from->bytes_sent;
    to->bytes_received += from->bytes_received;
    to->errors += from->errors;
}

/* Of the part that the running sync takes up. */
static void part_update(aq_stats *now, const aq_stats *before)
{
    now->files_total = larger(now->files_total, before->files_total);
    now->bytes_total = larger(now->bytes_total, before->bytes_total);
    now->files_changed += before->files_done;
    bytes_update(now, before);
    counts_add(now, before);
}

static void whole_add(aq_stats *now, const aq_stats *whole)
{
    now->files_total += whole->files_total;
    now->bytes_total += whole->bytes_total;
    now->files_changed += whole->files_changed;
    now->bytes_changed += whole->bytes_changed;
    now->bytes_done += whole->bytes_done;
    counts_add(now, whole);
}

void account_update(account *a, const aq_stats *running)
{
    a->part = *running;
    part_update(&a->part, &a->before);
    a->now = a->part;
    whole_add(&a->now, &a->whole);
}

void account_again(account *a)
{
    a->before = a->part;
}

void account_next(account *a)
{
    a->whole = a->now;
    a->before = (aq_stats){0};
}
