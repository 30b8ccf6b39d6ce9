/* delivery = "at-most-once": nothing runs twice, whatever dies; what had not begun goes back; a try
 * that fails is the last. */
#include "tests/e2e/ctl.h"
#include "tests/e2e/exec.h"
#include "tests/e2e/scene.h"

#include <time.h>

#include "tests/e2e/proxy.h"

#define SLOTS 20
#define ONCE(type, more) ONE(type, "delivery = \"at-most-once\"; " more)
#define CONF "concurrency = 20; " ONCE("sleep", "")
#define PREFIX "0.010"

/* Every job that Redis gave out was begun at most once; none is kept anywhere. */
static void assert_none_twice(struct scene *s, const char *prefix, unsigned jobs)
{
    assert_in_range(printed(s, "Waiting", prefix, jobs).most, 0, 1);
    assert_int_equal(claimed(s, "queue"), 0);
    assert_int_equal(ask_int(s, "EXISTS rpopd:{queue}:batches"), 0);
}

static void await_done(struct scene *s, long long done)
{
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == done);
}

/* Deaths ----------------------------------------------------------------------------------------
 */

static void live_for_a_while(struct scene *s, unsigned life)
{
    if (life % 4)
        scene_again(s);
    else
        daemon_start(s->daemon);
    (void)nanosleep(&(struct timespec){.tv_nsec = (long)scene_random(30000) * 1000}, NULL);
    daemon_kill(s->daemon);
    assert_int_equal(claimed(s, "queue"), 0);
}

static void no_job_runs_twice_over_many_kills(void **state)
{
    struct scene *s = *state;
    unsigned kills = (unsigned)(scene_long() ? 1000 : 60 / SLOWNESS), pushed = 0;
    char *text = scene_conf(s, CONF);
    daemon_configure(s->daemon, text);
    free(text);
    for (unsigned life = 0; life < kills; life++) {
        if (ask_int(s, "LLEN queue") < 200) {
            push_numbers(s, "queue", PREFIX, pushed, 500);
            pushed += 500;
        }
        live_for_a_while(s, life);
    }
    scene_again(s);
    scene_await(s, 2 * LIMIT_MS, stat_of(s, "queue", "popped") == pushed);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    struct tally begun = printed(s, "Waiting", PREFIX, pushed),
                 done = printed(s, "Done", PREFIX, pushed);
    print_message("# %u kills, %u jobs: %u begun, %u done\n", kills, pushed, begun.distinct,
                  done.distinct);
    assert_none_twice(s, PREFIX, pushed);
    assert_in_range(done.distinct, pushed - kills * SLOTS, pushed);
    assert_string_equal(left_over(s), "");
}

/* Two daemons; one dies for good, one is frozen for longer than its lease and wakes up. */
#define QUICK "lease = 1.5; concurrency = 20; " ONCE("sleep", "")

static void what_a_dead_one_had_is_lost_and_no_other_runs_it(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", "600.", 0, SLOTS);
    scene_start(s, QUICK);
    scene_await(s, LIMIT_MS, running(s) == SLOTS);
    scene_second(s, "other", QUICK);
    daemon_kill(s->daemon);
    push_numbers(s, "queue", PREFIX, 0, 100);
    scene_await(s, LIMIT_MS, daemon_logged(s->second, "event=instance-fenced") == 1);
    await_done(s, 100);
    assert_int_equal(daemon_stop(s->second, SIGTERM, LIMIT_MS), 0);
    assert_int_equal(printed_by_both(s, "Waiting", "600.", SLOTS).most, 1);
    assert_int_equal(printed_by_both(s, "Waiting", PREFIX, 100).most, 1);
    assert_string_equal(left_over(s), "");
}

static void one_that_wakes_up_goes_on_with_what_it_popped(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", "4.00", 0, SLOTS);
    scene_start(s, QUICK);
    scene_await(s, LIMIT_MS, running(s) == SLOTS);
    scene_second(s, "other", QUICK);
    daemon_signal(s->daemon, SIGSTOP);
    scene_await(s, LIMIT_MS, daemon_logged(s->second, "event=instance-fenced") == 1);
    daemon_signal(s->daemon, SIGCONT);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=epoch-lost") == 1);
    await_done(s, SLOTS);
    struct tally done = printed_by_both(s, "Done", "4.00", SLOTS);
    assert_int_equal(done.distinct, SLOTS);
    assert_int_equal(done.total, SLOTS);
    assert_int_equal(stat_of(s, "queue", "lost"), 0);
    push_numbers(s, "queue", PREFIX, 0, 100);
    await_done(s, SLOTS + 100);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(daemon_stop(s->second, SIGTERM, LIMIT_MS), 0);
    assert_string_equal(left_over(s), "");
}

static void two_share_a_drain(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", PREFIX, 0, 1000);
    scene_start(s, CONF);
    scene_second(s, "other", CONF);
    await_done(s, 1000);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(daemon_stop(s->second, SIGTERM, LIMIT_MS), 0);
    struct tally t = printed_by_both(s, "Done", PREFIX, 1000);
    assert_int_equal(t.distinct, 1000);
    assert_int_equal(t.total, 1000);
    assert_int_equal(stat_of(s, "queue", "popped"), 1000);
    assert_string_equal(left_over(s), "");
}

/* Ends ------------------------------------------------------------------------------------------
 */

static void behind_a_proxy(struct scene *s, const char *more)
{
    s->proxy = proxy_new(s->folder, redis_server_socket(s->redis));
    (void)snprintf(s->url, sizeof s->url, "%s", proxy_url(s->proxy));
    scene_start(s, more);
}

static void await_pop(struct scene *s)
{
    scene_await(s, LIMIT_MS, strstr(ask_text(s, "CLIENT LIST"), "cmd=blmove"));
}

/* Redis has given the job out, and the daemon does not know yet. */
static void what_arrives_when_it_ends_goes_back(void **state)
{
    struct scene *s = *state;
    unsigned order[5];
    behind_a_proxy(s, CONF);
    (void)proxy_arm(s->proxy, "slow 1000");
    push_numbers(s, "queue", "600.", 0, 5);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "popped") > 0);
    daemon_signal(s->daemon, SIGTERM);
    /* Until then no answer may overtake that of the claim. */
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "given_back") > 0);
    (void)proxy_arm(s->proxy, "none");
    assert_int_equal(daemon_wait(s->daemon, LIMIT_MS), 0);
    assert_int_equal(printed(s, "Waiting", "600.", 5).total, 0);
    assert_int_equal(listed_order(s, "queue", "600.", order, 5), 5);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(order[i], i);
    assert_int_equal(stat_of(s, "queue", "given_back"), stat_of(s, "queue", "popped"));
    assert_int_equal(ask_int(s, "DEL queue"), 1);
    assert_string_equal(left_over(s), "");
}

/* ... and the claim's connection alone is slow: every other question is answered at once. */
static void what_arrives_late_when_it_ends_goes_back(void **state)
{
    struct scene *s = *state;
    behind_a_proxy(s, CONF);
    (void)proxy_arm(s->proxy, "match rpopd:{queue}:dead");
    (void)proxy_arm(s->proxy, "slow 3000");
    push(s, "queue", "0.01"); /* for the pop that was sent before */
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.01") == 1);
    await_pop(s);
    push(s, "queue", "600.5");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "popped") == 2);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(daemon_printed(s->daemon, "Waiting 600.5"), 0);
    assert_int_equal(stat_of(s, "queue", "given_back"), 1);
    assert_string_equal(ask_text(s, "RPOP queue"), "600.5");
    assert_string_equal(left_over(s), "");
}

static void an_idle_one_ends_at_once_and_takes_nothing_later(void **state)
{
    struct scene *s = *state;
    for (unsigned i = 0; i < 5; i++) {
        scene_start(s, CONF);
        int64_t begin = clock_now_ms();
        scene_stop(s, i % 2 ? SIGQUIT : SIGTERM, 0, LIMIT_MS);
        assert_in_range(clock_now_ms() - begin, 0, WITHIN(1500));
        push(s, "queue", "600.5");
        assert_string_equal(ask_text(s, "RPOP queue"), "600.5");
        assert_string_equal(left_over(s), "");
    }
    assert_int_equal(daemon_logged(s->daemon, "event=claim-unanswered"), 0);
}

static const char *letter(struct scene *s, int i)
{
    return ask_text(s, "EVAL %s 1 rpopd:{queue}:dead %d",
                    "return redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[1])[1] or ''", i);
}

static long long letters(struct scene *s)
{
    return ask_int(s, "ZCARD rpopd:{queue}:dead");
}

/* Nobody knows whether the pop that was being given up brought a job. */
static void one_that_is_cut_at_the_end_is_told(void **state)
{
    struct scene *s = *state;
    behind_a_proxy(s, CONF);
    await_pop(s);
    assert_int_equal(redis_server_signal(s->redis, SIGSTOP), 0);
    daemon_signal(s->daemon, SIGTERM);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=stopping") == 1);
    (void)proxy_arm(s->proxy, "turn %s", redis_server_socket(s->redis));
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=claim-unanswered") == 1);
    assert_int_equal(redis_server_signal(s->redis, SIGCONT), 0);
    assert_int_equal(daemon_wait(s->daemon, LIMIT_MS), 0);
}

/* It had begun: it is not begun again. */
static void what_runs_when_it_ends_is_dead(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", "600.", 0, 3);
    scene_start(s, "shutdown_timeout = 0.1; " CONF);
    scene_await(s, LIMIT_MS, running(s) == 3);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(letters(s), 3);
    assert_non_null(strstr(letter(s, 0), "the daemon ended while it ran"));
    assert_non_null(strstr(letter(s, 0), "\n600.00000"));
    assert_int_equal(stat_of(s, "queue", "dead"), 3);
    assert_string_equal(left_over(s), "");
}

/* It is in memory still, and Redis may have it again. */
static void one_on_its_way_back_is_not_cancelled(void **state)
{
    struct scene *s = *state;
    s->redis_more = "command_timeout = 60.0;";
    behind_a_proxy(s, "shutdown_timeout = 600.0; " CONF);
    push(s, "queue", "0.01"); /* Redis knows the script from now on */
    await_done(s, 1);
    await_pop(s);
    (void)proxy_arm(s->proxy, "match list"); /* what pops, and what pushes back */
    (void)proxy_arm(s->proxy, "hold 1");
    push_numbers(s, "queue", "600.", 0, 3); /* one for the pop that is out */
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "popped") == 4 && running(s) == 1);
    daemon_signal(s->daemon, SIGTERM);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=stopping") == 1);
    assert_int_equal(proxy_arm(s->proxy, "hold 1").hits, 1);
    json_t *jobs = NULL;
    scene_await(s, LIMIT_MS,
                (json_decref(jobs), jobs = CTL_JSON(s, 0, "jobs"), json_array_size(jobs) == 3));
    for (size_t i = 1; i < 3; i++)
        ctl_refused(s, CTL(s, "cancel", ctl_text(json_array_get(jobs, i), "id")), 1,
                    "goes back to its list");
    json_decref(jobs);
    assert_int_equal(proxy_arm(s->proxy, "none").hits, 1);
    scene_await(s, LIMIT_MS, ask_int(s, "LLEN queue") == 2);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(letters(s), 1); /* the one that ran */
    assert_int_equal(ask_int(s, "DEL queue"), 1);
    assert_string_equal(left_over(s), "");
}

/* Outcomes ------------------------------------------------------------------------------------ */

static void a_try_that_fails_is_the_last(void **state)
{
    struct scene *s = *state;
    scene_start(s, ONCE("sleep", "timeout = 0.05; max_payload = 20;"));
    static const char *const payloads[] = {"no number", "500.5",
                                           "more than the twenty bytes that are allowed"};
    static const char *const reasons[] = {"no number", "timeout after 0.05 s",
                                          "too large: 43 bytes, max_payload is 20"};
    for (int i = 0; i < 3; i++) {
        push(s, "queue", payloads[i]);
        scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == i + 1);
        const char *it = letter(s, i);
        assert_non_null(strstr(it, reasons[i]));
        assert_string_equal(strchr(it, '\n') + 1, payloads[i]);
    }
    push(s, "queue", "0.01");
    await_done(s, 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(letters(s), 3);
    assert_string_equal(left_over(s), "");
}

static void a_dead_letter_can_be_replayed(void **state)
{
    struct scene *s = *state;
    scene_start(s, CONF);
    push(s, "queue", "no number");
    scene_await(s, LIMIT_MS, letters(s) == 1);
    const char *it = letter(s, 0);
    char id[64];
    (void)snprintf(id, sizeof id, "%.*s", (int)strcspn(it, " "), it);
    assert_int_equal(CTL(s, "dead", "retry", "queue", "--all")->code, 0);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 2);
    assert_int_equal(letters(s), 1);
    assert_int_equal(strncmp(letter(s, 0), id, strlen(id)), 0);
    assert_int_equal(ask_int(s, "ZADD rpopd:{queue}:retry 1 %s", "x.1-1-0 1 0 0 1 2 {}\n0.01"), 1);
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.01") == 1);
    await_done(s, 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* Its output and its payload are more together than a claim brings. */
static void so_can_one_with_much_output(void **state)
{
    static const char script[] = "head -c 300000 /dev/zero | tr '\\0' x; exit 65 #";
    enum { SIZE = 1 << 20 };
    struct scene *s = *state;
    char *payload = malloc(SIZE + 1);
    memset(payload, 'p', SIZE);
    memcpy(payload, script, strlen(script));
    payload[SIZE] = '\0';
    scene_start(s, SH("", "delivery = \"at-most-once\"; max_payload = 1048576; "
                          "output_limit = 300000;"));
    push(s, "queue", payload);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 1);
    assert_int_equal(CTL(s, "dead", "retry", "queue", "--all")->code, 0);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 2);
    assert_non_null(strstr(letter(s, 0), "\"exit\":65"));
    assert_string_equal(strchr(letter(s, 0), '\n') + 1, payload);
    free(payload);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* Together with its head it could not be read: Redis keeps what it cannot hand out. */
static void a_record_with_too_large_a_head_is_dead_with_its_payload(void **state)
{
    static const char script[] =
        "return redis.call('ZADD', KEYS[1], 1, 'a.1-1-0 1 1 0 1 1 {\"output\":\"' .. "
        "string.rep('x', 100000) .. '\"}\\n' .. string.rep('p', 1048576))";
    struct scene *s = *state;
    scene_start(s, ONE("sleep", "delivery = \"at-most-once\"; max_payload = 1048576;"));
    assert_int_equal(ask_int(s, "EVAL %s 1 rpopd:{queue}:retry", script), 1);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 1);
    scene_await(s, LIMIT_MS, ask_int(s, "ZCARD rpopd:{queue}:retry") == 0);
    const char *record = letter(s, 0);
    assert_non_null(strstr(record, "too large"));
    const char *payload = strchr(record, '\n') + 1;
    assert_int_equal(strspn(payload, "p"), 1048576);
    assert_int_equal(payload[1048576], '\0');
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

static void cancelled_by_an_operator_it_is_dead(void **state)
{
    struct scene *s = *state;
    scene_start(s, CONF);
    push(s, "queue", "600.5");
    scene_await(s, LIMIT_MS, running(s) == 1);
    json_t *jobs = CTL_JSON(s, 0, "jobs");
    const char *id = ctl_text(json_array_get(jobs, 0), "id");
    assert_int_equal(CTL(s, "cancel", id)->code, 0);
    json_decref(jobs);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "cancelled") == 1);
    assert_non_null(strstr(letter(s, 0), "cancelled"));
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* Redis --------------------------------------------------------------------------------------- */

static void a_pause_keeps_the_jobs_in_the_list(void **state)
{
    struct scene *s = *state;
    scene_start(s, CONF);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(ask_int(s, "SET rpopd:{queue}:paused x"), 1);
        push_numbers(s, "queue", PREFIX, 10 * i, 10);
        scene_await(s, LIMIT_MS,
                    ask_int(s, "LLEN queue") == 10 && ask_int(s, "LLEN rpopd:{queue}:popped") == 0);
        scene_hold(s, 300, printed(s, "Waiting", PREFIX, 30).total == 10 * i);
        assert_int_equal(ask_int(s, "DEL rpopd:{queue}:paused"), 1);
        await_done(s, 10 * (i + 1));
    }
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(printed(s, "Done", PREFIX, 30).most, 1);
    assert_string_equal(left_over(s), "");
}

static void a_full_redis_is_drained(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", PREFIX, 0, 500);
    push(s, "queue", "bad");
    assert_int_equal(ask_int(s, "CONFIG SET maxmemory 1"), 1);
    scene_start(s, CONF);
    await_done(s, 500);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 1);
    assert_int_equal(ask_int(s, "CONFIG SET maxmemory 0"), 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(printed(s, "Done", PREFIX, 500).most, 1);
    assert_string_equal(left_over(s), "");
}

/* Dead letters that are refused wait, and are written once. */
static void refused_dead_letters_are_repeated(void **state)
{
    struct scene *s = *state;
    assert_int_equal(ask_int(s, "SET rpopd:{queue}:dead x"), 1);
    push(s, "queue", "bad");
    scene_start(s, CONF);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "rpopd:{queue}:dead") > 0);
    push_numbers(s, "queue", PREFIX, 0, 100);
    await_done(s, 100);
    assert_int_equal(ask_int(s, "DEL rpopd:{queue}:dead"), 1);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(letters(s), 1);
    assert_string_equal(left_over(s), "");
}

/* Redis has given out so many, and took none of them back. */
static bool is_out(struct scene *s, unsigned jobs)
{
    return ask_int(s, "LLEN queue") == 0 && ask_int(s, "LLEN rpopd:{queue}:popped") == 0 &&
           stat_of(s, "queue", "popped") - stat_of(s, "queue", "given_back") == jobs;
}

static void end_life(struct scene *s, unsigned jobs)
{
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(printed(s, "Waiting", "0.00", jobs).distinct,
                     printed(s, "Done", "0.00", jobs).distinct); /* what had begun has ended */
    assert_none_twice(s, "0.00", jobs);
    const char *left = left_over(s); /* what came when it ended waits for the next life */
    scene_check(s, !*left || !strcmp(left, "queue"));
}

/* One life over a connection that is broken once: what was on its way may be lost, the rest goes
 * on. */
static void broken_life(struct scene *s, const char *kind, unsigned at, unsigned pushed)
{
    (void)proxy_arm(s->proxy, "%s %u", kind, at);
    scene_again(s);
    push_numbers(s, "queue", "0.00", pushed, 5);
    scene_await(s, LIMIT_MS, is_out(s, pushed + 5));
    (void)proxy_arm(s->proxy, "none");
    push_numbers(s, "queue", "0.00", pushed + 5, 2);
    scene_await(s, LIMIT_MS, is_out(s, pushed + 7));
    end_life(s, pushed + 7);
}

static void broken_at_each_command_nothing_runs_twice(void **state)
{
    struct scene *s = *state;
    static const char *const kinds[] = {"cut-before", "cut-after", "half", "orphan"};
    s->redis_more = "command_timeout = 0.5; connect_timeout = 0.5;";
    behind_a_proxy(s, CONF);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    unsigned first = scene_random(4), lives = scene_long() ? 100 : 16, jobs = 7 * lives;
    for (unsigned i = 0; i < lives; i++)
        broken_life(s, kinds[(i + first) % 4], 1 + (scene_long() ? i / 4 : i), 7 * i);
    scene_again(s);
    scene_await(s, LIMIT_MS, is_out(s, jobs));
    end_life(s, jobs);
    unsigned done = printed(s, "Done", "0.00", jobs).distinct;
    print_message("# %u jobs, %u done\n", jobs, done);
    assert_in_range(done, jobs - 5 * lives, jobs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(no_job_runs_twice_over_many_kills),
        SCENE(what_a_dead_one_had_is_lost_and_no_other_runs_it),
        SCENE(one_that_wakes_up_goes_on_with_what_it_popped),
        SCENE(two_share_a_drain),
        SCENE(what_arrives_when_it_ends_goes_back),
        SCENE(what_arrives_late_when_it_ends_goes_back),
        SCENE(an_idle_one_ends_at_once_and_takes_nothing_later),
        SCENE(one_that_is_cut_at_the_end_is_told),
        SCENE(what_runs_when_it_ends_is_dead),
        SCENE(one_on_its_way_back_is_not_cancelled),
        SCENE(a_try_that_fails_is_the_last),
        SCENE(a_dead_letter_can_be_replayed),
        SCENE(so_can_one_with_much_output),
        SCENE(a_record_with_too_large_a_head_is_dead_with_its_payload),
        SCENE(cancelled_by_an_operator_it_is_dead),
        SCENE(a_pause_keeps_the_jobs_in_the_list),
        SCENE(a_full_redis_is_drained),
        SCENE(refused_dead_letters_are_repeated),
        SCENE(broken_at_each_command_nothing_runs_twice),
    };
    return scene_run(tests);
}
