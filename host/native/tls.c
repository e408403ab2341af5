/* tls.c: TLS 1.3 by GnuTLS.
 *
 * AES-128-GCM comes first because it is the fastest where there are instructions for it,
 * and X25519 because everybody has it; older versions of TLS are not spoken, so there is
 * nothing to downgrade to. There are no session tickets and no early data: a link lasts
 * long, and early data could be replayed.
 *
 * Whom a client reached is decided inside the handshake, before it has said anything. A
 * fingerprint in the URL names the server's key and nothing else counts, neither names nor
 * dates: that is what it is for. Without one the certificate must stand up to the CAs, on
 * loopback too, since anybody on the machine may have taken the port. There is no way to
 * ask for no check.
 *
 * Received records are taken as packets from GnuTLS, which saves one copy of every byte. */
#include "tls.h"

#include <errno.h>
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>

static const char priorities[] =
    "NONE:+VERS-TLS1.3:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:+AEAD:+SIGN-ALL:"
    "+GROUP-X25519:+GROUP-SECP256R1:+COMP-NULL:%SERVER_PRECEDENCE";

struct aq_tls {
    gnutls_session_t session;
    gnutls_packet_t packet; /* lent out by the last recv */
    aq_tls_io io;
    const aq_url *url;       /* a client's */
    aq_fault identity_fault; /* why the server was not accepted */
};

/* ---- the transport below ----------------------------------------------------------------
 */

static ssize_t pull(gnutls_transport_ptr_t context, void *out, size_t size)
{
    aq_tls *tls = context;
    size_t n = tls->io.pull(tls->io.context, out, size);
    if (n == 0) {
        gnutls_transport_set_errno(tls->session, EAGAIN);
        return -1;
    }
    return (ssize_t)n;
}

static ssize_t push(gnutls_transport_ptr_t context, const void *data, size_t size)
{
    aq_tls *tls = context;
    if (!tls->io.push(tls->io.context, data, size)) {
        gnutls_transport_set_errno(tls->session, ENOBUFS);
        return -1;
    }
    return (ssize_t)size;
}

/* Never waits: the owner decides when to ask again. */
static int pull_timeout(gnutls_transport_ptr_t context, unsigned milliseconds)
{
    (void)context;
    (void)milliseconds;
    return 1;
}

/* ---- whom did we reach? -----------------------------------------------------------------
 */

static gnutls_x509_crt_t peer_certificate(gnutls_session_t session)
{
    unsigned count = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &count);
    gnutls_x509_crt_t certificate = NULL;
    if (!chain || count == 0 || gnutls_certificate_type_get(session) != GNUTLS_CRT_X509 ||
        gnutls_x509_crt_init(&certificate)) {
        return NULL;
    }
    if (gnutls_x509_crt_import(certificate, &chain[0], GNUTLS_X509_FMT_DER)) {
        gnutls_x509_crt_deinit(certificate);
        return NULL;
    }
    return certificate;
}

static bool fingerprint_matches(gnutls_session_t session, const uint8_t expected[32])
{
    uint8_t actual[32];
    gnutls_pubkey_t key = NULL;
    gnutls_datum_t der = {0};
    gnutls_x509_crt_t certificate = peer_certificate(session);
    bool good = certificate && !gnutls_pubkey_init(&key) &&
                !gnutls_pubkey_import_x509(key, certificate, 0) &&
                !gnutls_pubkey_export2(key, GNUTLS_X509_FMT_DER, &der) &&
                !gnutls_hash_fast(GNUTLS_DIG_SHA256, der.data, der.size, actual) &&
                !memcmp(actual, expected, sizeof actual);
    gnutls_free(der.data);
    gnutls_pubkey_deinit(key);
    gnutls_x509_crt_deinit(certificate);
    return good;
}

static aq_status ca_check(aq_tls *tls)
{
    unsigned problems = 0;
    gnutls_datum_t text = {0};
    int error = gnutls_certificate_verify_peers3(tls->session, tls->url->host, &problems);
    if (!error && !problems) {
        return AQ_OK;
    }
    if (!error) {
        (void)gnutls_certificate_verification_status_print(problems, GNUTLS_CRT_X509, &text,
                                                           0);
    }
    (void)aq_fault_set(
        &tls->identity_fault, AQ_IDENTITY,
        "%s cannot be trusted: %s Use the URL with the #fingerprint that the "
        "server printed when it started.",
        tls->url->host, text.data ? (const char *)text.data : gnutls_strerror(error));
    gnutls_free(text.data);
    return AQ_IDENTITY;
}

/* Called by GnuTLS inside the client's handshake; not 0 ends it. */
static int verify(gnutls_session_t session)
{
    aq_tls *tls = gnutls_session_get_ptr(session);
    aq_status status = AQ_OK;
    if (!tls->url->pinned) {
        status = ca_check(tls);
    } else if (!fingerprint_matches(session, tls->url->fingerprint)) {
        status = aq_fault_set(
            &tls->identity_fault, AQ_IDENTITY,
            "%s has another key than the URL's #fingerprint says: it is another server, or "
            "was set up anew. Ask its owner for the URL of now.",
            tls->url->host);
    }
    return status == AQ_OK ? 0 : GNUTLS_E_CERTIFICATE_ERROR;
}

aq_tls_trust *aq_tls_trust_open(const char *ca_file, aq_fault *fault)
{
    gnutls_certificate_credentials_t trust = NULL;
    if (gnutls_certificate_allocate_credentials(&trust)) {
        (void)aq_fault_set(fault, AQ_MEMORY, "out of memory");
        return NULL;
    }
    if (!ca_file) {
        /* None installed is no error here, but nobody will be trusted then. */
        (void)gnutls_certificate_set_x509_system_trust(trust);
        return trust;
    }
    if (!*ca_file) {
        return trust;
    }
    int count = gnutls_certificate_set_x509_trust_file(trust, ca_file, GNUTLS_X509_FMT_PEM);
    if (count <= 0) {
        (void)aq_fault_set(fault, AQ_USAGE, "no CA certificate can be read from %s: %s",
                           ca_file, count ? gnutls_strerror(count) : "there is none");
        gnutls_certificate_free_credentials(trust);
        return NULL;
    }
    return trust;
}

void aq_tls_trust_close(aq_tls_trust *trust)
{
    if (trust) {
        gnutls_certificate_free_credentials(trust);
    }
}

/* ---- opening and the handshake
 * ----------------------------------------------------------- */

static aq_tls *tls_open(unsigned flags, gnutls_certificate_credentials_t credentials,
                        const aq_tls_io *io)
{
    static const gnutls_datum_t protocol = {(unsigned char *)"http/1.1", 8};
    aq_tls *tls = calloc(1, sizeof *tls);
    if (!tls) {
        return NULL;
    }
    tls->io = *io;
    flags |= GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS;
    if (gnutls_init(&tls->session, flags)) {
        free(tls);
        return NULL;
    }
    gnutls_session_set_ptr(tls->session, tls);
    gnutls_transport_set_ptr(tls->session, tls);
    gnutls_transport_set_pull_function(tls->session, pull);
    gnutls_transport_set_push_function(tls->session, push);
    gnutls_transport_set_pull_timeout_function(tls->session, pull_timeout);
    gnutls_handshake_set_timeout(tls->session, 0); /* the owner has the clock */
    if (gnutls_priority_set_direct(tls->session, priorities, NULL) ||
        gnutls_alpn_set_protocols(tls->session, &protocol, 1, 0) ||
        gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE, credentials)) {
        aq_tls_close(tls);
        return NULL;
    }
    return tls;
}

aq_tls *aq_tls_open_server(const aq_identity *identity, const aq_tls_io *io)
{
    aq_tls *tls = tls_open(GNUTLS_SERVER, aq_identity_credentials(identity), io);
    if (tls) {
        gnutls_certificate_server_set_request(tls->session, GNUTLS_CERT_IGNORE);
    }
    return tls;
}

static bool host_is_name(const char *host)
{
    return !strchr(host, ':') && host[strspn(host, "0123456789.")] != 0;
}

aq_tls *aq_tls_open_client(const aq_url *url, aq_tls_trust *trust, const aq_tls_io *io)
{
    aq_tls *tls = tls_open(GNUTLS_CLIENT, trust, io);
    if (tls) {
        tls->url = url;
        gnutls_session_set_verify_function(tls->session, verify);
        if (host_is_name(url->host)) {
            (void)gnutls_server_name_set(tls->session, GNUTLS_NAME_DNS, url->host,
                                         strlen(url->host));
        }
    }
    return tls;
}

static void packet_give(aq_tls *tls)
{
    if (tls->packet) {
        gnutls_packet_deinit(tls->packet);
        tls->packet = NULL;
    }
}

void aq_tls_close(aq_tls *tls)
{
    if (tls) {
        packet_give(tls);
        gnutls_deinit(tls->session);
        free(tls);
    }
}

/* Says in a fault what a failed call means; `what` was going on. */
static aq_tls_result fail(aq_tls *tls, int error, const char *what, aq_fault *fault)
{
    if (tls->identity_fault.status != AQ_OK) {
        (void)aq_fault_set(fault, AQ_IDENTITY, "%s", tls->identity_fault.text);
    } else if (error == GNUTLS_E_FATAL_ALERT_RECEIVED) {
        (void)aq_fault_set(fault, AQ_PROTOCOL, "%s was refused by the other end: %s", what,
                           gnutls_alert_get_name(gnutls_alert_get(tls->session)));
    } else if (error == GNUTLS_E_UNEXPECTED_PACKET_LENGTH ||
               error == GNUTLS_E_UNSUPPORTED_VERSION_PACKET ||
               error == GNUTLS_E_UNEXPECTED_PACKET) {
        (void)aq_fault_set(fault, AQ_PROTOCOL,
                           "the other end does not speak TLS 1.3 (does it expect a plain "
                           "connection, acequia+ws://?)");
    } else {
        (void)aq_fault_set(fault, AQ_PROTOCOL, "%s failed: %s", what,
                           gnutls_strerror(error));
    }
    return AQ_TLS_FAILED;
}

aq_tls_result aq_tls_handshake(aq_tls *tls, aq_fault *fault)
{
    int error;
    do {
        error = gnutls_handshake(tls->session);
    } while (error == GNUTLS_E_INTERRUPTED || error == GNUTLS_E_WARNING_ALERT_RECEIVED);
    if (error == GNUTLS_E_AGAIN) {
        return AQ_TLS_AGAIN;
    }
    if (error < 0) {
        if (error != GNUTLS_E_FATAL_ALERT_RECEIVED) {
            (void)gnutls_alert_send_appropriate(tls->session, error);
        }
        return fail(tls, error, "the TLS handshake", fault);
    }
    return AQ_TLS_OK;
}

bool aq_tls_binding(aq_tls *tls, uint8_t out[AQ_TLS_BINDING_SIZE])
{
    static const char label[] = "EXPERIMENTAL-acequia";
    return !gnutls_prf_rfc5705(tls->session, sizeof label - 1, label, 0, "",
                               AQ_TLS_BINDING_SIZE, (char *)out);
}

/* ---- records
 * ------------------------------------------------------------------------------ */

aq_tls_result aq_tls_send(aq_tls *tls, const void *data, size_t size, aq_fault *fault)
{
    /* One record fits, and push takes all: there is no "again". */
    ssize_t n = gnutls_record_send(tls->session, data, size);
    if (n != (ssize_t)size) {
        return fail(tls, n < 0 ? (int)n : GNUTLS_E_INTERNAL_ERROR, "encryption", fault);
    }
    return AQ_TLS_OK;
}

aq_tls_result aq_tls_recv(aq_tls *tls, uint8_t **data, size_t *size, aq_fault *fault)
{
    ssize_t n;
    packet_give(tls);
    do {
        n = gnutls_record_recv_packet(tls->session, &tls->packet);
    } while (n == GNUTLS_E_INTERRUPTED);
    if (n > 0) {
        gnutls_datum_t datum;
        gnutls_packet_get(tls->packet, &datum, NULL);
        *data = datum.data;
        *size = datum.size;
        return AQ_TLS_OK;
    }
    if (n == GNUTLS_E_AGAIN) {
        return AQ_TLS_AGAIN;
    }
    if (n == 0) {
        packet_give(tls);
        return AQ_TLS_END;
    }
    return fail(tls, (int)n, "decryption", fault);
}

void aq_tls_bye(aq_tls *tls)
{
    (void)gnutls_bye(tls->session, GNUTLS_SHUT_WR);
}
