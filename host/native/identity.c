/* identity.c: keys, certificates and tokens on disk.
 *
 *     directory/identity-key.pem     mode 600, PKCS #8, P-256: made once, lives for ever
 *     (in memory)                    a certificate under it, good for 13 days
 *
 * Clients pin the key, not the certificate, so nothing about the certificate needs to be
 * kept: each start signs a new one. Thirteen days, because browsers take a certificate by
 * its hash only when it is good for 14 days at most, and clocks differ.
 *
 * Secrets are made under a temporary name and linked into place: two servers that start at
 * once for the first time end up with one key, and a crash leaves no half-written one. A
 * secret that other users can read is refused rather than used: its owner would not know.
 */
#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    PATH_SIZE = 4096,
    SECRET_SIZE = 65536, /* a file that holds more is not one of ours */
    DAY_S = 24 * 60 * 60
};

struct aq_identity {
    gnutls_certificate_credentials_t credentials;
    uint8_t fingerprint[32];
    bool self_signed;
};

/* ---- files with secrets ----------------------------------------------------------------
 */

static aq_status errno_status(int error)
{
    switch (error) {
    case ENOENT:
        return AQ_NOT_FOUND;
    case EACCES:
    case EPERM:
        return AQ_ACCESS;
    case ENOSPC:
    case EDQUOT:
        return AQ_NO_SPACE;
    case EROFS:
        return AQ_READ_ONLY;
    default:
        return AQ_IO;
    }
}

static aq_status fault_errno(aq_fault *fault, const char *verb, const char *path)
{
    int error = errno;
    return aq_fault_set(fault, errno_status(error), "cannot %s %s: %s", verb, path,
                        strerror(error));
}

/* What was missing is being made now. */
static void fault_clear(aq_fault *fault)
{
    (void)aq_fault_set(fault, AQ_OK, "%s", "");
}

static bool write_all(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno != EINTR) {
            return false;
        }
        data += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* OK also if another process put one there first: the caller reads what is there. */
static aq_status secret_write(const char *path, const char *data, size_t size,
                              aq_fault *fault)
{
    char temporary[PATH_SIZE + 32];
    (void)snprintf(temporary, sizeof temporary, "%s.%ld", path, (long)getpid());
    (void)unlink(temporary);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return fault_errno(fault, "create", temporary);
    }
    bool good = write_all(fd, data, size) && !fsync(fd);
    good = good && (!link(temporary, path) || errno == EEXIST);
    aq_status status = good ? AQ_OK : fault_errno(fault, "write", path);
    (void)close(fd);
    (void)unlink(temporary);
    return status;
}

/* *size: room in, bytes out. `forbidden`: mode bits that a secret must not have. */
static aq_status secret_read(const char *path, char *data, size_t *size, unsigned forbidden,
                             aq_fault *fault)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st)) {
        aq_status status = fault_errno(fault, "read", path);
        if (fd >= 0) {
            (void)close(fd);
        }
        return status;
    }
    size_t n = 0;
    ssize_t got = 1;
    while (got > 0 && n < *size) {
        do {
            got = read(fd, data + n, *size - n);
        } while (got < 0 && errno == EINTR);
        n += got > 0 ? (size_t)got : 0;
    }
    aq_status status = got < 0 ? fault_errno(fault, "read", path) : AQ_OK;
    (void)close(fd);
    if (status == AQ_OK && S_ISREG(st.st_mode) && (st.st_mode & forbidden)) {
        status = aq_fault_set(fault, AQ_ACCESS,
                              "other users can read the secret in %s; make it private "
                              "with: chmod 600 %s",
                              path, path);
    }
    if (status == AQ_OK && n == *size) {
        status = aq_fault_set(fault, AQ_IO, "%s is too long for what it should hold", path);
    }
    *size = n;
    return status;
}

bool aq_state_home(char *out, size_t size)
{
    const char *base = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int n = -1;
    /* The specification: a relative one is invalid and to be ignored. */
    if (base && *base == '/') {
        n = snprintf(out, size, "%s/acequia", base);
    } else if (home && *home == '/') {
        n = snprintf(out, size, "%s/.local/state/acequia", home);
    }
    return n > 0 && (size_t)n < size;
}

static aq_status directory_make(const char *path, aq_fault *fault)
{
    char part[PATH_SIZE];
    size_t size = strlen(path);
    if (size == 0 || size >= sizeof part) {
        return aq_fault_set(fault, AQ_NAME, "the state directory's path is %s",
                            size ? "too long" : "empty");
    }
    for (size_t i = 1; i <= size; i++) {
        if (path[i] == '/' || path[i] == 0) {
            memcpy(part, path, i);
            part[i] = 0;
            if (mkdir(part, 0700) && errno != EEXIST && i == size) {
                return fault_errno(fault, "create the directory", path);
            }
        }
    }
    return AQ_OK;
}

/* ---- tokens ----------------------------------------------------------------------------
 */

aq_status aq_token_read(const char *path, char token[AQ_TOKEN_SIZE], aq_fault *fault)
{
    char data[SECRET_SIZE];
    size_t size = sizeof data;
    aq_status status = secret_read(path, data, &size, S_IRWXO, fault);
    if (status != AQ_OK) {
        return status;
    }
    size_t length = 0;
    while (length < size && data[length] != '\n' && data[length] != 0) {
        length++;
    }
    if (length && data[length - 1] == '\r') {
        length--;
    }
    if (length == 0) {
        return aq_fault_set(fault, AQ_USAGE, "the token file %s has an empty first line",
                            path);
    }
    if (length >= AQ_TOKEN_SIZE) {
        return aq_fault_set(fault, AQ_USAGE, "the token in %s is longer than %d bytes",
                            path, AQ_TOKEN_SIZE - 1);
    }
    memcpy(token, data, length);
    token[length] = 0;
    gnutls_memset(data, 0, sizeof data);
    return AQ_OK;
}

aq_status aq_token_make(const char *path, char token[AQ_TOKEN_SIZE], aq_fault *fault)
{
    aq_status status = aq_token_read(path, token, fault);
    if (status != AQ_NOT_FOUND) {
        return status;
    }
    fault_clear(fault);
    /* 130 bits in an alphabet of 32 that survives dictation. */
    static const char digits[] = "abcdefghijkmnpqrstuvwxyz23456789";
    uint8_t random[26];
    char line[sizeof random + 1];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        return fault_errno(fault, "get random bytes for", path);
    }
    for (size_t i = 0; i < sizeof random; i++) {
        line[i] = digits[random[i] & 31];
    }
    line[sizeof random] = '\n';
    char directory[PATH_SIZE];
    const char *slash = strrchr(path, '/');
    if (slash && slash != path && (size_t)(slash - path) < sizeof directory) {
        memcpy(directory, path, (size_t)(slash - path));
        directory[slash - path] = 0;
        status = directory_make(directory, fault);
        if (status != AQ_OK) {
            return status;
        }
    }
    status = secret_write(path, line, sizeof line, fault);
    return status == AQ_OK ? aq_token_read(path, token, fault) : status;
}

/* ---- keys and certificates -------------------------------------------------------------
 */

static aq_status fault_tls(aq_fault *fault, const char *what, const char *path, int error)
{
    return aq_fault_set(fault, AQ_IO, "cannot %s %s: %s", what, path,
                        gnutls_strerror(error));
}

static aq_status key_make(const char *path, aq_fault *fault)
{
    gnutls_x509_privkey_t key = NULL;
    gnutls_datum_t pem = {0};
    int error = gnutls_x509_privkey_init(&key);
    if (!error) {
        error = gnutls_x509_privkey_generate(
            key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
    }
    if (!error) {
        error = gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL,
                                                  GNUTLS_PKCS_PLAIN, &pem);
    }
    aq_status status = error ? fault_tls(fault, "make the key", path, error)
                             : secret_write(path, (const char *)pem.data, pem.size, fault);
    if (pem.data) {
        gnutls_memset(pem.data, 0, pem.size);
        gnutls_free(pem.data);
    }
    gnutls_x509_privkey_deinit(key);
    return status;
}

static aq_status key_read(const char *path, gnutls_x509_privkey_t key, aq_fault *fault)
{
    char data[SECRET_SIZE];
    size_t size = sizeof data;
    aq_status status = secret_read(path, data, &size, S_IRWXO | S_IRWXG, fault);
    if (status == AQ_OK) {
        gnutls_datum_t pem = {(unsigned char *)data, (unsigned)size};
        int error = gnutls_x509_privkey_import2(key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0);
        if (error) {
            status = aq_fault_set(fault, AQ_IO,
                                  "cannot use the key in %s: %s; move it away to get a new "
                                  "one (the server's fingerprint then changes)",
                                  path, gnutls_strerror(error));
        }
        gnutls_memset(data, 0, sizeof data);
    }
    return status;
}

static int certificate_sign(gnutls_x509_crt_t certificate, gnutls_x509_privkey_t key)
{
    time_t now = time(NULL);
    uint8_t serial[16];
    int error = 0;
    if (getrandom(serial, sizeof serial, 0) != (ssize_t)sizeof serial) {
        return GNUTLS_E_RANDOM_FAILED;
    }
    serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40); /* positive, of full length */
#define TRY(call) error = error < 0 ? error : (call)
    TRY(gnutls_x509_crt_set_version(certificate, 3));
    TRY(gnutls_x509_crt_set_serial(certificate, serial, sizeof serial));
    TRY(gnutls_x509_crt_set_activation_time(certificate, now - DAY_S));
    TRY(gnutls_x509_crt_set_expiration_time(certificate, now + 12 * DAY_S));
    TRY(gnutls_x509_crt_set_dn(certificate, "CN=acequia", NULL));
    TRY(gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_DNSNAME, "localhost",
                                             9, GNUTLS_FSAN_SET));
    TRY(gnutls_x509_crt_set_basic_constraints(certificate, 0, -1));
    TRY(gnutls_x509_crt_set_key_usage(certificate, GNUTLS_KEY_DIGITAL_SIGNATURE));
    TRY(gnutls_x509_crt_set_key(certificate, key));
    TRY(gnutls_x509_crt_sign2(certificate, certificate, key, GNUTLS_DIG_SHA256, 0));
#undef TRY
    return error;
}

static int fingerprint_take(aq_identity *identity, gnutls_x509_crt_t certificate)
{
    gnutls_pubkey_t public_key = NULL;
    gnutls_datum_t der = {0};
    int error = gnutls_pubkey_init(&public_key);
    if (!error) {
        error = gnutls_pubkey_import_x509(public_key, certificate, 0);
    }
    if (!error) {
        error = gnutls_pubkey_export2(public_key, GNUTLS_X509_FMT_DER, &der);
    }
    if (!error) {
        error =
            gnutls_hash_fast(GNUTLS_DIG_SHA256, der.data, der.size, identity->fingerprint);
    }
    gnutls_free(der.data);
    gnutls_pubkey_deinit(public_key);
    return error;
}

static int self_sign(aq_identity *identity, gnutls_x509_privkey_t key)
{
    gnutls_x509_crt_t certificate = NULL;
    int error = gnutls_x509_crt_init(&certificate);
    if (!error) {
        error = certificate_sign(certificate, key);
    }
    if (!error) {
        error = fingerprint_take(identity, certificate);
    }
    if (!error) {
        error =
            gnutls_certificate_set_x509_key(identity->credentials, &certificate, 1, key);
    }
    gnutls_x509_crt_deinit(certificate);
    return error < 0 ? error : 0;
}

static aq_identity *identity_make(aq_fault *fault)
{
    aq_identity *identity = calloc(1, sizeof *identity);
    if (!identity || gnutls_certificate_allocate_credentials(&identity->credentials)) {
        (void)aq_fault_set(fault, AQ_MEMORY, "out of memory");
        free(identity);
        return NULL;
    }
    return identity;
}

aq_identity *aq_identity_open(const char *directory, aq_fault *fault)
{
    char path[PATH_SIZE + 32];
    aq_status status = directory_make(directory, fault);
    aq_identity *identity = status == AQ_OK ? identity_make(fault) : NULL;
    if (!identity) {
        return NULL;
    }
    (void)snprintf(path, sizeof path, "%s/identity-key.pem", directory);
    gnutls_x509_privkey_t key = NULL;
    int error = gnutls_x509_privkey_init(&key);
    if (!error) {
        status = key_read(path, key, fault);
        if (status == AQ_NOT_FOUND) {
            fault_clear(fault);
            status = key_make(path, fault);
            status = status == AQ_OK ? key_read(path, key, fault) : status;
        }
        if (status == AQ_OK) {
            error = self_sign(identity, key);
        }
    }
    if (error) {
        status = fault_tls(fault, "make a certificate for", path, error);
    }
    identity->self_signed = true;
    gnutls_x509_privkey_deinit(key);
    if (status != AQ_OK) {
        aq_identity_close(identity);
        return NULL;
    }
    return identity;
}

aq_identity *aq_identity_load(const char *certificate_path, const char *key_path,
                              aq_fault *fault)
{
    aq_identity *identity = identity_make(fault);
    if (!identity) {
        return NULL;
    }
    /* Asked of the system first: GnuTLS only says that it could not read "a file". */
    const char *unreadable = access(certificate_path, R_OK) ? certificate_path
                             : access(key_path, R_OK)       ? key_path
                                                            : NULL;
    if (unreadable) {
        (void)fault_errno(fault, "read", unreadable);
        aq_identity_close(identity);
        return NULL;
    }
    gnutls_x509_crt_t *chain = NULL;
    unsigned chain_count = 0;
    int error = gnutls_certificate_set_x509_key_file2(
        identity->credentials, certificate_path, key_path, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (error >= 0) {
        error = gnutls_certificate_get_x509_crt(identity->credentials, (unsigned)error,
                                                &chain, &chain_count);
    }
    if (error >= 0) {
        error = fingerprint_take(identity, chain[0]);
    }
    for (unsigned i = 0; i < chain_count; i++) {
        gnutls_x509_crt_deinit(chain[i]);
    }
    gnutls_free(chain);
    if (error < 0) {
        (void)aq_fault_set(fault, AQ_USAGE,
                           "cannot use the certificate %s with the key %s: %s",
                           certificate_path, key_path, gnutls_strerror(error));
        aq_identity_close(identity);
        return NULL;
    }
    return identity;
}

void aq_identity_close(aq_identity *identity)
{
    if (identity) {
        gnutls_certificate_free_credentials(identity->credentials);
        free(identity);
    }
}

const uint8_t *aq_identity_fingerprint(const aq_identity *identity)
{
    return identity->fingerprint;
}

bool aq_identity_is_self_signed(const aq_identity *identity)
{
    return identity->self_signed;
}

struct gnutls_certificate_credentials_st *
aq_identity_credentials(const aq_identity *identity)
{
    return identity->credentials;
}
