/* core.c: see core.h. */
#include "engine/swarm/core.h"
#include "engine/base/bytes.h"
#include "engine/data/blake3.h"

enum {
    NOTES_MAX = 16 << 20, /* bytes: the changes of a very large directory at once */
    NOTES_KEPT = 64 << 10
};

/* A note in the queue, before its path and text. A dry run says very many at once, and a
 * note's own buffers are large. */
typedef struct packed_note {
    uint64_t size;
    aq_note_kind kind;
    uint32_t link, sync;
    aq_status status;
    aq_change change;
    aq_type type;
    uint16_t path_size, text_size;
    bool remote;
} packed_note;

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

const char aq_core_notes_lost_text[] =
    "too much happened at once: not all changes and problems are listed";

static void note_pack(aq_core *core)
{
    const aq_note *n = &core->note;
    packed_note head = {n->size,
                        n->kind,
                        n->link,
                        n->sync,
                        n->status,
                        n->change,
                        n->type,
                        (uint16_t)aq_string_size(n->path),
                        (uint16_t)aq_string_size(n->text),
                        n->remote};
    size_t size = sizeof head + head.path_size + head.text_size;
    while (core->notes.room - core->notes.count < size) {
        uint32_t room = core->notes.room == 0 ? 4096 : core->notes.room * 2;
        core->notes.at = aq_heap_grow(&core->heap, core->notes.at, core->notes.count, room);
        AQ_ASSERT(core->notes.at != NULL);
        core->notes.room = room;
    }
    uint8_t *to = core->notes.at + core->notes.count;
    aq_copy(to, &head, sizeof head);
    aq_copy(to + sizeof head, n->path, head.path_size);
    aq_copy(to + sizeof head + head.path_size, n->text, head.text_size);
    core->notes.count += (uint32_t)size;
    core->note_waits = false;
}

aq_note *aq_core_note(aq_core *core, aq_note_kind kind, uint32_t link)
{
    bool losable =
        kind == AQ_NOTE_CHANGE || kind == AQ_NOTE_PROBLEM || kind == AQ_NOTE_WARNING;
    if (losable && (core->notes.count - core->notes_taken >= NOTES_MAX ||
                    aq_heap_is_low(&core->heap))) {
        core->notes_lost = true;
        return NULL;
    }
    if (core->note_waits) {
        note_pack(core);
    }
    core->note_waits = true;
    aq_fill(&core->note, 0, sizeof core->note);
    core->note.kind = kind;
    core->note.link = link;
    return &core->note;
}

/* Before the END of what lost some. */
static bool lost_is_due(aq_core *core, aq_note_kind kind, uint32_t link, aq_note *note)
{
    if (kind != AQ_NOTE_END || !core->notes_lost) {
        return false;
    }
    core->notes_lost = false;
    aq_fill(note, 0, sizeof *note);
    note->kind = AQ_NOTE_WARNING;
    note->link = link;
    aq_text_set(note->text, sizeof note->text, aq_core_notes_lost_text,
                aq_string_size(aq_core_notes_lost_text));
    return true;
}

bool aq_core_note_take(aq_core *core, aq_note *note)
{
    if (core->notes_taken == core->notes.count) {
        core->notes_taken = core->notes.count = 0;
        if (core->notes.room > NOTES_KEPT) {
            AQ_VECTOR_RESET(&core->heap, core->notes);
        }
        bool waits = core->note_waits;
        if (waits && lost_is_due(core, core->note.kind, core->note.link, note)) {
            return true;
        }
        if (waits) {
            *note = core->note;
            core->note_waits = false;
        }
        return waits;
    }
    packed_note head;
    const uint8_t *from = core->notes.at + core->notes_taken;
    aq_copy(&head, from, sizeof head);
    if (lost_is_due(core, head.kind, head.link, note)) {
        return true;
    }
    aq_fill(note, 0, sizeof *note);
    note->kind = head.kind;
    note->link = head.link;
    note->sync = head.sync;
    note->status = head.status;
    note->change = head.change;
    note->type = head.type;
    note->size = head.size;
    note->remote = head.remote;
    aq_copy(note->path, from + sizeof head, head.path_size);
    aq_copy(note->text, from + sizeof head + head.path_size, head.text_size);
    core->notes_taken += (uint32_t)(sizeof head + head.path_size + head.text_size);
    return true;
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
