/* acequia-sim: runs worlds, one from each seed, and says which of them went wrong.
 *
 *     acequia-sim --seeds 1..1000
 *     acequia-sim --seed 4711 --trace --no-crash
 *     acequia-sim --seeds 1..5 --sweep      each again and again, with one crash at every
 *                                           step of an op, and one cut at every byte
 *
 * A seed that fails prints the one command that shows it again. */
#include "world.h"

#include <errno.h>
#ifndef __wasi__
#include <signal.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

typedef struct command {
    sim_options options;
    uint64_t first, last;
    uint64_t twice; /* so many seeds are run twice and compared */
    bool verbose;
    bool sweep;
    uint64_t seconds; /* stop after it; 0: run all */
    char repeat[400]; /* options to repeat in the line for people */
} command;

typedef struct totals {
    uint64_t passed, failed, steps, ops, bytes, crashes, cuts, attempts, peak;
} totals;

static const char *const trouble_options[] = {
#define X(name, option, text) option,
    SIM_TROUBLE_LIST(X)
#undef X
};

static const char *const trouble_texts[] = {
#define X(name, option, text) text,
    SIM_TROUBLE_LIST(X)
#undef X
};

/* What the handler says, which can ask nobody. As WASM a trap ends the instance, and says
 * so. */
static char trap_text[600];
static size_t trap_size;

static void trap_text_set(const command *c)
{
    unsigned long long seed = c->options.seed;
    int size = snprintf(trap_text, sizeof trap_text,
                        "seed %llu FAILED: the program trapped\n"
                        "    repeat: acequia-sim --seed %llu --trace%s\n"
                        "0 passed, 1 failed\n",
                        seed, seed, c->repeat);
    trap_size = size > 0 ? (size_t)size : 0;
}

#ifndef __wasi__
/* An assertion of the engine is a trap: say whose. */
static void on_trap(int number)
{
    ssize_t written = write(STDOUT_FILENO, trap_text, trap_size);
    (void)written;
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}
#endif

static void traps_name_seeds(void)
{
#ifndef __wasi__
    (void)signal(SIGILL, on_trap);
    (void)signal(SIGTRAP, on_trap);
    (void)signal(SIGSEGV, on_trap);
#endif
}

static void usage(void)
{
    puts("usage: acequia-sim [options]\n"
         "  --seed N        one seed\n"
         "  --seeds A..B    these (1..100)\n"
         "  --seconds N     stop after that time\n"
         "  --twice N       run the first N seeds twice and compare all ops and bytes (3)\n"
         "  --steps N       the most steps of one seed (3000000)\n"
         "  --trace         print ops, bytes sent and events\n"
         "  --verbose       a line for each seed\n"
         "  --sweep         calm but for one crash at each op, then one cut at each byte\n"
         "  --crash-at N    calm but for a crash at this step of all ops\n"
         "  --cut-at N      calm but for a cut there\n"
         "  --memory N      KiB of each engine (32768)\n"
         "  --calm          no trouble, only jobs\n"
         "  --corrupt       links may change bytes, as none over TLS does\n"
         "  --no-NAME       without:");
    for (int i = 0; i < SIM_TROUBLE_COUNT; i++) {
        printf("      %-10s %s\n", trouble_options[i], trouble_texts[i]);
    }
}

static uint64_t number_read(const char *text, const char **end)
{
    char *stop;
    errno = 0;
    unsigned long long number = text != NULL ? strtoull(text, &stop, 10) : 0;
    if (text == NULL || stop == text || errno != 0) {
        fputs("acequia-sim: a number is missing\n", stderr);
        exit(2);
    }
    *end = stop;
    return number;
}

static void repeat_add(command *c, const char *option)
{
    size_t used = strlen(c->repeat);
    (void)snprintf(c->repeat + used, sizeof c->repeat - used, " %s", option);
}

static bool trouble_read(command *c, const char *option)
{
    for (int i = 0; i < SIM_TROUBLE_COUNT; i++) {
        if (strncmp(option, "--no-", 5) == 0 &&
            strcmp(option + 5, trouble_options[i]) == 0) {
            c->options.without[i] = true;
            repeat_add(c, option);
            return true;
        }
    }
    return false;
}

static void range_read(command *c, const char *text)
{
    const char *end;
    c->first = c->last = number_read(text, &end);
    if (strncmp(end, "..", 2) == 0) {
        c->last = number_read(end + 2, &end);
    }
}

static void command_read(command *c, char **args)
{
    const char *end;
    for (; *args != NULL; args++) {
        const char *option = *args;
        if (strcmp(option, "--seed") == 0) {
            c->first = c->last = number_read(*++args, &end);
            c->verbose = true;
        } else if (strcmp(option, "--seeds") == 0) {
            range_read(c, *++args);
        } else if (strcmp(option, "--seconds") == 0) {
            c->seconds = number_read(*++args, &end);
        } else if (strcmp(option, "--twice") == 0) {
            c->twice = number_read(*++args, &end);
        } else if (strcmp(option, "--steps") == 0) {
            c->options.steps_max = number_read(*++args, &end);
        } else if (strcmp(option, "--trace") == 0) {
            c->options.print = true;
        } else if (strcmp(option, "--sweep") == 0) {
            c->sweep = c->options.only_calm = true;
        } else if (strcmp(option, "--memory") == 0) {
            repeat_add(c, option);
            c->options.memory_size = number_read(*++args, &end) << 10;
            repeat_add(c, *args);
        } else if (strcmp(option, "--crash-at") == 0) {
            c->options.crash_at = number_read(*++args, &end);
            c->options.only_calm = true;
        } else if (strcmp(option, "--cut-at") == 0) {
            c->options.cut_at = number_read(*++args, &end);
            c->options.only_calm = true;
        } else if (strcmp(option, "--verbose") == 0) {
            c->verbose = true;
        } else if (strcmp(option, "--calm") == 0) {
            c->options.only_calm = true;
            repeat_add(c, option);
        } else if (strcmp(option, "--corrupt") == 0) {
            c->options.corrupt = true;
            repeat_add(c, option);
        } else if (strcmp(option, "--help") == 0) {
            usage();
            exit(0);
        } else if (!trouble_read(c, option)) {
            fprintf(stderr, "acequia-sim: what is %s? See --help.\n", option);
            exit(2);
        }
        if (*args == NULL) {
            break;
        }
    }
}

static double seconds_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void seed_report(const command *c, const sim_result *r)
{
    if (r->failed) {
        printf("seed %llu FAILED: %s\n    repeat: acequia-sim --seed %llu --trace%s",
               (unsigned long long)c->options.seed, r->failure,
               (unsigned long long)c->options.seed, c->repeat);
        if (c->options.crash_at != 0) {
            printf(" --crash-at %llu", (unsigned long long)c->options.crash_at);
        }
        if (c->options.cut_at != 0) {
            printf(" --cut-at %llu", (unsigned long long)c->options.cut_at);
        }
        printf("\n");
    } else if (c->verbose) {
        printf(
            "seed %llu: %llu steps, %llu ops, %llu attempts, %llu crashes, %llu cuts, "
            "%llu B on links, %llu B content of %llu B, %.1f s, peak %llu KiB, %016llx\n",
            (unsigned long long)c->options.seed, (unsigned long long)r->steps,
            (unsigned long long)r->ops, (unsigned long long)r->attempts,
            (unsigned long long)r->crashes, (unsigned long long)r->cuts,
            (unsigned long long)r->bytes, (unsigned long long)r->literal,
            (unsigned long long)r->content, (double)r->virtual_ns / 1e9,
            (unsigned long long)r->memory_peak / 1024, (unsigned long long)r->hash);
    }
    (void)fflush(stdout);
}

static sim_result seed_run(command *c, totals *all, sim_arena *arena, void *memory)
{
    sim_result result;
    trap_text_set(c);
    sim_world_run(&c->options, arena, memory, &result);
    if (!result.failed && c->options.seed < c->first + c->twice && !c->options.print) {
        sim_result again;
        sim_world_run(&c->options, arena, memory, &again);
        if (again.hash != result.hash) {
            result.failed = true;
            (void)snprintf(result.failure, sizeof result.failure,
                           "the same seed gave other ops or bytes");
        }
    }
    seed_report(c, &result);
    all->passed += !result.failed;
    all->failed += result.failed;
    all->steps += result.steps;
    all->ops += result.ops;
    all->bytes += result.bytes;
    all->crashes += result.crashes;
    all->cuts += result.cuts;
    all->attempts += result.attempts;
    all->peak = result.memory_peak > all->peak ? result.memory_peak : all->peak;
    return result;
}

/* Bytes of a large world are too many for one run each. */
enum { SWEEP_RUNS = 300 };

static void seed_sweep(command *c, totals *all, sim_arena *arena, void *memory)
{
    sim_result calm = seed_run(c, all, arena, memory);
    uint64_t stride = 1 + calm.op_steps / SWEEP_RUNS;
    for (uint64_t at = 1; at <= calm.op_steps; at += stride) {
        c->options.crash_at = at;
        (void)seed_run(c, all, arena, memory);
    }
    c->options.crash_at = 0;
    stride = 1 + 2 * calm.bytes / SWEEP_RUNS;
    for (uint64_t at = 2; at <= 2 * calm.bytes; at += stride) {
        c->options.cut_at = at;
        (void)seed_run(c, all, arena, memory);
    }
    c->options.cut_at = 0;
}

int main(int count, char **args)
{
    (void)count;
    command c = {.first = 1,
                 .last = 100,
                 .twice = 3,
                 .options = {.steps_max = 3000000, .memory_size = SIM_MEMORY}};
    command_read(&c, args + 1);
    traps_name_seeds();
    sim_arena arena = {0};
    void *memory = mmap(NULL, (size_t)SIM_NODES_MAX * SIM_MEMORY, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("acequia-sim: mmap");
        return 2;
    }
    totals all = {0};
    double start = seconds_now();
    for (uint64_t seed = c.first; seed <= c.last; seed++) {
        c.options.seed = seed;
        if (c.sweep) {
            seed_sweep(&c, &all, &arena, memory);
        } else {
            (void)seed_run(&c, &all, &arena, memory);
        }
        if (c.seconds > 0 && seconds_now() - start > (double)c.seconds) {
            break;
        }
    }
    double took = seconds_now() - start;
    sim_arena_close(&arena);
    printf("%.1f s: %.1f seeds/s, %.0f steps/s, %llu ops, %llu syncs, %llu crashes, %llu "
           "cuts, "
           "%llu bytes on links, engine memory at most %llu KiB\n",
           took, (double)(all.passed + all.failed) / took, (double)all.steps / took,
           (unsigned long long)all.ops, (unsigned long long)all.attempts,
           (unsigned long long)all.crashes, (unsigned long long)all.cuts,
           (unsigned long long)all.bytes, (unsigned long long)all.peak / 1024);
    printf("%llu passed, %llu failed\n", (unsigned long long)all.passed,
           (unsigned long long)all.failed);
    return all.failed > 0;
}
