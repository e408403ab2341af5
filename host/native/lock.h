/* lock.h: one process a root (rule R23). The lock is the kernel's, so it ends with its
 * owner, however that died; the file only names the owner. */
#ifndef AQ_NATIVE_LOCK_H
#define AQ_NATIVE_LOCK_H

#include "acequia.h"

typedef struct aq_lock aq_lock;

typedef enum aq_lock_mode {
    AQ_LOCK_SHARED,   /* sources: many readers of a root */
    AQ_LOCK_EXCLUSIVE /* destinations */
} aq_lock_mode;

/* `state_dir` and `identity` as in state.h. Does not wait. BUSY: `owner` (owner_size ≥ 1)
 * then says who has it, as "pid 123 (acequia serve .) since 2026-11-22 15:04:05 UTC"; else
 * it is "". Other errors as aq_state_open. */
aq_status aq_lock_take(aq_lock **out, const char *state_dir, const char *identity,
                       aq_lock_mode mode, char *owner, size_t owner_size);

/* NULL is fine. */
void aq_lock_give(aq_lock *lock);

#endif
