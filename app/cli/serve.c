/* serve.c: `acequia serve`: folders, a listener, and what happens told on the terminal.
 *
 * Who may come in is decided by where it listens. On loopback alone: everybody on this
 * machine, unless a token was given. Beyond: those who know the token; if none was given,
 * one is made and kept under the state directory, and peers on this machine still need
 * none. A token that the user gave is asked of everybody.
 */
#include "command.h"
#include "fail.h"
#include "secret.h"
#include "text.h"
#include "host/native/loop.h"
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FOLDERS_MAX = 64, LISTENERS_MAX = 8 };

typedef struct address {
    char host[256]; /* "": all addresses */
    uint16_t port;
} address;

typedef struct server {
    const options *o;
    aq_loop *loop;
    aq_identity *identity; /* NULL: plain */
    char token[AQ_TOKEN_SIZE];
    char token_path[4096]; /* of the token that was made; "" */
    bool token_given;
    char names[FOLDERS_MAX][256];
    address addresses[LISTENERS_MAX];
    size_t address_count;
} server;

/* ---- addresses -------------------------------------------------------------------- */

/* "HOST:PORT", "[V6]:PORT", "HOST", ":PORT", "PORT", "*:PORT". */
static bool address_parse(const char *text, address *out)
{
    char copy[300];
    uint64_t port = AQ_URL_PORT;
    if (snprintf(copy, sizeof copy, "%s", text) >= (int)sizeof copy) {
        return false;
    }
    char *host = copy, *colon = strrchr(copy, ':');
    if (copy[0] == '[') {
        char *close = strchr(copy, ']');
        if (close == NULL || (close[1] != '\0' && close[1] != ':')) {
            return false;
        }
        colon = close[1] == ':' ? close + 1 : NULL;
        *close = '\0';
        host = copy + 1;
    } else if (colon != NULL && strchr(copy, ':') != colon) {
        colon = NULL; /* a bare IPv6 address */
    }
    if (colon == NULL && copy[0] != '[' && strspn(copy, "0123456789") == strlen(copy)) {
        if (!number_parse(copy, &port)) {
            return false;
        }
        host = "127.0.0.1"; /* a lone port stays on this machine */
    } else if (colon != NULL) {
        *colon = '\0';
        if (!number_parse(colon + 1, &port)) {
            return false;
        }
    }
    if (port > UINT16_MAX || strlen(host) >= sizeof out->host) {
        return false;
    }
    strcpy(out->host, strcmp(host, "*") == 0 ? "" : host);
    out->port = (uint16_t)port;
    return true;
}

static bool is_loopback(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)sa;
        return (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
    }
    if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)sa;
        return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
    }
    return false;
}

/* Do all addresses of the name stay on this machine? What cannot be found out is beyond. */
static bool address_is_loopback(const address *a)
{
    struct addrinfo *list = NULL, hints = {.ai_socktype = SOCK_STREAM};
    if (a->host[0] == '\0' || getaddrinfo(a->host, NULL, &hints, &list) != 0) {
        return false;
    }
    bool all = list != NULL;
    for (struct addrinfo *i = list; i != NULL; i = i->ai_next) {
        all = all && is_loopback(i->ai_addr);
    }
    freeaddrinfo(list);
    return all;
}

static aq_status addresses_read(server *s, aq_fault *fault)
{
    const text_list *list = &s->o->listen;
    s->address_count = list->count == 0 ? 1 : list->count;
    if (s->address_count > LISTENERS_MAX) {
        return aq_fault_set(fault, AQ_USAGE, "--listen: no more than %d", LISTENERS_MAX);
    }
    for (size_t i = 0; i < s->address_count; i++) {
        const char *text = list->count == 0 ? "127.0.0.1" : list->items[i];
        if (!address_parse(text, &s->addresses[i])) {
            return aq_fault_set(fault, AQ_USAGE, "--listen: \"%s\" is not HOST:PORT", text);
        }
    }
    return AQ_OK;
}

/* ---- names ------------------------------------------------------------------------ */

/* A folder's name in its URL: its base name, or what --name says in the same place. */
static aq_status names_find(server *s, aq_fault *fault)
{
    const options *o = s->o;
    if (o->operands.count > FOLDERS_MAX) {
        return aq_fault_set(fault, AQ_USAGE, "no more than %d folders", FOLDERS_MAX);
    }
    if (o->names.count > o->operands.count) {
        return aq_fault_set(fault, AQ_USAGE, "--name: there are more names than folders");
    }
    for (size_t i = 0; i < o->operands.count; i++) {
        char *real = NULL;
        const char *name;
        if (i < o->names.count) {
            name = o->names.items[i];
        } else {
            real = realpath(o->operands.items[i], NULL);
            name = real == NULL ? o->operands.items[i] : strrchr(real, '/') + 1;
        }
        snprintf(s->names[i], sizeof s->names[i], "%s", name);
        if (i < o->names.count && strchr(name, '/') != NULL) {
            return aq_fault_set(fault, AQ_USAGE, "--name: \"%s\" has a slash", s->names[i]);
        }
        free(real);
        for (size_t k = 0; k < i; k++) {
            if (strcmp(s->names[k], s->names[i]) == 0) {
                return aq_fault_set(
                    fault, AQ_USAGE,
                    "two folders are called \"%s\": give them names by --name",
                    s->names[i]);
            }
        }
    }
    return AQ_OK;
}

/* ---- opening ---------------------------------------------------------------------- */

static aq_status token_prepare(server *s, bool *required, aq_fault *fault)
{
    aq_status status = secret_find(s->o, s->token, fault);
    s->token_given = s->token[0] != '\0';
    *required = s->token_given;
    for (size_t i = 0; i < s->address_count; i++) {
        *required = *required || !address_is_loopback(&s->addresses[i]);
    }
    if (status != AQ_OK || s->token_given || !*required) {
        return status;
    }
    char home[4000];
    if (!aq_state_home(home, sizeof home)) {
        return aq_fault_set(fault, AQ_USAGE,
                            "no place for a token: neither XDG_STATE_HOME nor HOME is set; "
                            "use --token-file");
    }
    snprintf(s->token_path, sizeof s->token_path, "%s/token", home);
    return aq_token_make(s->token_path, s->token, fault);
}

static aq_status identity_prepare(server *s, aq_fault *fault)
{
    const options *o = s->o;
    char home[4000];
    if ((o->cert == NULL) != (o->key == NULL)) {
        return aq_fault_set(fault, AQ_USAGE, "--cert and --key go together");
    }
    if (o->plain || o->force_plain) {
        return o->cert == NULL
                   ? AQ_OK
                   : aq_fault_set(fault, AQ_USAGE, "--cert means TLS, --plain none");
    }
    if (o->cert != NULL) {
        s->identity = aq_identity_load(o->cert, o->key, fault);
    } else if (aq_state_home(home, sizeof home)) {
        s->identity = aq_identity_open(home, fault);
    } else {
        return aq_fault_set(
            fault, AQ_USAGE,
            "no place for the server's key: neither XDG_STATE_HOME nor HOME is "
            "set");
    }
    return s->identity == NULL ? fault->status : AQ_OK;
}

static aq_status folders_add(server *s, aq_fault *fault)
{
    for (size_t i = 0; i < s->o->operands.count; i++) {
        aq_root_config root = {.path = s->o->operands.items[i],
                               .name = s->names[i],
                               .rights = s->o->read_only ? AQ_READ : AQ_READ | AQ_WRITE,
                               .writable = !s->o->read_only,
                               .no_fsync = !s->o->fsync};
        uint32_t number;
        aq_status status = aq_loop_root_add(s->loop, &root, &number, fault);
        if (status != AQ_OK) {
            return status;
        }
    }
    return AQ_OK;
}

static void urls_print(const server *s, const aq_url *where)
{
    char text[AQ_URL_SIZE];
    for (size_t i = 0; i < s->o->operands.count; i++) {
        aq_url url = *where;
        snprintf(url.folder, sizeof url.folder, "%s", s->names[i]);
        aq_url_print(&url, text);
        if (s->o->json) {
            json j = json_open(stdout, "listening");
            json_text(&j, "url", text);
            json_close(&j);
        } else {
            puts(text);
        }
    }
    fflush(stdout);
}

static void token_tell(const server *s)
{
    if (s->o->json) {
        json j = json_open(stdout, "token");
        json_text(&j, "path", s->token_path);
        json_close(&j);
    } else if (!s->o->quiet) {
        fputs("Peers on other machines need the token in ", stderr);
        text_print(stderr, s->token_path);
        fputs("\nCopy that file to them and add: --token-file FILE\n", stderr);
    }
}

static aq_status listeners_open(server *s, aq_fault *fault)
{
    aq_url urls[LISTENERS_MAX];
    for (size_t i = 0; i < s->address_count; i++) {
        const address *a = &s->addresses[i];
        aq_listen_config config = {.host = a->host[0] == '\0' ? NULL : a->host,
                                   .port = a->port,
                                   .identity = s->identity,
                                   .force_plain = s->o->force_plain,
                                   .trust_loopback = !s->token_given};
        aq_status status = aq_loop_listen(s->loop, &config, &urls[i], fault);
        if (status != AQ_OK) {
            return status;
        }
    }
    for (size_t i = 0; i < s->address_count; i++) {
        urls_print(s, &urls[i]);
    }
    if (s->token_path[0] != '\0') {
        token_tell(s);
    }
    return AQ_OK;
}

/* ---- running ---------------------------------------------------------------------- */

static void event_json(const char *event, const server *s, const aq_note *note)
{
    json j = json_open(stdout, event);
    json_text(&j, "peer", aq_loop_link_peer(s->loop, note->link));
    if (note->path[0] != '\0') {
        json_text(&j, "path", note->path);
    }
    json_text(&j, "status", aq_status_name(note->status));
    if (note->text[0] != '\0') {
        json_text(&j, "message", note->text);
    }
    json_close(&j);
}

static void line_print(const server *s, const aq_note *note, const char *what)
{
    const char *peer = aq_loop_link_peer(s->loop, note->link);
    char line[2048], stamp[32];
    time_t now = time(NULL);
    struct tm local;
    strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", localtime_r(&now, &local));
    snprintf(line, sizeof line, "%s %s%s%s%s%s%s%s", stamp, peer,
             peer[0] != '\0' ? " " : "", what, note->path[0] != '\0' ? " " : "", note->path,
             note->text[0] != '\0' ? ": " : "", note->text);
    text_print(stderr, line);
    fputc('\n', stderr);
}

static void on_note(void *context, const aq_note *note)
{
    server *s = context;
    static const struct {
        const char *event, *text;
        unsigned verbose; /* at which it is told */
    } kinds[] = {
        [AQ_NOTE_CHANGE] = {"change", "changed", 2},
        [AQ_NOTE_PROBLEM] = {"problem", "problem:", 0},
        [AQ_NOTE_WARNING] = {"warning", "warning:", 0},
        [AQ_NOTE_LINK_UP] = {"connected", "connected", 1},
        [AQ_NOTE_LINK_DOWN] = {"disconnected", "disconnected", 1},
        [AQ_NOTE_BEGIN] = {"opened", "opened", 1},
        [AQ_NOTE_END] = {"finished", "finished", 1},
    };
    if ((unsigned)note->kind >= sizeof kinds / sizeof *kinds ||
        s->o->verbose < kinds[note->kind].verbose || s->o->quiet) {
        return;
    }
    if (s->o->json) {
        event_json(kinds[note->kind].event, s, note);
        return;
    }
    char what[256];
    bool usual = note->status == AQ_OK ||
                 (note->kind == AQ_NOTE_LINK_DOWN && note->status == AQ_CLOSED);
    snprintf(what, sizeof what, "%s%s%s", kinds[note->kind].text, usual ? "" : ": ",
             usual ? "" : aq_status_text(note->status));
    line_print(s, note, what);
}

/* What is staged is saved as it goes, and peers dial again: nothing is gained by waiting.
 */
static void on_signal(void *context, int signal_number)
{
    server *s = context;
    (void)signal_number;
    aq_loop_stop(s->loop);
}

int serve_run(const options *o)
{
    static server s;
    aq_fault fault = {0};
    bool auth_required = false;
    s = (server){.o = o};
    aq_status status = addresses_read(&s, &fault);
    if (status == AQ_OK) {
        status = names_find(&s, &fault);
    }
    if (status == AQ_OK) {
        status = token_prepare(&s, &auth_required, &fault);
    }
    if (status == AQ_OK) {
        status = identity_prepare(&s, &fault);
    }
    if (status == AQ_OK) {
        aq_loop_config config = {.timeout_ns = o->timeout_ns,
                                 .token = s.token[0] != '\0' ? s.token : NULL,
                                 .auth_required = auth_required};
        s.loop = aq_loop_open(&config, &fault);
        status = s.loop == NULL ? fault.status : AQ_OK;
    }
    if (status == AQ_OK) {
        status = folders_add(&s, &fault);
    }
    if (status == AQ_OK) {
        status = listeners_open(&s, &fault);
    }
    if (status == AQ_OK) {
        aq_loop_hooks hooks = {.context = &s, .on_note = on_note, .on_signal = on_signal};
        aq_loop_run(s.loop, &hooks);
    }
    if (s.loop != NULL) {
        aq_loop_close(s.loop);
    }
    if (s.identity != NULL) {
        aq_identity_close(s.identity);
    }
    return status == AQ_OK ? 0 : fail_with(o->json, status, "%s", fault.text);
}
