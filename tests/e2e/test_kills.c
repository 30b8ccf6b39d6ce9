/* kill -9, hundreds of times in one drain of jobs that are told apart, and once at every command
 * of a short life: none is lost, and none is run again but what was in flight. */
#include "tests/e2e/scene.h"

#include <time.h>

#include "tests/e2e/proxy.h"

#define SLOTS 20
#define CONF "concurrency = 20; " ONE("sleep", "max_recoveries = 1000000;")

static void configure(struct scene *s)
{
    char *text = scene_conf(s, CONF);
    daemon_configure(s->daemon, text);
    free(text);
}

/* A drain ----------------------------------------------------------------------------------------
 */

#define PREFIX "0.010" /* ten milliseconds */

/* Some lives are killed before their first command, most of them in the midst of their jobs. */
static void live_for_a_while(struct scene *s, unsigned life)
{
    if (life % 4)
        scene_again(s);
    else
        daemon_start(s->daemon);
    (void)nanosleep(&(struct timespec){.tv_nsec = (long)scene_random(30000) * 1000}, NULL);
}

/* A job is done soon after the start, where there is one. */
static void goes_on(struct scene *s, unsigned pushed)
{
    unsigned before = printed(s, "Done", PREFIX, pushed).total;
    int64_t start = clock_now_ms();
    scene_await(s, LIMIT_MS,
                printed(s, "Done", PREFIX, pushed).total > before ||
                    (ask_int(s, "LLEN queue") == 0 && claimed(s, "queue") == 0));
    assert_in_range(clock_now_ms() - start, 0, WITHIN(2000));
}

/* Redis too at each so-manieth, just before it; 0: never. */
static void kill_again_and_again(struct scene *s, unsigned kills, unsigned redis_each)
{
    unsigned pushed = 0, most_doubles = 0;
    configure(s);
    for (unsigned life = 0; life < kills; life++) {
        if (ask_int(s, "LLEN queue") < 200) {
            push_numbers(s, "queue", PREFIX, pushed, 500);
            pushed += 500;
        }
        live_for_a_while(s, life);
        if (redis_each && life % redis_each == 0)
            scene_check(s, redis_server_restart(s->redis, true) == 0);
        daemon_kill(s->daemon);
        long long in_flight = claimed(s, "queue");
        scene_check(s, in_flight <= SLOTS);
        most_doubles += (unsigned)in_flight;
    }
    scene_again(s);
    goes_on(s, pushed);
    scene_await(s, 2 * LIMIT_MS, ask_int(s, "LLEN queue") == 0 && claimed(s, "queue") == 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    struct tally done = printed(s, "Done", PREFIX, pushed);
    print_message("# %u kills, %u jobs, %u run again of %u that were in flight\n", kills, pushed,
                  done.total - done.distinct, most_doubles);
    assert_int_equal(done.distinct, pushed);
    assert_in_range(done.total, pushed, pushed + most_doubles);
    assert_int_equal(stat_of(s, "queue", "done"), pushed);
    assert_int_equal(stat_of(s, "queue", "dead"), 0);
    assert_string_equal(left_over(s), "");
}

static void hundreds_of_kills_in_one_drain(void **state)
{
    kill_again_and_again(
        *state, (unsigned)scene_number("E2E_KILLS", scene_long() ? 2000 : 500 / SLOWNESS), 0);
}

static void redis_is_killed_with_it(void **state)
{
    kill_again_and_again(*state, scene_long() ? 400 : 40 / SLOWNESS, 4);
}

/* Every command ----------------------------------------------------------------------------------
 */

#define AT_START 2 /* jobs that lie there */
#define JOBS 3     /* the last one meets a pop */

static bool done_or_dead(struct scene *s, unsigned jobs)
{
    return printed(s, "Done", "0.00", JOBS).distinct >= jobs || !daemon_alive(s->daemon);
}

/* Jobs from the list, one from a pop, an exit. The proxy may end it anywhere. */
static void short_life(struct scene *s)
{
    push_numbers(s, "queue", "0.00", 0, AT_START);
    daemon_start(s->daemon);
    scene_await(s, LIMIT_MS, done_or_dead(s, AT_START));
    scene_await(s, LIMIT_MS, claimed(s, "queue") == 0 || !daemon_alive(s->daemon));
    push_numbers(s, "queue", "0.00", AT_START, 1);
    scene_await(s, LIMIT_MS, done_or_dead(s, JOBS));
    if (daemon_alive(s->daemon))
        kill(daemon_pid(s->daemon), SIGTERM);
    scene_check(s, daemon_wait(s->daemon, LIMIT_MS) != -ETIMEDOUT);
}

/* The next life over the same proxy, which breaks nothing now. */
static void next_life(struct scene *s)
{
    (void)proxy_arm(s->proxy, "none");
    scene_again(s);
    scene_await(s, LIMIT_MS, printed(s, "Done", "0.00", JOBS).distinct == JOBS);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == JOBS);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void kill_at(struct scene *s, const char *kind, unsigned at)
{
    scene_fresh(s);
    (void)proxy_arm(s->proxy, "%s %u", kind, at);
    short_life(s);
    /* The last commands come or not, as the end of the life falls. */
    unsigned before = printed(s, "Done", "0.00", JOBS).total;
    long long in_flight = claimed(s, "queue"), settled = stat_of(s, "queue", "done");
    next_life(s);
    struct tally done = printed(s, "Done", "0.00", JOBS);
    const char *left = left_over(s);
    if (done.total <= JOBS + in_flight && !left[0] && stat_of(s, "queue", "dead") == 0)
        return;
    print_error("%s %u: %u done and %lld settled before, %lld in flight; then %u, left '%s'\n",
                kind, at, before, settled, in_flight, done.total, left);
    scene_fail(s, "a job was run too often or left behind", __FILE__, __LINE__);
}

static unsigned commands_of_a_clean_life(struct scene *s)
{
    scene_fresh(s);
    (void)proxy_arm(s->proxy, "none");
    short_life(s);
    unsigned n = proxy_arm(s->proxy, "none").commands;
    print_message("# %u commands in a clean life\n", n);
    assert_int_equal(stat_of(s, "queue", "done"), JOBS);
    assert_string_equal(left_over(s), "");
    return n;
}

static void killed_at_each_command_the_next_life_goes_on(void **state)
{
    static const char *const kinds[] = {"kill-before", "kill-after"};
    struct scene *s = *state;
    s->proxy = proxy_new(s->folder, redis_server_socket(s->redis));
    (void)snprintf(s->url, sizeof s->url, "%s", proxy_url(s->proxy));
    configure(s);
    unsigned commands = commands_of_a_clean_life(s), first = scene_random(2);
    for (unsigned at = 1; at <= commands; at++)
        for (unsigned k = 0; k < 2; k++)
            if (scene_long() || (at + first) % 2 == k)
                kill_at(s, kinds[k], at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(hundreds_of_kills_in_one_drain),
        DURABLE(redis_is_killed_with_it),
        SCENE(killed_at_each_command_the_next_life_goes_on),
    };
    return scene_run(tests);
}
