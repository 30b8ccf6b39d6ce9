/* LDFLAGS: -Wl,--wrap=getaddrinfo */
/* Names: a silent name server, one that knows nothing, several addresses, an address that changes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/redis_door.h"

/* What the name server of the test does. */
static struct {
    pthread_mutex_t lock; /* guards silent */
    pthread_cond_t spoke;
    bool silent;
    atomic_int asked, answered;
    _Atomic(const char *) first, second; /* addresses; first NULL: no such name */
} names = {.lock = PTHREAD_MUTEX_INITIALIZER, .spoke = PTHREAD_COND_INITIALIZER};

int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **ret);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **ret);

static int look_up(const char *port, struct addrinfo **ret)
{
    const char *first = names.first, *second = names.second;
    struct addrinfo digits = {.ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    int r = first ? __real_getaddrinfo(first, port, &digits, ret) : EAI_NONAME;
    return r || !second ? r : __real_getaddrinfo(second, port, &digits, &(*ret)->ai_next);
}

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **ret)
{
    if (hints->ai_flags & AI_NUMERICHOST)
        return __real_getaddrinfo(host, port, hints, ret);
    (void)pthread_mutex_lock(&names.lock);
    names.asked++;
    while (names.silent)
        (void)pthread_cond_wait(&names.spoke, &names.lock);
    (void)pthread_mutex_unlock(&names.lock);
    int r = look_up(port, ret);
    names.answered++;
    return r;
}

static void be_silent(bool silent)
{
    (void)pthread_mutex_lock(&names.lock);
    names.silent = silent;
    (void)pthread_cond_broadcast(&names.spoke);
    (void)pthread_mutex_unlock(&names.lock);
}

static int begin(void **state)
{
    names.asked = names.answered = 0;
    names.first = "127.0.0.1";
    names.second = NULL;
    return world_begin_with(state, true, NULL);
}

static int end(void **state)
{
    be_silent(false);
    return world_end(state);
}

static int open_by_name(struct world *w, int64_t connect_timeout_ms)
{
    char url[64];
    (void)snprintf(url, sizeof url, "redis://redis.test:%d", redis_server_port(w->server));
    struct redis_options o = door_options(url);
    o.connect_timeout_ms = connect_timeout_ms;
    return door_open(&w->door, &o);
}

static void until_trouble(struct world *w, const char *text)
{
    while (!strstr(redis_trouble(w->door.redis), text))
        door_turn(&w->door, 5);
}

static void a_silent_name_server_holds_up_nobody(void **state)
{
    struct world *w = *state;
    thread_enter(&on_master);
    be_silent(true);
    assert_int_equal(open_by_name(w, 100), 0);
    struct redis_link *second =
        redis_link_new(w->door.redis, "second", &(struct redis_events){0}, NULL);
    until_trouble(w, "host 'redis.test': the name server does not answer");
    door_turn(&w->door, 1000); /* more attempts of both links */
    assert_int_equal(names.asked, 1);
    be_silent(false);
    UNTIL(w, door.ups, 1);
    while (!redis_link_up(second))
        door_turn(&w->door, 5);
    assert_string_equal(redis_trouble(w->door.redis), "");
    (void)redis_link_free(second);
}

static void a_door_may_close_while_the_name_server_is_silent(void **state)
{
    struct world *w = *state;
    be_silent(true);
    assert_int_equal(open_by_name(w, 2000), 0);
    while (!names.asked)
        door_turn(&w->door, 5);
    door_close(&w->door);
    be_silent(false);
    while (!names.answered) /* the thread comes back to a door and a loop that are gone */
        (void)sched_yield();
    assert_int_equal(open_by_name(w, 2000), 0);
    UNTIL(w, door.ups, 1);
}

static void a_name_that_is_unknown_is_asked_for_again(void **state)
{
    struct world *w = *state;
    names.first = NULL;
    assert_int_equal(open_by_name(w, 2000), 0);
    until_trouble(w, "host 'redis.test': Name or service not known");
    names.first = "127.0.0.1";
    UNTIL(w, door.ups, 1);
}

static void every_address_of_a_name_is_tried(void **state)
{
    struct world *w = *state;
    names.first = "127.0.0.99"; /* nobody listens there */
    names.second = "127.0.0.1";
    assert_int_equal(open_by_name(w, 2000), 0);
    UNTIL(w, door.ups, 1);
    assert_int_equal(names.asked, 1);
}

static void an_address_of_ipv6_without_a_listener_is_passed_over(void **state)
{
    struct world *w = *state;
    names.first = "::1";
    names.second = "127.0.0.1";
    assert_int_equal(open_by_name(w, 2000), 0);
    UNTIL(w, door.ups, 1);
    assert_int_equal(names.asked, 1);
}

static void a_name_is_asked_for_at_each_connection(void **state)
{
    struct world *w = *state;
    assert_int_equal(open_by_name(w, 2000), 0);
    UNTIL(w, door.ups, 1);
    names.first = "127.0.0.99";
    door_reset(&w->door);
    until_trouble(w, "connect 127.0.0.99:");
    names.first = "127.0.0.1";
    UNTIL(w, door.ups, 2);
    assert_true(names.asked >= 3);
}

#define WITH(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(a_silent_name_server_holds_up_nobody),
        WITH(a_door_may_close_while_the_name_server_is_silent),
        WITH(a_name_that_is_unknown_is_asked_for_again),
        WITH(every_address_of_a_name_is_tried),
        WITH(an_address_of_ipv6_without_a_listener_is_passed_over),
        WITH(a_name_is_asked_for_at_each_connection),
    };
    return cmocka_run_group_tests_name("redis resolve", tests, NULL, NULL);
}
