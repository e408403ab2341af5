/* wire.c: names of frames, and the two bodies that have many fields. */
#include "engine/swarm/wire.h"
#include "engine/base/bytes.h"

const char *aq_frame_name(uint8_t type)
{
    switch ((aq_frame_type)type) {
#define X(name, number, session)                                                           \
    case AQ_FRAME_##name:                                                                  \
        return #name;
        AQ_FRAME_LIST(X)
#undef X
    }
    return "?";
}

bool aq_frame_is_known(uint8_t type)
{
    return aq_frame_name(type)[0] != '?';
}

bool aq_frame_is_session(uint8_t type)
{
    switch ((aq_frame_type)type) {
#define X(name, number, session)                                                           \
    case AQ_FRAME_##name:                                                                  \
        return session;
        AQ_FRAME_LIST(X)
#undef X
    }
    return false;
}

#define STATS_COUNTS(X)                                                                    \
    X(files_total)                                                                         \
    X(bytes_total)                                                                         \
    X(files_changed)                                                                       \
    X(bytes_changed)                                                                       \
    X(files_done)                                                                          \
    X(bytes_done)                                                                          \
    X(files_deleted)                                                                       \
    X(files_moved)                                                                         \
    X(directories_made)                                                                    \
    X(links_made)                                                                          \
    X(bytes_literal)                                                                       \
    X(bytes_matched)                                                                       \
    X(bytes_sent)                                                                          \
    X(bytes_received)                                                                      \
    X(errors)

void aq_stats_write(aq_writer *w, const aq_stats *stats)
{
#define X(field) aq_writer_varint(w, stats->field);
    STATS_COUNTS(X)
#undef X
    aq_writer_byte(w, (uint8_t)((stats->scanning ? 1 : 0) | (stats->complete ? 2 : 0)));
    aq_writer_string(w, stats->current, aq_string_size(stats->current));
}

void aq_stats_read(aq_reader *r, aq_stats *stats)
{
    aq_fill(stats, 0, sizeof *stats);
#define X(field) stats->field = aq_reader_varint(r);
    STATS_COUNTS(X)
#undef X
    uint8_t flags = aq_reader_byte(r);
    stats->scanning = (flags & 1) != 0;
    stats->complete = (flags & 2) != 0;
    size_t size;
    const uint8_t *current = aq_reader_string(r, sizeof stats->current - 1, &size);
    aq_copy(stats->current, current, size);
}

#define OPTIONS_FLAGS(X)                                                                   \
    X(dry_run)                                                                             \
    X(delete_extra)                                                                        \
    X(checksum)                                                                            \
    X(size_only)                                                                           \
    X(update)                                                                              \
    X(ignore_existing)                                                                     \
    X(existing)                                                                            \
    X(itemize)                                                                             \
    X(verify_only)

void aq_options_write(aq_writer *w, const aq_sync_options *options)
{
    uint64_t flags = 0;
    unsigned bit = 0;
#define X(field) flags |= (uint64_t)options->field << bit++;
    OPTIONS_FLAGS(X)
#undef X
    aq_writer_varint(w, flags);
    aq_writer_signed(w, options->modify_window_ns);
    aq_writer_varint(w, options->delete_max);
    aq_writer_varint(w, options->delete_max_percent);
    aq_writer_varint(w, options->transfer_max);
    aq_writer_varint(w, options->bytes_per_s_in);
    const char *backup = options->backup != NULL ? options->backup : "";
    aq_writer_string(w, backup, aq_string_size(backup));
    const char *filter = options->filter != NULL ? options->filter : "";
    aq_writer_string(w, filter, aq_string_size(filter));
}

void aq_options_read(aq_reader *r, aq_wire_options *options)
{
    aq_fill(options, 0, sizeof *options);
    uint64_t flags = aq_reader_varint(r);
    unsigned bit = 0;
#define X(field) options->options.field = (flags >> bit++ & 1) != 0;
    OPTIONS_FLAGS(X)
#undef X
    options->options.modify_window_ns = aq_reader_signed(r);
    options->options.delete_max = aq_reader_varint(r);
    options->options.delete_max_percent = (uint32_t)aq_reader_bounded(r, 100);
    options->options.transfer_max = aq_reader_varint(r);
    options->options.bytes_per_s_in = aq_reader_varint(r);
    options->backup = aq_reader_string(r, AQ_FRAME_MAX, &options->backup_size);
    options->filter = aq_reader_string(r, AQ_FRAME_MAX, &options->filter_size);
}
