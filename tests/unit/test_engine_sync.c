/* Whole syncs between two engines in one process, natively and as WASM: the trees end
 * equal, and the same inputs give the same ops and the same bytes on every target. */
#include "memory_host.h"

static memory_node source, sink;

static void file_make(memory_node *node, const char *path, size_t size, uint32_t seed)
{
    memory_object *o = object_make(node, path);
    o->bytes = memory_bytes(CONTENT_MAX);
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525u + 1013904223u;
        o->bytes[i] = (uint8_t)(seed >> 24);
    }
    uint64_t inode = o->stamp.inode;
    o->stamp = (aq_stamp){.size = size,
                          .mtime_ns = 1700000000000000000 + (int64_t)size,
                          .inode = inode,
                          .type = AQ_TYPE_FILE,
                          .exec = (uint8_t)(size & 1)};
}

static void directory_make(memory_node *node, const char *path)
{
    memory_object *o = object_make(node, path);
    o->stamp.type = AQ_TYPE_DIRECTORY;
    o->stamp.mtime_ns = 1600000000000000000;
}

static void world_make(void)
{
    aq_fill(&source, 0, sizeof source);
    aq_fill(&sink, 0, sizeof sink);
    memory_pool_used = 0;
    directory_make(&source, "photos");
    directory_make(&source, "photos/2026");
    directory_make(&source, "empty");
    file_make(&source, "photos/2026/large", 40000, 1);
    file_make(&source, "photos/small", 50, 2);
    file_make(&source, "zero", 0, 3);
    memory_object *link = object_make(&source, "link");
    link->stamp = (aq_stamp){.size = 4, .mtime_ns = 5, .inode = 9, .type = AQ_TYPE_SYMLINK};
    text_copy(link->target, "zero");
}

static aq_status sync_run(aq_hash *digest, bool push, const aq_sync_options *options,
                          aq_stats *stats)
{
    aq_blake3_hasher hasher;
    aq_blake3_init(&hasher);
    node_open(&source, &hasher, 1);
    node_open(&sink, &hasher, 2);
    memory_node *client = push ? &source : &sink, *server = push ? &sink : &source;
    uint32_t root = aq_root_add(client->engine, "", 0);
    (void)aq_root_add(server->engine, "folder", AQ_READ | AQ_WRITE);
    aq_link_open(client->engine, 1, &(aq_link_config){.client = true, .trusted = true});
    aq_link_open(server->engine, 1, &(aq_link_config){.trusted = true});
    uint32_t sync =
        aq_sync_start(client->engine, 1, root, "folder", push ? AQ_PUSH : AQ_PULL, options);
    aq_status status = host_run(client, server);
    aq_sync_stats(client->engine, sync, stats);
    aq_blake3_final(&hasher, digest);
    return status;
}

static bool objects_are_equal(const memory_object *a, const memory_object *b)
{
    return b != NULL && a->stamp.type == b->stamp.type &&
           a->stamp.mtime_ns == b->stamp.mtime_ns && a->stamp.exec == b->stamp.exec &&
           test_same(a->target, b->target) &&
           (a->stamp.type != AQ_TYPE_FILE ||
            (a->stamp.size == b->stamp.size &&
             aq_compare(a->bytes, b->bytes, (size_t)a->stamp.size) == 0));
}

static int trees_differ(void)
{
    int count = 0;
    for (size_t i = 0; i < OBJECTS_MAX; i++) {
        const memory_object *a = &source.objects[i], *b = &sink.objects[i];
        if (a->stamp.type != AQ_TYPE_NONE) {
            count += !objects_are_equal(a, object_find(&sink, a->path));
        }
        if (b->stamp.type != AQ_TYPE_NONE) {
            count += object_find(&source, b->path) == NULL;
        }
    }
    return count;
}

static const aq_sync_options plain = {.delete_max = UINT64_MAX};
static const aq_sync_options mirror = {.delete_extra = true, .delete_max = UINT64_MAX};

TEST(pull_makes_trees_equal)
{
    aq_hash digest;
    aq_stats stats;
    world_make();
    CHECK_EQ(sync_run(&digest, false, &plain, &stats), AQ_OK);
    CHECK_EQ(trees_differ(), 0);
    CHECK_EQ(stats.files_done, 3);
    CHECK_EQ(stats.directories_made, 3);
}

TEST(push_makes_trees_equal)
{
    aq_hash digest;
    aq_stats stats;
    world_make();
    CHECK_EQ(sync_run(&digest, true, &plain, &stats), AQ_OK);
    CHECK_EQ(trees_differ(), 0);
    CHECK_EQ(stats.files_done, 3);
}

TEST(equal_trees_need_no_content)
{
    aq_hash digest;
    aq_stats stats;
    world_make();
    (void)sync_run(&digest, false, &plain, &stats);
    CHECK_EQ(sync_run(&digest, false, &plain, &stats), AQ_OK);
    CHECK_EQ(stats.bytes_literal, 0);
    CHECK_EQ(stats.files_changed, 0);
    CHECK(stats.bytes_received < 300);
}

TEST(a_small_edit_in_a_large_file_moves_little)
{
    aq_hash digest;
    aq_stats stats;
    world_make();
    (void)sync_run(&digest, false, &plain, &stats);
    memory_object *large = object_find(&source, "photos/2026/large");
    large->bytes = memory_bytes(CONTENT_MAX);
    aq_copy(large->bytes, object_find(&sink, "photos/2026/large")->bytes, 40000);
    large->bytes[20000] ^= 1;
    large->stamp.mtime_ns++;
    CHECK_EQ(sync_run(&digest, false, &plain, &stats), AQ_OK);
    CHECK_EQ(trees_differ(), 0);
    CHECK(stats.bytes_literal < 1200);
    CHECK(stats.bytes_matched > 38000);
}

TEST(a_moved_file_moves_no_content)
{
    aq_hash digest;
    aq_stats stats;
    world_make();
    (void)sync_run(&digest, false, &plain, &stats);
    text_copy(object_find(&source, "photos/2026/large")->path, "empty/moved");
    CHECK_EQ(sync_run(&digest, false, &mirror, &stats), AQ_OK);
    CHECK_EQ(trees_differ(), 0);
    CHECK_EQ(stats.bytes_literal, 0);
    CHECK_EQ(stats.files_moved, 1);
}

TEST(what_the_source_lost_goes_only_when_asked)
{
    aq_hash digest;
    aq_stats stats;
    world_make();
    (void)sync_run(&digest, false, &plain, &stats);
    object_find(&source, "photos/small")->stamp.type = AQ_TYPE_NONE;
    CHECK_EQ(sync_run(&digest, false, &plain, &stats), AQ_OK);
    CHECK(object_find(&sink, "photos/small") != NULL);
    CHECK_EQ(sync_run(&digest, false, &mirror, &stats), AQ_OK);
    CHECK(object_find(&sink, "photos/small") == NULL);
    CHECK_EQ(trees_differ(), 0);
}

/* A hash over every op and every byte on the link. The runner of the WASM build compares
 * its own with the one that the native program prints. */
static uint64_t digest_of_a_sync(void)
{
    aq_hash digest;
    aq_stats stats;
    world_make();
    (void)sync_run(&digest, false, &mirror, &stats);
    return aq_load64(digest.bytes);
}

#ifdef __wasm__
__attribute__((export_name("test_digest"))) uint64_t test_digest(void)
{
    return digest_of_a_sync();
}
#endif

TEST(same_inputs_give_same_ops_and_bytes)
{
    uint64_t first = digest_of_a_sync();
    uint64_t ops = source.op_count + sink.op_count;
    CHECK_EQ(digest_of_a_sync(), first);
    CHECK_EQ(source.op_count + sink.op_count, ops);
    CHECK(ops > 20);
    TEST_PRINT("digest %llu\n", (unsigned long long)first);
}

TEST_MAIN(TEST_REF(pull_makes_trees_equal), TEST_REF(push_makes_trees_equal),
          TEST_REF(equal_trees_need_no_content),
          TEST_REF(a_small_edit_in_a_large_file_moves_little),
          TEST_REF(a_moved_file_moves_no_content),
          TEST_REF(what_the_source_lost_goes_only_when_asked),
          TEST_REF(same_inputs_give_same_ops_and_bytes))
