/* session.c: what sources and sinks share: opening, ending, telling people.
 *
 *   client                                server
 *   OPEN (role that the server takes) ──► rights? folder? ──► a session of that role
 *         ◄── OPENED (status)
 *   … frames of the roles …
 *   END by the sink when all is done, by either side when it cannot go on
 *
 * Without rights a folder is denied in the same words as one that does not exist. */
#include "engine/swarm/session.h"
#include "engine/base/assert.h"
#include "engine/base/bytes.h"
#include "engine/swarm/auth.h"
#include "engine/sync/filter.h"
#include "engine/sync/path.h"

enum {
    SESSIONS_MAX = 16, /* of one link */
    FOLDER_MAX = 255
};

static char *text_copy(aq_core *core, const void *text, size_t size)
{
    char *copy = aq_heap_take(&core->heap, size + 1);
    AQ_ASSERT(copy != NULL);
    aq_copy(copy, text, size);
    copy[size] = 0;
    return copy;
}

void aq_session_init(aq_session *s, aq_core *core, uint32_t root,
                     const aq_sync_options *options)
{
    s->core = core;
    s->root = root;
    s->options = *options;
    s->options.dry_run |= options->verify_only; /* a check is a dry run that reads all */
    if (options->backup != NULL) {
        s->options.backup =
            text_copy(core, options->backup, aq_string_size(options->backup));
    }
    if (options->filter != NULL) {
        s->options.filter =
            text_copy(core, options->filter, aq_string_size(options->filter));
    }
    s->next_live = core->sessions;
    core->sessions = s;
}

void aq_session_join(aq_session *s, aq_link *link)
{
    s->link = link;
    s->link_id = link->id;
    s->link_in = link->bytes_in;
    s->link_out = link->bytes_out;
    s->next = link->sessions;
    link->sessions = s;
}

static void link_leave(aq_session *s)
{
    if (s->link == NULL) {
        return;
    }
    s->stats.bytes_received = s->link->bytes_in - s->link_in;
    s->stats.bytes_sent = s->link->bytes_out - s->link_out;
    for (aq_session **at = &s->link->sessions; *at != NULL; at = &(*at)->next) {
        if (*at == s) {
            *at = s->next;
            break;
        }
    }
    if (s->link->turn == s) {
        s->link->turn = NULL;
    }
    s->link = NULL;
}

void aq_session_free(aq_session *s)
{
    link_leave(s);
    for (aq_session **at = (aq_session **)&s->core->sessions; *at != NULL;
         at = &(*at)->next_live) {
        if (*at == s) {
            *at = s->next_live;
            break;
        }
    }
    aq_heap *heap = &s->core->heap;
    s->kind->free(s);
    aq_heap_give(heap, (void *)(uintptr_t)s->options.backup);
    aq_heap_give(heap, (void *)(uintptr_t)s->options.filter);
    aq_heap_give(heap, s->folder);
    aq_heap_give(heap, s);
}

aq_writer aq_session_frame(aq_session *s)
{
    aq_writer w = aq_link_frame(s->link);
    aq_writer_varint(&w, s->channel);
    return w;
}

bool aq_session_bulk(aq_session *s, size_t body_max, aq_writer *w)
{
    if (s->link == NULL || !aq_link_bulk(s->link, body_max, w)) {
        return false;
    }
    aq_writer_varint(w, s->channel);
    return true;
}

static void note_end(aq_session *s)
{
    if (s->sync == 0) {
        return;
    }
    aq_note *note = aq_core_note(s->core, AQ_NOTE_END, s->link_id);
    note->sync = s->sync;
    note->status = s->status;
}

/* The last steps of every session: nothing of it happens afterwards but what is with the
 * host. */
static void session_close(aq_session *s, aq_status status)
{
    s->ended = true;
    s->status = status;
    s->kind->drop(s);
    link_leave(s);
    note_end(s);
}

void aq_session_end(aq_session *s, aq_status status)
{
    if (s->ended) {
        return;
    }
    if (s->notes_lost) {
        aq_session_warn(s, aq_core_notes_lost_text);
    }
    if (s->link != NULL && s->link->state == AQ_LINK_UP && s->channel != 0) {
        aq_writer w = aq_session_frame(s);
        aq_writer_varint(&w, status);
        aq_stats_write(&w, &s->stats);
        aq_link_frame_end(s->link, AQ_FRAME_END, &w);
    }
    session_close(s, status);
}

/* ---- for people ---- */

static void note_local(aq_session *s, aq_note_kind kind, aq_status status, aq_change change,
                       aq_type type, const char *path, const char *text, uint64_t size,
                       bool remote)
{
    aq_note *note = aq_core_note(s->core, kind, s->link_id);
    if (note == NULL) {
        return;
    }
    note->sync = s->sync;
    note->status = status;
    note->change = change;
    note->type = type;
    note->size = size;
    note->remote = remote;
    aq_text_set(note->path, sizeof note->path, path, aq_string_size(path));
    aq_text_set(note->text, sizeof note->text, text, aq_string_size(text));
}

/* What names a problem may be longer than any path of content. */
static void text_write(aq_writer *w, const char *text)
{
    size_t size = aq_string_size(text);
    aq_writer_string(w, text, size < AQ_PATH_MAX ? size : AQ_PATH_MAX);
}

static void note_send(aq_session *s, aq_note_kind kind, aq_status status, aq_change change,
                      aq_type type, const char *path, const char *text, uint64_t size)
{
    if (s->link == NULL || s->link->state != AQ_LINK_UP || s->ended) {
        return;
    }
    if (kind != AQ_NOTE_WARNING && aq_link_is_congested(s->link)) {
        s->notes_lost = true;
        return;
    }
    aq_writer w = aq_session_frame(s);
    aq_writer_byte(&w, (uint8_t)kind);
    aq_writer_varint(&w, status);
    aq_writer_byte(&w, (uint8_t)change);
    aq_writer_byte(&w, (uint8_t)type);
    aq_writer_varint(&w, size);
    text_write(&w, path);
    text_write(&w, text);
    aq_link_frame_end(s->link, AQ_FRAME_NOTE, &w);
}

static void got_note(aq_session *s, aq_reader *r)
{
    uint8_t kind = aq_reader_byte(r);
    uint64_t status = aq_reader_bounded(r, AQ_STATUS_COUNT - 1);
    uint8_t change = aq_reader_byte(r);
    uint8_t type = aq_reader_byte(r);
    uint64_t size = aq_reader_varint(r);
    size_t path_size, text_size;
    const uint8_t *path = aq_reader_string(r, AQ_PATH_MAX, &path_size);
    const uint8_t *text = aq_reader_string(r, AQ_PATH_MAX, &text_size);
    bool fits =
        kind <= AQ_NOTE_WARNING && change <= AQ_CHANGE_TYPE && type <= AQ_TYPE_OTHER;
    if (r->failed || !fits) {
        r->failed = true;
        return;
    }
    aq_note *note = aq_core_note(s->core, (aq_note_kind)kind, s->link_id);
    if (note == NULL) {
        return;
    }
    note->sync = s->sync;
    note->status = (aq_status)status;
    note->change = (aq_change)change;
    note->type = (aq_type)type;
    note->size = size;
    note->remote = kind == AQ_NOTE_PROBLEM;
    aq_text_set(note->path, sizeof note->path, (const char *)path, path_size);
    aq_text_set(note->text, sizeof note->text, (const char *)text, text_size);
}

void aq_session_warn(aq_session *s, const char *text)
{
    note_local(s, AQ_NOTE_WARNING, AQ_OK, AQ_CHANGE_NEW, AQ_TYPE_NONE, "", text, 0, false);
    if (!s->client) {
        note_send(s, AQ_NOTE_WARNING, AQ_OK, AQ_CHANGE_NEW, AQ_TYPE_NONE, "", text, 0);
    }
}

void aq_session_problem(aq_session *s, const char *path, aq_status status)
{
    note_local(s, AQ_NOTE_PROBLEM, status, AQ_CHANGE_NEW, AQ_TYPE_NONE, path, "", 0, false);
    if (!s->client) {
        note_send(s, AQ_NOTE_PROBLEM, status, AQ_CHANGE_NEW, AQ_TYPE_NONE, path, "", 0);
    }
}

void aq_session_change(aq_session *s, aq_change change, aq_type type, const char *path,
                       const char *text, uint64_t size)
{
    if (!s->options.itemize) {
        return;
    }
    if (s->client) {
        note_local(s, AQ_NOTE_CHANGE, AQ_OK, change, type, path, text, size, false);
    } else {
        note_send(s, AQ_NOTE_CHANGE, AQ_OK, change, type, path, text, size);
    }
}

/* ---- opening ---- */

static void open_send(aq_session *s)
{
    s->channel = 1;
    for (const aq_session *o = s->link->sessions; o != NULL; o = o->next) {
        if (o != s && o->channel >= s->channel) {
            s->channel = o->channel + 1;
        }
    }
    aq_writer w = aq_session_frame(s);
    aq_writer_byte(&w, s->role == AQ_ROLE_SINK ? AQ_ROLE_SOURCE : AQ_ROLE_SINK);
    aq_writer_string(&w, s->folder, aq_string_size(s->folder));
    aq_options_write(&w, &s->options);
    if (!aq_writer_fits(&w)) {
        s->channel = 0;
        aq_session_end(s, AQ_USAGE);
        return;
    }
    aq_link_frame_end(s->link, AQ_FRAME_OPEN, &w);
}

void aq_session_open(aq_session *s, uint32_t link_id, const char *folder)
{
    s->client = true;
    s->link_id = link_id;
    s->folder = text_copy(s->core, folder, aq_string_size(folder));
    for (aq_link *link = s->core->links; link != NULL; link = link->next) {
        if (link->id != link_id) {
            continue;
        }
        if (link->state >= AQ_LINK_CLOSING) {
            session_close(s, link->reason);
            return;
        }
        aq_session_join(s, link);
        if (link->state == AQ_LINK_UP) {
            open_send(s);
        }
    }
}

void aq_sessions_link_failed(aq_core *core, uint32_t link_id, aq_status reason)
{
    for (aq_session *s = core->sessions; s != NULL; s = s->next_live) {
        if (s->client && !s->ended && s->link == NULL && s->link_id == link_id) {
            session_close(s, reason);
        }
    }
}

void aq_sessions_link_up(aq_link *link)
{
    for (aq_session *s = link->sessions, *next; s != NULL; s = next) {
        next = s->next;
        if (s->client && s->channel == 0) {
            open_send(s);
        }
    }
}

static uint32_t root_find(const aq_core *core, const uint8_t *name, size_t size)
{
    for (uint32_t i = 0; i < core->roots.count; i++) {
        const char *own = core->roots.at[i].name;
        if (aq_string_size(own) == size && aq_compare(own, name, size) == 0) {
            return i;
        }
    }
    /* A server with one folder offers it without a name, too. */
    return size == 0 && core->roots.count == 1 ? 0 : UINT32_MAX;
}

/* Below the root, and not among our own files there. */
static bool backup_is_valid(const char *path, size_t size)
{
    size_t first = 0;
    while (first < size && path[first] != '/') {
        first++;
    }
    return aq_path_is_valid(path, size) && !aq_name_is_reserved(path, first);
}

static aq_status open_check(aq_link *link, uint8_t role, const aq_wire_options *options,
                            uint32_t root)
{
    const aq_core *core = link->core;
    unsigned rights = 0;
    if (root != UINT32_MAX) {
        const aq_auth_provider *provider = aq_auth_provider_of(core);
        bool proven = link->proven || link->config.trusted;
        rights = link->config.trusted
                     ? core->roots.at[root].rights
                     : provider->rights(core, proven, &core->roots.at[root]);
    }
    bool changes =
        role == AQ_ROLE_SINK && !options->options.dry_run && !options->options.verify_only;
    unsigned needed = changes ? AQ_WRITE : AQ_READ;
    if ((rights & needed) == 0) {
        return AQ_DENIED;
    }
    bool backup = options->backup_size == 0 ||
                  backup_is_valid((const char *)options->backup, options->backup_size);
    return backup && options->options.modify_window_ns >= 0 ? AQ_OK : AQ_USAGE;
}

static void opened_send(aq_link *link, uint32_t channel, aq_status status)
{
    aq_writer w = aq_link_frame(link);
    aq_writer_varint(&w, channel);
    aq_writer_varint(&w, status);
    aq_link_frame_end(link, AQ_FRAME_OPENED, &w);
}

static void got_open(aq_link *link, uint32_t channel, aq_reader *r)
{
    aq_core *core = link->core;
    uint8_t role = aq_reader_byte(r);
    size_t name_size;
    const uint8_t *name = aq_reader_string(r, FOLDER_MAX, &name_size);
    aq_wire_options wire;
    aq_options_read(r, &wire);
    for (const aq_session *o = link->sessions; o != NULL; o = o->next) {
        r->failed |= o->channel == channel;
    }
    unsigned count = 0; /* also those that ended, and are still with the host */
    for (const aq_session *o = core->sessions; o != NULL; o = o->next_live) {
        count += !o->client && o->link_id == link->id;
    }
    bool role_fits = role == AQ_ROLE_SOURCE || role == AQ_ROLE_SINK;
    if (r->failed || link->config.client || !role_fits || channel == 0) {
        r->failed = true;
        return;
    }
    uint32_t root = root_find(core, name, name_size);
    aq_status status = open_check(link, role, &wire, root);
    if (status == AQ_OK && (count >= SESSIONS_MAX || aq_heap_is_low(&core->heap))) {
        status = AQ_MEMORY;
    }
    char *backup = wire.backup_size ? text_copy(core, wire.backup, wire.backup_size) : NULL;
    char *filter = wire.filter_size ? text_copy(core, wire.filter, wire.filter_size) : NULL;
    if (status == AQ_OK && filter != NULL) {
        const char *bad;
        bool whole = aq_string_size(filter) == wire.filter_size;
        status = whole && aq_filter_valid(filter, &bad) ? AQ_OK : AQ_USAGE;
    }
    opened_send(link, channel, status);
    if (status == AQ_OK) {
        aq_session *s = role == AQ_ROLE_SOURCE ? aq_source_new(core) : aq_sink_new(core);
        wire.options.backup = backup;
        wire.options.filter = filter;
        aq_session_init(s, core, root, &wire.options);
        aq_session_join(s, link);
        s->channel = channel;
        s->started = true;
        aq_note *note = aq_core_note(core, AQ_NOTE_BEGIN, link->id);
        aq_text_set(note->path, sizeof note->path, core->roots.at[root].name,
                    aq_string_size(core->roots.at[root].name));
        s->kind->start(s);
    }
    aq_heap_give(&core->heap, backup);
    aq_heap_give(&core->heap, filter);
}

static void got_opened(aq_session *s, aq_reader *r)
{
    uint64_t status = aq_reader_bounded(r, AQ_STATUS_COUNT - 1);
    if (r->failed || !s->client || s->started) {
        r->failed = true;
        return;
    }
    if (status != AQ_OK) {
        session_close(s, (aq_status)status);
        return;
    }
    s->started = true;
    s->kind->start(s);
}

static void got_end(aq_session *s, aq_reader *r)
{
    uint64_t status = aq_reader_bounded(r, AQ_STATUS_COUNT - 1);
    aq_stats stats;
    aq_stats_read(r, &stats);
    /* Only a sink knows that everything is done. */
    if (r->failed || (s->role == AQ_ROLE_SINK && status == AQ_OK)) {
        r->failed = true;
        return;
    }
    if (s->role == AQ_ROLE_SOURCE) {
        s->stats = stats; /* the sink knows best what was done */
    }
    session_close(s, (aq_status)status);
}

/* ---- frames, links ---- */

void aq_sessions_frame(aq_link *link, uint8_t type, aq_reader *r)
{
    uint32_t channel = (uint32_t)aq_reader_bounded(r, UINT32_MAX);
    if (r->failed) {
        return;
    }
    if (type == AQ_FRAME_OPEN) {
        got_open(link, channel, r);
        return;
    }
    aq_session *s = link->sessions;
    while (s != NULL && s->channel != channel) {
        s = s->next;
    }
    if (s == NULL || channel == 0) {
        return; /* it ended here a moment ago */
    }
    if (type == AQ_FRAME_OPENED) {
        got_opened(s, r);
    } else if (type == AQ_FRAME_END) {
        got_end(s, r);
    } else if (!s->started) {
        r->failed = true;
    } else if (type == AQ_FRAME_NOTE && s->client) {
        got_note(s, r);
    } else {
        s->kind->frame(s, type, r);
    }
}

void aq_sessions_link_gone(aq_link *link, aq_status reason)
{
    while (link->sessions != NULL) {
        session_close(link->sessions, reason);
    }
}

void aq_sessions_fill(aq_link *link)
{
    /* Each session that has something gets a frame in turn, until the link is full. */
    aq_writer probe;
    unsigned idle = 0, count = 0;
    for (const aq_session *s = link->sessions; s != NULL; s = s->next) {
        count++;
    }
    while (idle < count && aq_link_bulk(link, AQ_FRAME_MAX, &probe)) {
        link->turn = link->turn != NULL && link->turn->next != NULL ? link->turn->next
                                                                    : link->sessions;
        aq_session *s = link->turn;
        idle = s->started && !s->ended && s->kind->fill(s) ? 0 : idle + 1;
    }
}
