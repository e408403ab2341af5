/* fail.h: error messages, for people on stderr or, with --json, as one line on stdout. */
#ifndef AQ_CLI_FAIL_H
#define AQ_CLI_FAIL_H

#include "acequia.h"

/* Prints "acequia: TEXT" (escaped) or {"event":"error",…} and returns the exit code. */
int fail_with(bool json, aq_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with AQ_USAGE, for what the user wrote. */
int fail_usage(bool json, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
