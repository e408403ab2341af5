/* fail.c: the one place that prints errors, so that all look the same and none carries a
 * control character to the terminal.
 */
#include "fail.h"
#include "text.h"
#include <stdarg.h>
#include <stdio.h>

static int fail_print(bool as_json, aq_status status, const char *format, va_list args)
{
    char message[8192];
    vsnprintf(message, sizeof message, format, args);
    if (as_json) {
        json j = json_open(stdout, "error");
        json_text(&j, "status", aq_status_name(status));
        json_number(&j, "exit", (uint64_t)aq_status_exit(status));
        json_text(&j, "message", message);
        json_close(&j);
    } else {
        fflush(stdout);
        fputs("acequia: ", stderr);
        text_print(stderr, message);
        fputc('\n', stderr);
    }
    return aq_status_exit(status);
}

int fail_with(bool as_json, aq_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int code = fail_print(as_json, status, format, args);
    va_end(args);
    return code;
}

int fail_usage(bool as_json, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int code = fail_print(as_json, AQ_USAGE, format, args);
    va_end(args);
    return code;
}
