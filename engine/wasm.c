/* wasm.c: what a wasm32 module needs that a native program gets from libc and the kernel.
 *
 * The module imports nothing. So the five memory functions that compilers call on their own
 * (for __builtin_memcpy, struct copies, zeroed locals) are here, and memory for the host's
 * buffers and for aq_open comes from one growing function. There is no free: a host asks
 * once for what it needs, as the engine does. The public calls of acequia.h are exported
 * by the linker from the header itself (tools/wasm.mk).
 *
 * With -mbulk-memory the builtins below become single instructions (memory.copy,
 * memory.fill), not calls of themselves; the loops stay loops because this file alone is
 * built with -fno-builtin.
 */
#include <stddef.h>
#include <stdint.h>

enum { PAGE_SIZE = 65536 };

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    return __builtin_memcpy(to, from, size);
}

void *memmove(void *to, const void *from, size_t size)
{
    return __builtin_memmove(to, from, size);
}

void *memset(void *to, int value, size_t size)
{
    return __builtin_memset(to, value, size);
}

int memcmp(const void *a, const void *b, size_t size)
{
    const uint8_t *x = a, *y = b;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t left, right;
        __builtin_memcpy(&left, x + i, sizeof left);
        __builtin_memcpy(&right, y + i, sizeof right);
        if (left != right) {
            break;
        }
    }
    for (; i < size; i++) {
        if (x[i] != y[i]) {
            return x[i] < y[i] ? -1 : 1;
        }
    }
    return 0;
}

size_t strlen(const char *s)
{
    size_t size = 0;
    while (s[size] != 0) {
        size++;
    }
    return size;
}

/* Fresh zeroed memory of at least `size` bytes, aligned to 64 KiB; NULL when the browser
 * gives no more. It detaches every JavaScript view of the memory. */
__attribute__((export_name("aq_wasm_memory"))) void *aq_wasm_memory(size_t size)
{
    size_t pages = size / PAGE_SIZE + (size % PAGE_SIZE != 0);
    size_t before = __builtin_wasm_memory_grow(0, pages);
    return before == SIZE_MAX ? NULL : (void *)(before * PAGE_SIZE);
}
