/* A link whose peer is hostile, broken or no Redis at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "tests/lib/redis_door.h"
#include "tests/lib/redis_peer.h"

struct scene {
    struct redis_peer peer;
    struct door door;
    struct answers a;
};

static int begin(void **state)
{
    struct scene *s = calloc(1, sizeof *s);
    *state = s;
    if (!s || redis_peer_open(&s->peer) < 0)
        return -1;
    s->peer.greeting = "+PONG\r\n";
    struct redis_options o = door_options(s->peer.url);
    int error = door_open(&s->door, &o);
    if (!error)
        redis_peer_attach(&s->peer, s->door.loop);
    return error;
}

static int end(void **state)
{
    struct scene *s = *state;
    redis_peer_close(&s->peer);
    door_close(&s->door);
    free(s);
    return 0;
}

/* A peer and a link without a past: no backoff has grown. */
static struct scene *anew(void **state)
{
    assert_int_equal(end(state), 0);
    assert_int_equal(begin(state), 0);
    return *state;
}

static void say(struct scene *s, const char *bytes, size_t len)
{
    s->peer.says = bytes;
    s->peer.says_len = len;
}

static int64_t cpu_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static const struct {
    const char *says, *why;
} cuts[] = {
    {"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak the Redis protocol"},
    {"\x15\x03\x01\x00\x02\x02\x46", "does not speak the Redis protocol"},
    {"%1\r\n+a\r\n+b\r\n", "does not speak the Redis protocol"},
    {">2\r\n+a\r\n+b\r\n", "does not speak the Redis protocol"},
    {"_\r\n", "does not speak the Redis protocol"},
    {"*2147483647\r\n", "an array of 2147483647"},
    {"$9223372036854775807\r\n", "a string of 9223372036854775807"},
    {"*-2\r\n", "an array of -2"},
    {"$-2\r\n", "a string of -2"},
    {"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", "more than 7 arrays"},
    {"+PONG\r\n+EXTRA\r\n", "an answer that nothing was asked for: '+EXTRA'"},
};

static void what_is_no_answer_is_a_clean_cut_with_a_sentence(void **state)
{
    size_t n = sizeof cuts / sizeof cuts[0];
    for (size_t i = 0; i < n; i++) {
        struct scene *s = anew(state);
        say(s, cuts[i].says, strlen(cuts[i].says));
        UNTIL(s, door.ups, 1);
        int64_t cpu = cpu_ms();
        DOOR_SEND(&s->door, &s->a, "PING");
        UNTIL(s, door.downs, 1);
        assert_true(cpu_ms() - cpu < 5000); /* no length was believed */
        assert_non_null(strstr(s->door.why.text, cuts[i].why));
        assert_int_equal(s->a.count, 1);
        assert_int_equal(s->a.nulls, i < n - 1); /* the last one was answered, then cut */
        assert_string_equal(redis_trouble(s->door.redis), s->door.why.text);
        UNTIL(s, door.ups, 2);
    }
}

static void a_status_line_without_end_is_cut(void **state)
{
    struct scene *s = *state;
    size_t len = (size_t)64 << 20;
    char *line = malloc(len);
    memset(line, 'x', len);
    line[0] = '+';
    say(s, line, len);
    UNTIL(s, door.ups, 1);
    DOOR_SEND(&s->door, &s->a, "PING");
    bool cut = door_until(&s->door, &s->door.downs, 1);
    say(s, NULL, 0);
    free(line);
    assert_true(cut);
    assert_non_null(strstr(s->door.why.text, "more than 65536 bytes"));
}

/* The same answers whatever the pieces are in which they come. */
static void every_piece_size_gives_the_same_answers(void **state)
{
    static const char says[] =
        "$5\r\nhe\r\no\r\n*3\r\n:1\r\n*2\r\n$-1\r\n+x\r\n$3\r\nabc\r\n-ERR no\r\n:42\r\n";
    struct scene *s = *state;
    say(s, says, sizeof says - 1);
    for (size_t piece = 1; piece < sizeof says; piece += 3) {
        s->peer.piece = piece;
        s->a = (struct answers){0};
        UNTIL(s, door.ups, s->peer.connects ? s->peer.connects : 1);
        for (int i = 0; i < 4; i++)
            DOOR_SEND(&s->door, &s->a, "PING");
        UNTIL(s, a.count, 4);
        assert_int_equal(s->a.errors, 1);
        assert_string_equal(s->a.last, "42");
        assert_int_equal(s->door.downs, 0);
        int ups = s->door.ups;
        door_reset(&s->door);
        assert_true(door_until(&s->door, &s->door.ups, ups + 1));
    }
}

static void half_an_answer_is_never_an_answer(void **state)
{
    static const char says[] = "*2\r\n$3\r\nabc\r\n$10\r\nabc";
    struct scene *s = *state;
    say(s, says, sizeof says - 1);
    s->peer.close_after = true;
    UNTIL(s, door.ups, 1);
    DOOR_SEND(&s->door, &s->a, "PING");
    UNTIL(s, door.downs, 1);
    assert_int_equal(s->a.nulls, 1);
    assert_string_equal(s->door.why.text, "the server closed the connection");
}

static void a_peer_that_never_greets_is_given_up(void **state)
{
    struct scene *s = *state;
    s->peer.greeting = NULL;
    UNTIL(s, peer.connects, 2);
    assert_int_equal(s->door.ups, 0);
    assert_string_equal(redis_trouble(s->door.redis), "no answer within 2000 ms");
    s->peer.greeting = "+PONG\r\n";
    UNTIL(s, door.ups, 1);
}

static void a_greeting_that_is_none_is_no_link(void **state)
{
    static const char *const greetings[] = {
        "+OK\r\n", "*1\r\n$4\r\nPING\r\n", "-LOADING Redis is loading\r\n",
        "-MASTERDOWN Link with MASTER is down\r\n", "HTTP/1.1 200 OK\r\n"};
    for (size_t i = 0; i < sizeof greetings / sizeof greetings[0]; i++) {
        struct scene *s = anew(state);
        s->peer.greeting = greetings[i];
        UNTIL(s, peer.heard, 2);
        assert_int_equal(s->door.ups, 0);
        assert_string_not_equal(redis_trouble(s->door.redis), "");
        assert_int_equal(s->door.refusals, 0);
    }
}

/* Full jitter has no lower bound an attempt; 50 ms doubling to 5 s is at most n attempts whose
 * bounds' halves add up. In two seconds: 50 100 200 400 800 1600 3200, on average half of it: far
 * fewer than 40 in any case that is not a storm. */
static void a_peer_that_closes_at_once_is_not_stormed(void **state)
{
    struct scene *s = *state;
    s->peer.slam = true;
    door_turn(&s->door, 2000);
    assert_in_range(s->peer.connects, 2, 25);
}

/* What resets the backoff is an answer to a command of the caller's, not that a connection came
 * about. */
static void greeting_alone_does_not_reset_the_backoff(void **state)
{
    struct scene *s = *state;
    s->peer.close_after = true; /* behind the first command, unanswered */
    for (int64_t until = clock_now_ms() + 2000; clock_now_ms() < until;) {
        if (redis_link_up(s->door.link) && s->a.count == s->door.downs)
            (void)DOOR_SEND(&s->door, &s->a, "PING");
        door_turn(&s->door, 1);
    }
    assert_in_range(s->peer.connects, 2, 25);
}

static void an_answer_resets_the_backoff(void **state)
{
    struct scene *s = *state;
    say(s, "+PONG\r\n", 7);
    s->peer.close_after = true;          /* behind the first command, answered */
    int64_t by = clock_now_ms() + 30000; /* unreset it takes over a minute, else a second */
    for (int i = 1; i <= 30 && clock_now_ms() < by; i++) {
        UNTIL(s, door.ups, i);
        DOOR_SEND(&s->door, &s->a, "PING");
        UNTIL(s, door.downs, i);
    }
    assert_int_equal(s->a.nulls, 0);
    assert_int_equal(s->door.downs, 30);
}

/* Asked less and less often it would be 16 times in twenty-five seconds, and not in four. */
static void a_server_that_loads_is_asked_often(void **state)
{
    struct scene *s = *state;
    s->peer.greeting = "-LOADING Redis is loading the dataset in memory\r\n";
    int64_t start = clock_now_ms();
    UNTIL(s, peer.heard, 16);
    assert_in_range(clock_now_ms() - start, 1000, 12000);
    s->peer.greeting = "+PONG\r\n";
    UNTIL(s, door.ups, 1);
}

static void on_other_up(struct redis_link *link, void *data)
{
    (void)link;
    ++*(int *)data;
}

#define OTHERS 40

/* By now each waits for anything up to three seconds: that all of them would be short is not to be
 * expected. */
static void where_one_link_comes_up_the_others_wait_no_longer(void **state)
{
    static const struct redis_events events = {.up = on_other_up};
    struct scene *s = *state;
    struct redis_link *other[OTHERS];
    int up = 0;
    thread_assert(&on_master); /* main() has said so */
    s->peer.greeting = "-MASTERDOWN Link with MASTER is down\r\n";
    for (size_t i = 0; i < OTHERS; i++)
        other[i] = redis_link_new(s->door.redis, "other", &events, &up);
    door_turn(&s->door, 3000);
    assert_int_equal(up, 0);
    s->peer.greeting = "+PONG\r\n";
    int64_t start = clock_now_ms();
    UNTIL(s, door.ups, 1);
    assert_true(door_until(&s->door, &up, OTHERS));
    assert_in_range(clock_now_ms() - start, 0, 1500);
    for (size_t i = 0; i < OTHERS; i++)
        (void)redis_link_free(other[i]);
}

/* A command that is half written cannot have been answered. */
static void an_answer_before_its_command_is_a_cut(void **state)
{
    struct scene *s = *state;
    size_t len = (size_t)16 << 20;
    char *big = malloc(len + 1);
    memset(big, 'x', len);
    big[len] = '\0';
    say(s, "+OK\r\n", 5);
    UNTIL(s, door.ups, 1);
    int error = DOOR_SEND(&s->door, &s->a, "SET", "k", big);
    free(big);
    assert_int_equal(error, 0);
    UNTIL(s, door.downs, 1);
    assert_int_equal(s->a.nulls, 1);
    assert_non_null(strstr(s->door.why.text, "nothing was asked for: '+OK'"));
}

struct heard {
    int count;
    char last[64];
};

static struct heard heard; /* the link's data is the door */

static void on_heard(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link, (void)data;
    const struct redis_reply *keys = &r->item[2];
    (void)snprintf(heard.last, sizeof heard.last, "%s",
                   keys->type == REDIS_ARRAY && keys->n ? keys->item[0].str : "nothing");
    heard.count++;
}

#define MESSAGE(keys) "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n" keys

static void listen_to(struct scene *s, const char *says)
{
    thread_assert(&on_master); /* main() has said so */
    heard = (struct heard){0};
    thread_enter(&on_master);
    redis_link_listen(s->door.link, on_heard);
    say(s, says, strlen(says));
    s->peer.piece = 3; /* whatever the pieces are */
    UNTIL(s, door.ups, 1);
    DOOR_SEND(&s->door, &s->a, "PING");
}

static void messages_are_heard_before_between_and_behind_answers(void **state)
{
    struct scene *s = *state;
    listen_to(s, MESSAGE("*1\r\n$2\r\nk1\r\n")
                     MESSAGE("$-1\r\n") "*2\r\n$4\r\npong\r\n$0\r\n\r\n" MESSAGE("*-1\r\n")
                         MESSAGE("*1\r\n$2\r\nk2\r\n"));
    assert_true(door_until(&s->door, &heard.count, 4));
    assert_string_equal(heard.last, "k2");
    assert_int_equal(s->a.count, 1);
    assert_string_equal(s->a.last, "array 2");
    assert_int_equal(s->door.downs, 0);
}

static void what_is_no_message_is_a_cut_for_a_listener_too(void **state)
{
    static const char *const said[] = {"+OK\r\n", "*3\r\n$8\r\npmessage\r\n$1\r\nc\r\n*0\r\n",
                                       "*2\r\n$7\r\nmessage\r\n$1\r\nc\r\n"};
    struct scene *s = *state;
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        char says[128];
        (void)snprintf(says, sizeof says, "+PONG\r\n%s", said[i]);
        listen_to(s, says);
        UNTIL(s, door.downs, (int)i + 1);
        assert_non_null(strstr(s->door.why.text, "nothing was asked for: '"));
        assert_int_equal(heard.count, 0);
        assert_int_equal(s->a.nulls, 0);
        UNTIL(s, door.ups, (int)i + 2);
    }
}

static void a_message_without_a_listener_is_a_cut(void **state)
{
    struct scene *s = *state;
    say(s, "+PONG\r\n" MESSAGE("*0\r\n"), strlen("+PONG\r\n" MESSAGE("*0\r\n")));
    UNTIL(s, door.ups, 1);
    DOOR_SEND(&s->door, &s->a, "PING");
    UNTIL(s, door.downs, 1);
}

static void count_down(struct redis_link *link, const struct err *why, void *data)
{
    (void)link, (void)why;
    ++*(int *)data;
}

/* Two links are cut and come back, at different times: trouble lasts until both are there. */
static void trouble_is_over_when_every_link_is_back(void **state)
{
    static const struct redis_events events = {.down = count_down};
    struct scene *s = *state;
    int downs = 0;
    thread_enter(&on_master);
    struct redis_link *second = redis_link_new(s->door.redis, "second", &events, &downs);
    UNTIL(s, door.ups, 1);
    while (!redis_link_up(second))
        door_turn(&s->door, 10);
    s->peer.slam = true;
    redis_peer_hang_up(&s->peer);
    assert_true(door_until(&s->door, &downs, 1));
    UNTIL(s, door.downs, 1);
    door_turn(&s->door, 500); /* by now their backoffs are far apart */
    s->peer.slam = false;
    while (!redis_link_up(second) || !redis_link_up(s->door.link)) {
        assert_string_not_equal(redis_trouble(s->door.redis), "");
        ev_run(s->door.loop, EVRUN_ONCE);
    }
    assert_string_equal(redis_trouble(s->door.redis), "");
    (void)redis_link_free(second);
}

#define WITH(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(what_is_no_answer_is_a_clean_cut_with_a_sentence),
        WITH(a_status_line_without_end_is_cut),
        WITH(every_piece_size_gives_the_same_answers),
        WITH(half_an_answer_is_never_an_answer),
        WITH(a_peer_that_never_greets_is_given_up),
        WITH(a_greeting_that_is_none_is_no_link),
        WITH(a_peer_that_closes_at_once_is_not_stormed),
        WITH(greeting_alone_does_not_reset_the_backoff),
        WITH(an_answer_resets_the_backoff),
        WITH(a_server_that_loads_is_asked_often),
        WITH(where_one_link_comes_up_the_others_wait_no_longer),
        WITH(an_answer_before_its_command_is_a_cut),
        WITH(messages_are_heard_before_between_and_behind_answers),
        WITH(what_is_no_message_is_a_cut_for_a_listener_too),
        WITH(a_message_without_a_listener_is_a_cut),
        WITH(trouble_is_over_when_every_link_is_back),
    };
    return cmocka_run_group_tests_name("redis peer", tests, NULL, NULL);
}
