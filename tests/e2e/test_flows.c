/* Each way of a job through Redis, broken at its single commands: cut before one, behind it, inside
 * its answer, held back until later ones have passed, its sender killed. No job is lost; what is
 * cut runs nothing twice; a death runs again what was in flight. */
#include "tests/e2e/scene.h"

#include "tests/e2e/ctl.h"
#include "tests/e2e/proxy.h"

struct way {
    const char *kind, *arg;
};
static const struct way ways[] = {{"cut-before", ""}, {"cut-after", ""},   {"half", ""},
                                  {"late", "4"},      {"kill-before", ""}, {"kill-after", ""}};
#define WAYS (sizeof ways / sizeof *ways)

struct flow {
    const char *conf;
    const char *match;               /* the commands that are broken; "": all */
    void (*before)(struct scene *s); /* what lies there */
    int (*life)(struct scene *s);    /* to the end of all; returns the exit code */
    /* The end was reached. deaths: it took so many lives more; doubles: what ran in them. */
    bool (*is_well)(struct scene *s, unsigned deaths, unsigned doubles);
};

#define OWNER_OF(queue) "rpopd:{" queue "}:owner:e2e"

/* The proxy kills it, or it reached what the life is for. */
#define UNLESS_KILLED(s, condition) \
    scene_await(s, LIMIT_MS, (condition) || !daemon_alive((s)->daemon))

static bool has_changed(struct scene *s, const char *key, const char *before)
{
    const char *now = ask_text(s, "GET %s", key);
    return now[0] && strcmp(now, before) != 0;
}

/* Until it is registered there, whoever was before. */
static void start(struct scene *s, const char *owner)
{
    char before[256];
    (void)snprintf(before, sizeof before, "%s", ask_text(s, "GET %s", owner));
    daemon_start(s->daemon);
    UNLESS_KILLED(s, has_changed(s, owner, before));
}

static int end(struct scene *s, int sig)
{
    return daemon_alive(s->daemon) ? daemon_stop(s->daemon, sig, LIMIT_MS)
                                   : daemon_wait(s->daemon, 0);
}

/* Another life is due: it was killed, or could not give all back in time and said so. */
static bool is_unfinished(struct scene *s, int code)
{
    return code == 128 + SIGKILL || daemon_logged(s->daemon, "event=left-behind") > 0;
}

static void configure(struct scene *s, const char *conf)
{
    char *text = scene_conf(s, conf);
    daemon_configure(s->daemon, text);
    free(text);
}

/* Returns how many commands the (first) life took. */
static unsigned live(struct scene *s, const struct flow *f, const struct way *w, unsigned at)
{
    scene_fresh(s);
    (void)proxy_arm(s->proxy, "none");
    f->before(s);
    if (*f->match)
        (void)proxy_arm(s->proxy, "match %s", f->match);
    (void)proxy_arm(s->proxy, "%s %u %s", w->kind, at, w->arg);
    int code = f->life(s);
    unsigned deaths = is_unfinished(s, code), doubles = (unsigned)claimed(s, "queue"),
             commands = proxy_arm(s->proxy, "none").commands;
    if (deaths)
        code = f->life(s);
    bool well = f->is_well(s, deaths, deaths ? doubles : 0) && stat_of(s, "queue", "lost") == 0;
    const char *left = left_over(s);
    if (code == 0 && well && !left[0])
        return commands;
    print_error("%s %s at command %u: the end %d, %u in flight at a death, left '%s'\n", w->kind,
                w->arg, at, code, doubles, left);
    scene_fail(s, "a job was lost, doubled or left behind", __FILE__, __LINE__);
}

/* Some commands, spread over all of them, each in one of the ways; in the long form all in all of
 * them. commands: 0: a life in which nothing is broken tells. */
static void broken(struct scene *s, const struct flow *f, unsigned commands, unsigned lives)
{
    s->proxy = proxy_new(s->folder, redis_server_socket(s->redis));
    (void)snprintf(s->url, sizeof s->url, "%s", proxy_url(s->proxy));
    s->redis_more = "command_timeout = 0.5; connect_timeout = 0.5;";
    configure(s, f->conf);
    if (scene_long() || !commands)
        commands = live(s, f, &ways[0], 0);
    print_message("# %u commands\n", commands);
    unsigned step = scene_long() ? 1 : (commands + lives - 1) / lives, first = scene_random(WAYS);
    for (unsigned at = 1 + scene_random(step); at <= commands; at += step, first++)
        for (unsigned k = 0; k < WAYS; k++)
            if (scene_long() || first % WAYS == k)
                (void)live(s, f, &ways[k], at);
}

/* Given back -------------------------------------------------------------------------------------
 */

#define HELD 3

static void some_lie_there(struct scene *s)
{
    push_numbers(s, "queue", "600.", 0, HELD);
}

static int run_and_give_back(struct scene *s)
{
    unsigned before = printed(s, "Waiting", "600.", HELD).total;
    start(s, OWNER_OF("queue"));
    UNLESS_KILLED(s, printed(s, "Waiting", "600.", HELD).total == before + HELD);
    return end(s, SIGQUIT);
}

static bool lie_there_again(struct scene *s, unsigned deaths, unsigned doubles)
{
    unsigned order[HELD + 1], n = listed_order(s, "queue", "600.", order, HELD + 1);
    long long given = stat_of(s, "queue", "given_back");
    (void)doubles; /* they ran to no end */
    for (unsigned i = 0; i < n && i < HELD; i++)
        if (order[i] != i)
            return false;
    unsigned runs = printed(s, "Waiting", "600.", HELD).total;
    if (n != HELD || ask_int(s, "DEL queue") != 1)
        return false;
    return deaths ? given >= HELD && given <= 2LL * HELD && runs <= 2 * HELD
                  : given == HELD && runs == HELD;
}

static void what_is_given_back_is_there_once_and_in_order(void **state)
{
    static const struct flow f = {.conf = "concurrency = 5; " ONE("sleep", "max_recoveries = 9;"),
                                  .match = "",
                                  .before = some_lie_there,
                                  .life = run_and_give_back,
                                  .is_well = lie_there_again};
    broken(*state, &f, 0, 8);
}

/* All that waits ---------------------------------------------------------------------------------
 */

#define EPOCH "0123456789abcdef.1"
#define BAD "600.000000"
#define TRIES 2

/* Jobs that are told apart by where they lay. */
enum { OF_A_DEAD_LIFE = 0, FRESH = 2, TRIED = 4, DELAYED, OF_ANOTHER, JOBS };

/* A life that ended with the answer to its claim. */
static void held_by_a_dead_life(struct scene *s)
{
    push_numbers(s, "queue", "0.00", OF_A_DEAD_LIFE, 2);
    for (unsigned at = 1; claimed(s, "queue") == 0; at = 3 - at) { /* it may be sent twice */
        (void)proxy_arm(s->proxy, "match EVAL.*:inflight:e2e:");
        (void)proxy_arm(s->proxy, "kill-after %u", at);
        daemon_start(s->daemon);
        scene_check(s, daemon_wait(s->daemon, LIMIT_MS) == 128 + SIGKILL);
    }
    (void)proxy_arm(s->proxy, "none");
}

static void something_lies_everywhere(struct scene *s)
{
    static const char script[] =
        "local q, epoch, job = 'rpopd:{queue}:', ARGV[1], '0.0000000' "
        "local record = ' 1 1 0 5 6 {}\\n' .. job "
        "redis.call('ZADD', q .. 'retry', 1, 'x-1' .. record .. ARGV[2]) "
        "redis.call('ZADD', q .. 'delayed', 1, job .. ARGV[3]) "
        "redis.call('RPUSH', q .. 'inflight:gone:' .. epoch .. ':r1', 'x-2' .. record .. ARGV[4]) "
        "redis.call('HSET', q .. 'batches', 'gone:' .. epoch .. ':r1', '1 x-3 0 0 -') "
        "return redis.call('HSET', q .. 'fenced', epoch, '1 open')";
    held_by_a_dead_life(s);
    push_numbers(s, "queue", "0.00", FRESH, 2);
    push(s, "queue", "no number");
    push(s, "queue", BAD);
    assert_int_equal(ask_int(s, "EVAL %s 0 %s %u %u %u", script, EPOCH, TRIED, DELAYED, OF_ANOTHER),
                     1);
}

static int do_all(struct scene *s)
{
    start(s, OWNER_OF("queue"));
    UNLESS_KILLED(s, stat_of(s, "queue", "done") >= JOBS && stat_of(s, "queue", "dead") >= 2);
    return end(s, SIGTERM);
}

static bool all_done_once(struct scene *s, unsigned deaths, unsigned doubles)
{
    static const char buried[] = "local n = 0 "
                                 "for _, r in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do "
                                 "  if string.match(r, ARGV[1]) then n = n + 1 end "
                                 "end return n";
    struct tally done = printed(s, "Done", "0.00", JOBS);
    unsigned tries = daemon_printed(s->daemon, "Waiting " BAD);
    char pattern[64];
    (void)snprintf(pattern, sizeof pattern, "^%%S+ 1 %d [^\n]*\n" BAD "$", TRIES);
    return done.distinct == JOBS && done.total >= JOBS && done.total <= JOBS + doubles &&
           tries >= TRIES && tries <= TRIES + deaths && stat_of(s, "queue", "done") == JOBS &&
           stat_of(s, "queue", "dead") == 2 && ask_int(s, "ZCARD rpopd:{queue}:dead") == 2 &&
           ask_int(s, "EVAL %s 1 rpopd:{queue}:dead %s", buried, pattern) == 1;
}

static void what_is_taken_due_tried_and_dead_is_so_once(void **state)
{
    static const struct flow f = {.conf = "lease = 1.0; concurrency = 10; " ONE(
                                      "sleep",
                                      "timeout = 0.3; attempts = 2; max_recoveries = 9; "
                                      "backoff: { base = 0.05; factor = 1.0; jitter = 0.0; };"),
                                  .match = "",
                                  .before = something_lies_everywhere,
                                  .life = do_all,
                                  .is_well = all_done_once};
    broken(*state, &f, 0, 2);
}

/* A straggler ------------------------------------------------------------------------------------
 */

static void one_is_slow(struct scene *s)
{
    push(s, "queue", BAD);
    push_numbers(s, "queue", "0.00", 0, HELD);
}

/* What is settled beside it, and keeps its payload. */
static long long pinned(struct scene *s)
{
    static const char script[] =
        "local n = 0 "
        "for _, k in ipairs(redis.call('KEYS', 'rpopd:{queue}:inflight:*')) do "
        "  local all = redis.call('LRANGE', k, 0, -1) "
        "  for i, v in ipairs(all) do "
        "    local bits = string.gsub(k, ':inflight:', ':acked:') "
        "    if v ~= '' and redis.call('GETBIT', bits, #all - i) == 1 then n = n + 1 end "
        "  end "
        "end return n";
    return ask_int(s, "EVAL %s 0", script);
}

static int run_beside_it(struct scene *s)
{
    unsigned before = daemon_printed(s->daemon, "Waiting " BAD);
    start(s, OWNER_OF("queue"));
    UNLESS_KILLED(s, daemon_printed(s->daemon, "Waiting " BAD) == before + 1);
    UNLESS_KILLED(s, stat_of(s, "queue", "done") == HELD && pinned(s) == 0);
    return end(s, SIGQUIT);
}

static bool the_slow_one_is_left(struct scene *s, unsigned deaths, unsigned doubles)
{
    struct tally done = printed(s, "Done", "0.00", HELD);
    (void)deaths;
    return done.distinct == HELD && done.total <= HELD + doubles &&
           stat_of(s, "queue", "done") == HELD && strcmp(ask_text(s, "RPOP queue"), BAD) == 0;
}

/* The script's last key is the bitmap; no other ends so. */
static void what_is_hollow_beside_a_straggler_is_settled(void **state)
{
    static const struct flow f = {
        .conf = "lease = 1.0; concurrency = 5; " ONE("sleep", "max_recoveries = 9;"),
        .match = "EVAL.*:acked:\\S+\\s+$",
        .before = one_is_slow,
        .life = run_beside_it,
        .is_well = the_slow_one_is_left};
    broken(*state, &f, 2, 1);
}

/* An operator's cancel --------------------------------------------------------------------------
 */

static void one_lies_there(struct scene *s)
{
    push(s, "queue", BAD);
}

static int run_and_cancel(struct scene *s)
{
    unsigned before = daemon_printed(s->daemon, "Waiting " BAD);
    start(s, OWNER_OF("queue"));
    UNLESS_KILLED(s, daemon_printed(s->daemon, "Waiting " BAD) > before ||
                         stat_of(s, "queue", "cancelled") == 1);
    if (!stat_of(s, "queue", "cancelled"))
        ctl_cancel_one(s);
    UNLESS_KILLED(s, stat_of(s, "queue", "cancelled") == 1);
    return end(s, SIGTERM);
}

static bool it_is_buried_once(struct scene *s, unsigned deaths, unsigned doubles)
{
    (void)doubles;
    return daemon_printed(s->daemon, "Waiting " BAD) <= 1 + deaths &&
           stat_of(s, "queue", "cancelled") == 1 && stat_of(s, "queue", "dead") == 0 &&
           ask_int(s, "ZCARD rpopd:{queue}:dead") == 1;
}

/* The commands that make it a dead letter. */
static void what_is_cancelled_is_dead_once(void **state)
{
    static const struct flow f = {.conf = ONE("sleep", "max_recoveries = 9;"),
                                  .match = "EVAL.*:acked:.*{queue}:dead",
                                  .before = one_lies_there,
                                  .life = run_and_cancel,
                                  .is_well = it_is_buried_once};
    broken(*state, &f, 2, 2);
}

/* A rest -----------------------------------------------------------------------------------------
 */

#define SOME 66 /* more than 64 are many */

static void nothing_lies_there(struct scene *s)
{
    assert_int_equal(ask_int(s, "DBSIZE"), 0);
}

/* It rests, and wakes for a job. A death behind that is no matter of the rest. */
static int rest_and_wake(struct scene *s)
{
    bool first = daemon_logged(s->daemon, "event=started") == 0;
    start(s, OWNER_OF("q65"));
    UNLESS_KILLED(s, !first || ask_int(s, "EXISTS " OWNER_OF("q65")) == 0);
    if (!ask_int(s, "EXISTS q65") && !claimed(s, "q65") && !stat_of(s, "q65", "done"))
        push(s, "q65", "0.01");
    UNLESS_KILLED(s, stat_of(s, "q65", "done") == 1);
    return end(s, SIGTERM);
}

static bool one_is_done(struct scene *s, unsigned deaths, unsigned doubles)
{
    (void)doubles;
    unsigned done = daemon_printed(s->daemon, "Done 0.01");
    return done >= 1 && done <= 1 + deaths && stat_of(s, "q65", "done") == 1;
}

/* The script that releases it names these two side by side; no other does. */
static void a_queue_that_is_laid_to_rest_wakes_for_a_job(void **state)
{
    struct flow f = {.match = "EVAL.*{q65}:owners\\s+\\S+\\s+rpopd:{q65}:popped",
                     .before = nothing_lies_there,
                     .life = rest_and_wake,
                     .is_well = one_is_done};
    char *conf = scene_queues(SOME, "lease = 1.0;");
    f.conf = conf;
    broken(*state, &f, 2, 1);
    free(conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(what_is_given_back_is_there_once_and_in_order),
        SCENE(what_is_taken_due_tried_and_dead_is_so_once),
        SCENE(what_is_hollow_beside_a_straggler_is_settled),
        SCENE(what_is_cancelled_is_dead_once),
        SCENE(a_queue_that_is_laid_to_rest_wakes_for_a_job),
    };
    return scene_run(tests);
}
