/* The hash table: many values for a key, growth, and short memory. */
#include "engine/base/map.h"
#include "tests/unit/test.h"

static uint8_t region[4 << 20] __attribute__((aligned(64)));
static aq_heap heap;
static aq_map map;

static void map_new(void)
{
    CHECK(aq_heap_init(&heap, region, sizeof region));
    aq_map_init(&map, UINT64_C(0x0123456789abcdef));
}

TEST(an_empty_map_has_nothing)
{
    uint32_t value;
    map_new();
    CHECK(!aq_map_get(&map, 0, &value));
    CHECK(!aq_map_get(&map, UINT64_MAX, &value));
}

TEST(every_key_is_found_after_growth)
{
    map_new();
    for (uint32_t i = 0; i < 20000; i++) {
        CHECK(aq_map_put(&map, &heap, (uint64_t)i * i, i));
    }
    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t value = 0;
        CHECK(aq_map_get(&map, (uint64_t)i * i, &value));
        CHECK_EQ(value, i);
    }
    uint32_t value;
    CHECK(!aq_map_get(&map, 3, &value));
    aq_map_reset(&map, &heap);
    CHECK_EQ(heap.used, 0);
    CHECK(!aq_map_get(&map, 1, &value));
}

TEST(a_key_may_have_several_values)
{
    map_new();
    for (uint32_t i = 0; i < 300; i++) {
        CHECK(aq_map_put(&map, &heap, i % 3, i));
    }
    for (uint32_t key = 0; key < 3; key++) {
        uint32_t at = 0, value, count = 0, sum = 0;
        while (aq_map_next(&map, key, &at, &value)) {
            CHECK_EQ(value % 3, key);
            count++;
            sum += value;
        }
        CHECK_EQ(count, 100);
        CHECK_EQ(sum, 100 * key + 3 * (99 * 100 / 2));
    }
}

TEST(short_memory_changes_nothing)
{
    map_new();
    uint32_t count = 0;
    while (aq_map_put(&map, &heap, count, count)) {
        count++;
    }
    CHECK(count > 1000);
    CHECK_EQ(map.count, count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t value = UINT32_MAX;
        CHECK(aq_map_get(&map, i, &value));
        CHECK_EQ(value, i);
    }
}

TEST_MAIN(TEST_REF(an_empty_map_has_nothing), TEST_REF(every_key_is_found_after_growth),
          TEST_REF(a_key_may_have_several_values), TEST_REF(short_memory_changes_nothing))
