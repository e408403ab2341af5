/* block_list.h: the blocks of a piece of content and their hashes: what two ends compare to
 * find the few bytes of a chunk that differ. Never stored. */
#ifndef AQ_DATA_BLOCK_LIST_H
#define AQ_DATA_BLOCK_LIST_H

#include "engine/data/chunker.h"

typedef struct aq_block_list {
    size_t room; /* of the arrays: aq_block_list_room of the content's size */
    uint32_t *ends;
    aq_hash *hashes;
    size_t count;
} aq_block_list;

size_t aq_block_list_room(const aq_profile *profile, size_t size);
/* Cuts and hashes; pure. Sets count. */
void aq_block_list_make(aq_block_list *list, const aq_profile *profile, const uint8_t *data,
                        size_t size);

#endif
