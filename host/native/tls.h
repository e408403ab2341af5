/* tls.h: one TLS 1.3 connection's state, without the socket: it pulls and pushes bytes
 * through two functions of its owner. */
#ifndef AQ_TLS_H
#define AQ_TLS_H

#include "fault.h"
#include "identity.h"
#include "url.h"

enum {
    AQ_TLS_RECORD_MAX = 16384,    /* content of one record */
    AQ_TLS_RECORD_OVERHEAD = 256, /* on the wire, at most */
    AQ_TLS_BINDING_SIZE = 32
};

typedef struct aq_tls aq_tls;

typedef struct aq_tls_io {
    void *context;
    /* Copies up to `size` bytes that were received; 0: none now. */
    size_t (*pull)(void *context, void *out, size_t size);
    /* Takes all bytes, or none and returns false, which ends the session: the owner makes
     * sure that there is room for a record. */
    bool (*push)(void *context, const void *data, size_t size);
} aq_tls_io;

typedef enum aq_tls_result {
    AQ_TLS_OK,
    AQ_TLS_AGAIN, /* more bytes must be received first */
    AQ_TLS_END,   /* the peer said goodbye */
    AQ_TLS_FAILED /* the fault says why; the session is of no more use */
} aq_tls_result;

/* Which CAs a client trusts: made once, shared by its connections, outlives them. */
typedef struct gnutls_certificate_credentials_st aq_tls_trust;

/* `ca_file`: PEM; NULL for the system's; "" for none, which is enough for servers known by
 * their fingerprint. NULL on failure. */
aq_tls_trust *aq_tls_trust_open(const char *ca_file, aq_fault *fault);
void aq_tls_trust_close(aq_tls_trust *trust);

/* A server with that identity. NULL: out of memory. */
aq_tls *aq_tls_open_server(const aq_identity *identity, const aq_tls_io *io);

/* A client that wants exactly the server of that URL: by its fingerprint if there is one,
 * else by a certificate of a trusted CA for the URL's host. `url` is lent. */
aq_tls *aq_tls_open_client(const aq_url *url, aq_tls_trust *trust, const aq_tls_io *io);

void aq_tls_close(aq_tls *tls);

/* FAILED: IDENTITY if the server is not the one that was meant, else PROTOCOL. */
aq_tls_result aq_tls_handshake(aq_tls *tls, aq_fault *fault);

/* After the handshake: a value that both ends share and nobody else knows (RFC 5705, label
 * "EXPERIMENTAL-acequia"). */
bool aq_tls_binding(aq_tls *tls, uint8_t out[AQ_TLS_BINDING_SIZE]);

/* Encrypts and pushes one record; size ≤ AQ_TLS_RECORD_MAX. */
aq_tls_result aq_tls_send(aq_tls *tls, const void *data, size_t size, aq_fault *fault);

/* Decrypts the next record in place. *data is lent until the next call, and may be written
 * to. */
aq_tls_result aq_tls_recv(aq_tls *tls, uint8_t **data, size_t *size, aq_fault *fault);

/* Pushes the goodbye. */
void aq_tls_bye(aq_tls *tls);

#endif
