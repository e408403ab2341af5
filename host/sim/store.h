/* store.h: does what storage and state ops ask, on a virtual disk, item by item. */
#ifndef SIM_STORE_H
#define SIM_STORE_H

#include "disk.h"

/* How many steps the op has: a crash can fall between any two of them. */
uint32_t sim_store_steps(const aq_op *op);
/* Does one step, 0 … steps-1, once each, in order. The first and the last also call
 * aq_work where the op's kind says so. */
void sim_store_step(sim_disk *disk, aq_op *op, uint32_t step);
/* Stamps that mean the same object, unchanged. */
bool sim_store_same(const aq_stamp *a, const aq_stamp *b);

#endif
