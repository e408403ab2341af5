/* test_native_state.c: state in SQLite, and the lock of a root. */
#include "../../host/native/lock.h"
#include "../../host/native/state.h"
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char top[64];
static char dir[80];

static void scratch_open(void)
{
    strcpy(top, "/tmp/acequia-test-XXXXXX");
    CHECK(mkdtemp(top) != NULL);
    (void)snprintf(dir, sizeof dir, "%s/a/b", top); /* made on demand */
}

static void scratch_close(void)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", top);
    CHECK_EQ(system(command), 0);
}

/* The path of the file in the state directory that ends so; "" if there is none. */
static const char *find(const char *end)
{
    static char found[512];
    DIR *directory = opendir(dir);
    found[0] = '\0';
    for (struct dirent *entry; directory && (entry = readdir(directory)) != NULL;) {
        size_t size = strlen(entry->d_name);
        if (size > strlen(end) && strcmp(entry->d_name + size - strlen(end), end) == 0) {
            (void)snprintf(found, sizeof found, "%s/%s", dir, entry->d_name);
        }
    }
    if (directory) {
        closedir(directory);
    }
    return found;
}

static aq_status save(aq_state *state, const char *key, const char *value)
{
    aq_item item = {.path = key,
                    .data = (uint8_t *)(uintptr_t)value,
                    .size = value ? strlen(value) : 0};
    aq_op op = {.kind = AQ_OP_SAVE, .items = &item, .item_count = 1};
    aq_state_run(state, &op);
    return item.status;
}

static const char *load(aq_state *state, const char *key)
{
    static char text[4][256];
    static unsigned turn;
    char *out = text[turn++ % 4];
    aq_item item = {.path = key, .data = (uint8_t *)out, .size = 255};
    aq_op op = {.kind = AQ_OP_LOAD, .items = &item, .item_count = 1};
    aq_state_run(state, &op);
    out[item.status == AQ_OK ? item.done : 0] = '\0';
    return item.status == AQ_OK ? out : item.status == AQ_NOT_FOUND ? "(none)" : "(error)";
}

/* ---- state -----------------------------------------------------------------------------
 */

TEST(what_is_saved_is_there_again)
{
    aq_state *state;
    struct stat st;
    scratch_open();
    CHECK_EQ(aq_state_open(&state, dir, "1:2 3:4 /home"), AQ_OK);
    CHECK_EQ(stat(dir, &st), 0);
    CHECK_EQ(st.st_mode & 0777, 0700);
    CHECK_STR(load(state, "a"), "(none)");
    CHECK_EQ(save(state, "a", "one"), AQ_OK);
    CHECK_EQ(save(state, "a", "two"), AQ_OK);
    CHECK_EQ(save(state, "empty", ""), AQ_OK);
    CHECK_EQ(save(state, "gone", "x"), AQ_OK);
    CHECK_EQ(save(state, "gone", NULL), AQ_OK);
    CHECK_EQ(save(state, "never", NULL), AQ_OK);
    aq_state_close(state);
    CHECK_EQ(aq_state_open(&state, dir, "9:9 3:4 /home"), AQ_OK); /* after a reboot */
    CHECK_STR(load(state, "a"), "two");
    CHECK_STR(load(state, "empty"), "");
    CHECK_STR(load(state, "gone"), "(none)");
    CHECK(!aq_state_was_damaged(state));
    aq_state *other;
    CHECK_EQ(aq_state_open(&other, dir, "1:2 3:4 /elsewhere"), AQ_OK);
    CHECK_STR(load(other, "a"), "(none)");
    aq_state_close(other);
    aq_state_close(state);
    scratch_close();
}

TEST(a_value_that_does_not_fit_says_its_size)
{
    aq_state *state;
    uint8_t small[2] = {7, 7};
    scratch_open();
    CHECK_EQ(aq_state_open(&state, dir, "x"), AQ_OK);
    CHECK_EQ(save(state, "k", "12345"), AQ_OK);
    aq_item items[2] = {{.path = "k", .data = small, .size = 2}, {.path = "none"}};
    aq_op op = {.kind = AQ_OP_LOAD, .items = items, .item_count = 2};
    aq_state_run(state, &op);
    CHECK_EQ(items[0].status, AQ_OK);
    CHECK_EQ(items[0].done, 5);
    CHECK_EQ(small[0], 7);
    CHECK_EQ(items[1].status, AQ_NOT_FOUND);
    aq_op wrong = {.kind = AQ_OP_STAT, .items = items, .item_count = 1};
    aq_state_run(state, &wrong);
    CHECK_EQ(items[0].status, AQ_USAGE);
    aq_state_close(state);
    scratch_close();
}

static void scribble(const char *path, off_t at, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(pwrite(fd, text, strlen(text), at), strlen(text));
    close(fd);
}

TEST(a_damaged_file_is_set_aside)
{
    aq_state *state;
    char path[512];
    scratch_open();
    CHECK_EQ(aq_state_open(&state, dir, "x"), AQ_OK);
    (void)snprintf(path, sizeof path, "%s", find(".db"));
    CHECK_EQ(save(state, "k", "v"), AQ_OK);
    aq_state_close(state);
    scribble(path, 0, "this was a database once, and now it is prose");
    CHECK_EQ(aq_state_open(&state, dir, "x"), AQ_OK);
    CHECK(aq_state_was_damaged(state));
    CHECK(find(".db.corrupt")[0] != '\0');
    CHECK_STR(load(state, "k"), "(none)");
    CHECK_EQ(save(state, "k", "v2"), AQ_OK);
    aq_state_close(state);
    CHECK_EQ(aq_state_open(&state, dir, "x"), AQ_OK);
    CHECK(!aq_state_was_damaged(state));
    CHECK_STR(load(state, "k"), "v2");
    aq_state_close(state);
    CHECK_EQ(truncate(path, 0), 0); /* an empty one is new, not damaged */
    CHECK_EQ(aq_state_open(&state, dir, "x"), AQ_OK);
    CHECK_STR(load(state, "k"), "(none)");
    aq_state_close(state);
    scratch_close();
}

TEST(damage_that_shows_later)
{
    aq_state *state;
    char path[512];
    char noise[4096];
    scratch_open();
    CHECK_EQ(aq_state_open(&state, dir, "x"), AQ_OK);
    (void)snprintf(path, sizeof path, "%s", find(".db"));
    for (int i = 0; i < 2000; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "key-%d", i);
        CHECK_EQ(save(state, key, "a value of some length, to fill pages"), AQ_OK);
    }
    aq_state_close(state);
    memset(noise, 'n', sizeof noise - 1);
    noise[sizeof noise - 1] = '\0';
    for (off_t at = 3 * 4096; at < 20 * 4096; at += 4096) {
        scribble(path, at, noise);
    }
    CHECK_EQ(aq_state_open(&state, dir, "x"), AQ_OK);
    for (int i = 0; i < 2000; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "key-%d", i);
        const char *value = load(state, key);
        CHECK(strcmp(value, "(none)") == 0 || strncmp(value, "a value", 7) == 0);
    }
    CHECK(aq_state_was_damaged(state));
    CHECK_EQ(save(state, "k", "v"), AQ_OK);
    CHECK_STR(load(state, "k"), "v");
    aq_state_close(state);
    scratch_close();
}

TEST(foreign_and_newer_files_are_set_aside)
{
    static const char *const alterations[] = {
        "PRAGMA user_version = 99", "PRAGMA application_id = 5",
        "UPDATE root SET identity = 'another'", "DROP TABLE root", "DROP TABLE kv"};
    for (unsigned i = 0; i < sizeof alterations / sizeof *alterations; i++) {
        aq_state *state;
        sqlite3 *db;
        scratch_open();
        CHECK_EQ(aq_state_open(&state, dir, "x"), AQ_OK);
        CHECK_EQ(save(state, "k", "v"), AQ_OK);
        aq_state_close(state);
        CHECK_EQ(sqlite3_open(find(".db"), &db), SQLITE_OK);
        CHECK_EQ(sqlite3_exec(db, alterations[i], NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
        CHECK_EQ(aq_state_open(&state, dir, "x"), AQ_OK);
        CHECK(aq_state_was_damaged(state));
        CHECK(find(".db.corrupt")[0] != '\0');
        CHECK_STR(load(state, "k"), "(none)");
        aq_state_close(state);
        scratch_close();
    }
}

TEST(state_that_cannot_be)
{
    aq_state *state;
    scratch_open();
    (void)snprintf(dir, sizeof dir, "%s/file", top);
    scribble(dir, 0, "x");
    strcat(dir, "/below");
    CHECK_EQ(aq_state_open(&state, dir, "x"), AQ_NOT_DIRECTORY);
    CHECK(state == NULL);
    scratch_close();
}

static void *saver(void *context)
{
    char key[32];
    for (int i = 0; i < 200; i++) {
        (void)snprintf(key, sizeof key, "%lx-%d", (unsigned long)pthread_self(), i);
        CHECK_EQ(save(context, key, "v"), AQ_OK);
    }
    return NULL;
}

TEST(many_threads_and_two_processes)
{
    aq_state *state;
    pthread_t threads[4];
    int status;
    scratch_open();
    CHECK_EQ(aq_state_open(&state, dir, "x"), AQ_OK);
    pid_t child = fork();
    if (child == 0) {
        aq_state *own;
        CHECK_EQ(aq_state_open(&own, dir, "x"), AQ_OK);
        saver(own);
        CHECK_EQ(save(own, "child", "was here"), AQ_OK);
        aq_state_close(own);
        _exit(test_checks_failed);
    }
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, saver, state), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_STR(load(state, "child"), "was here");
    aq_state_close(state);
    scratch_close();
}

static void save_for_ever(int report)
{
    aq_state *state;
    if (aq_state_open(&state, dir, "x") != AQ_OK) {
        _exit(1);
    }
    for (unsigned i = 1;; i++) {
        aq_item items[2] = {{.path = "a", .data = (uint8_t *)&i, .size = sizeof i},
                            {.path = "b", .data = (uint8_t *)&i, .size = sizeof i}};
        aq_op op = {.kind = AQ_OP_SAVE, .items = items, .item_count = 2};
        aq_state_run(state, &op);
        if (items[0].status != AQ_OK || write(report, &i, sizeof i) != sizeof i) {
            _exit(1);
        }
    }
}

TEST(a_batch_is_whole_when_killed)
{
    scratch_open();
    for (unsigned round = 0; round < 10; round++) {
        int pipes[2];
        unsigned said = 0;
        unsigned a = 0;
        unsigned b = 0;
        aq_state *state;
        CHECK_EQ(pipe(pipes), 0);
        pid_t child = fork();
        if (child == 0) {
            save_for_ever(pipes[1]);
        }
        close(pipes[1]);
        CHECK_EQ(read(pipes[0], &said, sizeof said), sizeof said);
        usleep(round * 300);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        while (read(pipes[0], &said, sizeof said) == sizeof said) {
        }
        close(pipes[0]);
        CHECK_EQ(aq_state_open(&state, dir, "x"), AQ_OK);
        CHECK(!aq_state_was_damaged(state));
        aq_item items[2] = {{.path = "a", .data = (uint8_t *)&a, .size = sizeof a},
                            {.path = "b", .data = (uint8_t *)&b, .size = sizeof b}};
        aq_op op = {.kind = AQ_OP_LOAD, .items = items, .item_count = 2};
        aq_state_run(state, &op);
        CHECK_EQ(a, b);
        CHECK(a >= said); /* what was answered survives the process */
        aq_state_close(state);
    }
    scratch_close();
}

/* ---- locks -----------------------------------------------------------------------------
 */

TEST(lock_modes)
{
    aq_lock *a;
    aq_lock *b;
    char owner[256];
    char want[64];
    scratch_open();
    CHECK_EQ(aq_lock_take(&a, dir, "1:2 rest", AQ_LOCK_SHARED, owner, sizeof owner), AQ_OK);
    CHECK_EQ(aq_lock_take(&b, dir, "1:2 other", AQ_LOCK_SHARED, owner, sizeof owner),
             AQ_OK);
    aq_lock_give(b);
    CHECK_EQ(
        aq_lock_take(&b, dir, "1:2 other path", AQ_LOCK_EXCLUSIVE, owner, sizeof owner),
        AQ_BUSY);
    CHECK(b == NULL);
    (void)snprintf(want, sizeof want, "pid %ld (", (long)getpid());
    CHECK_EQ(strncmp(owner, want, strlen(want)), 0);
    CHECK(strstr(owner, "test_native_state") != NULL || strstr(owner, "t_state") != NULL);
    CHECK(strstr(owner, " since 20") != NULL);
    CHECK_EQ(aq_lock_take(&b, dir, "1:3 rest", AQ_LOCK_EXCLUSIVE, owner, sizeof owner),
             AQ_OK);
    CHECK_STR(owner, "");
    aq_lock_give(b);
    aq_lock_give(a);
    CHECK_EQ(aq_lock_take(&a, dir, "1:2", AQ_LOCK_EXCLUSIVE, owner, sizeof owner), AQ_OK);
    CHECK_EQ(aq_lock_take(&b, dir, "1:2", AQ_LOCK_SHARED, owner, 1), AQ_BUSY);
    CHECK_STR(owner, ""); /* no room for more */
    aq_lock_give(a);
    aq_lock_give(NULL);
    scratch_close();
}

TEST(lock_of_a_dead_process_is_free)
{
    int ready[2];
    char byte;
    char owner[256];
    char want[64];
    aq_lock *lock;
    scratch_open();
    CHECK_EQ(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        if (aq_lock_take(&lock, dir, "1:2", AQ_LOCK_EXCLUSIVE, owner, sizeof owner) ==
                AQ_OK &&
            write(ready[1], "x", 1) == 1) {
            pause();
        }
        _exit(1);
    }
    CHECK_EQ(read(ready[0], &byte, 1), 1);
    CHECK_EQ(aq_lock_take(&lock, dir, "1:2", AQ_LOCK_EXCLUSIVE, owner, sizeof owner),
             AQ_BUSY);
    (void)snprintf(want, sizeof want, "pid %ld (", (long)child);
    CHECK_EQ(strncmp(owner, want, strlen(want)), 0);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    CHECK_EQ(aq_lock_take(&lock, dir, "1:2", AQ_LOCK_EXCLUSIVE, owner, sizeof owner),
             AQ_OK);
    aq_lock_give(lock);
    close(ready[0]);
    close(ready[1]);
    scratch_close();
}

TEST_MAIN(TEST_REF(what_is_saved_is_there_again),
          TEST_REF(a_value_that_does_not_fit_says_its_size),
          TEST_REF(a_damaged_file_is_set_aside), TEST_REF(damage_that_shows_later),
          TEST_REF(foreign_and_newer_files_are_set_aside), TEST_REF(state_that_cannot_be),
          TEST_REF(many_threads_and_two_processes), TEST_REF(a_batch_is_whole_when_killed),
          TEST_REF(lock_modes), TEST_REF(lock_of_a_dead_process_is_free))
