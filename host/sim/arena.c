/* A bump allocator in blocks. A simulated world makes objects that point to each other in
 * all directions and then ends as a whole; freeing them one by one would be the larger part
 * of the program, and the place of its bugs. */
#include "arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sim_arena_block {
    struct sim_arena_block *next;
    size_t size;
    size_t used;
    size_t unused; /* keeps the bytes behind it aligned to 16 */
};

enum { BLOCK_SIZE = 1 << 20 };

static struct sim_arena_block *block_make(size_t size)
{
    struct sim_arena_block *block = malloc(sizeof *block + size);
    if (block == NULL) {
        fputs("acequia-sim: out of memory\n", stderr);
        abort();
    }
    *block = (struct sim_arena_block){.size = size};
    return block;
}

void *sim_arena_take(sim_arena *arena, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    while (arena->current == NULL || arena->current->size - arena->current->used < size) {
        struct sim_arena_block *next =
            arena->current != NULL ? arena->current->next : arena->first;
        if (next == NULL || next->size < size) {
            struct sim_arena_block *made =
                block_make(size > BLOCK_SIZE ? size : BLOCK_SIZE);
            made->next = next;
            if (arena->current != NULL) {
                arena->current->next = made;
            } else {
                arena->first = made;
            }
            next = made;
        }
        next->used = 0;
        arena->current = next;
    }
    void *taken = (uint8_t *)(arena->current + 1) + arena->current->used;
    arena->current->used += size;
    memset(taken, 0, size);
    return taken;
}

void *sim_arena_copy(sim_arena *arena, const void *data, size_t size)
{
    void *copy = sim_arena_take(arena, size);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    return copy;
}

char *sim_arena_print(sim_arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (size < 0) {
        abort();
    }
    char *text = sim_arena_take(arena, (size_t)size + 1);
    va_start(args, format);
    (void)vsnprintf(text, (size_t)size + 1, format, args);
    va_end(args);
    return text;
}

void *sim_arena_grow(sim_arena *arena, void *items, size_t count, size_t *capacity,
                     size_t item_size)
{
    if (count < *capacity) {
        return items;
    }
    *capacity = *capacity < 8 ? 8 : *capacity * 2;
    void *grown = sim_arena_take(arena, *capacity * item_size);
    if (count > 0) {
        memcpy(grown, items, count * item_size);
    }
    return grown;
}

void sim_arena_reset(sim_arena *arena)
{
    arena->current = NULL;
}

void sim_arena_close(sim_arena *arena)
{
    while (arena->first != NULL) {
        struct sim_arena_block *block = arena->first;
        arena->first = block->next;
        free(block);
    }
    *arena = (sim_arena){0};
}
