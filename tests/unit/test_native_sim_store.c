/* The simulator's disk must itself be right before it judges anybody: storage ops as
 * acequia.h states them, and what a power loss may and may not take. */
#include "host/sim/store.h"
#include "tests/unit/test.h"

#include <string.h>

static sim_arena arena;
static sim_disk disk;

static void disk_new(void)
{
    sim_arena_reset(&arena);
    sim_disk_open(&disk, &arena, 7, "test");
}

static aq_status run(aq_op_kind kind, aq_item *item)
{
    aq_op op = {.kind = kind, .item_count = 1, .items = item};
    item->status = AQ_OK;
    for (uint32_t i = 0; i < sim_store_steps(&op); i++) {
        sim_store_step(&disk, &op, i);
    }
    return item->status;
}

static void file_put(const char *path, const char *text, size_t size)
{
    sim_object *parent, *there;
    const char *leaf;
    CHECK_EQ(sim_disk_find(&disk, path, &parent, &leaf, &there), AQ_OK);
    sim_object *file = sim_disk_make(&disk, AQ_TYPE_FILE);
    sim_disk_write(&disk, file, 0, text, size);
    sim_disk_link(&disk, parent, leaf, file);
    sim_disk_sync_object(&disk, file);
    sim_disk_sync_names(&disk);
}

static aq_stamp stamp_of(const char *path)
{
    aq_item item = {.path = path};
    CHECK_EQ(run(AQ_OP_STAT, &item), AQ_OK);
    return item.stamp;
}

static bool file_is(const char *path, const char *text)
{
    const sim_object *file = sim_disk_get(&disk, path);
    return file != NULL && file->type == AQ_TYPE_FILE && file->size == strlen(text) &&
           memcmp(file->data, text, file->size) == 0;
}

static aq_status slot_write(uint64_t slot, uint64_t offset, const char *text)
{
    aq_item item = {.slot = slot,
                    .offset = offset,
                    .data = (uint8_t *)(uintptr_t)text,
                    .size = strlen(text)};
    return run(AQ_OP_WRITE, &item);
}

static aq_status publish(uint64_t slot, const char *path, uint64_t size, aq_stamp expect)
{
    aq_item item = {
        .slot = slot, .path = path, .size = size, .mtime_ns = 5, .expect = expect};
    return run(AQ_OP_PUBLISH, &item);
}

TEST(a_slot_becomes_a_path)
{
    disk_new();
    CHECK_EQ(slot_write(1, 2, "llo world"), AQ_OK);
    CHECK_EQ(slot_write(1, 0, "he"), AQ_OK);
    CHECK_EQ(publish(1, "a", 5, (aq_stamp){0}), AQ_OK);
    CHECK(file_is("a", "hello"));
    CHECK_EQ(stamp_of("a").mtime_ns, 5);
    CHECK_EQ(disk.slots->entry_count, 0);
    CHECK_EQ(publish(1, "b", 5, (aq_stamp){0}), AQ_NOT_FOUND);
}

TEST(what_was_not_expected_is_kept_beside)
{
    disk_new();
    file_put("a", "mine", 4);
    CHECK_EQ(slot_write(18, 0, "new"), AQ_OK);
    CHECK_EQ(publish(18, "a", 3, (aq_stamp){0}), AQ_CHANGED);
    CHECK(file_is("a", "new"));
    CHECK(file_is("a.displaced-0000000000000012", "mine"));
    aq_stamp seen = stamp_of("a");
    CHECK_EQ(slot_write(19, 0, "newer"), AQ_OK);
    CHECK_EQ(publish(19, "a", 5, seen), AQ_OK);
    CHECK_EQ(disk.root->entry_count, 2);
}

TEST(a_directory_is_not_replaced)
{
    disk_new();
    aq_item made = {.path = "d"};
    CHECK_EQ(run(AQ_OP_MKDIR, &made), AQ_OK);
    CHECK_EQ(run(AQ_OP_MKDIR, &made), AQ_OK);
    CHECK_EQ(slot_write(1, 0, "x"), AQ_OK);
    CHECK_EQ(publish(1, "d", 1, stamp_of("d")), AQ_EXISTS);
    file_put("d/f", "x", 1);
    aq_item gone = {.path = "d", .expect = stamp_of("d")};
    CHECK_EQ(run(AQ_OP_REMOVE, &gone), AQ_NOT_EMPTY);
}

TEST(an_expected_file_goes_to_its_backup)
{
    disk_new();
    file_put("a", "old", 3);
    CHECK_EQ(slot_write(1, 0, "new"), AQ_OK);
    aq_item item = {
        .slot = 1, .path = "a", .target = "bak/x/a", .size = 3, .expect = stamp_of("a")};
    CHECK_EQ(run(AQ_OP_PUBLISH, &item), AQ_OK);
    CHECK(file_is("bak/x/a", "old"));
    CHECK(file_is("a", "new"));
}

TEST(a_changed_file_is_neither_read_nor_removed)
{
    uint8_t data[8];
    disk_new();
    file_put("a", "old", 3);
    aq_stamp seen = stamp_of("a");
    file_put("a", "new", 3);
    aq_item item = {.path = "a", .data = data, .size = 3, .expect = seen};
    CHECK_EQ(run(AQ_OP_READ, &item), AQ_CHANGED);
    CHECK_EQ(run(AQ_OP_REMOVE, &item), AQ_CHANGED);
    item.expect = (aq_stamp){0};
    item.size = 8;
    CHECK_EQ(run(AQ_OP_READ, &item), AQ_OK);
    CHECK_EQ(item.done, 3);
}

TEST(a_move_does_not_replace)
{
    disk_new();
    file_put("a", "1", 1);
    file_put("b", "2", 1);
    aq_item item = {.path = "a", .target = "b"};
    CHECK_EQ(run(AQ_OP_RENAME, &item), AQ_EXISTS);
    item.target = "c";
    aq_stamp seen = stamp_of("a");
    CHECK_EQ(run(AQ_OP_RENAME, &item), AQ_OK);
    CHECK(file_is("c", "1"));
    CHECK(stamp_of("c").ctime_ns != seen.ctime_ns);
    CHECK_EQ(stamp_of("a").type, AQ_TYPE_NONE);
}

/* What is published after a flush is there after any power loss; what was only written may
 * be torn, but only in its slot. */
TEST(a_power_loss_keeps_what_was_flushed)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        disk_new();
        sim_chance chance = sim_chance_open(seed, "crash");
        file_put("a", "old", 3);
        aq_stamp seen = stamp_of("a");
        CHECK_EQ(slot_write(1, 0, "new"), AQ_OK);
        aq_item flush = {.slot = 1};
        CHECK_EQ(run(AQ_OP_FLUSH, &flush), AQ_OK);
        if (seed % 2 == 0) {
            CHECK_EQ(publish(1, "a", 3, seen), AQ_OK);
        }
        CHECK_EQ(slot_write(2, 0, "other"), AQ_OK);
        sim_disk_power_loss(&disk, &chance);
        CHECK(file_is("a", seed % 2 == 0 ? "new" : "old"));
        const sim_object *slot = sim_disk_slot(&disk, 1);
        CHECK_EQ(slot != NULL, seed % 2 != 0);
        CHECK(slot == NULL || slot->size == 3);
    }
}

TEST(a_power_loss_can_take_what_was_not_flushed)
{
    int lost = 0, torn = 0, kept = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        disk_new();
        sim_chance chance = sim_chance_open(seed, "crash");
        CHECK_EQ(slot_write(1, 0, "0123456789"), AQ_OK);
        sim_disk_power_loss(&disk, &chance);
        const sim_object *slot = sim_disk_slot(&disk, 1);
        bool whole =
            slot != NULL && slot->size == 10 && memcmp(slot->data, "0123456789", 10) == 0;
        lost += slot == NULL;
        kept += whole;
        torn += slot != NULL && !whole;
    }
    CHECK(lost > 20);
    CHECK(torn > 20);
    CHECK(kept > 5);
}

TEST(saved_rows_go_in_whole_batches_from_the_end)
{
    for (uint64_t seed = 0; seed < 100; seed++) {
        disk_new();
        sim_chance chance = sim_chance_open(seed, "crash");
        char text[] = "0";
        for (int i = 0; i < 8; i++) {
            text[0] = (char)('0' + i);
            aq_item items[2] = {{.path = "x", .data = (uint8_t *)text, .size = 1},
                                {.path = "y", .data = (uint8_t *)text, .size = 1}};
            aq_op op = {.kind = AQ_OP_SAVE, .item_count = 2, .items = items};
            sim_store_step(&disk, &op, 0);
            CHECK_EQ(items[1].status, AQ_OK);
        }
        sim_disk_power_loss(&disk, &chance);
        const sim_row *x = sim_disk_row(&disk, "x"), *y = sim_disk_row(&disk, "y");
        CHECK(x != NULL && y != NULL);
        CHECK_EQ(x->data[0], y->data[0]);
        CHECK(x->data[0] >= '3');
    }
}

TEST_MAIN(TEST_REF(a_slot_becomes_a_path), TEST_REF(what_was_not_expected_is_kept_beside),
          TEST_REF(a_directory_is_not_replaced),
          TEST_REF(an_expected_file_goes_to_its_backup),
          TEST_REF(a_changed_file_is_neither_read_nor_removed),
          TEST_REF(a_move_does_not_replace), TEST_REF(a_power_loss_keeps_what_was_flushed),
          TEST_REF(a_power_loss_can_take_what_was_not_flushed),
          TEST_REF(saved_rows_go_in_whole_batches_from_the_end))
