/* test.h: the smallest test frame that does. A file lists its tests in TEST_MAIN; each
 * failed check prints both values and the place, and the run goes on. The last line counts
 * tests. As a WASM module (no libc) a failure is reported through the exported counters
 * instead. */
#ifndef TEST_H
#define TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __wasm__
#define TEST_PRINT(...) ((void)0)
#else
#include <stdio.h>
#define TEST_PRINT(...) ((void)fprintf(stderr, __VA_ARGS__))
#endif

typedef struct test_case {
    const char *name;
    void (*run)(void);
} test_case;

static int test_checks_failed;

#define TEST(name) static void test_##name(void)
#define TEST_REF(name)                                                                     \
    {                                                                                      \
#name, test_##name                                                                 \
    }

#define CHECK(condition)                                                                   \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            test_checks_failed++;                                                          \
            TEST_PRINT("%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);           \
        }                                                                                  \
    } while (0)

#define CHECK_EQ(got, want)                                                                \
    do {                                                                                   \
        long long got_ = (long long)(got), want_ = (long long)(want);                      \
        if (got_ != want_) {                                                               \
            test_checks_failed++;                                                          \
            TEST_PRINT("%s:%d: %s is %lld, want %lld\n", __FILE__, __LINE__, #got, got_,   \
                       want_);                                                             \
        }                                                                                  \
    } while (0)

static inline bool test_same(const char *a, const char *b)
{
    for (; *a && *a == *b; a++, b++) {
    }
    return *a == *b;
}

#define CHECK_STR(got, want)                                                               \
    do {                                                                                   \
        const char *got_ = (got), *want_ = (want);                                         \
        if (!test_same(got_, want_)) {                                                     \
            test_checks_failed++;                                                          \
            TEST_PRINT("%s:%d: %s is \"%s\", want \"%s\"\n", __FILE__, __LINE__, #got,     \
                       got_, want_);                                                       \
        }                                                                                  \
    } while (0)

static int test_run(const test_case *cases, size_t count)
{
    int failed = 0;
    for (size_t i = 0; i < count; i++) {
        int before = test_checks_failed;
        cases[i].run();
        if (test_checks_failed != before) {
            failed++;
            TEST_PRINT("FAILED %s\n", cases[i].name);
        }
    }
    TEST_PRINT("%d passed, %d failed\n", (int)count - failed, failed);
    return failed;
}

#ifdef __wasm__
#define TEST_MAIN(...)                                                                     \
    static const test_case test_cases[] = {__VA_ARGS__};                                   \
    __attribute__((export_name("test_count"))) int test_count(void)                        \
    {                                                                                      \
        return (int)(sizeof test_cases / sizeof *test_cases);                              \
    }                                                                                      \
    __attribute__((export_name("test_name"))) const char *test_name(int i)                 \
    {                                                                                      \
        return test_cases[i].name;                                                         \
    }                                                                                      \
    __attribute__((export_name("test_one"))) int test_one(int i)                           \
    {                                                                                      \
        return test_run(&test_cases[i], 1);                                                \
    }
#else
#define TEST_MAIN(...)                                                                     \
    static const test_case test_cases[] = {__VA_ARGS__};                                   \
    int main(void)                                                                         \
    {                                                                                      \
        return test_run(test_cases, sizeof test_cases / sizeof *test_cases) != 0;          \
    }
#endif

#endif
