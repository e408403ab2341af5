/* command.h: the table of commands (main.c), and what each is called. */
#ifndef AQ_CLI_COMMAND_H
#define AQ_CLI_COMMAND_H

#include "options.h"

typedef struct command {
    const char *name;
    unsigned set;         /* its FOR_… bit */
    const char *operands; /* for the usage line */
    const char *summary;
    size_t operands_min, operands_max;
    int (*run)(const options *o); /* returns the exit code */
} command;

extern const command command_table[];
extern const size_t command_count;

const command *command_named(const char *name); /* NULL: there is none */

int check_run(const options *o);
int diff_run(const options *o);
int hash_run(const options *o);
int serve_run(const options *o);
int status_run(const options *o);
int sync_run(const options *o);

#endif
