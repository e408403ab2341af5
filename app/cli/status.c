/* status.c: `acequia status`: which folders this machine's state knows, when they were last
 * used, and which processes hold them now.
 *
 * It only looks: the state files are opened read-only, and who holds a lock is read from
 * the kernel's table, since trying a lock would be in the way of somebody who takes it.
 */
#include "command.h"
#include "fail.h"
#include "text.h"
#include "host/native/fs.h"
#include "host/native/identity.h"
#include "host/native/place.h"
#include <dirent.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

enum { HOLDERS_MAX = 16 };

typedef struct known {
    char path[4096];
    uint64_t state_bytes;
    int64_t last_used_s;
    bool exists;
    bool exclusive;
    long holders[HOLDERS_MAX];
    size_t holder_count;
} known;

/* The folder that a state file is about: the end of "FILE-SYSTEM:INODE PATH". */
static bool state_read(const char *file, known *k)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *query = NULL;
    bool found = false;
    if (sqlite3_open_v2(file, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(db, "SELECT identity FROM root", -1, &query, NULL) ==
            SQLITE_OK &&
        sqlite3_step(query) == SQLITE_ROW) {
        const char *identity = (const char *)sqlite3_column_text(query, 0);
        const char *path = identity == NULL ? NULL : strchr(identity, '/');
        found = path != NULL;
        snprintf(k->path, sizeof k->path, "%s", found ? path : "");
    }
    sqlite3_finalize(query);
    sqlite3_close(db);
    struct stat st, wal;
    char name[AQ_PLACE_SIZE + 400];
    if (found && stat(file, &st) == 0) {
        k->state_bytes = (uint64_t)st.st_size;
        k->last_used_s = st.st_mtime;
        snprintf(name, sizeof name, "%s-wal", file);
        if (stat(name, &wal) == 0) {
            k->state_bytes += (uint64_t)wal.st_size;
            k->last_used_s = wal.st_mtime > st.st_mtime ? wal.st_mtime : st.st_mtime;
        }
    }
    return found;
}

/* Lines of /proc/locks: "7: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF". */
static void holders_read(const char *lock_file, known *k)
{
    struct stat st;
    FILE *table = fopen("/proc/locks", "re");
    char line[256], mode[16];
    if (table == NULL || stat(lock_file, &st) != 0) {
        if (table != NULL) {
            fclose(table);
        }
        return;
    }
    while (fgets(line, sizeof line, table) != NULL) {
        long pid;
        unsigned device_major, device_minor;
        unsigned long long inode;
        if (sscanf(line, "%*s FLOCK %*s %15s %ld %x:%x:%llu", mode, &pid, &device_major,
                   &device_minor, &inode) == 5 &&
            inode == st.st_ino && makedev(device_major, device_minor) == st.st_dev &&
            k->holder_count < HOLDERS_MAX) {
            k->holders[k->holder_count++] = pid;
            k->exclusive = strcmp(mode, "WRITE") == 0;
        }
    }
    fclose(table);
}

static void folder_look(known *k)
{
    aq_fs *folder;
    aq_fs_options plain = {0};
    char lock[AQ_PLACE_SIZE];
    k->exists = aq_fs_open(&folder, k->path, &plain) == AQ_OK;
    if (!k->exists) {
        return;
    }
    const char *identity = aq_fs_identity(folder);
    if (aq_place_make(lock, NULL, identity, strcspn(identity, " "), ".lock") == AQ_OK) {
        holders_read(lock, k);
    }
    aq_fs_close(folder);
}

/* What the process was started as; "" if it is gone. */
static void command_read(long pid, char *out, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/cmdline", pid);
    FILE *file = fopen(path, "re");
    size_t got = file == NULL ? 0 : fread(out, 1, size - 1, file);
    if (file != NULL) {
        fclose(file);
    }
    while (got > 0 && out[got - 1] == '\0') {
        got--;
    }
    for (size_t i = 0; i < got; i++) {
        out[i] = out[i] == '\0' ? ' ' : out[i];
    }
    out[got] = '\0';
}

static void known_json(const known *k)
{
    json j = json_open(stdout, "folder");
    json_text(&j, "path", k->path);
    json_bool(&j, "exists", k->exists);
    json_number(&j, "last_used", (uint64_t)k->last_used_s);
    json_number(&j, "state_bytes", k->state_bytes);
    json_text(&j, "in_use",
              k->holder_count == 0 ? "no"
              : k->exclusive       ? "writing"
                                   : "reading");
    if (k->holder_count > 0) {
        json_number(&j, "pid", (uint64_t)k->holders[0]);
    }
    json_close(&j);
}

static void known_print(const known *k)
{
    char when[32], bytes[TEXT_NUMBER_SIZE], started[256];
    time_t seconds = k->last_used_s;
    struct tm local;
    strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", localtime_r(&seconds, &local));
    text_print(stdout, k->path);
    printf("\n    last used %s, %s of state%s\n", when, text_bytes(k->state_bytes, bytes),
           k->exists ? "" : ", the folder is gone");
    for (size_t i = 0; i < k->holder_count; i++) {
        command_read(k->holders[i], started, sizeof started);
        printf("    %s by pid %ld (", k->exclusive ? "held for writing" : "read",
               k->holders[i]);
        text_print(stdout, started);
        puts(")");
    }
}

static bool is_asked_for(const options *o, const char *path)
{
    bool asked = o->operands.count == 0;
    for (size_t i = 0; i < o->operands.count && !asked; i++) {
        char *real = realpath(o->operands.items[i], NULL);
        asked = real != NULL && strcmp(real, path) == 0;
        free(real);
    }
    return asked;
}

static int name_order(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_state_file(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name);
    return size > 3 && strcmp(entry->d_name + size - 3, ".db") == 0;
}

int status_run(const options *o)
{
    char home[4000], file[AQ_PLACE_SIZE + 300];
    struct dirent **entries = NULL;
    if (!aq_state_home(home, sizeof home)) {
        return fail_usage(o->json, "neither XDG_STATE_HOME nor HOME is set");
    }
    int count = scandir(home, &entries, is_state_file, name_order), shown = 0;
    for (int i = 0; i < count; i++) {
        known k = {.path = ""};
        snprintf(file, sizeof file, "%s/%s", home, entries[i]->d_name);
        if (state_read(file, &k) && is_asked_for(o, k.path)) {
            folder_look(&k);
            shown++;
            if (o->json) {
                known_json(&k);
            } else {
                known_print(&k);
            }
        }
        free(entries[i]);
    }
    free(entries);
    if (shown == 0 && o->operands.count > 0) {
        return fail_with(o->json, AQ_NOT_FOUND, "nothing is known of such a folder here");
    }
    if (shown == 0 && !o->json && !o->quiet) {
        puts("No folder has been synced or served here.");
    }
    return 0;
}
