/* account.c: adds up syncs. What an earlier one finished counts as changed and done; what
 * it left is found again by the next one, so only the done part is carried over.
 */
#include "account.h"

void account_update(account *a, const aq_stats *running)
{
    const aq_stats *b = &a->before;
    aq_stats now = *running;
    now.files_total = now.files_total > b->files_total ? now.files_total : b->files_total;
    now.bytes_total = now.bytes_total > b->bytes_total ? now.bytes_total : b->bytes_total;
    now.files_changed += b->files_done;
    now.bytes_changed += b->bytes_done;
    now.files_done += b->files_done;
    now.bytes_done += b->bytes_done;
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
