/* The loop with an engine of cardboard in the real one's place: what it is told, what it
 * asks for, in which order; over real sockets, threads and files. */
#include "test.h"

#include "../../host/native/loop.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- the cardboard engine
 * ---------------------------------------------------------------- */

enum { LINKS_MAX = 32, QUEUE_MAX = 64 };

typedef struct card_link {
    bool open, closed, client, trusted, named;
    aq_status reason;
    uint64_t to_send, got;
    uint8_t binding[32];
} card_link;

struct aq_engine {
    card_link links[LINKS_MAX];
    aq_op *ops[QUEUE_MAX];
    aq_note notes[QUEUE_MAX];
    int op_count, op_done, note_count, note_given, done_count, ticks;
    uint64_t deadline, now;
    uint32_t roots;
    bool echo; /* a server sends back as many bytes as it got */
};

static pthread_t worked_on;
static uint8_t zeros[100000];

aq_engine *aq_open(const aq_config *config, void *memory, uint64_t size)
{
    CHECK(size >= sizeof(aq_engine) && memory);
    CHECK(memcmp(config->seed, zeros, 32) != 0);
    aq_engine *e = memory;
    e->deadline = UINT64_MAX;
    return e;
}

uint32_t aq_root_add(aq_engine *e, const char *name, unsigned rights)
{
    (void)name;
    (void)rights;
    return e->roots++;
}

void aq_tick(aq_engine *e, uint64_t now_ns, int64_t wall_ns)
{
    CHECK(now_ns >= e->now && wall_ns > 0);
    e->now = now_ns;
    e->ticks++;
    if (e->now >= e->deadline) {
        e->deadline = UINT64_MAX;
    }
}

uint64_t aq_deadline(const aq_engine *e)
{
    return e->deadline;
}

aq_op *aq_poll(aq_engine *e)
{
    return e->op_done < e->op_count ? e->ops[e->op_done++] : NULL;
}

void aq_done(aq_engine *e, aq_op *op)
{
    (void)op;
    e->done_count++;
}

void aq_work(aq_op *op)
{
    (void)op;
    worked_on = pthread_self();
}

bool aq_list_put(aq_item *item, const char *name, size_t name_size, const aq_stamp *stamp,
                 const char *target, size_t target_size)
{
    (void)item, (void)name, (void)name_size, (void)stamp, (void)target, (void)target_size;
    return true;
}

static void note_put(aq_engine *e, aq_note_kind kind, uint32_t link, aq_status status)
{
    e->notes[e->note_count++ % QUEUE_MAX] =
        (aq_note){.kind = kind, .link = link, .status = status};
}

void aq_link_open(aq_engine *e, uint32_t link, const aq_link_config *config)
{
    if (link == 0 || link >= LINKS_MAX) {
        CHECK_EQ(link, 1);
        return;
    }
    CHECK(!e->links[link].open && !e->links[link].closed);
    e->links[link].open = true;
    e->links[link].named = false;
    e->links[link].client = config->client;
    e->links[link].trusted = config->trusted;
    memcpy(e->links[link].binding, config->binding, 32);
    note_put(e, AQ_NOTE_LINK_UP, link, AQ_OK);
}

void aq_link_recv(aq_engine *e, uint32_t link, const void *data, size_t size)
{
    (void)data;
    CHECK(e->links[link].open && !e->links[link].closed);
    e->links[link].got += size;
    if (e->echo && !e->links[link].client) {
        e->links[link].to_send += size;
        e->links[link].named = false;
    }
}

void aq_link_closed(aq_engine *e, uint32_t link, aq_status reason)
{
    CHECK(!e->links[link].closed);
    e->links[link].closed = true;
    e->links[link].reason = reason;
    note_put(e, AQ_NOTE_LINK_DOWN, link, reason);
}

uint32_t aq_poll_link(aq_engine *e)
{
    for (uint32_t i = 1; i < LINKS_MAX; i++) {
        if (e->links[i].to_send && !e->links[i].named && !e->links[i].closed) {
            e->links[i].named = true;
            return i;
        }
    }
    return 0;
}

size_t aq_link_out(aq_engine *e, uint32_t link, const uint8_t **data)
{
    *data = zeros;
    return e->links[link].to_send < sizeof zeros ? e->links[link].to_send : sizeof zeros;
}

void aq_link_sent(aq_engine *e, uint32_t link, size_t size)
{
    e->links[link].to_send -= size;
    e->links[link].named &= e->links[link].to_send > 0;
}

bool aq_poll_note(aq_engine *e, aq_note *note)
{
    if (e->note_given < e->note_count) {
        *note = e->notes[e->note_given++ % QUEUE_MAX];
        return true;
    }
    return false;
}

/* ---- the frame
 * --------------------------------------------------------------------------- */

static aq_loop *loop;
static char base[64];
static int warnings, ups, downs;
static bool (*is_done)(void);
static time_t started;

static void on_note(void *context, const aq_note *note)
{
    (void)context;
    warnings += note->kind == AQ_NOTE_WARNING;
    ups += note->kind == AQ_NOTE_LINK_UP;
    downs += note->kind == AQ_NOTE_LINK_DOWN;
}

static void on_tick(void *context)
{
    (void)context;
    bool late = time(NULL) - started > 8;
    CHECK(!late);
    if (late || is_done()) {
        aq_loop_stop(loop);
    }
}

static void run_until(bool (*done)(void))
{
    static const aq_loop_hooks hooks = {.on_note = on_note, .on_tick = on_tick};
    is_done = done;
    started = time(NULL);
    aq_loop_run(loop, &hooks);
}

static aq_engine *engine(void)
{
    return aq_loop_engine(loop);
}

static void begin(void)
{
    aq_fault fault = {0};
    warnings = ups = downs = 0;
    (void)snprintf(base, sizeof base, "/tmp/test-loop-XXXXXX");
    CHECK(mkdtemp(base) != NULL);
    loop = aq_loop_open(&(aq_loop_config){.state_directory = base}, &fault);
    CHECK_STR(fault.text, "");
}

static void end(void)
{
    char command[96];
    aq_loop_close(loop);
    (void)snprintf(command, sizeof command, "rm -r %s", base);
    CHECK_EQ(system(command), 0);
}

/* ---- tests
 * ------------------------------------------------------------------------------- */

static bool echo_is_back(void)
{
    return engine()->links[1].got == 3000000;
}

static bool two_are_down(void)
{
    return downs == 2;
}

TEST(a_link_carries_bytes_and_is_hung_up_with_a_reason)
{
    for (int tls = 0; tls < 2; tls++) {
        begin();
        aq_fault fault = {0};
        aq_url url;
        aq_identity *identity = aq_identity_open(base, &fault);
        aq_listen_config listen = {.host = "127.0.0.1", .trust_loopback = true};
        listen.identity = tls ? identity : NULL;
        CHECK_EQ(aq_loop_listen(loop, &listen, &url, &fault), AQ_OK);
        CHECK_EQ(url.tls, tls);
        engine()->echo = true;
        uint32_t link = aq_loop_dial(loop, &url, NULL);
        CHECK_EQ(link, 1);
        engine()->links[link].to_send = 3000000;
        engine()->links[link].named = true; /* until it is up */
        CHECK_EQ(engine()->links[link].open, false);
        run_until(echo_is_back);
        card_link *client = &engine()->links[1], *server = &engine()->links[2];
        CHECK(client->client && !server->client && server->trusted);
        CHECK(!memcmp(client->binding, server->binding, 32));
        CHECK_EQ(memcmp(client->binding, zeros, 32) != 0, tls);
        CHECK(strstr(aq_loop_link_peer(loop, 2), "127.0.0.1:") != NULL);

        aq_item item = {.status = AQ_CANCELLED};
        aq_op hangup = {.kind = AQ_OP_HANGUP, .link = 1, .item_count = 1, .items = &item};
        client->to_send = 1000000;
        engine()->echo = false;
        engine()->ops[engine()->op_count++] = &hangup;
        run_until(two_are_down);
        CHECK_EQ(server->got, 4000000);
        CHECK_EQ(client->reason, AQ_CANCELLED);
        CHECK_EQ(server->reason, AQ_CLOSED);
        CHECK_EQ(engine()->done_count, 1);
        CHECK_STR(aq_loop_link_peer(loop, 1), "");
        end();
        aq_identity_close(identity);
    }
}

static bool one_is_down(void)
{
    return downs == 1;
}

TEST(nobody_there_is_tried_again_and_then_said)
{
    begin();
    aq_url url;
    aq_fault fault = {0};
    /* a port that was free a moment ago */
    CHECK_EQ(aq_loop_listen(loop, &(aq_listen_config){.host = "127.0.0.1"}, &url, &fault),
             0);
    aq_loop_close(loop);
    loop = aq_loop_open(&(aq_loop_config){.state_directory = base}, &fault);
    uint32_t link = aq_loop_dial(loop, &url, &(aq_dial_config){.tries = 2});
    run_until(one_is_down);
    CHECK_EQ(warnings, 1);
    CHECK_EQ(engine()->links[link].reason, AQ_CONNECT);
    CHECK(strstr(aq_loop_link_error(loop, link), "refused") != NULL);
    end();
}

TEST(a_wrong_fingerprint_is_not_tried_again)
{
    begin();
    aq_url url;
    aq_fault fault = {0};
    aq_identity *identity = aq_identity_open(base, &fault);
    aq_listen_config listen = {.host = "localhost", .identity = identity};
    CHECK_EQ(aq_loop_listen(loop, &listen, &url, &fault), AQ_OK);
    url.fingerprint[0] ^= 1;
    uint32_t link = aq_loop_dial(loop, &url, &(aq_dial_config){.tries = 5});
    run_until(one_is_down);
    CHECK_EQ(warnings, 0);
    CHECK_EQ(ups, 0);
    CHECK_EQ(engine()->links[link].reason, AQ_IDENTITY);
    CHECK(strstr(aq_loop_link_error(loop, link), "fingerprint") != NULL);
    end();
    aq_identity_close(identity);
}

static bool pair_is_idle(void)
{
    return engine()->links[1].got == 5000000 && engine()->links[2].got == 5000000;
}

TEST(a_pair_is_joined_by_memory)
{
    begin();
    uint32_t links[2];
    aq_loop_pair(loop, links);
    engine()->echo = true;
    engine()->links[links[0]].to_send = 5000000;
    run_until(pair_is_idle);
    CHECK(engine()->links[links[0]].client && !engine()->links[links[1]].client);
    CHECK(engine()->links[links[0]].trusted && engine()->links[links[1]].trusted);
    aq_item item = {.status = AQ_OK};
    aq_op hangup = {
        .kind = AQ_OP_HANGUP, .link = links[0], .item_count = 1, .items = &item};
    engine()->ops[engine()->op_count++] = &hangup;
    run_until(two_are_down);
    CHECK_EQ(engine()->links[links[1]].reason, AQ_CLOSED);
    CHECK_EQ(engine()->done_count, 1);
    end();
}

static bool three_are_done(void)
{
    return engine()->done_count == 3;
}

TEST(ops_run_on_other_threads_against_their_folder)
{
    begin();
    aq_fault fault = {0};
    uint32_t root = 99, other = 99;
    aq_root_config config = {.path = base, .name = "x", .writable = true};
    CHECK_EQ(aq_loop_root_add(loop, &config, &root, &fault), AQ_OK);
    CHECK_EQ(root, 0);
    CHECK_EQ(aq_loop_root_add(loop, &config, &other, &fault), AQ_BUSY);
    CHECK(strstr(fault.text, "in use by") != NULL);
    config.path = "/nonexistent/folder";
    CHECK_EQ(aq_loop_root_add(loop, &config, &other, &fault), AQ_ROOT);
    aq_item stat = {.path = ""}, load = {.path = "none"}, work = {0};
    aq_op ops[3] = {{.kind = AQ_OP_STAT, .id = 1, .item_count = 1, .items = &stat},
                    {.kind = AQ_OP_LOAD, .id = 2, .item_count = 1, .items = &load},
                    {.kind = AQ_OP_WORK, .id = 3, .item_count = 1, .items = &work}};
    for (int i = 0; i < 3; i++) {
        engine()->ops[engine()->op_count++] = &ops[i];
    }
    run_until(three_are_done);
    CHECK_EQ(stat.stamp.type, AQ_TYPE_DIRECTORY);
    CHECK_EQ(load.status, AQ_NOT_FOUND);
    CHECK(!pthread_equal(worked_on, pthread_self()));
    end();
}

TEST(work_under_way_is_waited_for_at_the_end)
{
    begin();
    aq_item work = {0};
    aq_op op = {.kind = AQ_OP_WORK, .item_count = 1, .items = &work};
    for (int i = 0; i < 20; i++) {
        engine()->ops[engine()->op_count++] = &op;
    }
    (void)aq_loop_dial(loop, &(aq_url){.host = "127.0.0.1", .port = 1}, NULL);
    static const aq_loop_hooks hooks = {0};
    aq_loop_stop(loop); /* the first turn is the last */
    aq_loop_run(loop, &hooks);
    end();
}

static bool deadline_is_over(void)
{
    return engine()->deadline == UINT64_MAX;
}

TEST(the_engines_deadline_wakes_the_loop)
{
    begin();
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    engine()->deadline =
        (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec + 30000000;
    run_until(deadline_is_over);
    CHECK(engine()->ticks < 20); /* it slept in between */
    end();
}

TEST(plain_listening_stays_at_home_unless_forced)
{
    static const struct {
        const char *host;
        bool force;
        aq_status status;
    } rows[] = {
        {"127.0.0.1", false, AQ_OK}, {"0.0.0.0", false, AQ_USAGE}, {NULL, false, AQ_USAGE},
        {"0.0.0.0", true, AQ_OK},    {NULL, true, AQ_OK},
    };
    begin();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        aq_fault fault = {0};
        aq_url url = {0};
        aq_listen_config listen = {.host = rows[i].host, .force_plain = rows[i].force};
        CHECK_EQ(aq_loop_listen(loop, &listen, &url, &fault), rows[i].status);
        CHECK(rows[i].status != AQ_OK || (url.port && url.host[0]));
    }
    end();
}

static int raw[100];
static int raw_open;

static bool all_answered(void)
{
    raw_open = 0;
    for (int i = 0; i < 100; i++) {
        char byte;
        ssize_t n = recv(raw[i], &byte, 1, MSG_DONTWAIT);
        raw_open += n < 0;
    }
    return raw_open <= 64;
}

TEST(one_client_gets_so_many_connections_and_no_more)
{
    begin();
    aq_url url;
    aq_fault fault = {0};
    CHECK_EQ(aq_loop_listen(loop, &(aq_listen_config){.host = "127.0.0.1"}, &url, &fault),
             0);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(url.port)};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < 100; i++) {
        raw[i] = socket(AF_INET, SOCK_STREAM, 0);
        CHECK_EQ(connect(raw[i], (struct sockaddr *)(void *)&in, sizeof in), 0);
    }
    run_until(all_answered);
    CHECK_EQ(raw_open, 64);
    for (int i = 0; i < 100; i++) {
        (void)close(raw[i]);
    }
    end();
}

static bool all_refused(void)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    for (int i = 0; i < 10; i++) {
        char byte;
        (void)send(raw[i], request, sizeof request - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (recv(raw[i], &byte, 1, MSG_DONTWAIT | MSG_PEEK) != 1) {
            return false;
        }
    }
    return true;
}

static bool after_a_while(void)
{
    static int ticks;
    return ++ticks == 3;
}

TEST(without_descriptors_clients_wait_and_are_served_later)
{
    begin();
    aq_url url;
    aq_fault fault = {0};
    struct rlimit limit, none;
    CHECK_EQ(aq_loop_listen(loop, &(aq_listen_config){.host = "127.0.0.1"}, &url, &fault),
             0);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(url.port)};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < 10; i++) {
        raw[i] = socket(AF_INET, SOCK_STREAM, 0);
        CHECK_EQ(connect(raw[i], (struct sockaddr *)(void *)&in, sizeof in), 0);
    }
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = (rlim_t)raw[9] + 1;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    run_until(after_a_while);
    CHECK(engine()->ticks < 50); /* it did not spin */
    CHECK(!all_refused());
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    run_until(all_refused);
    for (int i = 0; i < 10; i++) {
        (void)close(raw[i]);
    }
    end();
}

static int signalled;

static void on_signal(void *context, int number)
{
    (void)context;
    signalled = number;
    aq_loop_stop(loop);
}

static void on_tick_raise(void *context)
{
    (void)context;
    (void)raise(SIGTERM);
}

TEST(signals_come_by_the_hook)
{
    static const aq_loop_hooks hooks = {.on_signal = on_signal, .on_tick = on_tick_raise};
    begin();
    aq_loop_run(loop, &hooks);
    CHECK_EQ(signalled, SIGTERM);
    end();
}

TEST_MAIN(TEST_REF(a_link_carries_bytes_and_is_hung_up_with_a_reason),
          TEST_REF(nobody_there_is_tried_again_and_then_said),
          TEST_REF(a_wrong_fingerprint_is_not_tried_again),
          TEST_REF(a_pair_is_joined_by_memory),
          TEST_REF(ops_run_on_other_threads_against_their_folder),
          TEST_REF(work_under_way_is_waited_for_at_the_end),
          TEST_REF(the_engines_deadline_wakes_the_loop),
          TEST_REF(plain_listening_stays_at_home_unless_forced),
          TEST_REF(one_client_gets_so_many_connections_and_no_more),
          TEST_REF(without_descriptors_clients_wait_and_are_served_later),
          TEST_REF(signals_come_by_the_hook))
