/* bytes.h: moving and comparing memory, and little-endian loads and stores, without libc.
 */
#ifndef AQ_BASE_BYTES_H
#define AQ_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The compiler's own memcpy and friends: the native build links libc's, wasm.c has ours. */
static inline void aq_copy(void *to, const void *from, size_t size)
{
    if (size != 0) {
        __builtin_memcpy(to, from, size);
    }
}

static inline void aq_move(void *to, const void *from, size_t size)
{
    if (size != 0) {
        __builtin_memmove(to, from, size);
    }
}

static inline void aq_fill(void *to, uint8_t value, size_t size)
{
    if (size != 0) {
        __builtin_memset(to, value, size);
    }
}

static inline int aq_compare(const void *a, const void *b, size_t size)
{
    return size == 0 ? 0 : __builtin_memcmp(a, b, size);
}

/* Takes the same time whatever the bytes are: for secrets. */
static inline bool aq_equal_secret(const uint8_t *a, const uint8_t *b, size_t size)
{
    unsigned differ = 0;
    for (size_t i = 0; i < size; i++) {
        differ |= (unsigned)(a[i] ^ b[i]);
    }
    return differ == 0;
}

static inline size_t aq_string_size(const char *s)
{
    return __builtin_strlen(s);
}

static inline uint32_t aq_load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

static inline uint64_t aq_load64(const uint8_t *p)
{
    return (uint64_t)aq_load32(p) | (uint64_t)aq_load32(p + 4) << 32;
}

static inline void aq_store32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}

static inline void aq_store64(uint8_t *p, uint64_t v)
{
    aq_store32(p, (uint32_t)v);
    aq_store32(p + 4, (uint32_t)(v >> 32));
}

#endif
