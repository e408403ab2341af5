/* state.c: the engine's keys and values in SQLite.
 *
 * One file a root, so that a root's state can be thrown away, copied or lost alone. A batch
 * is a transaction; in WAL mode with synchronous=NORMAL a power cut may lose the last
 * batches but never tears one, and lost state costs only time.
 *
 * A file that SQLite calls damaged, or that is not ours, or from a newer program, or of
 * another root (the file's name is only a hash), is set aside under a free name in
 * *.corrupt and a new one is begun, whether that shows at opening or later.
 *
 * One connection under one mutex: the engine asks for few and large batches.
 */
#include "state.h"

#include "place.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    APPLICATION_ID = 0x41714442, /* "AqDB" */
    SCHEMA_VERSION = 1,
    BUSY_WAIT_MS = 10000, /* readers of one root share its state */
    ASIDE_MAX = 99
};

struct aq_state {
    char path[AQ_PLACE_SIZE];
    char *identity; /* without its first word, which changes from boot to boot */
    pthread_mutex_t mutex;
    sqlite3 *db;
    sqlite3_stmt *load;
    sqlite3_stmt *save;
    sqlite3_stmt *drop;
    bool damaged;
};

static aq_status status_of(int code)
{
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
        return AQ_OK;
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN:
        return AQ_ACCESS;
    case SQLITE_NOMEM:
        return AQ_MEMORY;
    case SQLITE_READONLY:
        return AQ_READ_ONLY;
    case SQLITE_FULL:
        return AQ_NO_SPACE;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return AQ_CORRUPT;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return AQ_BUSY;
    default:
        return AQ_IO;
    }
}

/* ---- opening ---------------------------------------------------------------------------
 */

static int execute(aq_state *state, const char *sql)
{
    return sqlite3_exec(state->db, sql, NULL, NULL, NULL);
}

static int prepare(aq_state *state, const char *sql, sqlite3_stmt **statement)
{
    return sqlite3_prepare_v3(state->db, sql, -1, SQLITE_PREPARE_PERSISTENT, statement,
                              NULL);
}

static int read_number(aq_state *state, const char *sql, int64_t *number)
{
    sqlite3_stmt *statement;
    int code = prepare(state, sql, &statement);
    if (code == SQLITE_OK) {
        code = sqlite3_step(statement);
        *number = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
        sqlite3_finalize(statement);
    }
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

static int create(aq_state *state)
{
    char pragmas[96];
    (void)snprintf(pragmas, sizeof pragmas,
                   "PRAGMA application_id = %d; PRAGMA user_version = %d", APPLICATION_ID,
                   SCHEMA_VERSION);
    int code = execute(state, "BEGIN IMMEDIATE");
    if (code == SQLITE_OK) {
        /* IF NOT EXISTS: another process may have been quicker. */
        code = execute(state, "CREATE TABLE IF NOT EXISTS root(identity TEXT PRIMARY KEY) "
                              "WITHOUT ROWID;"
                              "CREATE TABLE IF NOT EXISTS kv(key TEXT PRIMARY KEY, "
                              "value BLOB NOT NULL) WITHOUT ROWID");
    }
    sqlite3_stmt *statement = NULL;
    if (code == SQLITE_OK) {
        code = prepare(state, "INSERT OR IGNORE INTO root VALUES(?1)", &statement);
    }
    if (code == SQLITE_OK) {
        sqlite3_bind_text(statement, 1, state->identity, -1, SQLITE_STATIC);
        code = sqlite3_step(statement);
        code = code == SQLITE_DONE ? SQLITE_OK : code;
    }
    sqlite3_finalize(statement);
    if (code == SQLITE_OK) {
        code = execute(state, pragmas);
    }
    if (code == SQLITE_OK) {
        return execute(state, "COMMIT");
    }
    (void)execute(state, "ROLLBACK");
    return code;
}

/* SQLITE_NOTADB: a database, but not this one. */
static int check_identity(aq_state *state)
{
    sqlite3_stmt *statement;
    int code = prepare(state, "SELECT 1 FROM root WHERE identity = ?1", &statement);
    if (code != SQLITE_OK) {
        return (code & 0xff) == SQLITE_ERROR ? SQLITE_NOTADB : code;
    }
    sqlite3_bind_text(statement, 1, state->identity, -1, SQLITE_STATIC);
    code = sqlite3_step(statement);
    sqlite3_finalize(statement);
    return code == SQLITE_ROW ? SQLITE_OK : code == SQLITE_DONE ? SQLITE_NOTADB : code;
}

static int check_or_create(aq_state *state)
{
    int64_t application = 0;
    int64_t version = 0;
    int64_t tables = 0;
    int code = read_number(state, "PRAGMA application_id", &application);
    if (code == SQLITE_OK) {
        code = read_number(state, "PRAGMA user_version", &version);
    }
    if (code == SQLITE_OK) {
        code = read_number(state, "SELECT count(*) FROM sqlite_schema", &tables);
    }
    if (code != SQLITE_OK) {
        return code;
    }
    if (application == 0 && version == 0 && tables == 0) {
        return create(state);
    }
    if (application != APPLICATION_ID || version != SCHEMA_VERSION) {
        return SQLITE_NOTADB;
    }
    return check_identity(state);
}

static int prepare_all(aq_state *state)
{
    int code = prepare(state, "SELECT value FROM kv WHERE key = ?1", &state->load);
    if (code == SQLITE_OK) {
        code = prepare(state, "INSERT OR REPLACE INTO kv VALUES(?1, ?2)", &state->save);
    }
    if (code == SQLITE_OK) {
        code = prepare(state, "DELETE FROM kv WHERE key = ?1", &state->drop);
    }
    return (code & 0xff) == SQLITE_ERROR ? SQLITE_NOTADB : code;
}

static void disconnect(aq_state *state)
{
    sqlite3_finalize(state->load);
    sqlite3_finalize(state->save);
    sqlite3_finalize(state->drop);
    state->load = state->save = state->drop = NULL;
    (void)sqlite3_close(state->db);
    state->db = NULL;
}

static int connect_once(aq_state *state)
{
    int code = sqlite3_open_v2(state->path, &state->db,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
                                   SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                               NULL);
    if (code == SQLITE_OK) {
        (void)sqlite3_busy_timeout(state->db, BUSY_WAIT_MS);
        code = execute(state, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                              "PRAGMA temp_store = MEMORY");
    }
    if (code == SQLITE_OK) {
        code = check_or_create(state);
    }
    if (code == SQLITE_OK) {
        code = prepare_all(state);
    }
    return code;
}

/* The log and its index belong to the file; without it they would poison the next. */
static void set_aside(aq_state *state)
{
    char aside[AQ_PLACE_SIZE + 16];
    char part[AQ_PLACE_SIZE + 16];
    state->damaged = true;
    for (int i = 0; i <= ASIDE_MAX; i++) {
        (void)snprintf(aside, sizeof aside, i ? "%s.corrupt.%d" : "%s.corrupt", state->path,
                       i);
        if (i == ASIDE_MAX || access(aside, F_OK) != 0) {
            break;
        }
    }
    (void)rename(state->path, aside);
    (void)snprintf(part, sizeof part, "%s-wal", state->path);
    (void)unlink(part);
    (void)snprintf(part, sizeof part, "%s-shm", state->path);
    (void)unlink(part);
}

static aq_status connect_anyhow(aq_state *state)
{
    aq_status status = status_of(connect_once(state));
    if (status == AQ_CORRUPT) {
        disconnect(state);
        set_aside(state);
        status = status_of(connect_once(state));
    }
    if (status != AQ_OK) {
        disconnect(state);
    }
    return status;
}

aq_status aq_state_open(aq_state **out, const char *state_dir, const char *identity)
{
    *out = NULL;
    aq_state *state = calloc(1, sizeof *state);
    if (!state) {
        return AQ_MEMORY;
    }
    pthread_mutex_init(&state->mutex, NULL);
    const char *space = strchr(identity, ' ');
    const char *lasting = space ? space + 1 : identity;
    state->identity = strdup(lasting);
    aq_status status = state->identity ? AQ_OK : AQ_MEMORY;
    if (status == AQ_OK) {
        status = aq_place_make(state->path, state_dir, lasting, strlen(lasting), ".db");
    }
    if (status == AQ_OK) {
        status = connect_anyhow(state);
    }
    if (status != AQ_OK) {
        aq_state_close(state);
        return status;
    }
    *out = state;
    return AQ_OK;
}

void aq_state_close(aq_state *state)
{
    if (state) {
        disconnect(state);
        pthread_mutex_destroy(&state->mutex);
        free(state->identity);
        free(state);
    }
}

bool aq_state_was_damaged(const aq_state *state)
{
    return state->damaged;
}

/* ---- ops -------------------------------------------------------------------------------
 */

static int load_item(aq_state *state, aq_item *item)
{
    sqlite3_bind_text(state->load, 1, item->path, -1, SQLITE_STATIC);
    int code = sqlite3_step(state->load);
    item->done = 0;
    item->status = code == SQLITE_DONE ? AQ_NOT_FOUND : status_of(code);
    if (code == SQLITE_ROW) {
        const void *value = sqlite3_column_blob(state->load, 0);
        item->done = (uint64_t)sqlite3_column_bytes(state->load, 0);
        if (item->done > 0 && item->done <= item->size && value) {
            memcpy(item->data, value, item->done);
        }
    }
    sqlite3_reset(state->load);
    return code;
}

static int save_item(aq_state *state, const aq_item *item)
{
    sqlite3_stmt *statement = item->data ? state->save : state->drop;
    sqlite3_bind_text(statement, 1, item->path, -1, SQLITE_STATIC);
    if (item->data) {
        sqlite3_bind_blob64(statement, 2, item->data, item->size, SQLITE_STATIC);
    }
    int code = sqlite3_step(statement);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return code;
}

static int save_items(aq_state *state, const aq_op *op)
{
    int code = execute(state, "BEGIN IMMEDIATE");
    for (uint32_t i = 0; i < op->item_count && code == SQLITE_OK; i++) {
        code = save_item(state, &op->items[i]);
        code = code == SQLITE_DONE ? SQLITE_OK : code;
    }
    if (code == SQLITE_OK) {
        code = execute(state, "COMMIT");
    }
    if (code != SQLITE_OK && !sqlite3_get_autocommit(state->db)) {
        (void)execute(state, "ROLLBACK");
    }
    return code;
}

static int load_items(aq_state *state, aq_op *op)
{
    int worst = SQLITE_OK;
    for (uint32_t i = 0; i < op->item_count; i++) {
        int code = load_item(state, &op->items[i]);
        if (status_of(code) != AQ_OK) {
            worst = code;
        }
    }
    return worst;
}

static void answer_all(aq_op *op, aq_status status)
{
    for (uint32_t i = 0; i < op->item_count; i++) {
        op->items[i].status = status;
    }
}

static aq_status try_op(aq_state *state, aq_op *op)
{
    if (!state->db) {
        return AQ_IO; /* it could not be begun anew */
    }
    if (op->kind == AQ_OP_LOAD) {
        return status_of(load_items(state, op));
    }
    aq_status status = status_of(save_items(state, op));
    answer_all(op, status);
    return status;
}

void aq_state_run(aq_state *state, aq_op *op)
{
    if (op->kind != AQ_OP_LOAD && op->kind != AQ_OP_SAVE) {
        answer_all(op, AQ_USAGE);
        return;
    }
    pthread_mutex_lock(&state->mutex);
    aq_status status = try_op(state, op);
    if (status == AQ_CORRUPT) {
        disconnect(state);
        set_aside(state);
        if (connect_anyhow(state) == AQ_OK) {
            status = try_op(state, op);
        }
    }
    if (!state->db) {
        answer_all(op, status);
    }
    pthread_mutex_unlock(&state->mutex);
}
