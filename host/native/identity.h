/* identity.h: who a server is, and the secret that lets clients in.
 *
 * A server is known by a long-lived P-256 key, made on its first start. Certificates come
 * and go under it; the fingerprint in its URLs is the SHA-256 of the public key
 * (SubjectPublicKeyInfo), so it outlives them all. */
#ifndef AQ_IDENTITY_H
#define AQ_IDENTITY_H

#include "fault.h"

enum {
    AQ_TOKEN_SIZE = 256 /* room for any token, with its NUL */
};

typedef struct aq_identity aq_identity;

/* Opens the identity kept in `directory` (made when missing, mode 700), with a key that is
 * made when missing (mode 600) and a self-signed certificate that is made afresh. NULL on
 * failure. */
aq_identity *aq_identity_open(const char *directory, aq_fault *fault);

/* Takes a certificate (chain) and its key from PEM files. NULL on failure. */
aq_identity *aq_identity_load(const char *certificate_path, const char *key_path,
                              aq_fault *fault);

/* Must outlive every listener that uses it. */
void aq_identity_close(aq_identity *identity);

/* 32 bytes, lent. */
const uint8_t *aq_identity_fingerprint(const aq_identity *identity);

/* False: a certificate of the user's own, which clients may know by the system's CAs. */
bool aq_identity_is_self_signed(const aq_identity *identity);

/* For tls.c: the GnuTLS credentials, lent. */
struct gnutls_certificate_credentials_st *
aq_identity_credentials(const aq_identity *identity);

/* $XDG_STATE_HOME/acequia or ~/.local/state/acequia. False if neither is known. */
bool aq_state_home(char *out, size_t size);

/* Reads a token file: its first line, without the newline. Empty and overlong ones are
 * refused, and so are files that others may read. */
aq_status aq_token_read(const char *path, char token[AQ_TOKEN_SIZE], aq_fault *fault);

/* Reads the token at `path`; makes a random one there (mode 600) if nothing is there. */
aq_status aq_token_make(const char *path, char token[AQ_TOKEN_SIZE], aq_fault *fault);

#endif
