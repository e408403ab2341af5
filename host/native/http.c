/* http.c: the opening handshake.
 *
 *     GET /acequia HTTP/1.1                       HTTP/1.1 101 Switching Protocols
 *     Host: example.org:7475                      Upgrade: websocket
 *     Upgrade: websocket                    →     Connection: Upgrade
 *     Connection: Upgrade                         Sec-WebSocket-Accept: …
 *     Sec-WebSocket-Key: …
 *     Sec-WebSocket-Version: 13
 *
 * http-parser does the reading; kept is only what this exchange needs, in fixed fields.
 *
 * Any web page may make its visitor's browser open a WebSocket to the visitor's own
 * machine, and the browser says so only by the Origin header. Where being on this machine
 * is taken as leave enough (no token), such requests are refused: pages_allowed. */
#include "http.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static void append(char *to, size_t room, const char *data, size_t size)
{
    size_t have = strlen(to);
    size_t take = size < room - 1 - have ? size : room - 1 - have;
    memcpy(to + have, data, take);
    to[have + take] = 0;
}

/* Is `token` one of the list's, separated by commas? */
static bool list_holds(const char *list, const char *token)
{
    size_t size = strlen(token);
    while (*list) {
        list += strspn(list, ", \t");
        size_t n = strcspn(list, ", \t");
        if (n == size && !strncasecmp(list, token, n)) {
            return true;
        }
        list += n;
    }
    return false;
}

/* ---- reading ---------------------------------------------------------------------------
 */

static void field_end(aq_http *http)
{
    const char *name = http->name;
    const char *value = http->value;
    if (!strcasecmp(name, "upgrade")) {
        http->upgrade_websocket |= list_holds(value, "websocket");
    } else if (!strcasecmp(name, "connection")) {
        http->connection_upgrade |= list_holds(value, "upgrade");
    } else if (!strcasecmp(name, "sec-websocket-version")) {
        http->version_13 = !strcmp(value, "13");
    } else if (!strcasecmp(name, "host")) {
        http->host = true;
    } else if (!strcasecmp(name, "origin")) {
        http->origin = true;
    } else if (!strcasecmp(name, "sec-websocket-key")) {
        (void)snprintf(http->key, sizeof http->key, "%.63s", value);
    } else if (!strcasecmp(name, "sec-websocket-accept")) {
        (void)snprintf(http->accept, sizeof http->accept, "%.63s", value);
    }
    http->name[0] = 0;
    http->value[0] = 0;
    http->in_value = false;
}

static int on_url(http_parser *parser, const char *at, size_t size)
{
    aq_http *http = parser->data;
    append(http->target, sizeof http->target, at, size);
    return 0;
}

static int on_header_field(http_parser *parser, const char *at, size_t size)
{
    aq_http *http = parser->data;
    if (http->in_value) {
        field_end(http);
    }
    append(http->name, sizeof http->name, at, size);
    return 0;
}

static int on_header_value(http_parser *parser, const char *at, size_t size)
{
    aq_http *http = parser->data;
    http->in_value = true;
    append(http->value, sizeof http->value, at, size);
    return 0;
}

static int on_headers_complete(http_parser *parser)
{
    aq_http *http = parser->data;
    field_end(http);
    http->done = true;
    /* Stop here: whatever follows is not HTTP, or not wanted. */
    http_parser_pause(parser, 1);
    return 0;
}

static const http_parser_settings settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
};

void aq_http_init(aq_http *http, bool response)
{
    memset(http, 0, sizeof *http);
    http_parser_init(&http->parser, response ? HTTP_RESPONSE : HTTP_REQUEST);
    http->parser.data = http;
}

aq_http_result aq_http_read(aq_http *http, const void *data, size_t size, size_t *used)
{
    size_t room = AQ_HTTP_HEAD_MAX - http->size;
    size_t take = size < room ? size : room;
    *used = http_parser_execute(&http->parser, &settings, data, take);
    http->size += *used;
    enum http_errno error = HTTP_PARSER_ERRNO(&http->parser);
    if (http->done && error == HPE_PAUSED) {
        /* The parser stops before the newline that ends the head. */
        (*used)++;
        return AQ_HTTP_DONE;
    }
    return error != HPE_OK || http->size == AQ_HTTP_HEAD_MAX ? AQ_HTTP_BAD : AQ_HTTP_MORE;
}

/* ---- writing ---------------------------------------------------------------------------
 */

void aq_http_accept(const char *key, char out[64])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char joined[64 + sizeof guid];
    uint8_t digest[20];
    gnutls_datum_t binary = {digest, sizeof digest};
    gnutls_datum_t text = {0};
    int n = snprintf(joined, sizeof joined, "%.63s%s", key, guid);
    out[0] = 0;
    if (!gnutls_hash_fast(GNUTLS_DIG_SHA1, joined, (size_t)n, digest) &&
        !gnutls_base64_encode2(&binary, &text)) {
        (void)snprintf(out, 64, "%.*s", (int)text.size, (const char *)text.data);
        gnutls_free(text.data);
    }
}

size_t aq_http_request_put(char out[AQ_HTTP_TEXT_SIZE], const char *host, uint16_t port,
                           const char *key)
{
    bool bracket = strchr(host, ':') != NULL;
    return (size_t)snprintf(out, AQ_HTTP_TEXT_SIZE,
                            "GET " AQ_HTTP_TARGET " HTTP/1.1\r\n"
                            "Host: %s%.255s%s:%u\r\n"
                            "Upgrade: websocket\r\n"
                            "Connection: Upgrade\r\n"
                            "Sec-WebSocket-Key: %.32s\r\n"
                            "Sec-WebSocket-Version: 13\r\n"
                            "\r\n",
                            bracket ? "[" : "", host, bracket ? "]" : "", port, key);
}

const char *aq_http_response_problem(const aq_http *http, const char *key)
{
    char accept[64];
    aq_http_accept(key, accept);
    if (http->parser.status_code == 403) {
        return "the server refuses this connection (HTTP 403)";
    }
    if (http->parser.status_code == 503) {
        return "the server has too many connections (HTTP 503)";
    }
    if (http->parser.status_code != 101 || !http->upgrade_websocket ||
        !http->connection_upgrade) {
        return "what listens there speaks HTTP but is no Acequia server";
    }
    if (!*accept || strcmp(accept, http->accept) != 0) {
        return "the server's WebSocket answer does not fit the question; is a proxy "
               "between?";
    }
    return NULL;
}

static bool refuse(char out[AQ_HTTP_TEXT_SIZE], size_t *size, const char *status,
                   const char *headers, const char *text)
{
    *size = (size_t)snprintf(out, AQ_HTTP_TEXT_SIZE,
                             "HTTP/1.1 %s\r\n"
                             "%sConnection: close\r\n"
                             "Content-Type: text/plain; charset=utf-8\r\n"
                             "X-Content-Type-Options: nosniff\r\n"
                             "Content-Length: %zu\r\n"
                             "\r\n"
                             "%s",
                             status, headers, strlen(text), text);
    return false;
}

bool aq_http_answer_put(const aq_http *http, aq_http_result result, bool pages_allowed,
                        char out[AQ_HTTP_TEXT_SIZE], size_t *size)
{
    if (result != AQ_HTTP_DONE) {
        return http->size >= AQ_HTTP_HEAD_MAX
                   ? refuse(out, size, "431 Request Header Fields Too Large", "",
                            "The request's head is too long.\n")
                   : refuse(out, size, "400 Bad Request", "", "This is not HTTP.\n");
    }
    if (http->parser.http_major != 1 || http->parser.http_minor < 1 || !http->host) {
        return refuse(out, size, "400 Bad Request", "",
                      "HTTP/1.1 and a Host are needed.\n");
    }
    if (strcmp(http->target, AQ_HTTP_TARGET) != 0) {
        return refuse(out, size, "404 Not Found", "",
                      "This is an Acequia server; there are no pages here.\n");
    }
    if (http->parser.method != HTTP_GET) {
        return refuse(out, size, "405 Method Not Allowed", "Allow: GET\r\n",
                      "Only GET is understood.\n");
    }
    if (!http->upgrade_websocket || !http->connection_upgrade || !http->version_13) {
        return refuse(out, size, "426 Upgrade Required",
                      "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
                      "Acequia is spoken over a WebSocket here.\n");
    }
    if (strlen(http->key) != 24) {
        return refuse(out, size, "400 Bad Request", "", "The WebSocket key is wrong.\n");
    }
    if (http->origin && !pages_allowed) {
        return refuse(out, size, "403 Forbidden", "",
                      "Web pages may not open links to a server without a token.\n");
    }
    char accept[64];
    aq_http_accept(http->key, accept);
    *size = (size_t)snprintf(out, AQ_HTTP_TEXT_SIZE,
                             "HTTP/1.1 101 Switching Protocols\r\n"
                             "Upgrade: websocket\r\n"
                             "Connection: Upgrade\r\n"
                             "Sec-WebSocket-Accept: %s\r\n"
                             "\r\n",
                             accept);
    return true;
}
