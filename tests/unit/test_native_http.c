/* The WebSocket's opening: who is let in, what others are told. */
#include "test.h"

#include "../../host/native/http.h"

#include <stdio.h>
#include <string.h>

static const char good[] = "GET /acequia HTTP/1.1\r\n"
                           "Host: server.example.com\r\n"
                           "upgrade: WebSocket\r\n"
                           "Connection: keep-alive, Upgrade\r\n"
                           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                           "Sec-WebSocket-Version: 13\r\n"
                           "\r\n";

static aq_http_result read_in_steps(aq_http *http, const char *text, size_t step,
                                    size_t *consumed)
{
    aq_http_result result = AQ_HTTP_MORE;
    size_t size = strlen(text);
    *consumed = 0;
    while (result == AQ_HTTP_MORE && *consumed < size) {
        size_t take = step < size - *consumed ? step : size - *consumed, used;
        result = aq_http_read(http, text + *consumed, take, &used);
        CHECK(used <= take);
        if (result == AQ_HTTP_MORE) {
            CHECK_EQ(used, take);
        }
        *consumed += used;
    }
    return result;
}

TEST(the_key_is_answered_as_in_the_rfc)
{
    char accept[64];
    aq_http_accept("dGhlIHNhbXBsZSBub25jZQ==", accept);
    CHECK_STR(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST(a_request_is_read_however_it_is_cut_and_what_follows_is_left)
{
    char text[1024], out[AQ_HTTP_TEXT_SIZE];
    (void)snprintf(text, sizeof text, "%s%s", good, "\x82\x85ws");
    for (size_t step = 1; step < sizeof good + 10; step++) {
        aq_http http;
        size_t consumed, size;
        aq_http_init(&http, false);
        CHECK_EQ(read_in_steps(&http, text, step, &consumed), AQ_HTTP_DONE);
        CHECK_EQ(consumed, sizeof good - 1);
        CHECK(aq_http_answer_put(&http, AQ_HTTP_DONE, true, out, &size));
        CHECK(strstr(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") != NULL);
    }
}

TEST(others_get_a_plain_answer)
{
    static const struct {
        const char *find, *replace, *status;
    } rows[] = {
        {"/acequia", "/", "404"},
        {"/acequia", "/acequia/", "404"},
        {"GET", "POST", "405"},
        {"WebSocket", "h2c", "426"},
        {"keep-alive, Upgrade", "keep-alive", "426"},
        {"Version: 13", "Version: 8", "426"},
        {"dGhlIHNhbXBsZSBub25jZQ==", "short", "400"},
        {"HTTP/1.1", "HTTP/1.0", "400"},
        {"Host:", "Hose:", "400"},
        {"GET", "G\x01T", "400"},
        {"Host: ", "Origin: http://evil.example\r\nHost: ", "403"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[1024], out[AQ_HTTP_TEXT_SIZE];
        const char *at = strstr(good, rows[i].find);
        (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good,
                       rows[i].replace, at + strlen(rows[i].find));
        aq_http http;
        size_t consumed, size;
        aq_http_init(&http, false);
        aq_http_result result = read_in_steps(&http, text, 7, &consumed);
        CHECK(!aq_http_answer_put(&http, result, false, out, &size));
        CHECK_EQ(size, strlen(out));
        out[12] = 0;
        CHECK_STR(out + 9, rows[i].status);
    }
}

TEST(a_head_without_end_is_refused)
{
    static char text[20000];
    char out[AQ_HTTP_TEXT_SIZE];
    memset(text, 'a', sizeof text - 1);
    text[snprintf(text, sizeof text, "GET / HTTP/1.1\r\nX: ")] = 'a';
    aq_http http;
    size_t consumed, size;
    aq_http_init(&http, false);
    aq_http_result result = read_in_steps(&http, text, 100, &consumed);
    CHECK_EQ(result, AQ_HTTP_BAD);
    CHECK(consumed <= AQ_HTTP_HEAD_MAX);
    CHECK(!aq_http_answer_put(&http, result, true, out, &size));
    CHECK(strstr(out, "431") != NULL);
}

TEST(our_request_and_our_answer_fit)
{
    char request[AQ_HTTP_TEXT_SIZE], answer[AQ_HTTP_TEXT_SIZE];
    const char *key = "AAAAAAAAAAAAAAAAAAAAAA==";
    aq_http server, client;
    size_t consumed, size;
    (void)aq_http_request_put(request, "::1", 7475, key);
    CHECK(strstr(request, "Host: [::1]:7475\r\n") != NULL);
    aq_http_init(&server, false);
    CHECK_EQ(read_in_steps(&server, request, 9, &consumed), AQ_HTTP_DONE);
    CHECK(aq_http_answer_put(&server, AQ_HTTP_DONE, false, answer, &size));
    answer[size] = 0;
    aq_http_init(&client, true);
    CHECK_EQ(read_in_steps(&client, answer, 9, &consumed), AQ_HTTP_DONE);
    CHECK_EQ(consumed, size);
    CHECK(aq_http_response_problem(&client, key) == NULL);
    CHECK(aq_http_response_problem(&client, "AAAAAAAAAAAAAAAAAAAAAB==") != NULL);
}

TEST(answers_that_are_not_ours_are_explained)
{
    static const char *const rows[][2] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "no Acequia server"},
        {"HTTP/1.1 101 Switching Protocols\r\n\r\n", "no Acequia server"},
        {"HTTP/1.1 403 Forbidden\r\n\r\n", "403"},
        {"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", "fit"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        aq_http http;
        size_t consumed;
        aq_http_init(&http, true);
        CHECK_EQ(read_in_steps(&http, rows[i][0], 5, &consumed), AQ_HTTP_DONE);
        const char *problem = aq_http_response_problem(&http, "x");
        CHECK(problem && strstr(problem, rows[i][1]));
    }
}

TEST_MAIN(TEST_REF(the_key_is_answered_as_in_the_rfc),
          TEST_REF(a_request_is_read_however_it_is_cut_and_what_follows_is_left),
          TEST_REF(others_get_a_plain_answer), TEST_REF(a_head_without_end_is_refused),
          TEST_REF(our_request_and_our_answer_fit),
          TEST_REF(answers_that_are_not_ours_are_explained))
