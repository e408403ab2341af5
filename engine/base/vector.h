/* vector.h: arrays that grow, in the engine's heap. An array is a pointer, a count and a
 * room in its owner; these macros only save the three lines that growing takes. */
#ifndef AQ_BASE_VECTOR_H
#define AQ_BASE_VECTOR_H

#include "engine/base/assert.h"
#include "engine/base/heap.h"

/* Declares the fields of an array. */
#define AQ_VECTOR(type)                                                                    \
    struct {                                                                               \
        type *at;                                                                          \
        uint32_t count, room;                                                              \
    }

/* Room for one more at `.at[.count]`. Traps when memory is used up: owners check the heap's
 * low mark before they grow on a peer's behalf. */
#define AQ_VECTOR_RESERVE(heap, v)                                                         \
    do {                                                                                   \
        if ((v).count == (v).room) {                                                       \
            uint32_t room_ = (v).room == 0 ? 8 : (v).room * 2;                             \
            AQ_ASSERT(room_ > (v).room);                                                   \
            (v).at = aq_heap_grow(heap, (v).at, (size_t)(v).count * sizeof *(v).at,        \
                                  (size_t)room_ * sizeof *(v).at);                         \
            AQ_ASSERT((v).at != NULL);                                                     \
            (v).room = room_;                                                              \
        }                                                                                  \
    } while (0)

#define AQ_VECTOR_PUSH(heap, v, ...)                                                       \
    do {                                                                                   \
        AQ_VECTOR_RESERVE(heap, v);                                                        \
        (v).at[(v).count++] = __VA_ARGS__;                                                 \
    } while (0)

/* Room for `more` of them, before something that a peer may make as large as it likes. */
static inline void *aq_vector_ensure(aq_heap *heap, void *at, uint32_t count,
                                     uint32_t *room, uint64_t more, size_t each)
{
    uint64_t fresh = *room == 0 ? 8 : *room;
    while (fresh - count < more) {
        fresh *= 2;
    }
    if (fresh == *room || fresh > UINT32_MAX || aq_heap_is_low(heap)) {
        return at;
    }
    void *larger = aq_heap_grow(heap, at, (size_t)count * each, (size_t)(fresh * each));
    if (larger == NULL) {
        return at;
    }
    *room = (uint32_t)fresh;
    return larger;
}

/* False: memory is short, and pushing that many would trap. */
#define AQ_VECTOR_ENSURE(heap, v, more)                                                    \
    ((v).at = aq_vector_ensure(heap, (v).at, (v).count, &(v).room, more, sizeof *(v).at),  \
     (uint64_t)(v).room - (v).count >= (more))

#define AQ_VECTOR_RESET(heap, v)                                                           \
    do {                                                                                   \
        aq_heap_give(heap, (v).at);                                                        \
        (v).at = NULL;                                                                     \
        (v).count = (v).room = 0;                                                          \
    } while (0)

#endif
