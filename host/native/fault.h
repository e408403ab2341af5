/* fault.h: what went wrong at the host's edge, as a status for programs and a text for
 * people: what happened, to what, and what to do about it. */
#ifndef AQ_FAULT_H
#define AQ_FAULT_H

#include "acequia.h"

typedef struct aq_fault {
    aq_status status;
    char text[512];
} aq_fault;

/* Sets both, cuts the text to fit, and returns the status. `fault` may be NULL. */
aq_status aq_fault_set(aq_fault *fault, aq_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
