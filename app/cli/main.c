/* main.c: acequia, the command: finds the command in the table, reads its options and runs
 * it. Exit codes are those of acequia.h; usage errors are 1.
 */
#include "command.h"
#include "fail.h"
#include "help.h"
#include <string.h>

const command command_table[] = {
    {"sync", FOR_SYNC, "SRC DST", "make DST equal to SRC; each is a path or a URL", 2, 2,
     sync_run},
    {"serve", FOR_SERVE, "FOLDER...", "let peers read and write folders", 1, SIZE_MAX,
     serve_run},
    {"check", FOR_CHECK, "SRC DST", "compare the contents of both, change nothing", 2, 2,
     check_run},
    {"diff", FOR_DIFF, "SRC DST", "show what a sync would do", 2, 2, diff_run},
    {"hash", FOR_HASH, "[FILE]...", "print the BLAKE3 of files, as b3sum does", 0, SIZE_MAX,
     hash_run},
    {"status", FOR_STATUS, "[FOLDER]...", "show the folders known here and who uses them",
     0, SIZE_MAX, status_run},
};
const size_t command_count = sizeof command_table / sizeof *command_table;

const command *command_named(const char *name)
{
    for (size_t i = 0; i < command_count; i++) {
        if (strcmp(command_table[i].name, name) == 0) {
            return &command_table[i];
        }
    }
    return NULL;
}

static int version_print(void)
{
    puts("acequia " AQ_PROGRAM_VERSION);
    return 0;
}

/* help, completion and version, which take no options. */
static int other_run(int argc, char **argv)
{
    bool help = strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 ||
                strcmp(argv[1], "-h") == 0;
    if (strcmp(argv[1], "version") == 0 || strcmp(argv[1], "--version") == 0 ||
        strcmp(argv[1], "-V") == 0) {
        return version_print();
    }
    if (help && argc == 2) {
        help_program(stdout);
        return 0;
    }
    if (help && command_named(argv[2]) != NULL) {
        help_command(stdout, command_named(argv[2]));
        return 0;
    }
    if (strcmp(argv[1], "completion") == 0) {
        if (argc == 3 && help_completion(stdout, argv[2])) {
            return 0;
        }
        return fail_usage(false, "completion: name a shell: bash, zsh or fish");
    }
    return fail_usage(false, "\"%s\" is no command; see `acequia help`",
                      help ? argv[2] : argv[1]);
}

static int command_run(const command *c, int argc, char **argv)
{
    static options o; /* static, so that what it holds stays reachable for leak checkers */
    char error[OPTION_ERROR_SIZE];
    int code;
    if (!options_read(&o, c->set, argc, argv, error)) {
        code = fail_usage(o.json, "%s", error);
    } else if (o.version) {
        code = version_print();
    } else if (o.help) {
        help_command(stdout, c);
        code = 0;
    } else if (o.operands.count < c->operands_min || o.operands.count > c->operands_max) {
        code = fail_usage(o.json, "usage: acequia %s [OPTION]... %s", c->name, c->operands);
    } else {
        code = c->run(&o);
    }
    options_free(&o);
    return code;
}

int main(int argc, char **argv)
{
    int code;
    if (argc < 2) {
        help_program(stderr);
        return 1;
    }
    const command *c = command_named(argv[1]);
    code = c == NULL ? other_run(argc, argv) : command_run(c, argc - 2, argv + 2);
    if (fflush(stdout) != 0 && code == 0) {
        code = fail_with(false, AQ_IO, "writing the output: the other end is full or gone");
    }
    return code;
}
