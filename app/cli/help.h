/* help.h: texts made from the tables of commands and options. */
#ifndef AQ_CLI_HELP_H
#define AQ_CLI_HELP_H

#include "command.h"
#include <stdio.h>

void help_program(FILE *out);
void help_command(FILE *out, const command *c);

/* Prints the completion script for "bash", "zsh" or "fish". False: no such shell. */
bool help_completion(FILE *out, const char *shell);

#endif
