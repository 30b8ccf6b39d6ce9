/* The connection broken at every single command of a short life, in every way: no job is lost, none
 * is run twice. */
#include "tests/e2e/scene.h"

#include "tests/e2e/proxy.h"

#define AT_START 3 /* jobs that lie there */
#define LATER 3    /* jobs that come one by one, so that each meets a pop */
#define JOBS (AT_START + LATER)
#define ALL \
    (JOBS + \
     1) /* one is slow, so that the rest of its batch is settled before it; and one is dead */
/* After any reconnect and a look, before a pop's own end and the comparison of each minute, which
 * would find what was overlooked. A pop that is not answered is waited for until its own end. */
#define SOON_MS WITHIN(4000)
#define LATE_MS LIMIT_MS

struct way {
    const char *kind, *arg;
};

/* One life: jobs from a list, jobs from pops, a settle for each, an exit. */
static void short_life(struct scene *s, int64_t limit_ms)
{
    push_numbers(s, "queue", "0.05", 0, 1);
    push(s, "queue", "no number");
    push_numbers(s, "queue", "0.00", 0, AT_START);
    daemon_start(s->daemon);
    for (unsigned i = AT_START; i <= JOBS; i++) {
        scene_await(s, limit_ms,
                    printed(s, "Done", "0.00", JOBS).distinct == i || !daemon_alive(s->daemon));
        scene_check(s, daemon_alive(s->daemon));
        if (i < JOBS)
            push_numbers(s, "queue", "0.00", i, 1);
    }
    scene_await(s, limit_ms, printed(s, "Done", "0.05", 1).distinct == 1);
    scene_await(s, limit_ms, stat_of(s, "queue", "dead") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void assert_all_once(struct scene *s, const struct way *w, unsigned at)
{
    struct tally t = printed(s, "Done", "0.00", JOBS);
    const char *left = left_over(s);
    long long done = stat_of(s, "queue", "done"), dead = stat_of(s, "queue", "dead");
    if (t.distinct == JOBS && t.total == ALL && done == ALL && dead == 1 && !left[0]) {
        /* What was settled and not confirmed is not taken for lost. */
        scene_check(s, stat_of(s, "queue", "lost") == 0);
        assert_int_equal(daemon_logged(s->daemon, "event=batch-vanished"), 0);
        return;
    }
    print_error("%s %s at command %u: %u of %u jobs, %u runs, %lld done, %lld dead, left '%s'\n",
                w->kind, w->arg, at, t.distinct, JOBS, t.total, done, dead, left);
    scene_fail(s, "a job was lost, doubled or left behind", __FILE__, __LINE__);
}

/* What was held back comes after the daemon is gone, when a new job lies there: it must not vanish
 * in a dead one's hands. */
static void assert_late_bytes_take_nothing(struct scene *s)
{
    push_numbers(s, "queue", "600.", 0, 1);
    (void)proxy_arm(s->proxy, "release");
    scene_hold(s, 50, held(s, "queue", "600.", 1).total == 1);
    (void)proxy_arm(s->proxy, "none");
    scene_again(s);
    scene_await(s, LIMIT_MS, claimed(s, "queue") == 1);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    scene_check(s, strcmp(ask_text(s, "RPOP queue"), "600.000000") == 0);
    assert_string_equal(left_over(s), "");
}

static void break_at(struct scene *s, const struct way *w, unsigned at)
{
    scene_fresh(s);
    (void)proxy_arm(s->proxy, "%s %u %s", w->kind, at, w->arg);
    short_life(s, strcmp(w->kind, "stall") ? SOON_MS : LATE_MS);
    assert_all_once(s, w, at);
    if (!strcmp(w->kind, "late") && !strcmp(w->arg, "1000000"))
        assert_late_bytes_take_nothing(s);
    (void)proxy_arm(s->proxy, "none");
}

#define FIVE "concurrency = 5; " ONE("sleep", "")

static void configure_with_proxy(struct scene *s, const char *more)
{
    s->proxy = proxy_new(s->folder, redis_server_socket(s->redis));
    (void)snprintf(s->url, sizeof s->url, "%s", proxy_url(s->proxy));
    s->redis_more = "command_timeout = 0.5; connect_timeout = 0.5;";
    char *text = scene_conf(s, more);
    daemon_configure(s->daemon, text);
    free(text);
}

static unsigned commands_of_a_clean_life(struct scene *s)
{
    scene_fresh(s);
    (void)proxy_arm(s->proxy, "none");
    short_life(s, SOON_MS);
    assert_all_once(s, &(struct way){"no fault", ""}, 0);
    unsigned n = proxy_arm(s->proxy, "none").commands;
    print_message("# %u commands in a clean life\n", n);
    return n;
}

/* Every command (or each of so many) is broken in one of the ways, in the long form in all of them.
 */
static void broken_everywhere(struct scene *s, const struct way *ways, unsigned n, unsigned step)
{
    configure_with_proxy(s, FIVE);
    unsigned commands = commands_of_a_clean_life(s), first = scene_random(n);
    step = scene_long() ? 1 : step;
    for (unsigned at = 1 + scene_random(step); at <= commands; at += step)
        for (unsigned k = 0; k < n; k++)
            if (scene_long() || (at + first) % n == k)
                break_at(s, &ways[k], at);
}

static void cut_before_or_after_each_command(void **state)
{
    static const struct way ways[] = {{"cut-before", ""}, {"cut-after", ""}, {"half", ""}};
    broken_everywhere(*state, ways, 3, 1);
}

static void held_back_at_each_command_and_let_go_later(void **state)
{
    static const struct way ways[] = {
        {"late", "1"}, {"late", "4"}, {"late", "12"}, {"late", "1000000"}, {"orphan", ""}};
    broken_everywhere(*state, ways, 5, 2);
}

static void refused_at_each_command(void **state)
{
    static const struct way ways[] = {
        {"error", "LOADING Redis is loading the dataset in memory"},
        {"error", "READONLY You can't write against a read only replica."},
        {"error", "OOM command not allowed when used memory > 'maxmemory'."}};
    broken_everywhere(*state, ways, 3, 1);
}

/* It was carried out: what it gave is found, what it settled is not settled again. */
static const struct way shapes[] = {{"raw", ":1"},
                                    {"raw", "$-1"},
                                    {"raw", "*1,*0"},
                                    {"raw", "*2,+x,:1"},
                                    {"raw", "*3,$2,ok,:1,:7"},
                                    {"raw", "*4,$1,x,:1,:1,$1,x"}};
#define SHAPES (sizeof shapes / sizeof *shapes)

static void answered_in_another_shape_at_each_command(void **state)
{
    broken_everywhere(*state, shapes, SHAPES, 2);
}

/* A dead run of this name left a batch, and a retry is due. */
static void life_of_an_heir(struct scene *s, const struct way *w, unsigned at)
{
    static const char script[] =
        "redis.call('LPUSH', 'rpopd:{queue}:inflight:e2e:e.1:1', '0.00000000', '0.00000001') "
        "redis.call('HSET', 'rpopd:{queue}:batches', 'e2e:e.1:1', '1 e.1-1 0 0 -') "
        "redis.call('ZADD', 'rpopd:{queue}:retry', 0, 'r-1 1 1 0 1 1 {}\\n0.00000002') "
        "return redis.call('HSET', 'rpopd:{queue}:fenced', 'e.1', "
        "redis.call('TIME')[1] .. '000 open')";
    scene_fresh(s);
    assert_int_equal(ask_int(s, "EVAL %s 0", script), 1);
    (void)proxy_arm(s->proxy, "%s %u %s", w->kind, at, w->arg);
    daemon_start(s->daemon);
    scene_await(s, LIMIT_MS, printed(s, "Done", "0.00", 3).distinct == 3);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    if (printed(s, "Done", "0.00", 3).total != 3 || *left_over(s))
        print_error("%s %s at command %u\n", w->kind, w->arg, at);
    assert_int_equal(printed(s, "Done", "0.00", 3).total, 3);
    assert_int_equal(stat_of(s, "queue", "done"), 3);
    assert_int_equal(stat_of(s, "queue", "lost"), 0);
    assert_string_equal(left_over(s), "");
}

static void and_where_there_is_something_to_recover(void **state)
{
    struct scene *s = *state;
    configure_with_proxy(s, "lease = 1.5; " FIVE);
    life_of_an_heir(s, &(struct way){"none", ""}, 0);
    unsigned commands = proxy_arm(s->proxy, "none").commands, first = scene_random(SHAPES),
             step = scene_long() ? 1 : 6; /* a retry may take a second */
    print_message("# %u commands in a clean life\n", commands);
    for (unsigned at = 1 + scene_random(step); at <= commands; at += step)
        for (unsigned k = 0; k < SHAPES; k++)
            if (scene_long() || (at + first) % SHAPES == k)
                life_of_an_heir(s, &shapes[k], at);
}

static void no_answer_at_some_commands(void **state)
{
    static const struct way stall = {"stall", ""};
    struct scene *s = *state;
    configure_with_proxy(s, FIVE);
    unsigned commands = commands_of_a_clean_life(s), step = scene_long() ? 1 : commands / 6 + 1;
    for (unsigned at = 1 + scene_random(step); at <= commands; at += step)
        break_at(s, &stall, at);
}

static void answers_byte_by_byte_are_answers(void **state)
{
    static const struct way split = {"split", ""};
    struct scene *s = *state;
    configure_with_proxy(s, FIVE);
    unsigned commands = commands_of_a_clean_life(s), step = scene_long() ? 1 : commands / 8 + 1;
    for (unsigned at = 1 + scene_random(step); at <= commands; at += step)
        break_at(s, &split, at);
}

/* It was given a job and was not told; and may not look for it. So it does not go as if it held
 * nothing: the next life would not have it. */
static void an_exit_without_the_comparison_releases_nothing(void **state)
{
    struct scene *s = *state;
    configure_with_proxy(s, FIVE);
    scene_fresh(s);
    (void)proxy_arm(s->proxy, "match BLMOVE");
    (void)proxy_arm(s->proxy,
                    "cut-after 2"); /* behind the probe the first pop, and the claim with it */
    scene_again(s);
    scene_await(s, LIMIT_MS, strstr(ask_text(s, "INFO clients"), "blocked_clients:1") != NULL);
    assert_int_equal(ask_int(s, "ACL SETUSER default -hscan"), 1);
    push(s, "queue", "600.000000");
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "hscan") > 0);
    (void)proxy_arm(s->proxy, "none");
    scene_await(s, LIMIT_MS, claimed(s, "queue") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(claimed(s, "queue"), 1);
    assert_int_equal(ask_int(s, "EXISTS rpopd:{queue}:owner:e2e"), 1);
    assert_int_equal(ask_int(s, "ACL SETUSER default +hscan"), 1);
    scene_again(s);
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Waiting 600.000000") == 1);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN queue"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(cut_before_or_after_each_command),
        SCENE(held_back_at_each_command_and_let_go_later),
        SCENE(refused_at_each_command),
        SCENE(answered_in_another_shape_at_each_command),
        SCENE(and_where_there_is_something_to_recover),
        SCENE(no_answer_at_some_commands),
        SCENE(answers_byte_by_byte_are_answers),
        SCENE(an_exit_without_the_comparison_releases_nothing),
    };
    return scene_run(tests);
}
