/* core.c: see core.h. */
#include "engine/swarm/core.h"
#include "engine/base/bytes.h"
#include "engine/data/blake3.h"

enum { NOTES_MAX = 4096 };

void aq_core_random(aq_core *core, uint8_t out[32])
{
    uint8_t draw[8];
    aq_store64(draw, core->draws++);
    aq_hash value;
    aq_blake3_keyed(core->config.seed, draw, sizeof draw, &value);
    aq_copy(out, value.bytes, sizeof value.bytes);
}

void aq_core_wake_at(aq_core *core, uint64_t time_ns)
{
    if (time_ns < core->deadline_ns) {
        core->deadline_ns = time_ns;
    }
}

aq_note *aq_core_note(aq_core *core, aq_note_kind kind, uint32_t link)
{
    bool losable =
        kind == AQ_NOTE_CHANGE || kind == AQ_NOTE_PROBLEM || kind == AQ_NOTE_WARNING;
    if (losable && core->notes.count - core->notes_taken >= NOTES_MAX) {
        return NULL;
    }
    AQ_VECTOR_RESERVE(&core->heap, core->notes);
    aq_note *note = &core->notes.at[core->notes.count++];
    aq_fill(note, 0, sizeof *note);
    note->kind = kind;
    note->link = link;
    return note;
}

void aq_text_set(char *to, size_t room, const char *text, size_t size)
{
    if (size >= room) {
        size = room - 1;
        while (size > 0 && ((uint8_t)text[size] & 0xc0) == 0x80) {
            size--;
        }
    }
    aq_copy(to, text, size);
    to[size] = 0;
}
