/* test_native_publish.c: what displaces a user's files, and who tries to break it: users
 * who edit meanwhile, directories swapped for links, full disks, crashes, many threads. */
#include "native_fs.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* ---- publishing ------------------------------------------------------------------------
 */

TEST(publish_of_something_new)
{
    EACH_WAY(way)
    {
        bench b;
        aq_stamp stamp;
        bench_open(&b, way);
        CHECK_EQ(mkdir(in(&b, "d"), 0755), 0);
        CHECK_EQ(publish_text(&b, "d/f", "hello", NULL, NULL, &stamp), AQ_OK);
        CHECK_STR(user_read(in(&b, "d/f")), "hello");
        aq_stamp now = stamp_at(&b, "d/f");
        CHECK_EQ(stamp.inode, now.inode);
        CHECK_EQ(stamp.ctime_ns, now.ctime_ns);
        CHECK_EQ(stamp.size, now.size);
        CHECK_EQ(stamp.mtime_ns, 1000000000);
        aq_item again = {.path = "d/g", .slot = 100000};
        CHECK_EQ(run(&b, AQ_OP_PUBLISH, &again), AQ_NOT_FOUND);
        CHECK_EQ(publish_text(&b, "none/f", "x", NULL, NULL, NULL), AQ_NOT_FOUND);
        CHECK_EQ(publish_text(&b, "d/f/x", "x", NULL, NULL, NULL), AQ_NOT_DIRECTORY);
        bench_close(&b);
    }
}

TEST(publish_sets_size_and_permissions)
{
    EACH_WAY(way)
    {
        bench b;
        struct stat st;
        bench_open(&b, way);
        mode_t mask = umask(027);
        aq_item item = {
            .path = "new", .slot = 1, .data = (uint8_t *)"12345678", .size = 8, .exec = 1};
        CHECK_EQ(run(&b, AQ_OP_WRITE, &item), AQ_OK);
        item.size = 5;
        CHECK_EQ(run(&b, AQ_OP_PUBLISH, &item), AQ_OK);
        CHECK_EQ(stat(in(&b, "new"), &st), 0);
        CHECK_EQ(st.st_mode & 07777, 0750);
        CHECK_EQ(st.st_size, 5);
        CHECK_EQ(item.stamp.exec, 1);

        user_write(in(&b, "old"), "x");
        CHECK_EQ(chmod(in(&b, "old"), 04604), 0);
        aq_stamp expect = stamp_at(&b, "old");
        CHECK_EQ(publish_text(&b, "old", "fresh", &expect, NULL, NULL), AQ_OK);
        CHECK_EQ(stat(in(&b, "old"), &st), 0);
        CHECK_EQ(st.st_mode & 07777, 0604);

        item = (aq_item){.path = "old",
                         .slot = 2,
                         .data = (uint8_t *)"#!",
                         .size = 2,
                         .exec = 1,
                         .expect = stamp_at(&b, "old")};
        CHECK_EQ(run(&b, AQ_OP_WRITE, &item), AQ_OK);
        CHECK_EQ(run(&b, AQ_OP_PUBLISH, &item), AQ_OK);
        CHECK_EQ(stat(in(&b, "old"), &st), 0);
        CHECK_EQ(st.st_mode & 07777, 0705);
        CHECK_STR(user_read(in(&b, "old")), "#!");
        umask(mask);
        bench_close(&b);
    }
}

/* The one file in the root whose name begins so; "" if there is none. */
static const char *find(const bench *b, const char *path, const char *begin)
{
    static char found[512];
    DIR *directory = opendir(in(b, path));
    found[0] = '\0';
    for (struct dirent *entry; directory && (entry = readdir(directory)) != NULL;) {
        if (strncmp(entry->d_name, begin, strlen(begin)) == 0) {
            (void)snprintf(found, sizeof found, "%s/%s", path, entry->d_name);
        }
    }
    if (directory) {
        closedir(directory);
    }
    return found;
}

TEST(publish_over_what_was_expected)
{
    EACH_WAY(way)
    {
        bench b;
        aq_stamp stamp;
        bench_open(&b, way);
        user_write(in(&b, "f"), "one");
        stamp = stamp_at(&b, "f");
        CHECK_EQ(publish_text(&b, "f", "two", &stamp, NULL, &stamp), AQ_OK);
        CHECK_STR(user_read(in(&b, "f")), "two");
        CHECK_STR(find(&b, "", "f."), "");
        CHECK_EQ(publish_text(&b, "f", "three", &stamp, "old/x/f", &stamp), AQ_OK);
        CHECK_STR(user_read(in(&b, "old/x/f")), "two");
        CHECK_EQ(publish_text(&b, "f", "four", &stamp, "old/x/f", &stamp), AQ_OK);
        CHECK_STR(user_read(in(&b, "old/x/f.~1~")), "three");
        CHECK_EQ(publish_text(&b, "f", "five", &stamp, "old/x/f", &stamp), AQ_OK);
        CHECK_STR(user_read(in(&b, "old/x/f.~2~")), "four");
        CHECK_STR(user_read(in(&b, "f")), "five");
        CHECK_EQ(unlink(in(&b, "f")), 0); /* nothing there is no harm */
        CHECK_EQ(publish_text(&b, "f", "six", &stamp, NULL, &stamp), AQ_OK);
        CHECK_EQ(symlink("x", in(&b, "l")), 0);
        stamp = stamp_at(&b, "l");
        CHECK_EQ(publish_text(&b, "l", "file", &stamp, NULL, &stamp), AQ_OK);
        CHECK_STR(user_read(in(&b, "l")), "file");
        run_items(&b, AQ_OP_DISCARD, NULL, 0);
        CHECK(!exists(in(&b, ".acequia"))); /* nothing was left behind */
        bench_close(&b);
    }
}

TEST(publish_keeps_what_nobody_expected)
{
    EACH_WAY(way)
    {
        bench b;
        bench_open(&b, way);
        user_write(in(&b, "f"), "one");
        aq_stamp expect = stamp_at(&b, "f");
        user_write(in(&b, "f"), "edited");
        CHECK_EQ(publish_text(&b, "f", "two", &expect, "backup/f", NULL), AQ_CHANGED);
        CHECK_STR(user_read(in(&b, "f")), "two");
        CHECK_STR(user_read(in(&b, find(&b, "", "f.displaced-"))), "edited");
        CHECK(!exists(in(&b, "backup")));
        user_write(in(&b, "g"), "came");
        CHECK_EQ(publish_text(&b, "g", "three", NULL, NULL, NULL), AQ_CHANGED);
        CHECK_STR(user_read(in(&b, "g")), "three");
        CHECK_STR(user_read(in(&b, find(&b, "", "g.displaced-"))), "came");
        /* Same size and time, by another hand: the change time tells. */
        user_write(in(&b, "h"), "AAAA");
        expect = stamp_at(&b, "h");
        struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                    {.tv_sec = expect.mtime_ns / 1000000000,
                                     .tv_nsec = expect.mtime_ns % 1000000000}};
        usleep(20000);
        user_write(in(&b, "h"), "BBBB");
        CHECK_EQ(utimensat(AT_FDCWD, in(&b, "h"), times, 0), 0);
        CHECK_EQ(publish_text(&b, "h", "four", &expect, NULL, NULL), AQ_CHANGED);
        CHECK_STR(user_read(in(&b, find(&b, "", "h.displaced-"))), "BBBB");
        bench_close(&b);
    }
}

TEST(publish_leaves_directories_and_devices)
{
    EACH_WAY(way)
    {
        bench b;
        aq_stamp file = {.type = AQ_TYPE_FILE};
        bench_open(&b, way);
        CHECK_EQ(mkdir(in(&b, "d"), 0755), 0);
        CHECK_EQ(mkfifo(in(&b, "p"), 0755), 0);
        const char *const names[] = {"d", "p"};
        for (int i = 0; i < 2; i++) {
            CHECK_EQ(publish_text(&b, names[i], "x", NULL, NULL, NULL), AQ_EXISTS);
            CHECK_EQ(publish_text(&b, names[i], "x", &file, NULL, NULL), AQ_EXISTS);
        }
        CHECK_EQ(stamp_at(&b, "d").type, AQ_TYPE_DIRECTORY);
        CHECK_EQ(stamp_at(&b, "p").type, AQ_TYPE_OTHER);
        CHECK(find(&b, ".acequia/stage", "0")[0] != '\0'); /* the slots stay */
        bench_close(&b);
    }
}

TEST(publish_of_the_longest_names)
{
    EACH_WAY(way)
    {
        bench b;
        char name[300];
        aq_stamp old = {.type = AQ_TYPE_FILE};
        bench_open(&b, way);
        memset(name, 0, sizeof name);
        for (int i = 0; i < 254; i += 2) {
            memcpy(name + i, "\xc3\xa4", 2);
        }
        name[254] = 'x';
        user_write(in(&b, name), "long");
        CHECK_EQ(publish_text(&b, name, "new", &old, NULL, NULL), AQ_CHANGED);
        name[20] = '\0';
        CHECK_STR(user_read(in(&b, name)), "(nothing)");
        const char *kept = find(&b, "", name);
        CHECK(kept[0] != '\0');
        memset(name, 'y', 256);
        CHECK_EQ(publish_text(&b, name, "new", NULL, NULL, NULL), AQ_NAME);
        bench_close(&b);
    }
}

TEST(publish_into_many_directories_waits_for_the_disk)
{
    enum { COUNT = 12 };
    const unsigned without[] = {0, AQ_FS_NO_SYNCFS};
    for (unsigned w = 0; w < 2; w++) {
        bench b;
        char paths[COUNT][16];
        aq_item items[COUNT];
        aq_fs_options options = {.writable = true, .fsync = true, .without = without[w]};
        bench_open(&b, 0);
        aq_fs_close(b.fs);
        CHECK_EQ(aq_fs_open(&b.fs, b.root, &options), AQ_OK);
        for (unsigned i = 0; i < COUNT; i++) {
            (void)snprintf(paths[i], sizeof paths[i], "d%u/f", i);
            paths[i][strlen(paths[i]) - 2] = '\0';
            CHECK_EQ(mkdir(in(&b, paths[i]), 0755), 0);
            paths[i][strlen(paths[i])] = '/';
            CHECK_EQ(stage_text(&b, i, "x"), AQ_OK);
            items[i] = (aq_item){.path = paths[i], .slot = i, .size = 1};
        }
        CHECK_EQ(run_items(&b, AQ_OP_PUBLISH, items, 3), AQ_OK);
        CHECK_EQ(run_items(&b, AQ_OP_PUBLISH, items + 3, COUNT - 3), AQ_OK);
        for (unsigned i = 0; i < COUNT; i++) {
            CHECK_EQ(items[i].status, AQ_OK);
            CHECK_STR(user_read(in(&b, paths[i])), "x");
        }
        bench_close(&b);
    }
}

/* ---- removing --------------------------------------------------------------------------
 */

TEST(remove_takes_only_what_was_expected)
{
    EACH_WAY(way)
    {
        bench b;
        bench_open(&b, way);
        user_write(in(&b, "f"), "one");
        CHECK_EQ(symlink("x", in(&b, "l")), 0);
        CHECK_EQ(mkdir(in(&b, "d"), 0755), 0);
        user_write(in(&b, "d/x"), "x");
        aq_item file = {.path = "f", .expect = stamp_at(&b, "f")};
        aq_item link = {.path = "l", .expect = stamp_at(&b, "l")};
        aq_item directory = {.path = "d", .expect = stamp_at(&b, "d")};
        aq_item nothing = {.path = "f"};
        CHECK_EQ(run(&b, AQ_OP_REMOVE, &nothing), AQ_CHANGED);
        CHECK_EQ(run(&b, AQ_OP_REMOVE, &directory), AQ_NOT_EMPTY);
        user_write(in(&b, "f"), "edited");
        CHECK_EQ(run(&b, AQ_OP_REMOVE, &file), AQ_CHANGED);
        CHECK_STR(user_read(in(&b, "f")), "edited");
        file.expect = stamp_at(&b, "f");
        CHECK_EQ(run(&b, AQ_OP_REMOVE, &file), AQ_OK);
        CHECK(!exists(in(&b, "f")));
        CHECK_EQ(run(&b, AQ_OP_REMOVE, &file), AQ_NOT_FOUND);
        CHECK_EQ(run(&b, AQ_OP_REMOVE, &nothing), AQ_OK);
        CHECK_EQ(run(&b, AQ_OP_REMOVE, &link), AQ_OK);
        aq_item inside = {
            .path = "d/x", .expect = stamp_at(&b, "d/x"), .target = "bak/d/x"};
        CHECK_EQ(run(&b, AQ_OP_REMOVE, &inside), AQ_OK);
        CHECK_STR(user_read(in(&b, "bak/d/x")), "x");
        directory.target = "bak/d"; /* its times changed since; its emptiness counts */
        CHECK_EQ(run(&b, AQ_OP_REMOVE, &directory), AQ_OK);
        CHECK(!exists(in(&b, "d")));
        CHECK_EQ(mkfifo(in(&b, "p"), 0600), 0);
        aq_item pipe = {.path = "p", .expect = stamp_at(&b, "p")};
        CHECK_EQ(run(&b, AQ_OP_REMOVE, &pipe), AQ_UNSUPPORTED);
        run_items(&b, AQ_OP_DISCARD, NULL, 0);
        CHECK(!exists(in(&b, ".acequia")));
        bench_close(&b);
    }
}

/* ---- paths that lead out ---------------------------------------------------------------
 */

/* Everything "outside" is the test's own: one that fails must do no harm to the machine. */
TEST(no_op_follows_a_link_or_leaves_the_root)
{
    static const aq_op_kind kinds[] = {AQ_OP_LIST,   AQ_OP_STAT,   AQ_OP_READ,
                                       AQ_OP_MKDIR,  AQ_OP_REMOVE, AQ_OP_META,
                                       AQ_OP_RENAME, AQ_OP_COPY,   AQ_OP_PUBLISH};
    static const char *const paths[] = {
        "out/x", "in/../../outside/x", "../outside/x", "in//x", "in/./x",
        "..",    ".acequia/stage/x",   ".acequia",     "abs/x", "chain/x/y",
        NULL, /* the absolute path of the file outside */
    };
    EACH_WAY(way)
    {
        bench b;
        char outside[128];
        uint8_t data[64];
        bench_open(&b, way);
        (void)snprintf(outside, sizeof outside, "%s/outside", b.top);
        CHECK_EQ(mkdir(outside, 0755), 0);
        CHECK_EQ(mkdir(in(&b, "in"), 0755), 0);
        CHECK_EQ(symlink("../outside", in(&b, "out")), 0);
        CHECK_EQ(symlink(outside, in(&b, "abs")), 0);
        CHECK_EQ(symlink("out", in(&b, "chain")), 0);
        strcat(outside, "/x");
        user_write(outside, "secret");
        for (unsigned k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            for (unsigned p = 0; p < sizeof paths / sizeof *paths; p++) {
                CHECK_EQ(stage_text(&b, 9, "evil"), AQ_OK);
                const char *path = paths[p] ? paths[p] : outside;
                aq_item item = {.path = path,
                                .target = "in/y",
                                .slot = 9,
                                .data = data,
                                .size = sizeof data};
                item.expect.type = AQ_TYPE_FILE;
                aq_status status = run(&b, kinds[k], &item);
                bool refused = status == AQ_NAME || status == AQ_NOT_DIRECTORY ||
                               status == AQ_NOT_FOUND;
                bool nothing = kinds[k] == AQ_OP_STAT && item.stamp.type == AQ_TYPE_NONE;
                if (!refused && !nothing) {
                    TEST_PRINT("kind %d of %s:\n", (int)kinds[k], path);
                    CHECK_EQ(status, AQ_NAME);
                }
                CHECK_STR(user_read(outside), "secret");
            }
        }
        for (unsigned p = 0; p < sizeof paths / sizeof *paths; p++) {
            const char *path = paths[p] ? paths[p] : outside;
            user_write(in(&b, "f"), "mine");
            aq_item move = {.path = "f", .target = path};
            aq_status status = run(&b, AQ_OP_RENAME, &move);
            CHECK(status == AQ_NAME || status == AQ_NOT_DIRECTORY);
            move.expect = stamp_at(&b, "f");
            status = run(&b, AQ_OP_REMOVE, &move); /* with a backup's place for a trap */
            CHECK(status == AQ_NAME || status == AQ_NOT_DIRECTORY);
            CHECK_STR(user_read(in(&b, "f")), "mine");
            CHECK_EQ(publish_text(&b, "f", "new", &move.expect, path, NULL), status);
            CHECK_STR(user_read(in(&b, "f")), "mine");
            CHECK_STR(user_read(outside), "secret");
        }
        bench_close(&b);
    }
}

static atomic_bool stop;

/* Swaps the directory `d` and the link `l` for each other as fast as it can. */
static void *swapper(void *context)
{
    const bench *b = context;
    while (!stop) {
        CHECK_EQ(renameat2(AT_FDCWD, in(b, "d"), AT_FDCWD, in(b, "l"), RENAME_EXCHANGE), 0);
    }
    return NULL;
}

TEST(a_directory_swapped_for_a_link_at_any_moment)
{
    EACH_WAY(way)
    {
        bench b;
        pthread_t thread;
        char outside[128];
        char text[256];
        unsigned published = 0;
        bench_open_at(&b, "/dev/shm", way);
        (void)snprintf(outside, sizeof outside, "%s/outside", b.top);
        CHECK_EQ(mkdir(outside, 0755), 0);
        CHECK_EQ(mkdir(in(&b, "d"), 0755), 0);
        CHECK_EQ(symlink("../outside", in(&b, "l")), 0);
        (void)snprintf(outside, sizeof outside, "%s/outside/secret", b.top);
        user_write(outside, "secret");
        stop = false;
        CHECK_EQ(pthread_create(&thread, NULL, swapper, &b), 0);
        for (int i = 0; i < 400; i++) {
            char path[32];
            (void)snprintf(path, sizeof path, "d/%d", i);
            published += publish_text(&b, path, "x", NULL, NULL, NULL) == AQ_OK;
            aq_status status = read_text(&b, "d/secret", NULL, text);
            CHECK(status == AQ_NOT_FOUND || status == AQ_NOT_DIRECTORY);
            aq_item gone = {.path = "d/secret"};
            gone.expect.type = AQ_TYPE_DIRECTORY;
            (void)run(&b, AQ_OP_REMOVE, &gone);
            gone.path = "d/made";
            (void)run(&b, AQ_OP_MKDIR, &gone);
        }
        stop = true;
        pthread_join(thread, NULL);
        CHECK(published > 0);
        CHECK_STR(user_read(outside), "secret");
        CHECK_EQ(unlink(outside), 0);
        (void)snprintf(outside, sizeof outside, "%s/outside", b.top);
        CHECK_EQ(rmdir(outside), 0); /* nothing else came there */
        bench_close(&b);
    }
}

/* ---- users who edit meanwhile ----------------------------------------------------------
 */

enum { EDITS = 400 };

/* Saves version after version as editors do, and takes note of those it replaced itself. */
static bool replaced[EDITS];

static void *editor(void *context)
{
    const bench *b = context;
    for (int i = 0; i < EDITS; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "user %d", i);
        user_write(in(b, "mine"), text);
        if (renameat2(AT_FDCWD, in(b, "mine"), AT_FDCWD, in(b, "f"), RENAME_EXCHANGE) !=
            0) {
            CHECK_EQ(errno, ENOENT); /* between two steps of the plain way */
            i--;
            continue;
        }
        int version;
        if (sscanf(user_read(in(b, "mine")), "user %d", &version) == 1) {
            replaced[version] = true;
        }
        usleep(50);
    }
    stop = true;
    return NULL;
}

/* In the plain way an edit between the look and the rename may be lost when it is expected;
 * nothing is expected here, so nothing may be. */
TEST(no_edit_is_lost)
{
    for (unsigned w = 0; w < 2; w++) {
        bench b;
        pthread_t thread;
        bool kept[EDITS] = {false};
        int lost = 0;
        int version;
        bench_open_at(&b, "/dev/shm", ways[w]);
        memset(replaced, 0, sizeof replaced);
        user_write(in(&b, "f"), "first");
        aq_stamp expect = stamp_at(&b, "f");
        stop = false;
        CHECK_EQ(pthread_create(&thread, NULL, editor, &b), 0);
        while (!stop) {
            aq_stamp stamp;
            aq_status status = publish_text(&b, "f", "sync", &expect, NULL, &stamp);
            CHECK(status == AQ_OK || status == AQ_CHANGED);
            expect = stamp; /* what was published is expected, what the user saved is not */
            aq_item item = {.path = "f", .expect = expect};
            status = run(&b, AQ_OP_REMOVE, &item);
            CHECK(status == AQ_OK || status == AQ_CHANGED);
            if (status == AQ_OK) {
                (void)publish_text(&b, "f", "sync", NULL, NULL, &expect);
            }
        }
        pthread_join(thread, NULL);
        DIR *directory = opendir(b.root);
        for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
            if (sscanf(user_read(in(&b, entry->d_name)), "user %d", &version) == 1) {
                kept[version] = true;
            }
        }
        closedir(directory);
        for (int i = 0; i < EDITS; i++) {
            lost += !kept[i] && !replaced[i];
        }
        CHECK_EQ(lost, 0);
        bench_close(&b);
    }
}

/* ---- crashes ---------------------------------------------------------------------------
 */

TEST(a_crash_between_exchange_and_look_is_settled)
{
    bench b;
    struct stat st;
    char name[256];
    bench_open(&b, 0);
    CHECK_EQ(stage_text(&b, 1, "newcomer"), AQ_OK);
    CHECK_EQ(stage_text(&b, 2, "expected"), AQ_OK);
    CHECK_EQ(stage_text(&b, 3, "for the backup"), AQ_OK);
    CHECK_EQ(stage_text(&b, 4, "edited"), AQ_OK);
    static const char *const stage = ".acequia/stage/";
    for (unsigned i = 1; i <= 4; i++) {
        char slot[64];
        (void)snprintf(slot, sizeof slot, "%s%016x", stage, i);
        CHECK_EQ(stat(in(&b, slot), &st), 0);
        (void)snprintf(name, sizeof name, "%s.%llx.%llx.%llx.%llx.%d", slot,
                       (long long)(i == 1 ? st.st_ino : 12345), (long long)st.st_ino,
                       (long long)st.st_size + (i == 4), 1000000000LL, i != 3);
        CHECK_EQ(rename(in(&b, slot), in(&b, name)), 0);
    }
    bench_reopen(&b, 0);
    CHECK_EQ(stamp_at(&b, "x").type, AQ_TYPE_NONE); /* the first op settles it */
    CHECK_STR(user_read(in(&b, ".acequia/stage/0000000000000001")), "newcomer");
    CHECK(!exists(in(&b, "displaced-0000000000000002")));
    CHECK_STR(user_read(in(&b, "displaced-0000000000000003")), "for the backup");
    CHECK_STR(user_read(in(&b, "displaced-0000000000000004")), "edited");
    run_items(&b, AQ_OP_DISCARD, NULL, 0);
    CHECK(!exists(in(&b, ".acequia")));
    bench_close(&b);
}

static void publish_for_ever(const bench *b)
{
    aq_stamp stamp = stamp_at(b, "f");
    for (unsigned i = 0;; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "version %u of a whole file", i);
        if (publish_text(b, "f", text, &stamp, i % 3 ? NULL : "backup/f", &stamp) !=
            AQ_OK) {
            _exit(1);
        }
    }
}

TEST(killed_at_any_moment_the_file_is_whole)
{
    bench b;
    bench_open_at(&b, "/dev/shm", 0);
    user_write(in(&b, "f"), "version 0 of a whole file");
    for (unsigned round = 0; round < 40; round++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            bench_reopen(&b, 0);
            publish_for_ever(&b);
        }
        usleep(2000 + round * 37);
        CHECK_EQ(kill(child, SIGKILL), 0);
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK(WIFSIGNALED(status));
        bench_reopen(&b, 0);
        const char *text = user_read(in(&b, "f"));
        unsigned version;
        char end;
        CHECK_EQ(sscanf(text, "version %u of a whole fil%c", &version, &end), 2);
        run_items(&b, AQ_OP_DISCARD, NULL, 0);
        CHECK(!exists(in(&b, ".acequia")));
        CHECK_STR(find(&b, "", "f."), "");
    }
    bench_close(&b);
}

/* ---- trouble ---------------------------------------------------------------------------
 */

TEST(a_full_disk)
{
    bench b;
    enum { SIZE = 4 << 20 };
    bench_open(&b, 0);
    aq_fs_close(b.fs);
    b.fs = NULL;
    if (mount("tmpfs", b.root, "tmpfs", 0, "size=1m") != 0) {
        TEST_PRINT("SKIPPED a_full_disk: cannot mount a small tmpfs\n");
        bench_close(&b);
        return;
    }
    bench_reopen(&b, 0);
    uint8_t *data = malloc(SIZE);
    memset(data, 'x', SIZE);
    user_write(in(&b, "f"), "mine");
    aq_item item = {.slot = 1, .type = AQ_TYPE_FILE, .data = data, .size = SIZE};
    CHECK_EQ(run(&b, AQ_OP_STAGE, &item), AQ_NO_SPACE);
    CHECK(!exists(in(&b, ".acequia/stage/0000000000000001"))); /* and gave it back */
    CHECK_EQ(run(&b, AQ_OP_WRITE, &item), AQ_NO_SPACE);
    CHECK_EQ(run(&b, AQ_OP_DISCARD, &item), AQ_OK);
    CHECK_EQ(publish_text(&b, "g", "fits", NULL, NULL, NULL), AQ_OK);
    CHECK_STR(user_read(in(&b, "f")), "mine");
    free(data);
    aq_fs_close(b.fs);
    b.fs = NULL;
    CHECK_EQ(umount(b.root), 0);
    bench_close(&b);
}

static int as_nobody(bench *b)
{
    aq_fs_options options = {.writable = true};
    char text[256];
    aq_fs *fs;
    uint8_t data[256];
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0) {
        return 2;
    }
    int before = test_checks_failed;
    CHECK_EQ(aq_fs_open(&fs, in(b, "locked"), &options), AQ_ACCESS);
    CHECK_EQ(stage_text(b, 1, "x"), AQ_OK);
    aq_item item = {.path = "locked/f", .slot = 1, .size = 1};
    CHECK_EQ(run(b, AQ_OP_PUBLISH, &item), AQ_ACCESS);
    CHECK_EQ(read_text(b, "locked/secret", NULL, text), AQ_ACCESS);
    CHECK_EQ(read_text(b, "dark/f", NULL, text), AQ_OK); /* passable, but not listable */
    aq_item list = {.path = "dark", .data = data, .size = sizeof data};
    CHECK_EQ(run(b, AQ_OP_LIST, &list), AQ_ACCESS);
    return test_checks_failed - before;
}

TEST(without_permission)
{
    bench b;
    int status;
    bench_open(&b, 0);
    CHECK_EQ(chmod(b.top, 0755), 0);
    CHECK_EQ(chmod(b.root, 0777), 0);
    CHECK_EQ(mkdir(in(&b, "locked"), 0755), 0);
    user_write(in(&b, "locked/secret"), "x");
    CHECK_EQ(chmod(in(&b, "locked/secret"), 0), 0);
    CHECK_EQ(chmod(in(&b, "locked"), 0555), 0);
    CHECK_EQ(mkdir(in(&b, "dark"), 0755), 0);
    user_write(in(&b, "dark/f"), "x");
    CHECK_EQ(chmod(in(&b, "dark"), 0711), 0);
    if (geteuid() != 0) {
        CHECK_EQ(chmod(in(&b, "dark"), 0311), 0);
    }
    pid_t child = fork();
    if (child == 0) {
        _exit(as_nobody(&b));
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(chmod(in(&b, "locked"), 0755), 0);
    CHECK_EQ(chmod(in(&b, "dark"), 0755), 0);
    bench_close(&b);
}

TEST(a_stage_that_is_a_trap)
{
    bench b;
    char outside[128];
    bench_open(&b, 0);
    (void)snprintf(outside, sizeof outside, "%s/outside", b.top);
    CHECK_EQ(mkdir(outside, 0755), 0);
    CHECK_EQ(symlink("../outside", in(&b, ".acequia")), 0);
    CHECK_EQ(stage_text(&b, 1, "x"), AQ_NOT_DIRECTORY);
    run_items(&b, AQ_OP_DISCARD, NULL, 0);
    CHECK_EQ(unlink(in(&b, ".acequia")), 0);
    CHECK_EQ(stage_text(&b, 1, "x"), AQ_OK);
    char command[256];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", in(&b, ".acequia"));
    CHECK_EQ(system(command), 0); /* a user who cleans up */
    CHECK_EQ(stage_text(&b, 2, "x"), AQ_OK);
    CHECK_EQ(rmdir(outside), 0);
    bench_close(&b);
}

/* As a folding file system would let a peer do with ".Acequia". */
TEST(the_stage_by_another_name)
{
    bench b;
    bench_open(&b, 0);
    CHECK_EQ(stage_text(&b, 1, "x"), AQ_OK);
    CHECK_EQ(mkdir(in(&b, "alias"), 0755), 0);
    if (mount(in(&b, ".acequia"), in(&b, "alias"), "none", MS_BIND, NULL) != 0) {
        TEST_PRINT("SKIPPED the_stage_by_another_name: cannot mount\n");
        bench_close(&b);
        return;
    }
    aq_item item = {.path = "alias/x"};
    CHECK_EQ(run(&b, AQ_OP_MKDIR, &item), AQ_NAME);
    item.path = "alias/stage/x";
    CHECK_EQ(run(&b, AQ_OP_MKDIR, &item), AQ_NAME);
    CHECK_EQ(umount(in(&b, "alias")), 0);
    bench_close(&b);
}

TEST(out_of_descriptors_for_a_while)
{
    bench b;
    char text[256];
    bench_open(&b, 0);
    user_write(in(&b, "f"), "x");
    pid_t child = fork();
    if (child == 0) {
        (void)setrlimit(RLIMIT_NOFILE, &(struct rlimit){.rlim_cur = 32, .rlim_max = 32});
        while (open("/dev/null", O_RDONLY) >= 0) {
        }
        _exit(read_text(&b, "f", NULL, text) == AQ_IO ? 0 : 1); /* gives up in the end */
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    bench_close(&b);
}

/* ---- many at once ----------------------------------------------------------------------
 */

enum { THREADS = 4, FILES = 300 };

typedef struct worker {
    const bench *b;
    unsigned number;
    unsigned failures;
} worker;

static void *work(void *context)
{
    worker *w = context;
    char path[64];
    char backup[64];
    char text[256];
    aq_stamp stamp;
    for (unsigned i = 0; i < FILES; i++) {
        (void)snprintf(path, sizeof path, "d%u/t%u-%u", i % 7, w->number, i);
        (void)snprintf(backup, sizeof backup, "bak/%u/%u/f", i, w->number);
        w->failures += publish_text(w->b, path, path, NULL, NULL, &stamp) != AQ_OK;
        w->failures += publish_text(w->b, path, path, &stamp, backup, &stamp) != AQ_OK;
        w->failures += read_text(w->b, path, &stamp, text) != AQ_OK;
        w->failures += strcmp(text, path) != 0;
        aq_item item = {.path = path, .expect = stamp};
        w->failures += i % 2 && run(w->b, AQ_OP_REMOVE, &item) != AQ_OK;
    }
    return NULL;
}

TEST(four_threads_at_once)
{
    EACH_WAY(way)
    {
        bench b;
        pthread_t threads[THREADS];
        worker workers[THREADS];
        bench_open_at(&b, "/dev/shm", way);
        for (unsigned i = 0; i < 7; i++) {
            char name[8];
            (void)snprintf(name, sizeof name, "d%u", i);
            CHECK_EQ(mkdir(in(&b, name), 0755), 0);
        }
        for (unsigned i = 0; i < THREADS; i++) {
            workers[i] = (worker){.b = &b, .number = i};
            CHECK_EQ(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
        }
        for (unsigned i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
            CHECK_EQ(workers[i].failures, 0);
        }
        bench_close(&b);
    }
}

TEST_MAIN(TEST_REF(publish_of_something_new), TEST_REF(publish_sets_size_and_permissions),
          TEST_REF(publish_over_what_was_expected),
          TEST_REF(publish_keeps_what_nobody_expected),
          TEST_REF(publish_leaves_directories_and_devices),
          TEST_REF(publish_of_the_longest_names),
          TEST_REF(publish_into_many_directories_waits_for_the_disk),
          TEST_REF(remove_takes_only_what_was_expected),
          TEST_REF(no_op_follows_a_link_or_leaves_the_root),
          TEST_REF(a_directory_swapped_for_a_link_at_any_moment), TEST_REF(no_edit_is_lost),
          TEST_REF(a_crash_between_exchange_and_look_is_settled),
          TEST_REF(killed_at_any_moment_the_file_is_whole), TEST_REF(a_full_disk),
          TEST_REF(without_permission), TEST_REF(a_stage_that_is_a_trap),
          TEST_REF(the_stage_by_another_name), TEST_REF(out_of_descriptors_for_a_while),
          TEST_REF(four_threads_at_once))
