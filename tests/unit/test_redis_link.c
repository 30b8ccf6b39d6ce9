/* A link over a real redis-server: order, strings, cuts, deadlines, callbacks, scripts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "daemon/redis.h"
#include "daemon/script.h"
#include "tests/lib/redis_door.h"

/* Order --------------------------------------------------------------------------------------- */

struct order {
    int next, wrong;
};

static void in_order(struct redis_link *link, const struct redis_reply *r, void *data)
{
    struct order *o = data;
    (void)link;
    o->next++;
    o->wrong += !r || r->type != REDIS_INTEGER || r->integer != o->next;
}

static void ten_thousand_commands_are_answered_in_order(void **state)
{
    struct world *w = *state;
    struct order o = {0};
    thread_enter(&on_master);
    UNTIL(w, door.ups, 1);
    for (int i = 0; i < 10000; i++) {
        redis_begin(w->door.command, "INCR");
        redis_arg_text(w->door.command, "counter");
        assert_int_equal(redis_send(w->door.link, w->door.command, 0, in_order, &o), 0);
    }
    assert_int_equal(o.next, 0); /* nothing is answered within the sending */
    assert_true(door_until(&w->door, &o.next, 10000));
    assert_int_equal(o.wrong, 0);
    assert_string_equal(redis_server_text(w->server, "GET counter"), "10000");
}

static void a_million_errors_in_a_row_are_answers(void **state)
{
    struct world *w = *state;
    int error = 0;
    UNTIL(w, door.ups, 1);
    for (int i = 0; i < 1000000 && !error; i++)
        error = DOOR_SEND(&w->door, &w->a, "NOPE");
    assert_int_equal(error, 0);
    UNTIL(w, a.count, 1000000);
    assert_int_equal(w->a.errors, 1000000);
    assert_int_equal(w->door.downs, 0);
}

static void a_link_waits_for_so_many_answers_and_no_more(void **state)
{
    struct world *w = *state;
    int sent = 0, error = 0;
    UNTIL(w, door.ups, 1);
    while (!(error = DOOR_SEND(&w->door, &w->a, "PING")) && sent <= REDIS_PENDING_MAX)
        sent++;
    assert_int_equal(error, -ENOBUFS);
    assert_int_equal(sent, REDIS_PENDING_MAX);
    UNTIL(w, a.count, sent);
    assert_int_equal(w->a.nulls, 0);
    assert_int_equal(DOOR_SEND(&w->door, &w->a, "PING"), 0);
}

static void every_type_of_answer_arrives(void **state)
{
    struct world *w = *state;
    UNTIL(w, door.ups, 1);
    DOOR_SEND(&w->door, &w->a, "SET", "k", "value");
    UNTIL(w, a.count, 1);
    assert_string_equal(w->a.last, "OK");
    DOOR_SEND(&w->door, &w->a, "GET", "k");
    UNTIL(w, a.count, 2);
    assert_string_equal(w->a.last, "value");
    DOOR_SEND(&w->door, &w->a, "GET", "none");
    UNTIL(w, a.count, 3);
    assert_string_equal(w->a.last, "nil");
    DOOR_SEND(&w->door, &w->a, "LPUSH", "k", "x");
    UNTIL(w, a.count, 4);
    assert_int_equal(w->a.errors, 1);
    assert_memory_equal(w->a.last, "WRONGTYPE ", 10);
    DOOR_SEND(&w->door, &w->a, "TIME");
    UNTIL(w, a.count, 5);
    assert_string_equal(w->a.last, "array 2");
}

static void what_is_sent_before_the_link_is_up_is_refused(void **state)
{
    struct world *w = *state;
    assert_int_equal(DOOR_SEND(&w->door, &w->a, "PING"), -ENOTCONN);
    UNTIL(w, door.ups, 1);
    assert_int_equal(DOOR_SEND(&w->door, &w->a, "PING"), 0);
    UNTIL(w, a.count, 1);
    assert_int_equal(w->a.nulls, 0);
}

/* Large strings ------------------------------------------------------------------------------- */

static void a_string_over_the_bound_is_drained_and_the_next_answer_is_whole(void **state)
{
    struct world *w = *state;
    size_t len = (size_t)16 << 20;
    char *big = malloc(len);
    memset(big, 'x', len);
    (void)redis_server_integer(w->server, "SET big %b", big, len);
    (void)redis_server_integer(w->server, "SET fits %b", big, (size_t)1 << 20);
    free(big);
    UNTIL(w, door.ups, 1);
    DOOR_SEND(&w->door, &w->a, "GET", "big");
    DOOR_SEND(&w->door, &w->a, "MGET", "big", "fits", "none");
    DOOR_SEND(&w->door, &w->a, "GET", "big");
    UNTIL(w, a.count, 3);
    assert_string_equal(w->a.last, "large 16777216");
    DOOR_SEND(&w->door, &w->a, "GET", "fits");
    UNTIL(w, a.count, 4);
    assert_int_equal(w->a.len, 1 << 20);
    assert_int_equal(w->door.downs, 0);
}

static void a_string_of_16_mib_goes_out_and_comes_back(void **state)
{
    struct world *w = *state;
    size_t len = (size_t)16 << 20;
    struct redis_options o = door_options(redis_server_tcp_url(w->server));
    char *big = malloc(len + 1);
    memset(big, 'x', len);
    big[len] = '\0';
    door_close(&w->door);
    o.max_bulk = len;
    assert_int_equal(door_open(&w->door, &o), 0);
    UNTIL(w, door.ups, 1);
    int sent = DOOR_SEND(&w->door, &w->a, "SET", "big", big);
    free(big); /* it was copied */
    assert_int_equal(sent, 0);
    DOOR_SEND(&w->door, &w->a, "GET", "big");
    UNTIL(w, a.count, 2);
    assert_int_equal(w->a.len, len);
}

static void a_link_that_is_full_says_so_and_recovers(void **state)
{
    struct world *w = *state;
    size_t len = (size_t)9 << 20;
    char *big = malloc(len + 1);
    int sent = 0, error = 0;
    memset(big, 'x', len);
    big[len] = '\0';
    UNTIL(w, door.ups, 1);
    (void)redis_server_signal(w->server, SIGSTOP);
    while (sent < 20 && !(error = DOOR_SEND(&w->door, &w->a, "SET", "big", big)))
        sent++;
    (void)redis_server_signal(w->server, SIGCONT);
    free(big);
    assert_int_equal(error, -ENOBUFS);
    assert_in_range(sent, 7, 8);
    UNTIL(w, a.count, sent);
    assert_int_equal(w->a.nulls, 0);
    assert_int_equal(DOOR_SEND(&w->door, &w->a, "PING"), 0);
    UNTIL(w, a.count, sent + 1);
}

/* It would wait for ever where there is always a small one. */
static void small_ones_do_not_keep_out_a_large_one(void **state)
{
    struct world *w = *state;
    size_t len = REDIS_OUTPUT_MAX;
    char *big = malloc(len + 1);
    memset(big, 'x', len);
    big[len] = '\0';
    UNTIL(w, door.ups, 1);
    (void)redis_server_signal(w->server, SIGSTOP);
    int small = DOOR_SEND(&w->door, &w->a, "PING");
    int large = DOOR_SEND(&w->door, &w->a, "SET", "big", big);
    int behind = DOOR_SEND(&w->door, &w->a, "PING");
    (void)redis_server_signal(w->server, SIGCONT);
    free(big);
    assert_int_equal(small, 0);
    assert_int_equal(large, 0);
    assert_int_equal(behind, -ENOBUFS);
    UNTIL(w, a.count, 2);
    assert_int_equal(w->a.nulls, 0);
}

/* Cuts ---------------------------------------------------------------------------------------- */

static void a_kill_runs_what_is_pending_and_the_link_comes_back(void **state)
{
    struct world *w = *state;
    UNTIL(w, door.ups, 1);
    assert_string_equal(redis_trouble(w->door.redis), "");
    assert_true(redis_ever_connected(w->door.redis));
    uint64_t cuts = redis_link_cuts(w->door.link);
    for (int i = 0; i < 3; i++)
        (void)door_send(&w->door, &w->a, 20000,
                        (const char *const[]){"BLPOP", "nothing", "0", NULL});
    door_turn(&w->door, 30);
    assert_int_equal(w->a.count, 0);
    (void)redis_server_integer(w->server, "CLIENT KILL TYPE normal SKIPME yes");
    UNTIL(w, door.downs, 1);
    assert_int_equal(w->a.nulls, 3); /* before `down` */
    assert_int_equal(redis_link_cuts(w->door.link), cuts + 1);
    assert_false(redis_link_up(w->door.link));
    assert_string_not_equal(redis_trouble(w->door.redis), "");
    assert_int_equal(DOOR_SEND(&w->door, &w->a, "PING"), -ENOTCONN);
    UNTIL(w, door.ups, 2);
    assert_string_equal(redis_trouble(w->door.redis), "");
    assert_int_equal(redis_reconnects(w->door.redis), 1);
    DOOR_SEND(&w->door, &w->a, "PING");
    UNTIL(w, a.count, 4);
    assert_string_equal(w->a.last, "PONG");
}

static void a_server_that_starts_again_is_found(void **state)
{
    struct world *w = *state;
    UNTIL(w, door.ups, 1);
    redis_server_kill(w->server);
    UNTIL(w, door.downs, 1);
    door_turn(&w->door, 200); /* several attempts fail */
    assert_int_equal(redis_server_restart(w->server, true), 0);
    UNTIL(w, door.ups, 2);
    assert_int_equal(w->door.downs, 1);
}

static void a_frozen_server_is_cut_at_the_deadline(void **state)
{
    struct world *w = *state;
    UNTIL(w, door.ups, 1);
    (void)redis_server_signal(w->server, SIGSTOP);
    int64_t begun = clock_now_ms();
    (void)door_send(&w->door, &w->a, 300, (const char *const[]){"PING", NULL});
    (void)door_send(&w->door, &w->a, 10,
                    (const char *const[]){"PING", NULL}); /* counts from the answer before it */
    UNTIL(w, door.downs, 1);
    assert_true(clock_now_ms() - begun >= 300);
    assert_int_equal(w->a.nulls, 2);
    assert_int_equal(w->door.why.code, -ETIMEDOUT);
    assert_string_equal(w->door.why.text, "no answer within 300 ms");
    (void)redis_server_signal(w->server, SIGCONT);
    UNTIL(w, door.ups, 2);
}

static void a_blocking_command_has_a_deadline_of_its_own(void **state)
{
    struct world *w = *state;
    UNTIL(w, door.ups, 1);
    (void)door_send(&w->door, &w->a, 30000, (const char *const[]){"BLPOP", "nothing", "1.2", NULL});
    (void)door_send(&w->door, &w->a, 1000, (const char *const[]){"PING", NULL});
    UNTIL(w, a.count, 2);
    assert_int_equal(w->a.nulls, 0);
    assert_int_equal(w->door.downs, 0);
}

static void a_reset_reconnects_at_once_and_says_nothing(void **state)
{
    struct world *w = *state;
    UNTIL(w, door.ups, 1);
    (void)door_send(&w->door, &w->a, 0, (const char *const[]){"BLPOP", "nothing", "0", NULL});
    door_reset(&w->door);
    assert_int_equal(w->a.nulls, 1);
    assert_false(redis_link_up(w->door.link));
    UNTIL(w, door.ups, 2);
    assert_int_equal(w->door.downs, 0);
    assert_int_equal(redis_link_cuts(w->door.link), 1);
}

/* Callbacks that pull the rug ----------------------------------------------------------------- */

struct puller {
    struct door *door;
    int ran;
    size_t len; /* of the reply, read after the link was freed or reset */
    char last;
};

static void freeing(struct redis_link *link, const struct redis_reply *r, void *data)
{
    struct puller *p = data;
    thread_enter(&on_master);
    p->ran++;
    p->door->link = redis_link_free(link);
    if (r) {
        p->len = r->len; /* what was borrowed is whole until the callback returns */
        p->last = r->str[r->len - 1];
    }
}

static void resetting(struct redis_link *link, const struct redis_reply *r, void *data)
{
    struct puller *p = data;
    thread_enter(&on_master);
    p->ran++;
    redis_link_reset(link);
    if (r)
        p->len = r->len;
}

static void pull_with(struct world *w, struct puller *p, redis_fn fn)
{
    thread_enter(&on_master);
    for (int i = 0; i < 5; i++) {
        redis_begin(w->door.command, "ECHO");
        redis_arg_text(w->door.command, "0123456789");
        (void)redis_send(w->door.link, w->door.command, 0, i == 2 ? fn : door_answer,
                         i == 2 ? (void *)p : (void *)&w->a);
    }
}

static void finish(struct world *w)
{
    thread_enter(&on_master);
    redis_link_finish(w->door.link);
}

/* What was carried out is answered, what waits in the server is not; that is no cut to be told of.
 */
static void a_link_that_is_finished_is_answered_and_comes_back(void **state)
{
    struct world *w = *state;
    struct answers pop = {.count = 0};
    UNTIL(w, door.ups, 1);
    DOOR_SEND(&w->door, &w->a, "ECHO", "carried out");
    finish(w); /* not yet: it is not even written */
    assert_true(redis_link_up(w->door.link));
    DOOR_SEND(&w->door, &pop, "BLPOP", "nothing", "0");
    door_turn(&w->door, 0);
    while (redis_link_up(w->door.link)) {
        finish(w);
        door_turn(&w->door, 1);
    }
    assert_int_equal(DOOR_SEND(&w->door, &w->a, "PING"), -ENOTCONN);
    UNTIL(w, door.ups, 2);
    assert_string_equal(w->a.last, "carried out");
    assert_int_equal(w->a.count, 1);
    assert_int_equal(pop.nulls, 1);
    assert_int_equal(w->door.downs, 0);
    assert_string_equal(redis_trouble(w->door.redis), "");
}

static void a_link_may_be_freed_in_a_callback_of_its_own(void **state)
{
    struct world *w = *state;
    struct puller p = {.door = &w->door};
    UNTIL(w, door.ups, 1);
    pull_with(w, &p, freeing);
    assert_true(door_until(&w->door, &p.ran, 1));
    assert_int_equal(w->a.count, 4);
    assert_int_equal(w->a.nulls, 2);
    assert_int_equal(p.len, 10);
    assert_int_equal(p.last, '9');
    assert_int_equal(w->door.downs, 0);
    door_turn(&w->door, 30);
}

static void a_link_may_be_reset_in_a_callback_of_its_own(void **state)
{
    struct world *w = *state;
    struct puller p = {.door = &w->door};
    UNTIL(w, door.ups, 1);
    pull_with(w, &p, resetting);
    assert_true(door_until(&w->door, &p.ran, 1));
    assert_int_equal(w->a.nulls, 2);
    UNTIL(w, door.ups, 2);
    assert_int_equal(p.ran, 1);
    assert_int_equal(p.len, 10);
}

static void a_link_may_be_freed_while_its_cut_runs_callbacks(void **state)
{
    struct world *w = *state;
    struct puller p = {.door = &w->door};
    UNTIL(w, door.ups, 1);
    (void)redis_server_signal(w->server, SIGSTOP);
    pull_with(w, &p, freeing);
    door_turn(&w->door, 20);
    redis_server_kill(w->server);
    assert_true(door_until(&w->door, &p.ran, 1));
    assert_int_equal(w->a.nulls, 4);
    assert_int_equal(w->door.downs, 0); /* it is gone */
}

/* Scripts ------------------------------------------------------------------------------------- */

static void send_beat(struct world *w)
{
    thread_enter(&on_master);
    redis_begin_script(w->door.command, script_find("beat"), 4);
    redis_arg_text(w->door.command, "none");
    redis_arg_text(w->door.command, "owner");
    redis_arg_text(w->door.command, "owners");
    redis_arg_text(w->door.command, "fenced");
    redis_arg_text(w->door.command, "run.1");
    redis_arg_text(w->door.command, "me");
    assert_int_equal(redis_send(w->door.link, w->door.command, 0, door_answer, &w->a), 0);
}

static void a_script_that_the_server_lost_is_sent_again(void **state)
{
    struct world *w = *state;
    struct answers between = {0};
    UNTIL(w, door.ups, 1);
    (void)redis_server_integer(w->server, "SET owner %s", "1 run.1 1 host");
    for (int round = 1; round <= 3; round++) {
        assert_int_equal(redis_server_integer(w->server, "CONFIG RESETSTAT"), 1);
        assert_int_equal(redis_server_integer(w->server, "SCRIPT FLUSH"), 1);
        send_beat(w);
        DOOR_SEND(&w->door, &between, "PING");
        send_beat(w);
        UNTIL(w, a.count, 2 * round);
        assert_string_equal(w->a.last, "1");
        assert_int_equal(w->a.errors, 0);
        assert_int_equal(between.count, round);
    }
    assert_string_not_equal(redis_server_text(w->server, "ZSCORE owners me"), "");
    assert_non_null(
        strstr(redis_server_text(w->server, "INFO commandstats"), "cmdstat_eval:calls=2,"));
}

static void the_sum_of_every_script_is_the_one_that_redis_makes(void **state)
{
    struct world *w = *state;
    size_t n;
    const struct redis_script *all = script_all(&n);
    assert_true(n > 0);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(redis_server_text(w->server, "SCRIPT LOAD %b", all[i].text, all[i].len),
                            all[i].sha);
}

#define WITH(f) cmocka_unit_test_setup_teardown(f, world_begin, world_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(ten_thousand_commands_are_answered_in_order),
        WITH(a_million_errors_in_a_row_are_answers),
        WITH(a_link_waits_for_so_many_answers_and_no_more),
        WITH(every_type_of_answer_arrives),
        WITH(what_is_sent_before_the_link_is_up_is_refused),
        WITH(a_string_over_the_bound_is_drained_and_the_next_answer_is_whole),
        WITH(a_string_of_16_mib_goes_out_and_comes_back),
        WITH(a_link_that_is_full_says_so_and_recovers),
        WITH(small_ones_do_not_keep_out_a_large_one),
        WITH(a_kill_runs_what_is_pending_and_the_link_comes_back),
        WITH(a_server_that_starts_again_is_found),
        WITH(a_frozen_server_is_cut_at_the_deadline),
        WITH(a_blocking_command_has_a_deadline_of_its_own),
        WITH(a_reset_reconnects_at_once_and_says_nothing),
        WITH(a_link_that_is_finished_is_answered_and_comes_back),
        WITH(a_link_may_be_freed_in_a_callback_of_its_own),
        WITH(a_link_may_be_reset_in_a_callback_of_its_own),
        WITH(a_link_may_be_freed_while_its_cut_runs_callbacks),
        WITH(a_script_that_the_server_lost_is_sent_again),
        WITH(the_sum_of_every_script_is_the_one_that_redis_makes),
    };
    return cmocka_run_group_tests_name("redis link", tests, NULL, NULL);
}
