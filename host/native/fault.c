/* fault.c: filling in a fault. */
#include "fault.h"

#include <stdarg.h>
#include <stdio.h>

aq_status aq_fault_set(aq_fault *fault, aq_status status, const char *format, ...)
{
    if (fault) {
        va_list arguments;
        va_start(arguments, format);
        fault->status = status;
        (void)vsnprintf(fault->text, sizeof fault->text, format, arguments);
        va_end(arguments);
    }
    return status;
}
