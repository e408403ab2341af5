/* test_native_fs.c: each storage op of the native host, on real files. */
#include "native_fs.h"

#include <sys/socket.h>
#include <sys/un.h>

/* ---- opening ---------------------------------------------------------------------------
 */

TEST(open_says_what_is_wrong)
{
    bench b;
    bench_open(&b, 0);
    user_write(in(&b, "file"), "x");
    aq_fs_options plain = {.writable = true};
    aq_fs *fs;
    CHECK_EQ(aq_fs_open(&fs, in(&b, "missing"), &plain), AQ_ROOT);
    CHECK(fs == NULL);
    CHECK_EQ(aq_fs_open(&fs, in(&b, "file"), &plain), AQ_NOT_DIRECTORY);
    aq_fs_options create = {.create = true};
    CHECK_EQ(aq_fs_open(&fs, in(&b, "a/b"), &create), AQ_ROOT);
    CHECK_EQ(aq_fs_open(&fs, in(&b, "a"), &create), AQ_OK);
    CHECK_STR(aq_fs_path(fs), in(&b, "a"));
    CHECK(strcmp(aq_fs_identity(fs), aq_fs_identity(b.fs)) != 0);
    aq_fs_close(fs);
    bench_close(&b);
}

TEST(identity_is_the_same_through_a_symlink)
{
    bench b;
    bench_open(&b, 0);
    aq_fs_options plain = {0};
    aq_fs *fs;
    char link[128];
    (void)snprintf(link, sizeof link, "%s/link", b.top);
    CHECK_EQ(symlink("root", link), 0);
    CHECK_EQ(aq_fs_open(&fs, link, &plain), AQ_OK);
    CHECK_STR(aq_fs_identity(fs), aq_fs_identity(b.fs));
    aq_fs_close(fs);
    bench_close(&b);
}

TEST(a_source_is_never_written_to)
{
    bench b;
    bench_open(&b, 0);
    aq_fs_options plain = {0};
    aq_fs_close(b.fs);
    CHECK_EQ(aq_fs_open(&b.fs, b.root, &plain), AQ_OK);
    CHECK_EQ(stage_text(&b, 1, "x"), AQ_USAGE);
    aq_item item = {.path = "d"};
    CHECK_EQ(run(&b, AQ_OP_MKDIR, &item), AQ_USAGE);
    run_items(&b, AQ_OP_DISCARD, NULL, 0);
    CHECK(!exists(in(&b, "d")));
    CHECK(!exists(in(&b, ".acequia")));
    bench_close(&b);
}

/* ---- LIST, STAT ------------------------------------------------------------------------
 */

/* Returns how many entries there are in `names`, joined by ' ' in listing order if there is
 * room. */
static unsigned list_all(const bench *b, aq_item *item, size_t room, unsigned *calls,
                         listed *last)
{
    uint8_t buffer[65536];
    unsigned count = 0;
    item->offset = 0;
    *calls = 0;
    do {
        item->data = buffer;
        item->size = room;
        if (run(b, AQ_OP_LIST, item) != AQ_OK) {
            return count;
        }
        ++*calls;
        for (uint64_t at = 0; at < item->done;) {
            memcpy(last, buffer + at, sizeof *last);
            at += sizeof *last + last->name_size + last->target_size;
            count++;
        }
    } while (item->offset != 0 && *calls < 10000);
    return count;
}

TEST(list_gives_names_stamps_and_targets)
{
    EACH_WAY(way)
    {
        bench b;
        unsigned calls;
        listed last;
        bench_open(&b, way);
        aq_item item = {.path = ""};
        CHECK_EQ(list_all(&b, &item, 4096, &calls, &last), 0);
        CHECK_EQ(item.stamp.type, AQ_TYPE_DIRECTORY);
        CHECK_EQ(stage_text(&b, 1, "x"), AQ_OK);
        CHECK_EQ(list_all(&b, &item, 4096, &calls, &last), 0); /* .acequia is hidden */
        CHECK_EQ(mkdir(in(&b, "d"), 0755), 0);
        CHECK_EQ(symlink("some/where", in(&b, "d/link")), 0);
        item.path = "d";
        CHECK_EQ(list_all(&b, &item, 4096, &calls, &last), 1);
        CHECK_EQ(last.stamp.type, AQ_TYPE_SYMLINK);
        CHECK_EQ(last.stamp.size, 10);
        CHECK_EQ(last.name_size, 4);
        CHECK_EQ(last.target_size, 10);
        item.path = "none";
        CHECK_EQ(run(&b, AQ_OP_LIST, &item), AQ_NOT_FOUND);
        item.path = "d/link";
        CHECK_EQ(run(&b, AQ_OP_LIST, &item), AQ_NOT_DIRECTORY);
        bench_close(&b);
    }
}

TEST(list_goes_on_where_it_stopped)
{
    bench b;
    unsigned calls;
    listed last;
    bench_open(&b, 0);
    for (int i = 0; i < 3000; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "file-%04d", i);
        user_write(in(&b, name), "x");
    }
    aq_item item = {.path = ""};
    CHECK_EQ(list_all(&b, &item, 1000, &calls, &last), 3000);
    CHECK(calls > 100);
    CHECK_EQ(list_all(&b, &item, 65536, &calls, &last), 3000);
    CHECK(calls < 10);
    uint8_t tiny[8];
    aq_item small = {.path = "", .data = tiny, .size = sizeof tiny};
    CHECK_EQ(run(&b, AQ_OP_LIST, &small), AQ_MEMORY); /* and not for ever the same */
    bench_close(&b);
}

TEST(list_gives_names_that_are_not_utf8)
{
    bench b;
    unsigned calls;
    listed last;
    bench_open(&b, 0);
    user_write(in(&b, "\xff\xfe"), "x");
    aq_item item = {.path = ""};
    CHECK_EQ(list_all(&b, &item, 4096, &calls, &last), 1);
    CHECK_EQ(last.name_size, 2);
    bench_close(&b);
}

TEST(list_of_slots)
{
    bench b;
    unsigned calls;
    listed last;
    bench_open(&b, 0);
    aq_item item = {.path = "", .flags = AQ_ITEM_SLOT};
    CHECK_EQ(list_all(&b, &item, 4096, &calls, &last), 0);
    CHECK_EQ(item.status, AQ_OK);
    CHECK(!exists(in(&b, ".acequia")));
    CHECK_EQ(stage_text(&b, 0xabc, "hello"), AQ_OK);
    user_write(in(&b, ".acequia/stage/notes"), "not a slot");
    CHECK_EQ(list_all(&b, &item, 4096, &calls, &last), 1);
    CHECK_EQ(last.name_size, 16);
    CHECK_EQ(last.stamp.size, 5);
    CHECK(exists(in(&b, ".acequia/stage/0000000000000abc")));
    bench_close(&b);
}

TEST(list_of_a_root_that_is_no_longer_there)
{
    bench b;
    char away[128];
    bench_open(&b, 0);
    aq_item item = {.path = ""};
    (void)snprintf(away, sizeof away, "%s/away", b.top);
    CHECK_EQ(rename(b.root, away), 0);
    CHECK_EQ(run(&b, AQ_OP_LIST, &item), AQ_ROOT);
    CHECK_EQ(mkdir(b.root, 0755), 0); /* an empty one in its place */
    CHECK_EQ(run(&b, AQ_OP_LIST, &item), AQ_ROOT);
    bench_close(&b);
}

TEST(stat_knows_types_and_nothing)
{
    EACH_WAY(way)
    {
        bench b;
        bench_open(&b, way);
        CHECK_EQ(mkdir(in(&b, "d"), 0755), 0);
        user_write(in(&b, "d/f"), "1234");
        CHECK_EQ(symlink("f", in(&b, "d/l")), 0);
        CHECK_EQ(mkfifo(in(&b, "d/p"), 0600), 0);
        CHECK_EQ(chmod(in(&b, "d/f"), 0755), 0);
        CHECK_EQ(stamp_at(&b, "").type, AQ_TYPE_DIRECTORY);
        CHECK_EQ(stamp_at(&b, "d").type, AQ_TYPE_DIRECTORY);
        CHECK_EQ(stamp_at(&b, "d").size, 0);
        CHECK_EQ(stamp_at(&b, "d/f").size, 4);
        CHECK_EQ(stamp_at(&b, "d/f").exec, 1);
        CHECK_EQ(stamp_at(&b, "d/l").type, AQ_TYPE_SYMLINK);
        CHECK_EQ(stamp_at(&b, "d/l").exec, 0);
        CHECK_EQ(stamp_at(&b, "d/p").type, AQ_TYPE_OTHER);
        CHECK_EQ(stamp_at(&b, "d/none").type, AQ_TYPE_NONE);
        CHECK_EQ(stamp_at(&b, "none/none").type, AQ_TYPE_NONE);
        CHECK_EQ(stamp_at(&b, "d/f/x").type, AQ_TYPE_NONE);
        bench_close(&b);
    }
}

/* ---- READ ------------------------------------------------------------------------------
 */

static unsigned works;

static void count_work(aq_op *op)
{
    (void)op;
    works++;
}

TEST(read_gives_ranges_and_calls_work_once)
{
    EACH_WAY(way)
    {
        bench b;
        uint8_t data[16];
        bench_open(&b, way);
        user_write(in(&b, "f"), "0123456789");
        aq_item items[3] = {{.path = "f", .data = data, .offset = 2, .size = 3},
                            {.path = "f", .data = data + 3, .offset = 8, .size = 10},
                            {.path = "none", .data = data, .size = 1}};
        works = 0;
        work_hook = count_work;
        run_items(&b, AQ_OP_READ, items, 3);
        work_hook = NULL;
        CHECK_EQ(works, 1);
        CHECK_EQ(items[0].status, AQ_OK);
        CHECK_EQ(items[0].done, 3);
        CHECK_EQ(items[0].stamp.size, 10);
        CHECK_EQ(items[1].done, 2);
        CHECK_EQ(memcmp(data, "23489", 5), 0);
        CHECK_EQ(items[2].status, AQ_NOT_FOUND);
        CHECK_EQ(stage_text(&b, 5, "slot"), AQ_OK);
        aq_item slot = {.slot = 5, .flags = AQ_ITEM_SLOT, .data = data, .size = 16};
        CHECK_EQ(run(&b, AQ_OP_READ, &slot), AQ_OK);
        CHECK_EQ(slot.done, 4);
        bench_close(&b);
    }
}

TEST(read_of_another_file_than_expected)
{
    bench b;
    char text[256];
    bench_open(&b, 0);
    user_write(in(&b, "f"), "old");
    aq_stamp expect = stamp_at(&b, "f");
    CHECK_EQ(read_text(&b, "f", &expect, text), AQ_OK);
    CHECK_STR(text, "old");
    user_write(in(&b, "f"), "longer");
    CHECK_EQ(read_text(&b, "f", &expect, text), AQ_CHANGED);
    expect = stamp_at(&b, "f");
    CHECK_EQ(chmod(in(&b, "f"), 0755), 0);
    CHECK_EQ(read_text(&b, "f", &expect, text), AQ_CHANGED);
    expect = stamp_at(&b, "f");
    CHECK_EQ(rename(in(&b, "f"), in(&b, "g")), 0);
    CHECK_EQ(symlink("g", in(&b, "f")), 0);
    CHECK_EQ(read_text(&b, "f", &expect, text), AQ_CHANGED);
    CHECK_EQ(read_text(&b, "f", NULL, text), AQ_UNSUPPORTED);
    bench_close(&b);
}

TEST(read_never_blocks_on_what_is_no_file)
{
    bench b;
    char text[256];
    bench_open(&b, 0);
    CHECK_EQ(mkfifo(in(&b, "pipe"), 0600), 0);
    CHECK_EQ(mkdir(in(&b, "dir"), 0700), 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", in(&b, "socket"));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_EQ(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    const char *const names[] = {"pipe", "dir", "socket"};
    for (int i = 0; i < 3; i++) {
        aq_stamp file = {.type = AQ_TYPE_FILE};
        CHECK_EQ(read_text(&b, names[i], NULL, text), AQ_UNSUPPORTED);
        CHECK_EQ(read_text(&b, names[i], &file, text), AQ_CHANGED);
    }
    close(fd);
    bench_close(&b);
}

/* ---- STAGE, WRITE, COPY, FLUSH, DISCARD ------------------------------------------------
 */

static void refuse_second(aq_op *op)
{
    op->items[1].status = AQ_CORRUPT;
}

TEST(stage_skips_what_work_refused)
{
    bench b;
    bench_open(&b, 0);
    aq_item items[3] = {0};
    for (unsigned i = 0; i < 3; i++) {
        items[i] =
            (aq_item){.slot = i, .type = AQ_TYPE_FILE, .data = (uint8_t *)"abc", .size = 3};
    }
    work_hook = refuse_second;
    run_items(&b, AQ_OP_STAGE, items, 3);
    work_hook = NULL;
    CHECK_EQ(items[0].status, AQ_OK);
    CHECK_EQ(items[1].status, AQ_CORRUPT);
    CHECK(exists(in(&b, ".acequia/stage/0000000000000000")));
    CHECK(!exists(in(&b, ".acequia/stage/0000000000000001")));
    CHECK(exists(in(&b, ".acequia/stage/0000000000000002")));
    bench_close(&b);
}

TEST(stage_replaces_a_slot_and_makes_symlinks)
{
    bench b;
    char target[32] = {0};
    bench_open(&b, 0);
    CHECK_EQ(stage_text(&b, 1, "a longer text"), AQ_OK);
    CHECK_EQ(stage_text(&b, 1, "short"), AQ_OK);
    CHECK_STR(user_read(in(&b, ".acequia/stage/0000000000000001")), "short");
    aq_item link = {
        .slot = 1, .type = AQ_TYPE_SYMLINK, .data = (uint8_t *)"../x", .size = 4};
    CHECK_EQ(run(&b, AQ_OP_STAGE, &link), AQ_OK);
    aq_item over = {.slot = 1, .data = (uint8_t *)"file", .size = 4};
    CHECK_EQ(run(&b, AQ_OP_WRITE, &over), AQ_OK);
    CHECK_STR(user_read(in(&b, ".acequia/stage/0000000000000001")), "file");
    CHECK_EQ(run(&b, AQ_OP_STAGE, &link), AQ_OK);
    link.path = "link";
    link.mtime_ns = -1500000000;
    CHECK_EQ(run(&b, AQ_OP_PUBLISH, &link), AQ_OK);
    CHECK_EQ(readlink(in(&b, "link"), target, sizeof target - 1), 4);
    CHECK_STR(target, "../x");
    CHECK_EQ(link.stamp.mtime_ns, -1500000000);
    aq_item evil = {
        .slot = 2, .type = AQ_TYPE_SYMLINK, .data = (uint8_t *)"a\0b", .size = 3};
    CHECK_EQ(run(&b, AQ_OP_STAGE, &evil), AQ_NAME);
    aq_item other = {.slot = 2, .type = AQ_TYPE_OTHER};
    CHECK_EQ(run(&b, AQ_OP_STAGE, &other), AQ_USAGE);
    bench_close(&b);
}

TEST(write_leaves_holes_for_zeros)
{
    enum { SIZE = 4 << 20 };
    bench b;
    struct stat st;
    uint8_t *data = calloc(1, SIZE);
    uint8_t *back = malloc(SIZE);
    bench_open_at(&b, "/dev/shm", 0);
    memset(data, 'x', 100);
    data[3 << 20] = 'y';
    aq_item item = {.path = "f", .slot = 1, .data = data, .size = SIZE};
    CHECK_EQ(run(&b, AQ_OP_WRITE, &item), AQ_OK);
    CHECK_EQ(item.done, SIZE);
    CHECK_EQ(run(&b, AQ_OP_PUBLISH, &item), AQ_OK);
    CHECK_EQ(stat(in(&b, "f"), &st), 0);
    CHECK_EQ(st.st_size, SIZE);
    CHECK(st.st_blocks * 512 <= 512 * 1024);
    aq_item read = {.path = "f", .data = back, .size = SIZE};
    CHECK_EQ(run(&b, AQ_OP_READ, &read), AQ_OK);
    CHECK_EQ(memcmp(data, back, SIZE), 0);
    free(data);
    free(back);
    bench_close(&b);
}

TEST(write_of_zeros_over_data_and_in_any_order)
{
    enum { PART = 256 * 1024 };
    bench b;
    struct stat st;
    uint8_t *data = malloc(PART);
    bench_open_at(&b, "/dev/shm", 0);
    aq_item item = {.path = "f", .slot = 7, .data = data, .size = PART, .offset = PART};
    memset(data, 'a', PART);
    CHECK_EQ(run(&b, AQ_OP_WRITE, &item), AQ_OK);
    memset(data, 0, PART);
    CHECK_EQ(run(&b, AQ_OP_WRITE, &item), AQ_OK); /* the same range, now zeros */
    item.offset = 2 * PART;
    CHECK_EQ(run(&b, AQ_OP_WRITE, &item), AQ_OK); /* ends the file: its size must tell */
    item.offset = 0;
    CHECK_EQ(run(&b, AQ_OP_WRITE, &item), AQ_OK);
    aq_item stat_slot = {.slot = 7, .flags = AQ_ITEM_SLOT};
    CHECK_EQ(run(&b, AQ_OP_STAT, &stat_slot), AQ_OK);
    CHECK_EQ(stat_slot.stamp.size, 3 * PART);
    item.offset = PART;
    item.flags = AQ_ITEM_SLOT;
    memset(data, 'z', PART);
    CHECK_EQ(run(&b, AQ_OP_READ, &item), AQ_OK);
    CHECK_EQ(item.done, PART);
    CHECK(data[0] == 0 && memcmp(data, data + 1, PART - 1) == 0);
    item.flags = 0;
    item.size = 3 * PART;
    CHECK_EQ(run(&b, AQ_OP_PUBLISH, &item), AQ_OK);
    CHECK_EQ(stat(in(&b, "f"), &st), 0);
    CHECK(st.st_blocks * 512 < PART);
    free(data);
    bench_close(&b);
}

TEST(copy_takes_a_range_into_a_slot)
{
    EACH_WAY(way)
    {
        bench b;
        bench_open(&b, way);
        user_write(in(&b, "f"), "0123456789");
        aq_item item = {.path = "f", .slot = 1, .offset = 2, .size = 4, .to_offset = 1};
        item.expect = stamp_at(&b, "f");
        CHECK_EQ(run(&b, AQ_OP_COPY, &item), AQ_OK);
        CHECK_EQ(item.done, 4);
        aq_item more = {.path = "f", .slot = 1, .offset = 8, .size = 99, .to_offset = 5};
        CHECK_EQ(run(&b, AQ_OP_COPY, &more), AQ_OK);
        CHECK_EQ(more.done, 2);
        aq_item head = {.slot = 1, .data = (uint8_t *)"-", .size = 1};
        CHECK_EQ(run(&b, AQ_OP_WRITE, &head), AQ_OK);
        CHECK_STR(user_read(in(&b, ".acequia/stage/0000000000000001")), "-234589");
        item.expect.size++;
        CHECK_EQ(run(&b, AQ_OP_COPY, &item), AQ_CHANGED);
        bench_close(&b);
    }
}

TEST(flush_few_and_many)
{
    const unsigned without[] = {0, AQ_FS_NO_SYNCFS};
    for (unsigned w = 0; w < 2; w++) {
        bench b;
        aq_item items[20] = {0};
        bench_open(&b, 0);
        aq_fs_close(b.fs);
        aq_fs_options options = {.writable = true, .fsync = true, .without = without[w]};
        CHECK_EQ(aq_fs_open(&b.fs, b.root, &options), AQ_OK);
        for (unsigned i = 0; i < 20; i++) {
            items[i].slot = i;
            CHECK_EQ(stage_text(&b, i, "x"), AQ_OK);
        }
        CHECK_EQ(run_items(&b, AQ_OP_FLUSH, items, 3), AQ_OK);
        CHECK_EQ(run_items(&b, AQ_OP_FLUSH, items, 20), AQ_OK);
        CHECK_EQ(items[19].status, AQ_OK);
        items[0].slot = 999;
        CHECK_EQ(run_items(&b, AQ_OP_FLUSH, items, 1), AQ_NOT_FOUND);
        CHECK_EQ(publish_text(&b, "f", "x", NULL, NULL, NULL), AQ_OK);
        bench_close(&b);
    }
}

TEST(discard_removes_slots_and_the_stage)
{
    bench b;
    bench_open(&b, 0);
    CHECK_EQ(stage_text(&b, 1, "x"), AQ_OK);
    CHECK_EQ(stage_text(&b, 2, "x"), AQ_OK);
    aq_item items[2] = {{.slot = 1}, {.slot = 77}};
    CHECK_EQ(run_items(&b, AQ_OP_DISCARD, items, 2), AQ_OK);
    CHECK_EQ(items[1].status, AQ_OK);
    CHECK(exists(in(&b, ".acequia/stage/0000000000000002")));
    run_items(&b, AQ_OP_DISCARD, NULL, 0);
    CHECK(!exists(in(&b, ".acequia")));
    CHECK_EQ(stage_text(&b, 3, "x"), AQ_OK); /* and it comes again */
    CHECK_EQ(run(&b, AQ_OP_DISCARD, &(aq_item){.slot = 3}), AQ_OK);
    bench_reopen(&b, 0);
    CHECK(!exists(in(&b, ".acequia")));
    bench_close(&b);
}

/* ---- MKDIR, META, RENAME ---------------------------------------------------------------
 */

TEST(mkdir_is_content_with_a_directory)
{
    EACH_WAY(way)
    {
        bench b;
        bench_open(&b, way);
        aq_item item = {.path = "d"};
        CHECK_EQ(run(&b, AQ_OP_MKDIR, &item), AQ_OK);
        CHECK_EQ(run(&b, AQ_OP_MKDIR, &item), AQ_OK);
        item.path = "d/e";
        CHECK_EQ(run(&b, AQ_OP_MKDIR, &item), AQ_OK);
        item.path = "x/y";
        CHECK_EQ(run(&b, AQ_OP_MKDIR, &item), AQ_NOT_FOUND);
        user_write(in(&b, "f"), "x");
        item.path = "f";
        CHECK_EQ(run(&b, AQ_OP_MKDIR, &item), AQ_EXISTS);
        CHECK_EQ(symlink("d", in(&b, "l")), 0);
        item.path = "l";
        CHECK_EQ(run(&b, AQ_OP_MKDIR, &item), AQ_EXISTS);
        item.path = "l/x";
        CHECK_EQ(run(&b, AQ_OP_MKDIR, &item), AQ_NOT_DIRECTORY);
        bench_close(&b);
    }
}

TEST(meta_sets_time_and_exec)
{
    bench b;
    struct stat st;
    bench_open(&b, 0);
    user_write(in(&b, "f"), "x");
    CHECK_EQ(chmod(in(&b, "f"), 0640), 0);
    CHECK_EQ(symlink("none", in(&b, "l")), 0);
    CHECK_EQ(mkdir(in(&b, "d"), 0700), 0);
    aq_item item = {.path = "f", .mtime_ns = 5000000001, .exec = 1};
    item.expect.type = AQ_TYPE_FILE;
    CHECK_EQ(run(&b, AQ_OP_META, &item), AQ_OK);
    CHECK_EQ(item.stamp.mtime_ns, 5000000001);
    CHECK_EQ(item.stamp.exec, 1);
    CHECK_EQ(stat(in(&b, "f"), &st), 0);
    CHECK_EQ(st.st_mode & 0777, 0750);
    item.exec = 0;
    CHECK_EQ(run(&b, AQ_OP_META, &item), AQ_OK);
    CHECK_EQ(stat(in(&b, "f"), &st), 0);
    CHECK_EQ(st.st_mode & 0777, 0640);
    item.path = "l";
    CHECK_EQ(run(&b, AQ_OP_META, &item), AQ_CHANGED);
    item.expect.type = AQ_TYPE_SYMLINK;
    CHECK_EQ(run(&b, AQ_OP_META, &item), AQ_OK);
    CHECK_EQ(item.stamp.mtime_ns, 5000000001);
    item.path = "d";
    item.expect.type = AQ_TYPE_DIRECTORY;
    CHECK_EQ(run(&b, AQ_OP_META, &item), AQ_OK);
    CHECK_EQ(stat(in(&b, "d"), &st), 0);
    CHECK_EQ(st.st_mtim.tv_sec, 5);
    CHECK_EQ(st.st_mode & 0777, 0700);
    bench_close(&b);
}

TEST(rename_never_replaces)
{
    EACH_WAY(way)
    {
        bench b;
        bench_open(&b, way);
        user_write(in(&b, "a"), "a");
        user_write(in(&b, "b"), "b");
        CHECK_EQ(mkdir(in(&b, "d"), 0700), 0);
        CHECK_EQ(mkdir(in(&b, "e"), 0700), 0);
        CHECK_EQ(symlink("x", in(&b, "l")), 0);
        aq_item item = {.path = "a", .target = "b"};
        CHECK_EQ(run(&b, AQ_OP_RENAME, &item), AQ_EXISTS);
        item.target = "d/a";
        item.expect = stamp_at(&b, "a");
        CHECK_EQ(run(&b, AQ_OP_RENAME, &item), AQ_OK);
        CHECK_EQ(item.stamp.inode, item.expect.inode);
        CHECK_STR(user_read(in(&b, "d/a")), "a");
        CHECK_EQ(run(&b, AQ_OP_RENAME, &item), AQ_NOT_FOUND);
        aq_item directory = {.path = "d", .target = "e"};
        CHECK_EQ(run(&b, AQ_OP_RENAME, &directory), AQ_EXISTS);
        directory.target = "g";
        CHECK_EQ(run(&b, AQ_OP_RENAME, &directory), AQ_OK);
        CHECK_STR(user_read(in(&b, "g/a")), "a");
        aq_item link = {.path = "l", .target = "m"};
        CHECK_EQ(run(&b, AQ_OP_RENAME, &link), AQ_OK);
        CHECK_EQ(stamp_at(&b, "m").type, AQ_TYPE_SYMLINK);
        aq_item changed = {.path = "b", .target = "c", .expect = item.expect};
        CHECK_EQ(run(&b, AQ_OP_RENAME, &changed), AQ_CHANGED);
        bench_close(&b);
    }
}

TEST_MAIN(
    TEST_REF(open_says_what_is_wrong), TEST_REF(identity_is_the_same_through_a_symlink),
    TEST_REF(a_source_is_never_written_to), TEST_REF(list_gives_names_stamps_and_targets),
    TEST_REF(list_goes_on_where_it_stopped), TEST_REF(list_gives_names_that_are_not_utf8),
    TEST_REF(list_of_slots), TEST_REF(list_of_a_root_that_is_no_longer_there),
    TEST_REF(stat_knows_types_and_nothing), TEST_REF(read_gives_ranges_and_calls_work_once),
    TEST_REF(read_of_another_file_than_expected),
    TEST_REF(read_never_blocks_on_what_is_no_file), TEST_REF(stage_skips_what_work_refused),
    TEST_REF(stage_replaces_a_slot_and_makes_symlinks),
    TEST_REF(write_leaves_holes_for_zeros),
    TEST_REF(write_of_zeros_over_data_and_in_any_order),
    TEST_REF(copy_takes_a_range_into_a_slot), TEST_REF(flush_few_and_many),
    TEST_REF(discard_removes_slots_and_the_stage),
    TEST_REF(mkdir_is_content_with_a_directory), TEST_REF(meta_sets_time_and_exec),
    TEST_REF(rename_never_replaces))
