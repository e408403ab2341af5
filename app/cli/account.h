/* account.h: the figures of one run of the command, whose syncs follow each other: when the
 * link was lost and dialled again, or when the rules are in several texts.
 */
#ifndef AQ_CLI_ACCOUNT_H
#define AQ_CLI_ACCOUNT_H

#include "acequia.h"

/* All zero before the first use. */
typedef struct account {
    aq_stats whole;  /* sums of the syncs that did all of their part, */
    aq_stats before; /* and of those after them that were cut off */
    aq_stats part;   /* those cut off, with the sync that runs */
    aq_stats now;    /* all, with the sync that runs */
} account;

/* Takes the running sync's figures as they are now. */
void account_update(account *a, const aq_stats *running);

/* It was cut off; the next one takes up the same. */
void account_again(account *a);

/* It did its part; the next one does another. */
void account_next(account *a);

#endif
