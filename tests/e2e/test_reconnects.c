/* Links that are cut again and again, all of two daemons' at once: nothing stays behind, in memory
 * or open, and the server is not stormed. */
#include "tests/e2e/scene.h"

#include <sys/socket.h>
#include <sys/un.h>

#define QUEUES 50
#define LINKS (2 * (QUEUES + 2))

static void many_queues(struct scene *s)
{
    char conf[8192] = "concurrency = 100; queues = (" QUEUE("queue", "sleep", "");
    for (unsigned i = 1; i < QUEUES; i++)
        (void)snprintf(conf + strlen(conf), sizeof conf - strlen(conf),
                       ", { name = \"queue%u\"; handler: { type = \"sleep\"; }; }", i);
    strcat(conf, ");");
    scene_start(s, conf);
    scene_second(s, "other", conf);
}

/* A job at the first queue and at the last. */
static void a_round(struct scene *s, unsigned round)
{
    char last[16];
    (void)snprintf(last, sizeof last, "queue%u", QUEUES - 1);
    push_numbers(s, "queue", "0.00", 2 * round, 1);
    push_numbers(s, last, "0.00", 2 * round + 1, 1);
    scene_await(s, LIMIT_MS,
                printed_by_both(s, "Done", "0.00", 2 * round + 2).distinct == 2 * round + 2);
}

static int64_t memory_kb(struct scene *s)
{
    return daemon_usage(s->daemon).rss_kb + daemon_usage(s->second).rss_kb;
}

static void end_of_both(struct scene *s, unsigned rounds)
{
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(daemon_stop(s->second, SIGTERM, LIMIT_MS), 0);
    assert_int_equal(printed_by_both(s, "Done", "0.00", 2 * rounds).total, 2 * rounds);
    assert_string_equal(left_over(s), "");
}

static void reconnects_without_number_leave_no_trace(void **state)
{
    struct scene *s = *state;
    const long long wanted = scene_long() ? 100000 : 2000;
    long long cuts = 0;
    unsigned rounds = 0;
    int64_t memory = 0;
    many_queues(s);
    a_round(s, rounds++);
    int fds[] = {daemon_usage(s->daemon).fds, daemon_usage(s->second).fds};
    for (; cuts < wanted; rounds++) {
        cuts += ask_int(s, "CLIENT KILL TYPE normal SKIPME yes");
        a_round(s, rounds);
        if (rounds == 10)
            memory = memory_kb(s);
    }
    print_message("# %lld connections cut in %u rounds, %lld KiB more\n", cuts, rounds,
                  (long long)(memory_kb(s) - memory));
    if (SLOWNESS == 1) /* a sanitizer keeps what was freed */
        assert_in_range(memory_kb(s) - memory + 4096, 0, 8192);
    scene_await(s, LIMIT_MS, daemon_usage(s->daemon).fds <= fds[0]);
    scene_await(s, LIMIT_MS, daemon_usage(s->second).fds <= fds[1]);
    end_of_both(s, rounds);
}

#define LISTEN_MS 3000
#define SLOT_MS 50
#define SLOTS (LISTEN_MS / SLOT_MS)

/* In the place of Redis: who comes, and when, is counted and sent away. */
static void count_who_comes(const char *path, unsigned slots[SLOTS])
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    (void)snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    (void)unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), client;
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0);
    assert_int_equal(listen(fd, 4096), 0);
    int64_t begin = clock_now_ms(), now;
    while ((now = clock_now_ms() - begin) < LISTEN_MS)
        if ((client = accept(fd, NULL, NULL)) >= 0) {
            slots[now / SLOT_MS]++;
            (void)close(client);
        } else {
            scene_tick();
        }
    (void)close(fd);
}

/* All links of two daemons lose their server in one moment, and do not come back in one. */
static void a_server_that_comes_back_is_not_stormed(void **state)
{
    struct scene *s = *state;
    unsigned slots[SLOTS] = {0}, all = 0, later = 0, most = 0;
    many_queues(s);
    a_round(s, 0);
    redis_server_kill(s->redis);
    count_who_comes(redis_server_socket(s->redis), slots);
    for (unsigned i = 0; i < SLOTS; i++) {
        all += slots[i];
        later += i < SLOTS / 3 ? 0 : slots[i];
        most = i >= SLOTS / 3 && slots[i] > most ? slots[i] : most;
    }
    print_message("# %u links, %u attempts in %d ms; of the last %u at most %u in %d ms\n", LINKS,
                  all, LISTEN_MS, later, most, SLOT_MS);
    assert_in_range(all, LINKS, 15 * LINKS); /* a pause that doubles: about six */
    assert_in_range(most, 0, later * 3 / 4); /* without jitter all of them */
    assert_int_equal(redis_server_restart(s->redis, true), 0);
    a_round(s, 1);
    end_of_both(s, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(reconnects_without_number_leave_no_trace),
        DURABLE(a_server_that_comes_back_is_not_stormed),
    };
    return scene_run(tests);
}
