/* One daemon that lives through faults which do not kill it, one after the other, while jobs of
 * every kind flow: none is lost, none of those that print is run again, and memory and descriptors
 * are in the end what they were. `make steady` is the long form.
 *
 *   STEADY_MINUTES   lives so long; without it for each fault once, a moment each
 *   STEADY_EACH_S    from a fault to the next (60)
 *   SEED             repeats the random choices */
#include "tests/e2e/load.h"
#include "tests/e2e/proxy.h"
#include "tests/e2e/web.h"
#include "tests/lib/pool_child.h"

#define GROWTH_KB 1024
#define FDS_MAX 96 /* seventy is usual; links were opened by hundreds */

struct steady {
    struct scene *scene;
    struct load *load;
    int minutes; /* 0: the short form */
    unsigned hold_ms;
};

/* Faults ----------------------------------------------------------------------------------------
 */

/* So long it holds; jobs are pushed meanwhile, as far as Redis takes them. */
static void hold(struct steady *k)
{
    int64_t end = clock_now_ms() + k->hold_ms;
    while (clock_now_ms() < end) {
        load_feed(k->load);
        scene_tick();
    }
}

/* The same where Redis gives no answer. */
static void hold_still(struct steady *k)
{
    int64_t end = clock_now_ms() + k->hold_ms;
    while (clock_now_ms() < end)
        scene_tick();
}

static void links_are_killed(struct steady *k)
{
    for (unsigned i = 0; i < 10; i++) {
        (void)ask_int(k->scene, "CLIENT KILL TYPE normal SKIPME yes");
        (void)ask_int(k->scene, "CLIENT KILL TYPE pubsub SKIPME yes");
        load_feed(k->load);
        scene_tick();
    }
}

static void links_break(struct steady *k)
{
    static const char *const ways[] = {"cut-before", "cut-after", "half", "split", "stall"};
    for (unsigned i = 0; i < (k->minutes ? 5 : 4); i++) { /* the last is noticed late */
        (void)proxy_arm(k->scene->proxy, "%s %u", ways[i], 1 + scene_random(10));
        hold(k);
    }
    (void)proxy_arm(k->scene->proxy, "none");
}

static void the_path_is_silent(struct steady *k)
{
    (void)proxy_arm(k->scene->proxy, "hole");
    hold(k);
    (void)proxy_arm(k->scene->proxy, "none");
}

static void redis_holds_writes_back(struct steady *k)
{
    assert_int_equal(ask_int(k->scene, "CLIENT PAUSE %u WRITE", k->hold_ms), 1);
}

static void redis_holds_all_back(struct steady *k)
{
    assert_int_equal(ask_int(k->scene, "CLIENT PAUSE %u ALL", k->hold_ms), 1);
}

static void redis_is_frozen(struct steady *k)
{
    (void)redis_server_signal(k->scene->redis, SIGSTOP);
    hold_still(k);
    (void)redis_server_signal(k->scene->redis, SIGCONT);
}

static void redis_starts_anew(struct steady *k)
{
    assert_int_equal(redis_server_restart(k->scene->redis, true), 0);
}

static void redis_is_away(struct steady *k)
{
    redis_server_kill(k->scene->redis);
    hold_still(k);
    redis_starts_anew(k);
}

static void scripts_are_flushed(struct steady *k)
{
    assert_int_equal(ask_int(k->scene, "SCRIPT FLUSH"), 1);
}

static void set_for_a_while(struct steady *k, const char *name, int value, int usual)
{
    assert_int_equal(ask_int(k->scene, "CONFIG SET %s %d", name, value), 1);
    hold(k);
    assert_int_equal(ask_int(k->scene, "CONFIG SET %s %d", name, usual), 1);
}

static void redis_is_full(struct steady *k)
{
    set_for_a_while(k, "maxmemory", 1, 0);
}

static void replicas_are_missing(struct steady *k)
{
    set_for_a_while(k, "min-replicas-to-write", 1, 0);
}

static void there_are_too_many_clients(struct steady *k)
{
    assert_int_equal(ask_int(k->scene, "CONFIG SET maxclients 3"), 1);
    links_are_killed(k);
    set_for_a_while(k, "maxclients", 3, 10000);
}

static void queues_are_paused(struct steady *k)
{
    load_pause(k->load, k->hold_ms);
    hold(k);
}

static void it_stands_still(struct steady *k)
{
    daemon_signal(k->scene->daemon, SIGSTOP);
    hold(k);
    daemon_signal(k->scene->daemon, SIGCONT);
}

static const struct fault {
    const char *name;
    void (*happens)(struct steady *k);
} faults[] = {
    {"links killed", links_are_killed},         {"links broken", links_break},
    {"a silent path", the_path_is_silent},      {"CLIENT PAUSE WRITE", redis_holds_writes_back},
    {"CLIENT PAUSE ALL", redis_holds_all_back}, {"Redis frozen", redis_is_frozen},
    {"Redis restarted", redis_starts_anew},     {"Redis away", redis_is_away},
    {"SCRIPT FLUSH", scripts_are_flushed},      {"Redis full", redis_is_full},
    {"NOREPLICAS", replicas_are_missing},       {"maxclients", there_are_too_many_clients},
    {"queues paused", queues_are_paused},       {"SIGSTOP, SIGCONT", it_stands_still},
};
#define FAULTS (sizeof faults / sizeof *faults)

/* The life --------------------------------------------------------------------------------------
 */

static void check_jobs(struct steady *k)
{
    struct load_runs runs = load_runs(k->load);
    const char *wrong = load_wrong(k->load);
    if (!*wrong && !runs.none && !runs.again)
        return;
    print_error("%s\n%lu not run to their end, %lu run again\n", wrong, runs.none, runs.again);
    scene_fail(k->scene, "jobs are not what they should be", __FILE__, __LINE__);
}

/* Until each job has come to its end. */
static struct daemon_usage at_rest(struct steady *k)
{
    struct scene *s = k->scene;
    int64_t end = clock_now_ms() + 4LL * LIMIT_MS;
    load_rest(k->load);
    while (!load_is_over(k->load) && daemon_alive(s->daemon) && clock_now_ms() < end)
        scene_tick();
    scene_check(s, daemon_alive(s->daemon));
    check_jobs(k);
    return daemon_usage(s->daemon);
}

/* A fault in the midst of jobs, and all of them done. */
static struct daemon_usage one_round(struct steady *k, const struct fault *f, int64_t ms)
{
    static int64_t began;
    began = began ? began : clock_now_ms();
    int64_t end = clock_now_ms() + ms;
    hold(k);
    f->happens(k);
    while (clock_now_ms() < end) {
        load_feed(k->load);
        scene_tick();
    }
    struct daemon_usage u = at_rest(k);
    print_message("# %6.1f min %9lu jobs, rss %lld kB, %d descriptors, %d threads: %s\n",
                  (double)(clock_now_ms() - began) / 60000, load_jobs(k->load), (long long)u.rss_kb,
                  u.fds, u.threads, f->name);
    return u;
}

/* One fault upon the other, without a rest. */
static void the_short_life(struct steady *k)
{
    const unsigned first = scene_random(FAULTS);
    hold(k);
    for (size_t i = 0; i < FAULTS; i++) {
        const struct fault *f = &faults[(first + i) % FAULTS];
        if (f->happens == the_path_is_silent)
            continue; /* noticed by time limits alone */
        f->happens(k);
        hold(k);
    }
    struct daemon_usage u = at_rest(k);
    print_message("# %d descriptors, %lld kB\n", u.fds, (long long)u.rss_kb);
    scene_await(k->scene, LIMIT_MS, daemon_usage(k->scene->daemon).fds <= FDS_MAX);
}

/* Each fault once, and a quarter of the time, is its youth. */
static void the_long_life(struct steady *k)
{
    const int64_t each_ms = 1000LL * scene_number("STEADY_EACH_S", 60), begin = clock_now_ms(),
                  end = begin + 60000LL * k->minutes, grown_up = begin + (end - begin) / 4;
    struct daemon_usage young = {0}, old = {0};
    for (unsigned i = 0; clock_now_ms() < end || i < 2 * FAULTS; i++) {
        bool is_young = i <= FAULTS || clock_now_ms() < grown_up;
        int most = young.fds;
        old = one_round(k, &faults[i < FAULTS ? i : scene_random(FAULTS)], each_ms);
        if (!is_young)
            continue;
        young = old;
        young.fds = most > old.fds ? most : old.fds; /* connections come and go */
    }
    print_message("rss            %lld kB, then %lld kB\n", (long long)young.rss_kb,
                  (long long)old.rss_kb);
    print_message("descriptors    %d, then %d\n", young.fds, old.fds);
    assert_in_range(old.rss_kb, 0, young.rss_kb + GROWTH_KB);
    scene_await(k->scene, LIMIT_MS, daemon_usage(k->scene->daemon).fds <= young.fds);
}

static void one_daemon_lives_through_it_all(void **state)
{
    struct scene *s = *state;
    struct steady k = {.scene = s, .load = load_new(s)};
    k.minutes = scene_number("STEADY_MINUTES", 0);
    k.hold_ms = k.minutes ? 2000 : 100;
    web = web_new(s, NULL);
    s->proxy = proxy_new(s->folder, redis_server_socket(s->redis));
    (void)snprintf(s->url, sizeof s->url, "%s", proxy_url(s->proxy));
    char *conf = load_conf(k.load);
    scene_launch(s, conf);
    free(conf);
    pid_t pid = daemon_pid(s->daemon);
    if (k.minutes)
        the_long_life(&k);
    else
        the_short_life(&k);
    assert_int_equal(daemon_pid(s->daemon), pid);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    check_jobs(&k);
    assert_string_equal(left_over(s), "");
    print_message("# %lu jobs, none lost\n", load_jobs(k.load));
    (void)load_free(k.load);
}

static int web_is_ended(void **state)
{
    web = web_free(web);
    return scene_free(state);
}

int main(int argc, char *argv[])
{
    pool_child_main(argc, argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(
        one_daemon_lives_through_it_all, scene_new_durable, web_is_ended)};
    return scene_run(tests);
}
