/* account.h: the figures of one run of the command, whose syncs follow each other when the
 * link was lost and dialled again.
 */
#ifndef AQ_CLI_ACCOUNT_H
#define AQ_CLI_ACCOUNT_H

#include "acequia.h"

/* All zero before the first use. */
typedef struct account {
    aq_stats before; /* sums of the syncs that ended */
    aq_stats now;    /* before, and the sync that runs */
} account;

/* Takes the running sync's figures as they are now. */
void account_update(account *a, const aq_stats *running);

/* It ended; another may follow. */
void account_next(account *a);

#endif
