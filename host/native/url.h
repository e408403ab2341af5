/* url.h: where a peer listens and how to know it:
 *
 *     acequia://host:port/folder#fingerprint      TLS
 *     acequia+ws://host:port/folder               plain
 *
 * wss:// and ws:// are the same two with the web's default ports. The fingerprint is the
 * SHA-256 of the server's public key (SubjectPublicKeyInfo) in base64url or hexadecimal.
 * The folder is percent-encoded and may be empty. IPv6 addresses stand in brackets. */
#ifndef AQ_URL_H
#define AQ_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    AQ_URL_PORT = 7475,                    /* of acequia:// when none is named */
    AQ_URL_SIZE = 3 * 4096 + 3 * 256 + 128 /* room for any printed URL */
};

typedef struct aq_url {
    char host[256]; /* a name or an address, without brackets */
    uint16_t port;
    bool tls;
    bool pinned; /* a fingerprint was given */
    uint8_t fingerprint[32];
    char folder[4096]; /* decoded; no slash at either end; "" is a name too */
} aq_url;

/* Does it start with one of our schemes? Everything else is a path. */
bool aq_url_is(const char *text);

/* NULL, or a static text that says what is wrong; *url is undefined then. */
const char *aq_url_parse(const char *text, aq_url *url);

/* Writes the shortest URL that parses to the same and is always explicit about its port.
 * `out` has room for AQ_URL_SIZE. */
void aq_url_print(const aq_url *url, char *out);

#endif
