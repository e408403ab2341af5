/* arena.h: memory of one seed's world, given back all at once. */
#ifndef SIM_ARENA_H
#define SIM_ARENA_H

#include <stddef.h>

typedef struct sim_arena {
    struct sim_arena_block *first;
    struct sim_arena_block *current;
} sim_arena;

/* Zeroed, aligned to 16. Never fails: the process ends when memory does. */
void *sim_arena_take(sim_arena *arena, size_t size);
void *sim_arena_copy(sim_arena *arena, const void *data, size_t size);
char *sim_arena_print(sim_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Room for one more item in a growing array: returns the array, perhaps moved. */
void *sim_arena_grow(sim_arena *arena, void *items, size_t count, size_t *capacity,
                     size_t item_size);

/* Everything taken is gone; the blocks are kept for the next world. */
void sim_arena_reset(sim_arena *arena);
void sim_arena_close(sim_arena *arena);

#endif
