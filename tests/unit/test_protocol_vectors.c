/* The numbers that docs/PROTOCOL.md, "Test vectors", prints. */
#include "engine/base/bytes.h"
#include "engine/base/cursor.h"
#include "engine/data/blake3.h"
#include "engine/data/chunk_map.h"
#include "engine/swarm/auth.h"
#include "engine/sync/tree.h"
#include "tests/unit/test.h"

#define SECOND INT64_C(1000000000)

static uint8_t region[2 << 20] __attribute__((aligned(64)));
static aq_heap heap;

static const char *hex(const void *data, size_t size)
{
    static char text[512];
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++) {
        text[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        text[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    text[2 * size] = 0;
    return text;
}

TEST(numbers)
{
    static const struct {
        uint64_t value;
        const char *varint, *zigzag;
    } cases[] = {{0, "00", "00"},       {1, "01", "02"},
                 {127, "7f", "fe01"},   {128, "8001", "8002"},
                 {300, "ac02", "d804"}, {UINT64_MAX, "ffffffffffffffffff01", "01"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t room[16];
        aq_writer w = aq_writer_over(room, sizeof room);
        aq_writer_varint(&w, cases[i].value);
        CHECK_STR(hex(room, w.size), cases[i].varint);
        w = aq_writer_over(room, sizeof room);
        aq_writer_signed(&w, (int64_t)cases[i].value);
        CHECK_STR(hex(room, w.size), cases[i].zigzag);
    }
}

/* ---- a directory ---- */

static aq_tree tree;

static void completed(void *owner, uint32_t dir)
{
    (void)owner;
    (void)dir;
}

static void entry_make(aq_entry *entry, aq_type type, const char *name, int64_t mtime_ns,
                       uint64_t size, const char *target)
{
    size_t name_size = aq_string_size(name), target_size = aq_string_size(target);
    *entry =
        (aq_entry){.stamp = {.size = size, .mtime_ns = mtime_ns, .type = (uint8_t)type},
                   .name_size = (uint16_t)name_size,
                   .target_size = (uint16_t)target_size};
    aq_copy(entry->name, name, name_size + 1);
    aq_copy(entry->name + name_size + 1, target, target_size + 1);
}

static void tree_make(void)
{
    static uint64_t rooms[3][16];
    const aq_entry *entries[3];
    for (unsigned i = 0; i < 3; i++) {
        entries[i] = (const aq_entry *)(void *)rooms[i];
    }
    CHECK(aq_heap_init(&heap, region, sizeof region));
    aq_tree_init(&tree, &heap);
    entry_make((aq_entry *)(void *)rooms[0], AQ_TYPE_FILE, "a", SECOND, 5, "");
    entry_make((aq_entry *)(void *)rooms[1], AQ_TYPE_DIRECTORY, "b", 2 * SECOND, 0, "");
    entry_make((aq_entry *)(void *)rooms[2], AQ_TYPE_SYMLINK, "c", 3 * SECOND, 1, "a");
    CHECK(aq_tree_list(&tree, 0, entries, 3));
    CHECK(aq_tree_list(&tree, 1, NULL, 0));
    aq_tree_settle(&tree, 1, completed, NULL);
    CHECK_EQ(tree.dirs.at[0].state, AQ_DIR_COMPLETE);
}

TEST(a_directory)
{
    static const struct {
        const char *form;
        uint32_t id;
    } want[] = {
        {"01016180a8d6b90705", 0x58c7b0a5},
        {"02016280d0acf30eaf1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
         0x82ff6a41},
        {"03016380f882ad160161", 0xd83acfed}};
    tree_make();
    CHECK_STR(hex(&tree.dirs.at[1].hash, 32),
              "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
    for (unsigned i = 0; i < 3; i++) {
        uint8_t room[128];
        aq_writer w = aq_writer_over(room, sizeof room);
        const aq_entry *entry = tree.dirs.at[0].entries[i];
        aq_tree_encode(&tree, &w, entry);
        CHECK_STR(hex(room, w.size), want[i].form);
        CHECK_EQ(aq_entry_id(entry, i == 1 ? &tree.dirs.at[1].hash : NULL), want[i].id);
    }
    CHECK_STR(hex(&tree.dirs.at[0].hash, 32),
              "1ddcc67bbe9667d5b50d215e24b14c91ba60243e8801f4afa00f768a7410af02");
}

/* ---- a page of a chunk map ---- */

TEST(a_page)
{
    aq_chunk_map map = {0};
    CHECK(aq_heap_init(&heap, region, sizeof region));
    aq_hash hash;
    aq_blake3("a", 1, &hash);
    aq_chunk_map_add(&map, &heap, &hash, 64);
    aq_blake3("b", 1, &hash);
    aq_chunk_map_add(&map, &heap, &hash, 100);
    aq_chunk_map_finish(&map, &heap);
    CHECK_EQ(map.pages.count, 1);
    CHECK_STR(hex(&map.pages.at[0].id, 32),
              "cb5d766d6240db2e1a7e44634c8b12150317beb93bc1f57642819c4efae3ddc8");
}

/* ---- proofs ---- */

TEST(proofs)
{
    static aq_core core;
    uint8_t binding[32] = {0}, client[32], server[32];
    for (unsigned i = 0; i < 32; i++) {
        client[i] = (uint8_t)i;
        server[i] = (uint8_t)(32 + i);
    }
    core.has_token = true;
    aq_blake3_derive_key("acequia 2026-11-22 shared token v1", "open sesame", 11,
                         &core.token_key);
    CHECK_STR(hex(&core.token_key, 32),
              "06f411be7b92f5afded95da06235f64dfc8161e57a174ccfc5cb1ea883952c09");
    aq_auth_scene scene = {true, binding, client, server};
    aq_hash proof;
    aq_auth_provider_of(&core)->prove(&core, &scene, &proof);
    CHECK_STR(hex(&proof, 32),
              "d3d3a66367107dc76b335847560377160bb042695a0de1c3c9ea3f64988793fd");
    scene.by_client = false;
    aq_auth_provider_of(&core)->prove(&core, &scene, &proof);
    CHECK_STR(hex(&proof, 32),
              "6dfbcd748f78dc8e7cce77a37c7733b698e63e7dbdf162b134aeda8165f041cf");
}

TEST_MAIN(TEST_REF(numbers), TEST_REF(a_directory), TEST_REF(a_page), TEST_REF(proofs))
