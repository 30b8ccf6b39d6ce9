/* How a link begins over a real redis-server: name, database, rights, and a server that is not
 * ready. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/redis_door.h"

static void a_database_and_a_name_are_set(void **state)
{
    struct world *w = *state;
    char url[64];
    (void)snprintf(url, sizeof url, "%s/3", redis_server_tcp_url(w->server));
    struct redis_options o = door_options(url);
    o.client_name = "instance";
    door_close(&w->door);
    assert_int_equal(door_open(&w->door, &o), 0);
    UNTIL(w, door.ups, 1);
    DOOR_SEND(&w->door, &w->a, "CLIENT", "GETNAME");
    UNTIL(w, a.count, 1);
    assert_string_equal(w->a.last, "instance:test");
    DOOR_SEND(&w->door, &w->a, "SET", "here", "x");
    UNTIL(w, a.count, 2);
    assert_int_equal(redis_server_integer(w->server, "EXISTS here"), 0);
    assert_non_null(strstr(redis_server_text(w->server, "INFO keyspace"), "db3:"));
}

static void a_name_of_a_host_is_resolved(void **state)
{
    struct world *w = *state;
    char url[64];
    (void)snprintf(url, sizeof url, "redis://localhost:%d", redis_server_port(w->server));
    struct redis_options o = door_options(url);
    door_close(&w->door);
    assert_int_equal(door_open(&w->door, &o), 0);
    UNTIL(w, door.ups, 1);
    door_reset(&w->door);
    UNTIL(w, door.ups, 2);
}

static void a_door_may_close_while_a_name_is_asked_for(void **state)
{
    struct world *w = *state;
    struct redis_options o = door_options("redis://no-such-host.invalid");
    for (int turns = 0; turns < 3; turns++) {
        door_close(&w->door);
        assert_int_equal(door_open(&w->door, &o), 0);
        for (int i = 0; i < turns; i++)
            ev_run(w->door.loop, EVRUN_NOWAIT);
    }
}

static int begin_locked(void **state)
{
    return world_begin_with(state, false,
                            (const char *const[]){"--requirepass", "right horse", NULL});
}

static int open_locked(struct world *w, const char *password)
{
    struct redis_options o = door_options(redis_server_url(w->server));
    o.password = password;
    redis_server_login(w->server, "right horse");
    return door_open(&w->door, &o);
}

static void the_right_password_opens(void **state)
{
    struct world *w = *state;
    assert_int_equal(open_locked(w, "right horse"), 0);
    UNTIL(w, door.ups, 1);
    assert_int_equal(w->door.refusals, 0);
}

static void a_wrong_password_is_refused_with_the_servers_text(void **state)
{
    struct world *w = *state;
    assert_int_equal(open_locked(w, "wrong horse"), 0);
    UNTIL(w, door.refusals, 2); /* it is tried again */
    assert_string_equal(w->door.why.text,
                        "WRONGPASS invalid username-password pair or user is disabled.");
    assert_string_equal(redis_trouble(w->door.redis), w->door.why.text);
    assert_int_equal(w->door.ups, 0);
    assert_false(redis_ever_connected(w->door.redis));
    assert_int_equal(redis_server_integer(w->server, "CONFIG SET requirepass %s", "wrong horse"),
                     1);
    UNTIL(w, door.ups, 1);
    assert_string_equal(redis_trouble(w->door.redis), "");
}

static void no_password_is_refused_with_the_servers_text(void **state)
{
    struct world *w = *state;
    assert_int_equal(open_locked(w, ""), 0);
    UNTIL(w, door.refusals, 1);
    assert_string_equal(w->door.why.text, "NOAUTH Authentication required.");
}

static void a_user_without_a_right_of_the_greeting_is_told_which(void **state)
{
    struct world *w = *state;
    struct redis_options o = door_options(redis_server_url(w->server));
    assert_int_equal(redis_server_integer(w->server, "ACL SETUSER u on >pw ~* +@all -ping"), 1);
    o.username = "u";
    o.password = "pw";
    door_close(&w->door);
    assert_int_equal(door_open(&w->door, &o), 0);
    UNTIL(w, door.refusals, 1);
    assert_non_null(strstr(w->door.why.text, "NOPERM"));
    assert_non_null(strstr(w->door.why.text, "ping"));
}

static void a_user_who_may_not_set_a_name_lives_without(void **state)
{
    struct world *w = *state;
    struct redis_options o = door_options(redis_server_url(w->server));
    assert_int_equal(redis_server_integer(w->server, "ACL SETUSER u on >pw ~* +@all -client"), 1);
    o.username = "u";
    o.password = "pw";
    o.client_name = "instance";
    door_close(&w->door);
    assert_int_equal(door_open(&w->door, &o), 0);
    UNTIL(w, door.ups, 1);
    assert_int_equal(w->door.refusals, 0);
}

/* A server whose AUTH was renamed repeats the arguments of the unknown command in its error. */
static int begin_without_auth(void **state)
{
    return world_begin_with(state, false,
                            (const char *const[]){"--rename-command", "AUTH", "other", NULL});
}

static void a_password_that_the_server_repeats_is_not_shown(void **state)
{
    struct world *w = *state;
    struct redis_options o = door_options(redis_server_url(w->server));
    o.password = "secret horse";
    assert_int_equal(door_open(&w->door, &o), 0);
    while (!redis_trouble(w->door.redis)[0])
        door_turn(&w->door, 10);
    assert_null(strstr(redis_trouble(w->door.redis), "secret"));
    assert_int_equal(w->door.refusals, 0);
}

static void a_busy_server_is_waited_for(void **state)
{
    struct world *w = *state;
    UNTIL(w, door.ups, 1);
    (void)redis_server_integer(w->server, "CONFIG SET busy-reply-threshold 1");
    (void)door_send(&w->door, &w->a, 10000,
                    (const char *const[]){"EVAL", "while true do end", "0", NULL});
    door_turn(&w->door, 100);
    door_reset(&w->door);
    while (!redis_trouble(w->door.redis)[0])
        door_turn(&w->door, 10);
    assert_memory_equal(redis_trouble(w->door.redis), "BUSY ", 5);
    assert_int_equal(w->door.refusals, 0);
    assert_int_equal(redis_server_integer(w->server, "SCRIPT KILL"), 1);
    UNTIL(w, door.ups, 2);
}

static void too_many_clients_are_told_in_the_servers_words(void **state)
{
    struct world *w = *state;
    UNTIL(w, door.ups, 1);
    assert_int_equal(redis_server_integer(w->server, "CONFIG SET maxclients 2"), 1);
    assert_int_equal(redis_server_integer(w->server, "CLIENT KILL TYPE normal SKIPME yes"), 1);
    thread_enter(&on_master);
    struct redis_link *second =
        redis_link_new(w->door.redis, "second", &(struct redis_events){0}, NULL);
    assert_non_null(second);
    while (!strstr(redis_trouble(w->door.redis), "max number of clients reached"))
        door_turn(&w->door, 10);
    (void)redis_link_free(second);
}

#define WITH(f) cmocka_unit_test_setup_teardown(f, world_begin, world_end)
#define LOCKED(f) cmocka_unit_test_setup_teardown(f, begin_locked, world_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(a_database_and_a_name_are_set),
        WITH(a_name_of_a_host_is_resolved),
        WITH(a_door_may_close_while_a_name_is_asked_for),
        LOCKED(the_right_password_opens),
        LOCKED(a_wrong_password_is_refused_with_the_servers_text),
        LOCKED(no_password_is_refused_with_the_servers_text),
        WITH(a_user_without_a_right_of_the_greeting_is_told_which),
        WITH(a_user_who_may_not_set_a_name_lives_without),
        cmocka_unit_test_setup_teardown(a_password_that_the_server_repeats_is_not_shown,
                                        begin_without_auth, world_end),
        WITH(a_busy_server_is_waited_for),
        WITH(too_many_clients_are_told_in_the_servers_words),
    };
    return cmocka_run_group_tests_name("redis greeting", tests, NULL, NULL);
}
