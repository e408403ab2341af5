/* options.h: every option of every command, in one table. From it come the parsing of the
 * command line, of the environment (ACEQUIA_<OPTION>) and of the config file, the help text
 * and the shells' completion. What is said nearer wins: flag, then environment, then file.
 */
#ifndef AQ_CLI_OPTIONS_H
#define AQ_CLI_OPTIONS_H

#include "value.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    /* Commands, as sets. */
    FOR_SYNC = 1,
    FOR_CHECK = 2,
    FOR_DIFF = 4,
    FOR_SERVE = 8,
    FOR_HASH = 16,
    FOR_STATUS = 32,
    FOR_ALL = 63,

    OPTION_ERROR_SIZE = 1024
};

/* Texts are lent by argv, the environment or `owned`. */
typedef struct text_list {
    const char **items;
    size_t count;
} text_list;

typedef enum rule_source {
    RULE_INCLUDE,
    RULE_EXCLUDE,
    RULE_INCLUDE_FROM,
    RULE_EXCLUDE_FROM,
    RULE_FILES_FROM
} rule_source;

typedef struct rule_option {
    rule_source source;
    const char *value;
} rule_option;

typedef struct rule_list {
    rule_option *items;
    size_t count;
} rule_list;

typedef struct options {
    /* what to do */
    bool archive, recursive, links, times; /* always on; accepted for rsync's users */
    bool dry_run;
    bool delete_extra;
    delete_limit max_delete;
    const char *backup_dir;
    bool fsync;
    /* how to compare */
    bool checksum, size_only, update, ignore_existing, existing;
    uint64_t modify_window_ns;
    /* what takes part; in order, the nearest source first */
    rule_list rules;
    bool from0;
    /* the link */
    rates bwlimit;
    uint64_t timeout_ns, contimeout_ns;
    uint64_t retries;
    uint64_t max_duration_ns;
    uint64_t max_transfer;
    const char *token_file;
    const char *ca_file;
    /* serving */
    text_list listen;
    text_list names;
    bool read_only, plain, force_plain;
    const char *cert, *key;
    /* output */
    bool json, progress, stats, itemize, quiet, help, version;
    unsigned verbose;
    const char *config;

    text_list operands;
    text_list owned; /* copies, freed by options_free */
} options;

typedef enum option_kind {
    KIND_FLAG,
    KIND_COUNT,
    KIND_TEXT,
    KIND_FILE, /* a text that names a file, for completion */
    KIND_LIST,
    KIND_NUMBER,
    KIND_SIZE,
    KIND_TIME,
    KIND_RATES,
    KIND_DELETE_LIMIT,
    KIND_RULE,
    KIND_RULE_FILE
} option_kind;

typedef struct option {
    const char *name;
    char letter; /* 0: none */
    uint8_t kind;
    uint8_t commands;  /* FOR_… */
    uint8_t source;    /* rule_source */
    size_t at;         /* in options */
    const char *value; /* its name in the help text; NULL: takes none */
    const char *help;
} option;

extern const option option_table[];
extern const size_t option_count;

/* Reads command line, environment and config file for one command. False: `error` says what
 * is wrong and how it is written. argv has no program and command name. */
bool options_read(options *o, unsigned command, int argc, char **argv,
                  char error[OPTION_ERROR_SIZE]);
void options_free(options *o);

/* "ACEQUIA_MAX_DELETE" */
void option_environment_name(const option *opt, char *out, size_t size);

#endif
