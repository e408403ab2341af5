/* The tree of entries: order, paths, and hashes that differ exactly when something that one
 * could see without reading contents does. */
#include "engine/base/bytes.h"
#include "engine/sync/tree.h"
#include "engine/sync/path.h"
#include "tests/unit/test.h"

enum { ENTRIES_MAX = 300 };

static uint8_t region[4 << 20] __attribute__((aligned(64)));
static aq_heap heap;
static aq_tree tree;

/* A listing under construction. */
static uint64_t room[ENTRIES_MAX * 16];
static const aq_entry *list[ENTRIES_MAX];
static uint32_t list_count;
static size_t room_used;

static void tree_new(void)
{
    CHECK(aq_heap_init(&heap, region, sizeof region));
    aq_tree_init(&tree, &heap);
    list_count = 0;
    room_used = 0;
}

static aq_entry *add(uint8_t type, const char *name, const char *target)
{
    size_t name_size = aq_string_size(name), target_size = aq_string_size(target);
    aq_entry *entry = (void *)(room + room_used);
    size_t size = aq_entry_size(name_size, target_size);
    aq_fill(entry, 0, size);
    *entry = (aq_entry){.stamp = {.size = 5, .mtime_ns = 1000, .type = type},
                        .name_size = (uint16_t)name_size,
                        .target_size = (uint16_t)target_size};
    aq_copy(entry->name, name, name_size);
    aq_copy(entry->name + name_size + 1, target, target_size);
    list[list_count++] = entry;
    room_used += size / sizeof *room;
    return entry;
}

static void list_as(uint32_t dir)
{
    CHECK(aq_tree_list(&tree, dir, list, list_count));
    list_count = 0;
    room_used = 0;
}

static uint32_t completed_dirs[ENTRIES_MAX];
static uint32_t completed_count;

static void completed(void *owner, uint32_t dir)
{
    (void)owner;
    completed_dirs[completed_count++] = dir;
}

static aq_hash root_hash(void)
{
    CHECK_EQ(tree.dirs.at[0].state, AQ_DIR_COMPLETE);
    return tree.dirs.at[0].hash;
}

static bool same(aq_hash a, aq_hash b)
{
    return aq_compare(a.bytes, b.bytes, sizeof a.bytes) == 0;
}

TEST(a_listing_is_sorted_by_bytes_and_found)
{
    static const char *const names[] = {"b", "a.c", "Z", "a", "\xc3\xa9", "aa", "a b"};
    static const char *const sorted[] = {"Z", "a", "a b", "a.c", "aa", "b", "\xc3\xa9"};
    tree_new();
    for (size_t i = 0; i < 7; i++) {
        add(AQ_TYPE_FILE, names[i], "");
    }
    list_as(0);
    CHECK_EQ(tree.dirs.at[0].count, 7);
    CHECK_EQ(tree.file_count, 7);
    CHECK_EQ(tree.file_bytes, 35);
    for (uint32_t i = 0; i < 7; i++) {
        CHECK_STR(tree.dirs.at[0].entries[i]->name, sorted[i]);
        CHECK(aq_tree_find(&tree, 0, sorted[i], aq_string_size(sorted[i])) ==
              tree.dirs.at[0].entries[i]);
    }
    CHECK(aq_tree_find(&tree, 0, "ab", 2) == NULL);
    CHECK(aq_tree_find(&tree, 0, "", 0) == NULL);
}

TEST(any_number_of_names_is_sorted)
{
    for (uint32_t count = 0; count < ENTRIES_MAX; count += count < 20 ? 1 : 41) {
        tree_new();
        for (uint32_t i = 0; i < count; i++) {
            uint32_t n = i * 7919 % 1009;
            char name[4] = {(char)('a' + n / 100), (char)('0' + n / 10 % 10),
                            (char)('0' + n % 10), 0};
            add(AQ_TYPE_FILE, name, "");
        }
        list_as(0);
        for (uint32_t i = 1; i < count; i++) {
            const aq_entry *a = tree.dirs.at[0].entries[i - 1];
            const aq_entry *b = tree.dirs.at[0].entries[i];
            CHECK(aq_name_compare(a->name, a->name_size, b->name, b->name_size) < 0);
        }
        aq_tree_reset(&tree);
        CHECK_EQ(heap.used, 0);
    }
}

/* /f, /d (with x, e), /d/e (with y), /link -> there */
static void sample_new(void)
{
    tree_new();
    add(AQ_TYPE_FILE, "f", "");
    add(AQ_TYPE_DIRECTORY, "d", "");
    add(AQ_TYPE_SYMLINK, "link", "there");
    list_as(0);
    add(AQ_TYPE_FILE, "x", "");
    add(AQ_TYPE_DIRECTORY, "e", "");
    list_as(1);
}

static void sample_finish(void)
{
    add(AQ_TYPE_FILE, "y", "");
    list_as(2);
    completed_count = 0;
    aq_tree_settle(&tree, 2, completed, NULL);
}

TEST(paths_lead_down_and_up)
{
    sample_new();
    sample_finish();
    char path[AQ_PATH_MAX + 1];
    CHECK_EQ(aq_tree_path(&tree, 2, "y", path), 5);
    CHECK_STR(path, "d/e/y");
    CHECK_EQ(aq_tree_path(&tree, 2, NULL, path), 3);
    CHECK_STR(path, "d/e");
    CHECK_EQ(aq_tree_path(&tree, 0, NULL, path), 0);
    CHECK_STR(path, "");
    CHECK_EQ(aq_tree_depth(&tree, 0), 0);
    CHECK_EQ(aq_tree_depth(&tree, 2), 2);

    uint32_t dir = 9;
    const aq_entry *entry = aq_tree_lookup(&tree, "d/e/y", &dir);
    CHECK(entry != NULL);
    CHECK_EQ(dir, 2);
    CHECK_STR(entry->name, "y");
    CHECK(aq_tree_lookup(&tree, "d/e/z", &dir) == NULL);
    CHECK(aq_tree_lookup(&tree, "f/y", &dir) == NULL);
    entry = aq_tree_lookup(&tree, "link", &dir);
    CHECK(entry != NULL);
    CHECK_STR(aq_entry_target(entry), "there");
}

TEST(hashes_settle_upwards_when_the_last_child_is_complete)
{
    sample_new();
    completed_count = 0;
    aq_tree_settle(&tree, 0, completed, NULL);
    aq_tree_settle(&tree, 1, completed, NULL);
    CHECK_EQ(completed_count, 0);
    CHECK_EQ(tree.dirs.at[1].state, AQ_DIR_LISTED);
    sample_finish();
    CHECK_EQ(completed_count, 3);
    for (uint32_t i = 0; i < completed_count; i++) {
        CHECK_EQ(completed_dirs[i], 2 - i); /* deepest first */
    }
}

TEST(the_same_tree_has_the_same_hash_whatever_inode_and_ctime_say)
{
    sample_new();
    sample_finish();
    aq_hash hash = root_hash();
    tree_new();
    aq_entry *link = add(AQ_TYPE_SYMLINK, "link", "there");
    link->stamp.inode = 77;
    add(AQ_TYPE_DIRECTORY, "d", "")->stamp.size = 0;
    add(AQ_TYPE_FILE, "f", "")->stamp.ctime_ns = 99;
    list_as(0);
    add(AQ_TYPE_DIRECTORY, "e", "");
    add(AQ_TYPE_FILE, "x", "")->stamp.inode = 78;
    list_as(1);
    sample_finish();
    CHECK(same(root_hash(), hash));
}

TEST(every_visible_difference_below_changes_the_root)
{
    enum { SIZE, MTIME, EXEC, TYPE, NAME, TARGET, FEWER, BROKEN, COUNT };
    sample_new();
    sample_finish();
    aq_hash hashes[COUNT + 1] = {[COUNT] = root_hash()};
    for (int change = 0; change < COUNT; change++) {
        sample_new();
        if (change != FEWER) {
            bool renamed = change == NAME, link = change == TYPE || change == TARGET;
            aq_entry *y = add(link ? AQ_TYPE_SYMLINK : AQ_TYPE_FILE, renamed ? "Y" : "y",
                              change == TYPE     ? "a"
                              : change == TARGET ? "b"
                                                 : "");
            y->stamp.size += change == SIZE;
            y->stamp.mtime_ns += change == MTIME;
            y->stamp.exec = change == EXEC;
        }
        list_as(2);
        tree.dirs.at[2].broken = change == BROKEN;
        aq_tree_settle(&tree, 2, completed, NULL);
        completed_count = 0;
        hashes[change] = root_hash();
        CHECK_EQ(tree.dirs.at[0].broken, change == BROKEN);
    }
    for (int a = 0; a <= COUNT; a++) {
        for (int b = 0; b < a; b++) {
            CHECK(!same(hashes[a], hashes[b]));
        }
    }
}

TEST(short_memory_refuses_a_listing)
{
    CHECK(aq_heap_init(&heap, region, 10 << AQ_HEAP_UNIT_BITS));
    aq_tree_init(&tree, &heap);
    uint32_t count = 0;
    while (aq_heap_take(&heap, 1 << AQ_HEAP_UNIT_BITS) != NULL) {
        count++;
    }
    CHECK(count > 0);
    while (aq_heap_take(&heap, 4096) != NULL) {
        count++;
    }
    list_count = 0;
    room_used = 0;
    for (int i = 0; i < ENTRIES_MAX - 1; i++) {
        char name[4] = {(char)('a' + i / 100), (char)('0' + i / 10 % 10),
                        (char)('0' + i % 10), 0};
        add(AQ_TYPE_FILE, name, "");
    }
    CHECK(!aq_tree_list(&tree, 0, list, list_count));
    CHECK_EQ(tree.dirs.at[0].state, AQ_DIR_UNLISTED);
}

TEST_MAIN(TEST_REF(a_listing_is_sorted_by_bytes_and_found),
          TEST_REF(any_number_of_names_is_sorted), TEST_REF(paths_lead_down_and_up),
          TEST_REF(hashes_settle_upwards_when_the_last_child_is_complete),
          TEST_REF(the_same_tree_has_the_same_hash_whatever_inode_and_ctime_say),
          TEST_REF(every_visible_difference_below_changes_the_root),
          TEST_REF(short_memory_refuses_a_listing))
