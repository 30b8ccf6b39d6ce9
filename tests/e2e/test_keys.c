/* Keys of the daemon's own deleted, replaced or written by a newer version, under load: it goes on,
 * loses nothing and says what it cannot use. */
#include "tests/e2e/drain.h"

#define Q "rpopd:{queue}:"
#define JOBS 600
#define CONF "concurrency = 20; lease = 1.0; " ONE("sleep", "")

/* Deleted ----------------------------------------------------------------------------------------
 */

static void deleted_again_and_again(struct scene *s, const char *keys)
{
    char command[160];
    (void)snprintf(command, sizeof command, "DEL %s", keys);
    drain_with(s, JOBS, "concurrency = 20; lease = 1.0;");
    for (unsigned i = 1; i <= 5; i++) {
        drain_reach(s, 80 * i);
        (void)ask_int(s, command);
    }
    drain_end(s);
    assert_int_equal(daemon_logged(s->daemon, "event=epoch-lost"), 0);
}

static void the_owner_key_deleted(void **state)
{
    deleted_again_and_again(*state, Q "owner:e2e");
}

/* Nothing is claimed: the beat alone finds out. What runs goes on under the same epoch. */
static void the_owner_key_deleted_while_all_slots_are_taken(void **state)
{
    struct scene *s = *state;
    char owner[160];
    scene_start(s, "concurrency = 5; lease = 1.0; " ONE("sleep", ""));
    push_numbers(s, "queue", "600.", 0, 5);
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", 5).distinct == 5);
    (void)snprintf(owner, sizeof owner, "%s", ask_text(s, "GET " Q "owner:e2e"));
    owner[strcspn(owner, ".") + 2] = 0; /* <version> <epoch> */
    assert_int_equal(ask_int(s, "DEL " Q "owner:e2e " Q "owners"), 2);
    scene_await(s, LIMIT_MS, ask_int(s, "EXISTS " Q "owner:e2e " Q "owners") == 2);
    assert_int_equal(strncmp(ask_text(s, "GET " Q "owner:e2e"), owner, strlen(owner)), 0);
    assert_int_equal(daemon_logged(s->daemon, "event=epoch-lost"), 0);
    assert_int_equal(claimed(s, "queue"), 5);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN queue"), 5);
}

static void the_beats_deleted(void **state)
{
    deleted_again_and_again(*state, Q "owners");
}

static void the_entries_deleted(void **state)
{
    deleted_again_and_again(*state, Q "batches");
}

static void all_but_the_jobs_deleted(void **state)
{
    deleted_again_and_again(*state, Q "owner:e2e " Q "owners " Q "batches " Q "fenced");
}

/* Without its entry a batch is found by nobody: it must be there again before the owner dies. */
static void an_entry_is_written_again_beside_its_list(void **state)
{
    struct scene *s = *state;
    scene_start(s, CONF);
    push_numbers(s, "queue", "600.", 0, 10);
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", 10).distinct == 10);
    long long entries = ask_int(s, "HLEN " Q "batches");
    assert_int_equal(ask_int(s, "DEL " Q "batches"), 1);
    scene_await(s, LIMIT_MS, ask_int(s, "HLEN " Q "batches") == entries);
    daemon_kill(s->daemon);
    scene_again(s);
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", 10).total == 20);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN queue"), 10);
    assert_int_equal(ask_int(s, "DEL queue"), 1);
    assert_string_equal(left_over(s), "");
}

/* A batch of its own, its list or its bitmap ------------------------------------------------------
 */

static void one_of(struct scene *s, const char *pattern, char *ret_key, size_t size)
{
    const char *key =
        ask_text(s, "EVAL %s 0 %s", "return redis.call('KEYS', ARGV[1])[1] or ''", pattern);
    (void)snprintf(ret_key, size, "%s", key ? key : "");
    assert_true(ret_key[0]);
}

/* A job is claimed by a daemon that does not know it yet, so that it cannot end before its list is
 * touched. */
static void claimed_unheard(struct scene *s, const char *payload, char *ret_list, size_t size)
{
    scene_start(s, CONF);
    scene_await(s, LIMIT_MS, strstr(ask_text(s, "INFO clients"), "blocked_clients:1") != NULL);
    daemon_signal(s->daemon, SIGSTOP);
    push(s, "queue", payload);
    scene_await(s, LIMIT_MS, claimed(s, "queue") == 1);
    one_of(s, Q "inflight:*", ret_list, size);
}

static void a_list_deleted_while_its_jobs_run(void **state)
{
    struct scene *s = *state;
    char list[160];
    claimed_unheard(s, "0.2", list, sizeof list);
    assert_int_equal(ask_int(s, "DEL %s", list), 1);
    daemon_signal(s->daemon, SIGCONT);
    push_numbers(s, "queue", "0.0", 0, 20);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 20);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "lost") == 1);
    assert_int_equal(daemon_printed(s->daemon, "Done 0.2"), 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* Its jobs cannot be settled while the key is another's; the rest goes on, and the key stays what
 * it was made. */
static void a_list_replaced_while_its_jobs_run(void **state)
{
    struct scene *s = *state;
    char list[160];
    claimed_unheard(s, "0.2", list, sizeof list);
    assert_int_equal(ask_int(s, "SET %s foreign", list), 1);
    daemon_signal(s->daemon, SIGCONT);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "WRONGTYPE") > 0);
    assert_true(daemon_logged(s->daemon, list) > 0);
    push_numbers(s, "queue", "0.0", 0, 20);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 20);
    assert_string_equal(ask_text(s, "GET %s", list), "foreign");
    assert_int_equal(ask_int(s, "DEL %s", list), 1);
    scene_await(s, LIMIT_MS, ask_int(s, "EXISTS " Q "batches") == 0);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "lost") == 1); /* a refusal is no lost answer */
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(stat_of(s, "queue", "done"), 20);
    assert_string_equal(left_over(s), "");
}

static void a_bitmap_replaced_while_its_jobs_run(void **state)
{
    struct scene *s = *state;
    char bits[160];
    push(s, "queue", "6.000001");
    push_numbers(s, "queue", "0.0", 0, 10);
    scene_start(s, CONF);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 10);
    one_of(s, Q "acked:*", bits, sizeof bits);
    assert_int_equal(ask_int(s, "DEL %s", bits), 1);
    assert_int_equal(ask_int(s, "RPUSH %s foreign", bits), 1);
    push_numbers(s, "queue", "0.0", 10, 10);
    scene_await(s, LIMIT_MS, printed(s, "Done", "0.0", 20).distinct == 20);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "WRONGTYPE") > 0);
    assert_true(daemon_logged(s->daemon, bits) > 0);
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 6.000001") == 1);
    assert_int_equal(ask_int(s, "DEL %s", bits), 1);
    scene_await(s, LIMIT_MS, ask_int(s, "EXISTS " Q "batches") == 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(printed(s, "Done", "", 0).total, 21);
    assert_string_equal(left_over(s), "");
}

/* Dead letters have no place: the job waits, and is dead once there is one. Its neighbours in the
 * batch do not wait with it. */
static void dead_letters_of_a_wrong_type(void **state)
{
    struct scene *s = *state;
    assert_int_equal(ask_int(s, "SET " Q "dead x"), 1);
    push(s, "queue", "no number");
    push_numbers(s, "queue", "0.0", 0, 50);
    scene_start(s, CONF);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "WRONGTYPE") > 0);
    assert_true(daemon_logged(s->daemon, Q "dead") > 0);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 50);
    scene_hold(s, 500, held(s, "queue", "", 0).total == 1 && daemon_alive(s->daemon));
    assert_int_equal(ask_int(s, "DEL " Q "dead"), 1);
    scene_await(s, LIMIT_MS, ask_int(s, "ZCARD " Q "dead") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* Newer versions, strays -------------------------------------------------------------------------
 */

static void an_owner_of_a_newer_version_under_my_name(void **state)
{
    struct scene *s = *state;
    assert_int_equal(ask_int(s, "SET " Q "owner:e2e %s", "2 x-y 1 a newer one"), 1);
    push_numbers(s, "queue", "0.0", 0, 20);
    scene_launch(s, CONF);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=name-is-taken") == 1);
    /* Two leases: an owner that is understood would have been fenced. */
    scene_hold(s, 2200, ask_int(s, "LLEN queue") == 20 && daemon_alive(s->daemon));
    assert_string_equal(ask_text(s, "GET " Q "owner:e2e"), "2 x-y 1 a newer one");
    assert_int_equal(ask_int(s, "DEL " Q "owner:e2e"), 1);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 20);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* A fenced epoch holds what no one can take: junk, a newer version's, a list of another type. What
 * can be taken is, and fresh jobs run. */
static void what_cannot_be_taken_holds_nothing_up(void **state)
{
    struct scene *s = *state;
    static const char epoch[] = "0123456789abcdef.1";
    push_numbers(s, "queue", "0.0", 0, 20);
    assert_int_equal(ask_int(s, "RPUSH " Q "inflight:gone:%s:1 0.5", epoch), 1);
    assert_int_equal(ask_int(s, "RPUSH " Q "inflight:gone:%s:2 newer", epoch), 1);
    assert_int_equal(ask_int(s, "SET " Q "inflight:gone:%s:3 foreign", epoch), 1);
    assert_int_equal(ask_int(s, "HSET " Q "batches gone:%s:1 %s", epoch, "1 x-1 0 0 -"), 1);
    assert_int_equal(ask_int(s, "HSET " Q "batches gone:%s:2 %s", epoch, "2 anything else"), 1);
    assert_int_equal(ask_int(s, "HSET " Q "batches gone:%s:3 %s", epoch, "1 x-3 0 0 -"), 1);
    assert_int_equal(ask_int(s, "HSET " Q "batches junk junk"), 1);
    assert_int_equal(ask_int(s, "HSET " Q "fenced %s %s", epoch, "1 open"), 1);
    scene_start(s, CONF);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 21);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=newer-format") == 1);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "WRONGTYPE") > 0);
    assert_int_equal(daemon_printed(s->daemon, "Done 0.5"), 1);
    push_numbers(s, "queue", "0.1", 0, 20);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 41);
    assert_string_equal(ask_text(s, "LINDEX " Q "inflight:gone:%s:2 0", epoch), "newer");
    assert_string_equal(ask_text(s, "GET " Q "inflight:gone:%s:3", epoch), "foreign");
    assert_int_equal(ask_int(s, "DEL " Q "inflight:gone:%s:2", epoch), 1);
    assert_int_equal(ask_int(s, "DEL " Q "inflight:gone:%s:3", epoch), 1);
    assert_int_equal(ask_int(s, "HDEL " Q "batches gone:%s:2 junk", epoch), 2);
    scene_await(s, LIMIT_MS, ask_int(s, "EXISTS " Q "batches") == 0);
    scene_await(s, LIMIT_MS, strstr(ask_text(s, "HGET " Q "fenced %s", epoch), "empty") != NULL);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* Looked at three times in a lease: said when there is one more of them, and at no other time. */
static void a_newer_format_is_told_of_when_it_changes(void **state)
{
    struct scene *s = *state;
    static const char newer[] = "2 anything else";
    assert_int_equal(ask_int(s, "RPUSH " Q "inflight:gone:e.1:1 newer"), 1);
    assert_int_equal(ask_int(s, "HSET " Q "batches gone:e.1:1 %s", newer), 1);
    assert_int_equal(ask_int(s, "HSET " Q "fenced e.1 %s", "1 open"), 1);
    scene_start(s, CONF);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=newer-format") == 1);
    scene_hold(s, 700, daemon_logged(s->daemon, "event=newer-format") == 1);
    assert_int_equal(ask_int(s, "RPUSH " Q "inflight:gone:e.1:2 newer"), 1);
    assert_int_equal(ask_int(s, "HSET " Q "batches gone:e.1:2 %s", newer), 1);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=newer-format") == 2);
    assert_int_equal(daemon_logged(s->daemon, "event=newer-format queue='queue' batches=2"), 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

/* The key is gone and may not be written again: each beat finds that out, and one line says it. */
static void an_owner_key_that_stays_gone_is_told_of_once(void **state)
{
    struct scene *s = *state;
    scene_start(s, CONF);
    assert_int_equal(ask_int(s, "EVAL %s 0",
                             "redis.call('DEL', 'rpopd:{queue}:owner:e2e', "
                             "'rpopd:{queue}:owners') "
                             "return redis.call('LPUSH', 'rpopd:{queue}:owners', 'foreign')"),
                     1);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=owner-key-gone") == 1);
    scene_hold(s, 700, daemon_logged(s->daemon, "event=owner-key-gone") == 1);
    assert_int_equal(ask_int(s, "DEL " Q "owners"), 1);
    scene_await(s, LIMIT_MS, ask_int(s, "EXISTS " Q "owner:e2e") == 1);
    push(s, "queue", "0.01");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    assert_int_equal(ask_int(s, "DEL " Q "owner:e2e"), 1);
    scene_await(s, LIMIT_MS, ask_int(s, "EXISTS " Q "owner:e2e") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(the_owner_key_deleted),
        SCENE(the_owner_key_deleted_while_all_slots_are_taken),
        SCENE(the_beats_deleted),
        SCENE(the_entries_deleted),
        SCENE(all_but_the_jobs_deleted),
        SCENE(an_entry_is_written_again_beside_its_list),
        SCENE(a_list_deleted_while_its_jobs_run),
        SCENE(a_list_replaced_while_its_jobs_run),
        SCENE(a_bitmap_replaced_while_its_jobs_run),
        SCENE(dead_letters_of_a_wrong_type),
        SCENE(an_owner_of_a_newer_version_under_my_name),
        SCENE(what_cannot_be_taken_holds_nothing_up),
        SCENE(a_newer_format_is_told_of_when_it_changes),
        SCENE(an_owner_key_that_stays_gone_is_told_of_once),
    };
    return scene_run(tests);
}
