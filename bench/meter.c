/* meter.c: runs a command, in a network namespace if asked, and says what it cost.
 *
 *     bench-meter [-n NAMESPACE] [-o FILE] COMMAND…
 *
 * writes to FILE one line: seconds, CPU seconds (user and system, the command's and those
 * of all its descendants that were waited for), the peak resident KiB of the largest of
 * them, and the exit status. The commands run as they would without it: it only waits.
 *
 * SIGTERM and SIGINT are passed on, so that a server can be stopped and still be counted.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile pid_t child;

static void signal_pass(int number)
{
    if (child > 0) {
        kill(child, number);
    }
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double seconds_of(struct timeval t)
{
    return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

static void namespace_enter(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "/run/netns/%s", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) {
        perror(path);
        exit(3);
    }
    close(fd);
}

int main(int argc, char **argv)
{
    FILE *out = stderr;
    int option;
    while ((option = getopt(argc, argv, "+n:o:")) != -1) {
        if (option == 'n') {
            namespace_enter(optarg);
        } else if (option != 'o') {
            return 2;
        } else if ((out = fopen(optarg, "we")) == NULL) {
            perror(optarg);
            return 3;
        }
    }
    if (optind >= argc) {
        fputs("usage: bench-meter [-n NAMESPACE] [-o FILE] COMMAND…\n", stderr);
        return 2;
    }

    struct sigaction pass = {.sa_handler = signal_pass};
    sigaction(SIGTERM, &pass, NULL);
    sigaction(SIGINT, &pass, NULL);
    double start = seconds_now();
    child = fork();
    if (child == 0) {
        execvp(argv[optind], argv + optind);
        perror(argv[optind]);
        _exit(127);
    }
    int status;
    struct rusage used;
    while (wait4(child, &status, 0, &used) < 0) {
        if (errno != EINTR) {
            perror("wait4");
            return 3;
        }
    }
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    fprintf(out, "%.3f %.3f %ld %d\n", seconds_now() - start,
            seconds_of(used.ru_utime) + seconds_of(used.ru_stime), used.ru_maxrss, code);
    fclose(out);
    return code;
}
