/* Many things at once and in no order: two daemons at one queue, each behind a proxy that breaks
 * its links at random commands, with tries that fail beside jobs that are done; and two that want
 * what a third one left. SEED repeats the choices. */
#include "tests/e2e/scene.h"

#include <sys/stat.h>

#include "tests/e2e/proxy.h"

#define GOOD "0.010" /* ten milliseconds */
#define BAD "600."   /* longer than the time limit */
#define TRIES 3
#define CONF                                                               \
    "lease = 3.0; concurrency = 30; " ONE(                                 \
        "sleep", "timeout = 0.3; attempts = 3; max_recoveries = 1000000; " \
                 "backoff: { base = 0.05; factor = 1.0; jitter = 0.5; };")

struct storm {
    struct scene *scene;
    struct daemon *daemons[2];
    struct proxy *proxies[2];
    unsigned good, bad, kills, doubles, hits;
};

static const char *const names[] = {"one", "two"};

/* Behind a proxy of its own. */
static void put_up(struct storm *k, unsigned who)
{
    struct scene *s = k->scene;
    char folder[96];
    (void)snprintf(folder, sizeof folder, "%s/%s", s->folder, names[who]);
    assert_int_equal(mkdir(folder, 0700), 0);
    k->proxies[who] = proxy_new(folder, redis_server_socket(s->redis));
    (void)snprintf(s->url, sizeof s->url, "%s", proxy_url(k->proxies[who]));
    s->redis_more = "command_timeout = 0.5; connect_timeout = 0.5;";
    s->instance = names[who];
    if (who)
        scene_second(s, names[who], CONF);
    else
        scene_start(s, CONF);
    k->daemons[who] = who ? s->second : s->daemon;
}

static long long ended(struct scene *s)
{
    return stat_of(s, "queue", "done") + stat_of(s, "queue", "dead");
}

static void feed(struct storm *k)
{
    if (ask_int(k->scene, "LLEN queue") > 100)
        return;
    push_numbers(k->scene, "queue", BAD, k->bad, 10);
    push_numbers(k->scene, "queue", GOOD, k->good, 400);
    k->bad += 10;
    k->good += 400;
}

static void break_a_link(struct storm *k)
{
    static const char *const ways[] = {"cut-before %u",
                                       "cut-after %u",
                                       "half %u",
                                       "stall %u",
                                       "orphan %u",
                                       "late %u 1",
                                       "late %u 7",
                                       "late %u 40",
                                       "split %u",
                                       "error %u LOADING Redis is loading the dataset in memory",
                                       "error %u READONLY You can't write against a read only",
                                       "error %u OOM command not allowed when used memory"};
    const char *way = ways[scene_random(sizeof ways / sizeof *ways)];
    char line[96];
    (void)snprintf(line, sizeof line, way, 1 + scene_random(15));
    k->hits += proxy_arm(k->proxies[scene_random(2)], "%s", line).hits;
}

static void kill_one(struct storm *k)
{
    unsigned who = scene_random(2);
    daemon_kill(k->daemons[who]);
    k->doubles += (unsigned)claimed_by(k->scene, "queue", names[who]);
    k->kills++;
    daemon_start(k->daemons[who]);
}

static void something_happens(struct storm *k, bool kills)
{
    switch (scene_random(12)) {
    case 0:
        (void)ask_int(k->scene, "CLIENT KILL TYPE normal SKIPME yes");
        break;
    case 1:
        assert_int_equal(ask_int(k->scene, "SCRIPT FLUSH"), 1);
        break;
    case 2:
        assert_int_equal(ask_int(k->scene, "CLIENT PAUSE %u WRITE", 20 + scene_random(200)), 1);
        break;
    case 3:
    case 4:
        if (kills)
            kill_one(k);
        break;
    default:
        break_a_link(k);
    }
}

static bool over(struct storm *k)
{
    struct scene *s = k->scene;
    return stat_of(s, "queue", "done") >= k->good && stat_of(s, "queue", "dead") >= k->bad;
}

static void assert_nothing_lost(struct storm *k)
{
    struct scene *s = k->scene;
    struct tally good = printed_by_both(s, "Done", GOOD, k->good),
                 bad = printed_by_both(s, "Waiting", BAD, k->bad);
    unsigned again = good.total - good.distinct;
    print_message("# %u faults, %u kills; %u jobs, %u run again of %u in flight; %u dead\n",
                  k->hits, k->kills, k->good, again, k->doubles, k->bad);
    assert_int_equal(good.distinct, k->good);
    assert_in_range(again, 0, k->doubles);
    assert_int_equal(bad.distinct, k->bad);
    assert_in_range(bad.most, TRIES, TRIES + k->kills);
    assert_int_equal(stat_of(s, "queue", "done"), k->good);
    assert_int_equal(stat_of(s, "queue", "dead"), k->bad);
    assert_int_equal(ask_int(s, "ZCARD rpopd:{queue}:dead"), k->bad);
}

static void storm(struct scene *s, bool kills)
{
    const unsigned events = scene_long() ? 1000 : 30;
    struct storm k = {.scene = s};
    for (unsigned who = 0; who < 2; who++)
        put_up(&k, who);
    for (unsigned i = 0; i < events; i++) {
        feed(&k);
        long long before = ended(s), more = 20 + scene_random(30);
        something_happens(&k, kills);
        scene_await(s, LIMIT_MS, ended(s) >= before + more || over(&k));
    }
    for (unsigned who = 0; who < 2; who++)
        k.hits += proxy_arm(k.proxies[who], "none").hits;
    scene_await(s, 2 * LIMIT_MS, over(&k));
    scene_await(s, LIMIT_MS, ask_int(s, "EXISTS rpopd:{queue}:batches") == 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(daemon_stop(s->second, SIGTERM, LIMIT_MS), 0);
    assert_nothing_lost(&k);
    assert_string_equal(left_over(s), "");
    for (unsigned who = 0; who < 2; who++)
        (void)proxy_free(k.proxies[who]);
}

static void links_break_at_random_and_nothing_is_run_twice(void **state)
{
    storm(*state, false);
}

static void links_break_and_daemons_die_at_random(void **state)
{
    storm(*state, true);
}

/* A race ----------------------------------------------------------------------------------------
 */

#define LEFT 200
#define RACE "lease = 1.5; concurrency = 120; " ONE("sleep", "max_recoveries = 1000000;")

/* Both see the same owner stand still and go for the same batches, of which neither has slots for
 * all: each is one's. */
static void two_race_for_what_a_third_left(void **state)
{
    struct scene *s = *state;
    struct daemon *dead = s->daemon;
    scene_start(s, "lease = 1.5; concurrency = 200; " ONE("sleep", ""));
    for (unsigned i = 10; i <= LEFT; i += 10) { /* many batches */
        push_numbers(s, "queue", "600.", i - 10, 10);
        scene_await(s, LIMIT_MS, claimed(s, "queue") == i);
    }
    scene_second(s, "two", RACE);
    s->daemon = daemon_new(s->folder, "three");
    s->instance = "three";
    scene_start(s, RACE);
    daemon_kill(dead);
    scene_await(s, LIMIT_MS, printed_by_both(s, "Waiting", "600.", LEFT).total == LEFT);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "recovered") == LEFT);
    scene_hold(s, 500, printed_by_both(s, "Waiting", "600.", LEFT).most == 1);
    print_message("# one has %u of %u\n", printed(s, "Waiting", "600.", LEFT).total, LEFT);
    struct tally all = held(s, "queue", "600.", LEFT);
    assert_int_equal(all.distinct, LEFT);
    assert_int_equal(all.total, LEFT);
    scene_stop_second(s, SIGQUIT);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    (void)daemon_free(dead);
    assert_int_equal(held(s, "queue", "600.", LEFT).total, LEFT);
    assert_int_equal(ask_int(s, "DEL queue"), 1);
    assert_string_equal(left_over(s), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(links_break_at_random_and_nothing_is_run_twice),
        SCENE(links_break_and_daemons_die_at_random),
        SCENE(two_race_for_what_a_third_left),
    };
    return scene_run(tests);
}
