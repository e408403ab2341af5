/* status.c: names, texts and exit codes of statuses, from the one list in acequia.h. */
#include "acequia.h"

typedef struct status_row {
    const char *name;
    const char *text;
    int exit_code;
} status_row;

static const status_row rows[] = {
#define X(name, exit_code, text) {#name, text, exit_code},
    AQ_STATUS_LIST(X)
#undef X
};

static const status_row unknown = {"UNKNOWN", "an error that this program does not know",
                                   2};

static const status_row *row_of(aq_status status)
{
    return (unsigned)status < AQ_STATUS_COUNT ? &rows[status] : &unknown;
}

const char *aq_status_name(aq_status status)
{
    return row_of(status)->name;
}

const char *aq_status_text(aq_status status)
{
    return row_of(status)->text;
}

int aq_status_exit(aq_status status)
{
    return row_of(status)->exit_code;
}
