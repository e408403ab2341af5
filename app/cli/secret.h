/* secret.h: where the shared token comes from: never from the command line. */
#ifndef AQ_CLI_SECRET_H
#define AQ_CLI_SECRET_H

#include "host/native/identity.h"
#include "options.h"

/* From --token-file (or its environment variable or config line), else from ACEQUIA_TOKEN.
 * token is "" if there is none. */
aq_status secret_find(const options *o, char token[AQ_TOKEN_SIZE], aq_fault *fault);

/* Asks on the terminal, without showing what is typed. False: there is none, or nothing was
 * typed. */
bool secret_ask(const char *whose, char token[AQ_TOKEN_SIZE]);

#endif
