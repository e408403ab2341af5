/* lock.c: a lock file a root, in the state directory, held by flock.
 *
 * The kernel drops the lock with the process that holds it, so there is nothing stale to
 * clean up and no process id to believe. The text in the file only tells people who it is;
 * it is written by each new holder, and never trusted. The file stays when the lock is
 * given back: to remove it would race with somebody who has just opened it.
 */
#include "lock.h"

#include "beneath.h"
#include "place.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

struct aq_lock {
    int fd;
};

enum { COMMAND_SIZE = 160, OWNER_SIZE = 256 };

/* The command line, made printable and cut to fit. */
static void command_read(char command[COMMAND_SIZE])
{
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, command, COMMAND_SIZE - 1) : 0;
    if (fd >= 0) {
        close(fd);
    }
    size = size > 0 ? size : 0;
    while (size > 0 && command[size - 1] == '\0') {
        size--;
    }
    for (ssize_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)command[i];
        command[i] = c == '\0' ? ' ' : c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    command[size] = '\0';
}

static void owner_write(int fd)
{
    char command[COMMAND_SIZE];
    char since[32];
    char text[OWNER_SIZE];
    time_t now = time(NULL);
    struct tm parts;
    command_read(command);
    (void)strftime(since, sizeof since, "%Y-%m-%d %H:%M:%S", gmtime_r(&now, &parts));
    int size = snprintf(text, sizeof text, "pid %ld (%s) since %s UTC\n", (long)getpid(),
                        command, since);
    /* A full disk costs the name, not the lock. */
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)size, 0) != size) {
        return;
    }
}

static bool is_alive(const char *owner)
{
    long pid = 0;
    return sscanf(owner, "pid %ld ", &pid) == 1 && pid > 0 &&
           (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}

/* Of several sharers the last one's name stands there; if it is gone, none is named. */
static void owner_read(int fd, char *owner, size_t owner_size)
{
    char text[OWNER_SIZE];
    ssize_t size = pread(fd, text, sizeof text - 1, 0);
    text[size > 0 ? size : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    (void)snprintf(owner, owner_size, "%s", is_alive(text) ? text : "");
}

aq_status aq_lock_take(aq_lock **out, const char *state_dir, const char *identity,
                       aq_lock_mode mode, char *owner, size_t owner_size)
{
    char path[AQ_PLACE_SIZE];
    *out = NULL;
    owner[0] = '\0';
    /* The first word: the directory itself, by whichever path it was opened. */
    aq_status status =
        aq_place_make(path, state_dir, identity, strcspn(identity, " "), ".lock");
    if (status != AQ_OK) {
        return status;
    }
    aq_lock *lock = malloc(sizeof *lock);
    if (!lock) {
        return AQ_MEMORY;
    }
    lock->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock->fd < 0) {
        status = aq_status_of_errno(errno);
        free(lock);
        return status;
    }
    if (flock(lock->fd, (mode == AQ_LOCK_SHARED ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0) {
        status = errno == EWOULDBLOCK ? AQ_BUSY : aq_status_of_errno(errno);
        if (status == AQ_BUSY) {
            owner_read(lock->fd, owner, owner_size);
        }
        aq_lock_give(lock);
        return status;
    }
    owner_write(lock->fd);
    *out = lock;
    return AQ_OK;
}

void aq_lock_give(aq_lock *lock)
{
    if (lock) {
        close(lock->fd);
        free(lock);
    }
}
