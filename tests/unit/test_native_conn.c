/* Connections over real sockets: TLS and plain, good and bad peers, in one loop. */
#include "test.h"

#include "../../host/native/conn.h"
#include "../../host/native/dial.h"
#include "../../host/native/net.h"

#include <gnutls/x509.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* One end: it sends `send` bytes of a pattern and checks what it gets against the same. */
typedef struct end {
    aq_conn *conn;
    uint64_t to_send, sent, got;
    bool up, down, wrong, hang_up_when_sent;
    uint8_t binding[32];
    aq_fault fault;
} end;

static uv_loop_t loop;
static aq_conn_pool *pool;
static aq_identity *identity;
static aq_tls_trust *nobody;
static uint8_t pattern[65536 + 251];

static void on_up(void *context, const uint8_t *binding)
{
    end *e = context;
    CHECK(!e->up && !e->down);
    e->up = true;
    memcpy(e->binding, binding, 32);
}

static void on_bytes(void *context, const uint8_t *data, size_t size)
{
    end *e = context;
    CHECK(e->up && !e->down);
    while (size) {
        size_t take = size < 65536 ? size : 65536;
        e->wrong |= memcmp(data, pattern + e->got % 251, take) != 0;
        e->got += take;
        data += take;
        size -= take;
    }
}

static size_t peek(void *context, const uint8_t **data)
{
    end *e = context;
    uint64_t left = e->to_send - e->sent;
    /* pieces of odd sizes */
    size_t piece = 1 + (size_t)(e->sent * 7919 % 65536);
    *data = pattern + e->sent % 251;
    return left < piece ? (size_t)left : piece;
}

static void sent(void *context, size_t size)
{
    ((end *)context)->sent += size;
}

static void on_down(void *context, const aq_fault *fault)
{
    end *e = context;
    CHECK(!e->down);
    e->down = true;
    e->conn = NULL;
    e->fault = *fault;
}

static void end_open(end *e, const aq_conn_config *config)
{
    aq_conn_owner owner = {e, on_up, on_bytes, peek, sent, on_down};
    e->conn = aq_conn_open(pool, config, &owner);
    CHECK(e->conn != NULL);
}

static void sockets(int out[2])
{
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, out), 0);
}

static aq_url url_of(bool tls)
{
    aq_url url = {.host = "localhost", .port = 1, .tls = tls, .pinned = tls};
    memcpy(url.fingerprint, aq_identity_fingerprint(identity), 32);
    return url;
}

static void on_late(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

/* Turns the loop until both ends are down, or `until` bytes came to each. */
static void turn(end *a, end *b, uint64_t a_until, uint64_t b_until)
{
    bool late = false;
    uv_timer_t timer;
    (void)uv_timer_init(&loop, &timer);
    timer.data = &late;
    (void)uv_timer_start(&timer, on_late, 8000, 0);
    while (!late && !(a->down && b->down) && !(a->got >= a_until && b->got >= b_until)) {
        (void)uv_run(&loop, UV_RUN_ONCE);
        end *ends[2] = {a, b};
        for (int i = 0; i < 2; i++) {
            if (ends[i]->up && ends[i]->conn) {
                aq_conn_pump(ends[i]->conn);
            }
            if (ends[i]->up && ends[i]->conn && ends[i]->hang_up_when_sent) {
                ends[i]->hang_up_when_sent = false;
                aq_conn_hangup(ends[i]->conn);
            }
        }
    }
    CHECK(!late);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
}

static void drop(end *e)
{
    if (e->conn) {
        aq_conn_drop(e->conn);
    }
    (void)uv_run(&loop, UV_RUN_NOWAIT);
}

static void prepare(void)
{
    char directory[] = "/tmp/test-conn-XXXXXX";
    char command[64];
    aq_fault fault = {0};
    if (identity) {
        return;
    }
    for (size_t i = 0; i < sizeof pattern; i++) {
        pattern[i] = (uint8_t)(i % 251);
    }
    CHECK(mkdtemp(directory) != NULL);
    identity = aq_identity_open(directory, &fault);
    nobody = aq_tls_trust_open("", &fault);
    CHECK_EQ(uv_loop_init(&loop), 0);
    pool = aq_conn_pool_open(&loop);
    (void)snprintf(command, sizeof command, "rm -r %s", directory);
    CHECK_EQ(system(command), 0);
}

TEST(bytes_arrive_whole_in_both_directions)
{
    prepare();
    for (int tls = 0; tls < 2; tls++) {
        end client = {.to_send = 5000003}, server = {.to_send = 7000001};
        aq_url url = url_of(tls);
        int fd[2];
        sockets(fd);
        end_open(&client, &(aq_conn_config){.fd = fd[0], .url = &url, .trust = nobody});
        end_open(&server,
                 &(aq_conn_config){.fd = fd[1], .identity = tls ? identity : NULL});
        turn(&client, &server, server.to_send, client.to_send);
        CHECK_EQ(client.got, server.to_send);
        CHECK_EQ(server.got, client.to_send);
        CHECK(!client.wrong && !server.wrong);
        CHECK(!memcmp(client.binding, server.binding, 32));
        CHECK_EQ(memcmp(client.binding, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16) != 0, tls);
        drop(&client);
        drop(&server);
    }
}

TEST(a_hangup_sends_all_that_was_queued_first)
{
    prepare();
    for (int i = 0; i < 4; i++) {
        bool tls = i & 1, client_goes = i & 2;
        end client = {.to_send = 3000000}, server = {.to_send = 3000000};
        aq_url url = url_of(tls);
        int fd[2];
        sockets(fd);
        (client_goes ? &client : &server)->hang_up_when_sent = true;
        (client_goes ? &server : &client)->to_send = 0;
        end_open(&client, &(aq_conn_config){.fd = fd[0], .url = &url, .trust = nobody});
        end_open(&server,
                 &(aq_conn_config){.fd = fd[1], .identity = tls ? identity : NULL});
        turn(&client, &server, UINT64_MAX, UINT64_MAX);
        CHECK_EQ(client_goes ? server.got : client.got, 3000000);
        CHECK_EQ(client.fault.status, client_goes ? AQ_OK : AQ_CLOSED);
        CHECK_EQ(server.fault.status, client_goes ? AQ_CLOSED : AQ_OK);
    }
}

TEST(a_server_with_another_key_is_not_spoken_to)
{
    prepare();
    for (int pinned = 0; pinned < 2; pinned++) {
        end client = {.to_send = 10}, server = {0};
        aq_url url = url_of(true);
        int fd[2];
        sockets(fd);
        url.pinned = pinned; /* else no CA vouches for it */
        url.fingerprint[31] ^= 1;
        end_open(&client, &(aq_conn_config){.fd = fd[0], .url = &url, .trust = nobody});
        end_open(&server, &(aq_conn_config){.fd = fd[1], .identity = identity});
        turn(&client, &server, UINT64_MAX, UINT64_MAX);
        CHECK_EQ(client.fault.status, AQ_IDENTITY);
        CHECK(strstr(client.fault.text, "fingerprint") != NULL);
        CHECK(!client.up && !server.up && !client.sent);
        CHECK_EQ(server.fault.status, AQ_PROTOCOL);
    }
}

/* Writes a CA's certificate, and a key with a certificate of that CA for `localhost`. */
static void certificates_make(const char *ca_path, const char *path, const char *key_path)
{
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t crt[2]; /* CA, leaf; one key will do for both */
    gnutls_datum_t pem;
    const char *paths[3] = {ca_path, path, key_path};
    (void)gnutls_x509_privkey_init(&key);
    (void)gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                       GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
    for (int i = 0; i < 3; i++) {
        if (i < 2) {
            (void)gnutls_x509_crt_init(&crt[i]);
            (void)gnutls_x509_crt_set_version(crt[i], 3);
            (void)gnutls_x509_crt_set_serial(crt[i], i ? "2" : "1", 1);
            (void)gnutls_x509_crt_set_activation_time(crt[i], time(NULL) - 100);
            (void)gnutls_x509_crt_set_expiration_time(crt[i], time(NULL) + 1000);
            (void)gnutls_x509_crt_set_dn(crt[i], i ? "CN=localhost" : "CN=test CA", NULL);
            (void)gnutls_x509_crt_set_key(crt[i], key);
            (void)gnutls_x509_crt_set_basic_constraints(crt[i], !i, -1);
            (void)gnutls_x509_crt_set_subject_alt_name(crt[i], GNUTLS_SAN_DNSNAME,
                                                       "localhost", 9, GNUTLS_FSAN_SET);
            CHECK_EQ(gnutls_x509_crt_sign2(crt[i], crt[0], key, GNUTLS_DIG_SHA256, 0), 0);
            (void)gnutls_x509_crt_export2(crt[i], GNUTLS_X509_FMT_PEM, &pem);
        } else {
            (void)gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem);
        }
        FILE *file = fopen(paths[i], "w");
        CHECK(file && fwrite(pem.data, 1, pem.size, file) == pem.size && !fclose(file));
        gnutls_free(pem.data);
    }
    gnutls_x509_crt_deinit(crt[0]);
    gnutls_x509_crt_deinit(crt[1]);
    gnutls_x509_privkey_deinit(key);
}

TEST(a_certificate_of_a_trusted_ca_is_enough_for_its_own_name)
{
    static const char *const hosts[] = {"localhost", "example.org", "127.0.0.1"};
    char directory[] = "/tmp/test-conn-XXXXXX";
    char path[3][64], command[64];
    aq_fault fault = {0};
    prepare();
    CHECK(mkdtemp(directory) != NULL);
    for (int i = 0; i < 3; i++) {
        (void)snprintf(path[i], sizeof path[i], "%s/%d", directory, i);
    }
    certificates_make(path[0], path[1], path[2]);
    aq_identity *own = aq_identity_load(path[1], path[2], &fault);
    aq_tls_trust *ca = aq_tls_trust_open(path[0], &fault);
    CHECK_STR(fault.text, "");
    for (size_t i = 0; own && ca && i < sizeof hosts / sizeof *hosts; i++) {
        end client = {.hang_up_when_sent = true}, server = {0};
        aq_url url = url_of(true);
        int fd[2];
        sockets(fd);
        url.pinned = false;
        (void)snprintf(url.host, sizeof url.host, "%s", hosts[i]);
        end_open(&client, &(aq_conn_config){.fd = fd[0], .url = &url, .trust = ca});
        end_open(&server, &(aq_conn_config){.fd = fd[1], .identity = own});
        turn(&client, &server, UINT64_MAX, UINT64_MAX);
        CHECK_EQ(client.fault.status, i == 0 ? AQ_OK : AQ_IDENTITY);
    }
    CHECK(!aq_tls_trust_open(path[2], &fault)); /* a key is no CA */
    aq_tls_trust_close(ca);
    aq_identity_close(own);
    (void)snprintf(command, sizeof command, "rm -r %s", directory);
    CHECK_EQ(system(command), 0);
}

TEST(garbage_and_silence_end_the_handshake)
{
    static const struct {
        const char *say;
        bool server, tls, hang_up;
        aq_status status;
    } rows[] = {
        {"GET / HTTP/1.1\r\n\r\n", true, true, false, AQ_PROTOCOL},
        {"HTTP/1.1 200 OK\r\n\r\n", false, true, false, AQ_PROTOCOL},
        {"HTTP/1.1 200 OK\r\n\r\n", false, false, false, AQ_PROTOCOL},
        {"SSH-2.0-OpenSSH_9\r\n", false, false, false, AQ_PROTOCOL},
        {"", true, true, false, AQ_TIMEOUT},
        {"", true, false, false, AQ_TIMEOUT},
        {"GET /acequia HT", true, false, false, AQ_TIMEOUT},
        {"", false, true, false, AQ_TIMEOUT},
        {"", false, false, false, AQ_TIMEOUT},
        {"", false, true, true, AQ_CLOSED},
        {"", true, false, true, AQ_CLOSED},
        {"GET /acequia HT", true, false, true, AQ_CLOSED},
    };
    prepare();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        end e = {0}, none = {.down = true};
        aq_url url = url_of(rows[i].tls);
        int fd[2];
        sockets(fd);
        bool silence = rows[i].status == AQ_TIMEOUT;
        aq_conn_config config = {.fd = fd[0], .timeout_ns = silence ? 50000000 : 0};
        if (rows[i].server) {
            config.identity = rows[i].tls ? identity : NULL;
        } else {
            config.url = &url;
            config.trust = nobody;
        }
        end_open(&e, &config);
        CHECK_EQ(write(fd[1], rows[i].say, strlen(rows[i].say)),
                 (long long)strlen(rows[i].say));
        if (rows[i].hang_up) {
            (void)close(fd[1]);
        }
        turn(&e, &none, UINT64_MAX, UINT64_MAX);
        CHECK(!e.up);
        if (e.fault.status != rows[i].status) {
            TEST_PRINT("row %d: %s\n", (int)i, e.fault.text);
        }
        CHECK_EQ(e.fault.status, rows[i].status);
        CHECK(e.fault.text[0] != 0);
        if (!rows[i].hang_up) {
            (void)close(fd[1]);
        }
    }
}

/* Speaks to a plain server by hand, byte by byte if `step` is 1; returns what it answers.
 */
static void by_hand(const char *request, size_t size, size_t step, end *server,
                    char *answer, size_t room)
{
    end none = {.down = true};
    int fd[2];
    sockets(fd);
    end_open(server, &(aq_conn_config){.fd = fd[1]});
    for (size_t at = 0; at < size; at += step) {
        (void)!write(fd[0], request + at, step < size - at ? step : size - at);
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
    (void)shutdown(fd[0], SHUT_WR);
    turn(server, &none, UINT64_MAX, UINT64_MAX);
    ssize_t n = read(fd[0], answer, room - 1);
    answer[n > 0 ? n : 0] = 0;
    (void)close(fd[0]);
}

#define UPGRADE                                                                            \
    "GET /acequia HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"    \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

TEST(other_requests_get_an_answer_and_are_closed)
{
    static const char request[] = "GET /index.html HTTP/1.1\r\nHost: h\r\n\r\n";
    char answer[2048];
    prepare();
    end server = {0};
    by_hand(request, sizeof request - 1, sizeof request, &server, answer, sizeof answer);
    CHECK(!strncmp(answer, "HTTP/1.1 404 ", 13));
    CHECK(strstr(answer, "Connection: close") != NULL);
    CHECK(!server.up && server.down);
}

TEST(frames_may_follow_the_request_at_once_or_trickle)
{
    /* a ping "hi", then binary bytes 0 to 3, masked with zeros */
    static const char talk[] = UPGRADE "\x89\x82\0\0\0\0hi"
                                       "\x82\x84\0\0\0\0\0\1\2\3";
    prepare();
    for (size_t step = 1; step < sizeof talk + 1; step += sizeof talk - 1) {
        char answer[2048];
        end server = {0};
        by_hand(talk, sizeof talk - 1, step, &server, answer, sizeof answer);
        CHECK(server.up && !server.wrong);
        CHECK_EQ(server.got, 4);
        CHECK_EQ(server.fault.status, AQ_CLOSED);
        char *pong = strstr(answer, "\r\n\r\n");
        CHECK(pong && !memcmp(pong + 4, "\x8a\2hi", 4));
    }
}

TEST(a_peer_that_breaks_the_rules_is_told_and_dropped)
{
    static const struct {
        const char *talk;
        size_t size;
        const char *close;
    } rows[] = {
#define ROW(text, close) {text, sizeof text - 1, close}
        ROW(UPGRADE "\x82\x04\0\1\2\3", "\x88\2\x03\xea"),         /* not masked */
        ROW(UPGRADE "\x81\x84\0\0\0\0text", "\x88\2\x03\xeb"),     /* text */
        ROW(UPGRADE "\xf2\x84\0\0\0\0\0\1\2\3", "\x88\2\x03\xea"), /* reserved bits */
        ROW(UPGRADE "\x88\x80\0\0\0\0", "\x88\2\x03\xe8"),         /* goodbye */
    };
    prepare();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char answer[2048];
        end server = {0};
        by_hand(rows[i].talk, rows[i].size, 4096, &server, answer, sizeof answer);
        CHECK(server.up && server.down && server.got == 0);
        char *frame = strstr(answer, "\r\n\r\n");
        CHECK(frame && !memcmp(frame + 4, rows[i].close, 4));
    }
}

static int dialled_fd;
static aq_fault dialled_fault;
static bool dialled;

static void on_dialled(void *context, int fd, const aq_net_address *peer,
                       const aq_fault *fault)
{
    (void)context;
    (void)peer;
    dialled = true;
    dialled_fd = fd;
    dialled_fault = *fault;
}

TEST(dialling_reaches_a_listener_and_says_when_there_is_none)
{
    prepare();
    aq_net_address any = {.size = sizeof(struct sockaddr_in)}, bound;
    struct sockaddr_in *in = (void *)&any.storage;
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = aq_net_listen(&any, &bound);
    CHECK(listener >= 0);
    aq_url url = {.host = "localhost", .port = aq_net_port(&bound)};
    for (int i = 0; i < 2; i++) {
        dialled = false;
        CHECK(aq_dial_open(&loop, &url, 5000000000, on_dialled, NULL) != NULL);
        while (!dialled) {
            (void)uv_run(&loop, UV_RUN_ONCE);
        }
        CHECK_EQ(dialled_fd >= 0, i == 0);
        if (dialled_fd >= 0) {
            (void)close(dialled_fd);
        }
        (void)close(listener);
    }
    CHECK_EQ(dialled_fault.status, AQ_CONNECT);
    CHECK(strstr(dialled_fault.text, "refused") != NULL);
    dialled = false;
    aq_dial *dial = aq_dial_open(&loop, &url, 0, on_dialled, NULL);
    aq_dial_cancel(dial);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    CHECK(!dialled);
}

TEST(nothing_is_left_in_the_loop)
{
    prepare();
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_EQ(uv_loop_close(&loop), 0);
    aq_conn_pool_close(pool);
    aq_identity_close(identity);
    aq_tls_trust_close(nobody);
}

TEST_MAIN(TEST_REF(bytes_arrive_whole_in_both_directions),
          TEST_REF(a_hangup_sends_all_that_was_queued_first),
          TEST_REF(a_server_with_another_key_is_not_spoken_to),
          TEST_REF(a_certificate_of_a_trusted_ca_is_enough_for_its_own_name),
          TEST_REF(garbage_and_silence_end_the_handshake),
          TEST_REF(other_requests_get_an_answer_and_are_closed),
          TEST_REF(frames_may_follow_the_request_at_once_or_trickle),
          TEST_REF(a_peer_that_breaks_the_rules_is_told_and_dropped),
          TEST_REF(dialling_reaches_a_listener_and_says_when_there_is_none),
          TEST_REF(nothing_is_left_in_the_loop))
