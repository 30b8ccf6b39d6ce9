/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup */
/* Each allocation of the door fails once: what fails says so, what was sent is answered once,
 * nothing is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/script.h"
#include "tests/lib/redis_door.h"

static int fail_at; /* the allocation that fails, counted down; 0: none */

static bool fails(void)
{
    bool now = fail_at && !--fail_at;
    if (now)
        errno = ENOMEM;
    return now;
}

#include "tests/lib/wrap_alloc.h"

struct tally {
    int accepted; /* by redis_send */
    int refused;
    int other; /* refused, and not for want of memory */
};

static void note(struct tally *t, int error)
{
    t->accepted += !error;
    t->refused += error != 0;
    t->other += error && error != -ENOMEM && error != -ENOTCONN;
}

static void send_script(struct world *w, struct tally *t)
{
    thread_enter(&on_master);
    redis_begin_script(w->door.command, script_find("count"), 2);
    redis_arg_text(w->door.command, "none");
    redis_arg_text(w->door.command, "stats");
    redis_arg_text(w->door.command, "done");
    redis_arg_int(w->door.command, 1);
    note(t, redis_send(w->door.link, w->door.command, 0, door_answer, &w->a));
}

static void send_all(struct world *w, struct tally *t)
{
    static const char *const words[] = {"MSET", "a",  "1",  "b",  "2",  "c",  "3",  "d",  "4",
                                        "e",    "5",  "f",  "6",  "g",  "7",  "h",  "8",  "i",
                                        "9",    "j",  "10", "k",  "11", "l",  "12", "m",  "13",
                                        "n",    "14", "o",  "15", "p",  "16", "q",  "17", NULL};
    note(t, door_send(&w->door, &w->a, 0, words)); /* more arguments than there is room at first */
    send_script(w, t);
    note(t,
         DOOR_SEND(&w->door, &w->a, "LRANGE", "list", "0", "-1")); /* larger than the first block */
    note(t, DOOR_SEND(&w->door, &w->a, "GET", "large"));
}

/* One life of a door with the n-th allocation failing. False: the door could not even be opened,
 * and said why. */
static bool live(struct world *w, int n, struct tally *t)
{
    struct redis_options o = door_options(redis_server_url(w->server));
    memset(&w->a, 0, sizeof w->a);
    fail_at = n;
    if (door_open(&w->door, &o) < 0)
        return false;
    if (door_until(&w->door, &w->door.ups, 1)) {
        send_all(w, t);
        (void)door_until(&w->door, &w->a.count, t->accepted);
    }
    return true;
}

static void every_allocation_may_fail(void **state)
{
    struct world *w = *state;
    int n = 1, reached = 0;
    for (int i = 0; i < 40; i++)
        assert_true(redis_server_integer(w->server, "RPUSH list %01024d", i) > 0);
    for (int last = 0; !last && n < 500; n++) {
        struct tally t = {0};
        assert_int_equal(redis_server_integer(w->server, "SCRIPT FLUSH"), 1);
        bool opened = live(w, n, &t);
        last = fail_at > 0; /* it was not reached: that was a whole life */
        fail_at = 0;
        if (!opened)
            continue;
        assert_int_equal(w->door.refusals, 0);
        assert_int_equal(t.other, 0);
        assert_int_equal(t.accepted + t.refused, 4);
        assert_int_equal(w->a.count, t.accepted);
        assert_true(t.refused + w->a.nulls + w->a.errors == 0 || !last);
        assert_true(redis_link_up(w->door.link) || redis_trouble(w->door.redis)[0]);
        door_close(&w->door);
        assert_int_equal(w->a.count, t.accepted); /* nothing is answered twice */
        reached++;
    }
    assert_in_range(reached, 15, 400);
}

static int begin(void **state)
{
    return world_begin_with(state, false, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_allocation_may_fail, begin, world_end),
    };
    return cmocka_run_group_tests_name("redis memory", tests, NULL, NULL);
}
