/* help.c: what the program says of itself: `help`, and `completion` for three shells. Both
 * are written from the tables, so they cannot miss an option.
 */
#include "help.h"
#include <string.h>

enum { HELP_COLUMN = 28 };

void help_program(FILE *out)
{
    fputs("Usage: acequia COMMAND [OPTION]... [OPERAND]...\n\n"
          "Makes folders equal, across machines, resumably, with every byte verified.\n\n",
          out);
    for (size_t i = 0; i < command_count; i++) {
        fprintf(out, "  %-12s%s\n", command_table[i].name, command_table[i].summary);
    }
    fputs("  completion  print the completion script for bash, zsh or fish\n"
          "  help        print this text, or a command's\n"
          "  version     print the program's version\n\n"
          "Examples:\n"
          "  acequia serve photos                   prints the folder's URL\n"
          "  acequia sync 'acequia://...' photos/   makes photos/ equal to it\n"
          "  acequia sync -n --delete a/ b/         shows what would be done\n\n"
          "`acequia help COMMAND` lists a command's options, `man acequia` tells all.\n",
          out);
}

static void option_help(FILE *out, const option *opt)
{
    char left[80];
    int size = opt->letter != 0
                   ? snprintf(left, sizeof left, "  -%c, --%s", opt->letter, opt->name)
                   : snprintf(left, sizeof left, "      --%s", opt->name);
    if (opt->value != NULL) {
        size += snprintf(left + size, sizeof left - (size_t)size, "=%s", opt->value);
    }
    fputs(left, out);
    if (size + 2 > HELP_COLUMN) {
        fputc('\n', out);
        size = 0;
    }
    fprintf(out, "%*s%s\n", HELP_COLUMN - size, "", opt->help);
}

void help_command(FILE *out, const command *c)
{
    fprintf(out, "Usage: acequia %s [OPTION]... %s\n\n%c%s.\n\n", c->name, c->operands,
            c->summary[0] - 'a' + 'A', c->summary + 1);
    for (size_t i = 0; i < option_count; i++) {
        if ((option_table[i].commands & c->set) != 0) {
            option_help(out, &option_table[i]);
        }
    }
    fprintf(
        out,
        "\nOptions also come from ACEQUIA_<OPTION> in the environment and from the config"
        " file;\n--no-OPTION turns one off. More: man acequia-%s\n",
        c->name);
}

/* ---- completion ------------------------------------------------------------------- */

static bool wants_file(const option *opt)
{
    return opt->kind == KIND_FILE || opt->kind == KIND_RULE_FILE;
}

static void bash_words(FILE *out, const command *c)
{
    for (size_t i = 0; i < option_count; i++) {
        const option *opt = &option_table[i];
        if ((opt->commands & c->set) != 0) {
            fprintf(out, " --%s%s", opt->name, opt->value != NULL ? "=" : "");
        }
    }
}

static void bash_write(FILE *out)
{
    fputs("# acequia(1) completion for bash\n_acequia()\n{\n"
          "    local word=${COMP_WORDS[COMP_CWORD]} words=\n"
          "    COMPREPLY=()\n"
          "    if [ \"$COMP_CWORD\" = 1 ]; then\n"
          "        words='completion help version",
          out);
    for (size_t i = 0; i < command_count; i++) {
        fprintf(out, " %s", command_table[i].name);
    }
    fputs("'\n        COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
          "        return\n    fi\n"
          "    case $word in\n    -*) ;;\n"
          "    *)\n        COMPREPLY=($(compgen -f -- \"$word\"))\n        return\n        "
          ";;\n"
          "    esac\n    case ${COMP_WORDS[1]} in\n",
          out);
    for (size_t i = 0; i < command_count; i++) {
        fprintf(out, "    %s) words='", command_table[i].name);
        bash_words(out, &command_table[i]);
        fputs("' ;;\n", out);
    }
    fputs("    esac\n    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
          "    case ${COMPREPLY[0]} in\n    *=) compopt -o nospace ;;\n    esac\n}\n"
          "complete -o filenames -o bashdefault -F _acequia acequia\n",
          out);
}

/* Texts in the tables have no quotes and brackets; tests/e2e/cli.sh runs the scripts. */
static void zsh_write(FILE *out)
{
    fputs("#compdef acequia\n# acequia(1) completion for zsh\n_acequia()\n{\n"
          "    local -a commands\n    commands=(\n"
          "        'completion:print a completion script'\n"
          "        'help:print help'\n        'version:print the version'\n",
          out);
    for (size_t i = 0; i < command_count; i++) {
        fprintf(out, "        '%s:%s'\n", command_table[i].name, command_table[i].summary);
    }
    fputs("    )\n    if ((CURRENT == 2)); then\n        _describe command commands\n"
          "        return\n    fi\n    local name=${words[2]}\n    shift words\n"
          "    ((CURRENT--))\n    case $name in\n",
          out);
    for (size_t i = 0; i < command_count; i++) {
        const command *c = &command_table[i];
        fprintf(out, "    %s)\n        _arguments -s \\\n", c->name);
        for (size_t k = 0; k < option_count; k++) {
            const option *opt = &option_table[k];
            if ((opt->commands & c->set) == 0) {
                continue;
            }
            if (opt->letter != 0) {
                fprintf(out, "            '-%c[%s]' \\\n", opt->letter, opt->help);
            }
            fprintf(out, "            '--%s%s[%s]%s%s%s' \\\n", opt->name,
                    opt->value != NULL ? "=" : "", opt->help,
                    opt->value != NULL ? ":value:" : "", wants_file(opt) ? "_files" : "",
                    "");
        }
        fputs("            '*:path or URL:_files'\n        ;;\n", out);
    }
    fputs("    esac\n}\n_acequia \"$@\"\n", out);
}

static void fish_write(FILE *out)
{
    fputs("# acequia(1) completion for fish\n", out);
    for (size_t i = 0; i < command_count; i++) {
        fprintf(out, "complete -c acequia -n __fish_use_subcommand -f -a %s -d '%s'\n",
                command_table[i].name, command_table[i].summary);
    }
    for (size_t i = 0; i < command_count; i++) {
        for (size_t k = 0; k < option_count; k++) {
            const option *opt = &option_table[k];
            if ((opt->commands & command_table[i].set) == 0) {
                continue;
            }
            fprintf(out, "complete -c acequia -n '__fish_seen_subcommand_from %s' -l %s",
                    command_table[i].name, opt->name);
            if (opt->letter != 0) {
                fprintf(out, " -s %c", opt->letter);
            }
            fprintf(out, "%s%s -d '%s'\n", opt->value != NULL ? " -r" : "",
                    opt->value != NULL && !wants_file(opt) ? " -f" : "", opt->help);
        }
    }
}

bool help_completion(FILE *out, const char *shell)
{
    if (strcmp(shell, "bash") == 0) {
        bash_write(out);
    } else if (strcmp(shell, "zsh") == 0) {
        zsh_write(out);
    } else if (strcmp(shell, "fish") == 0) {
        fish_write(out);
    } else {
        return false;
    }
    return true;
}
