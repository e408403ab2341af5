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

void account_update(account *a, const aq_stats *running)
{
    const aq_stats *b = &a->before;
    aq_stats now = *running;
    now.files_total = larger(now.files_total, b->files_total);
    now.bytes_total = larger(now.bytes_total, b->bytes_total);
    bytes_update(&now, b);
    now.files_changed += b->files_done;
    now.files_done += b->files_done;
    now.files_deleted += b->files_deleted;
    now.files_moved += b->files_moved;
    now.directories_made += b->directories_made;
    now.links_made += b->links_made;
    now.bytes_literal += b->bytes_literal;
    now.bytes_matched += b->bytes_matched;
    now.bytes_sent += b->bytes_sent;
    now.bytes_received += b->bytes_received;
    now.errors += b->errors;
    a->now = now;
}

void account_next(account *a)
{
    a->before = a->now;
}
