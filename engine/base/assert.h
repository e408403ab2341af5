/* assert.h: a bug stops the program, in every build. What a peer, a file or a user may
 * cause is never asserted: it is an outcome, and is returned. */
#ifndef AQ_BASE_ASSERT_H
#define AQ_BASE_ASSERT_H

#define AQ_ASSERT(condition)                                                               \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            __builtin_trap();                                                              \
        }                                                                                  \
    } while (0)

#endif
