/* core.h: what every part of the engine above the tree shares: memory, ops, time, notes. */
#ifndef AQ_SWARM_CORE_H
#define AQ_SWARM_CORE_H

#include "acequia.h"
#include "engine/base/ops.h"
#include "engine/base/vector.h"
#include "engine/data/chunker.h"

typedef struct aq_root {
    char *name;
    unsigned rights;
} aq_root;

struct aq_link;
struct aq_session;

typedef struct aq_core {
    aq_heap heap;
    aq_ops ops;
    aq_config config;
    const aq_profile *profile;
    aq_hash token_key; /* derived from config.token */
    bool has_token;
    uint64_t now_ns;
    int64_t wall_ns;
    uint64_t deadline_ns; /* the earliest that anybody asked for since the last tick */
    bool again;           /* a step made another one worth while */
    uint64_t draws;       /* random values drawn so far */
    AQ_VECTOR(aq_root) roots;
    struct aq_link *links;
    struct aq_session *sessions; /* live ones, through next_live */
    uint32_t sync_count;
    aq_note note; /* the latest, as its maker fills it */
    bool note_waits;
    AQ_VECTOR(uint8_t) notes; /* those before it, packed */
    uint32_t notes_taken;     /* bytes of them */
    bool notes_lost;          /* not all that was to be said found room */
    /* Transfer buffers in use, as heap footprints; each role has config.buffer_max. */
    uint64_t sink_used, source_used;
} aq_core;

/* 32 random bytes, from the configured seed. */
void aq_core_random(aq_core *core, uint8_t out[32]);
/* The engine wants to be ticked at that time at the latest. */
void aq_core_wake_at(aq_core *core, uint64_t time_ns);
extern const char aq_core_notes_lost_text[];

/* Room for a note, zeroed, until the next one is made; NULL when people listen too slowly
 * (an END is never lost). */
aq_note *aq_core_note(aq_core *core, aq_note_kind kind, uint32_t link);
/* The oldest note; false: there is none. Before an END that follows lost notes it says so.
 */
bool aq_core_note_take(aq_core *core, aq_note *note);
/* Copies text, cut to fit. */
void aq_text_set(char *to, size_t room, const char *text, size_t size);

#endif
