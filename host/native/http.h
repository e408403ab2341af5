/* http.h: the HTTP/1.1 that surrounds a WebSocket's opening (RFC 6455, section 4). */
#ifndef AQ_HTTP_H
#define AQ_HTTP_H

#include <http_parser.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    AQ_HTTP_HEAD_MAX = 8192, /* a request's or response's head; longer ones are refused */
    AQ_HTTP_TEXT_SIZE = 1024 /* room for what the put functions write */
};

/* Where links are opened: GET /acequia. */
#define AQ_HTTP_TARGET "/acequia"

typedef enum aq_http_result {
    AQ_HTTP_MORE, /* all input is used up, the head goes on */
    AQ_HTTP_DONE,
    AQ_HTTP_BAD
} aq_http_result;

/* One head, as it is read. Fields are cut to fit and NUL-terminated. */
typedef struct aq_http {
    http_parser parser;
    size_t size; /* of the head so far */
    bool done;
    bool upgrade_websocket;  /* Upgrade: websocket */
    bool connection_upgrade; /* Connection: … upgrade … */
    bool version_13;         /* Sec-WebSocket-Version: 13 */
    bool host;
    bool origin; /* Origin: a web page asks, through its user's browser */
    char target[256];
    char key[64];    /* Sec-WebSocket-Key */
    char accept[64]; /* Sec-WebSocket-Accept */
    char name[64];   /* of the header under way */
    char value[256];
    bool in_value;
} aq_http;

void aq_http_init(aq_http *http, bool response);

/* *used says how much of data[0..size) belonged to the head: after DONE what follows is
 * already WebSocket. */
aq_http_result aq_http_read(aq_http *http, const void *data, size_t size, size_t *used);

/* The answer to a key. */
void aq_http_accept(const char *key, char out[64]);

/* The put functions write a head and return its size. `key` has 24 base64 digits. */
size_t aq_http_request_put(char out[AQ_HTTP_TEXT_SIZE], const char *host, uint16_t port,
                           const char *key);

/* Client: 0, or a text that says why this is no answer to our request. */
const char *aq_http_response_problem(const aq_http *http, const char *key);

/* Server: what to answer a head that was read (or was BAD). True: 101, the link is open.
 * False: a plain answer, after which the connection is closed. */
bool aq_http_answer_put(const aq_http *http, aq_http_result result, bool pages_allowed,
                        char out[AQ_HTTP_TEXT_SIZE], size_t *size);

#endif
