/* block_list.c: see block_list.h. Blocks are small: they are hashed side by side. */
#include "engine/data/block_list.h"
#include "engine/data/blake3.h"

enum { SIDE_BY_SIDE = 64 };

size_t aq_block_list_room(const aq_profile *profile, size_t size)
{
    return size / profile->block_min + 1;
}

void aq_block_list_make(aq_block_list *list, const aq_profile *profile, const uint8_t *data,
                        size_t size)
{
    aq_blake3_message messages[SIDE_BY_SIDE];
    list->count =
        size == 0 ? 0 : aq_chunker_blocks(profile, data, size, list->ends, list->room);
    size_t start = 0;
    for (size_t i = 0; i < list->count;) {
        size_t n = 0;
        for (; n < SIDE_BY_SIDE && i < list->count; n++, i++) {
            messages[n] =
                (aq_blake3_message){data + start, list->ends[i] - start, &list->hashes[i]};
            start = list->ends[i];
        }
        aq_blake3_batch(messages, n);
    }
}
