/* A call of the system fails once, each in turn, while jobs of several kinds run and links are cut;
 * and any one at the start. What cannot be done now is done later: no job is lost, none has spent a
 * try, and the daemon lives. */
#include "tests/e2e/exec.h"

#include <sys/resource.h>
#include <sys/syscall.h>

#include "tests/e2e/kinds.h"
#include "tests/e2e/shaken.h"

#define NAME_OF(name, error) [SHAKEN_##name] = #name,
static const char *const names[] = {SHAKEN_CALLS(NAME_OF)};

/* In mid-drain -----------------------------------------------------------------------------------
 */

struct failure {
    enum shaken_call call;
    int error;
    bool maybe; /* whether it is asked for depends on the system */
};

static bool has_failed(unsigned before)
{
    return atomic_load(&shaken->refusals) > before;
}

/* Jobs come, links are made anew, somebody asks. */
static void stir(struct scene *s, unsigned before, long long *pushed)
{
    kinds_push(s, pushed);
    (void)ask_int(s, "CLIENT KILL TYPE normal SKIPME yes");
    (void)CTL(s, "status");
    for (int64_t turn = clock_now_ms() + 300;
         !has_failed(before) && clock_now_ms() < turn && !kinds_done(s, *pushed);)
        scene_tick();
}

/* Until the call has failed; then all is done. */
static void fail_once(struct scene *s, const struct failure *f, long long *pushed)
{
    unsigned before = atomic_load(&shaken->refusals);
    int64_t end = clock_now_ms() + (f->maybe ? 1500 : LIMIT_MS);
    atomic_store(&shaken->error, f->error);
    atomic_store(&shaken->call, (int)f->call);
    atomic_store(&shaken->until, f->maybe ? 1 : 1 + (int)scene_random(3));
    while (!has_failed(before) && clock_now_ms() < end)
        stir(s, before, pushed);
    atomic_store(&shaken->until, 0);
    if (!has_failed(before) || !daemon_alive(s->daemon))
        print_error("%s: %s\n", names[f->call], strerrorname_np(f->error));
    scene_check(s, has_failed(before) || f->maybe);
    scene_await(s, WITHIN(3000), kinds_done(s, *pushed) || !daemon_alive(s->daemon));
    scene_check(s, daemon_alive(s->daemon));
    kinds_none_is_dead(s, names[f->call]);
}

static void fail_each(struct scene *s, const struct failure *failures, size_t n)
{
    const size_t rounds = scene_long() ? 20 : 1;
    long long pushed = 0;
    s->redis_more = "command_timeout = 100.0; connect_timeout = 100.0;"; /* no help from these */
    kinds_start(s);
    for (size_t i = 0; i < n * rounds; i++)
        fail_once(s, &failures[i % n], &pushed);
    kinds_end(s);
}

/* A filter may stand in front of the call, or the kernel is old: then programs begin otherwise. */
static bool has_clone3(void)
{
    return syscall(SYS_clone3, NULL, 0) < 0 && errno == EINVAL;
}

static void each_call_fails_once_in_mid_drain(void **state)
{
    const bool no_clone = !has_clone3();
    const struct failure failures[] = {
        {SHAKEN_accept4, EMFILE, 0},
        {SHAKEN_accept4, ECONNABORTED, 0},
        {SHAKEN_child_clone, EAGAIN, no_clone},
        {SHAKEN_child_clone, EMFILE, no_clone},
        {SHAKEN_child_clone, ENOMEM, no_clone},
        {SHAKEN_connect, EADDRNOTAVAIL, 0},
        {SHAKEN_connect, EAGAIN, 0},
        {SHAKEN_epoll_ctl, ENOMEM, 0},
        {SHAKEN_epoll_ctl, ENOSPC, 0},
        {SHAKEN_getrandom, EAGAIN, 0},
        {SHAKEN_open64, EMFILE, 1},
        {SHAKEN_open64, ENOENT, 1},
        {SHAKEN_pipe2, EMFILE, 0},
        {SHAKEN_pipe2, ENFILE, 0},
        {SHAKEN_poll, EINTR, 0},
        {SHAKEN_read, EINTR, 0},
        {SHAKEN_recv, ECONNRESET, 0},
        {SHAKEN_recv, EINTR, 0},
        {SHAKEN_send, EPIPE, 0},
        {SHAKEN_sendmsg, EAGAIN, 0},
        {SHAKEN_sendmsg, EINTR, 0},
        {SHAKEN_sendmsg, ENOBUFS, 0},
        {SHAKEN_sendmsg, EPIPE, 0},
        {SHAKEN_socket, EMFILE, 0},
        {SHAKEN_socket, ENOBUFS, 0},
        {SHAKEN_waitid, EINTR, 0},
        {SHAKEN_write, EINTR, 0},
        {SHAKEN_write, ENOMEM, 0},
        {SHAKEN_writev, EINTR, 0},
        {SHAKEN_writev, ENOMEM, 0},
    };
    fail_each(*state, failures, sizeof failures / sizeof *failures);
}

static void so_do_those_that_begin_a_program_without_a_cgroup(void **state)
{
    static const struct failure failures[] = {
        {SHAKEN_posix_spawnp, EAGAIN, 0},
        {SHAKEN_posix_spawnp, ENOMEM, 0},
        {SHAKEN_pidfd_open, EMFILE, 0},
    };
    atomic_store(&shaken->plainly, true);
    fail_each(*state, failures, sizeof failures / sizeof *failures);
}

/* At the start -----------------------------------------------------------------------------------
 */

/* It comes as far as a job, or ends with a code and a sentence. */
static bool comes_up(struct scene *s, unsigned at)
{
    unsigned lines = daemon_log_lines(s->daemon);
    long long done = exec_done(s);
    if (ask_int(s, "LLEN queue") + claimed(s, "queue") == 0)
        push(s, "queue", KINDS_WHOLE "\n");
    daemon_start(s->daemon);
    scene_await(s, LIMIT_MS, exec_done(s) > done || !daemon_alive(s->daemon));
    bool up = daemon_alive(s->daemon);
    if (up)
        scene_await(s, LIMIT_MS, CTL(s, "status")->code == 0);
    int code = up ? daemon_stop(s->daemon, SIGTERM, LIMIT_MS) : daemon_wait(s->daemon, 0);
    bool well = up ? code == 0 : code == 70 || code == 78;
    if (!well)
        print_error("call %u, %s: ended with %d\n", at, names[atomic_load(&shaken->failed)], code);
    scene_check(s, well && (up || daemon_log_lines(s->daemon) > lines));
    return up;
}

static void any_call_fails_once_at_the_start(void **state)
{
    struct scene *s = *state;
    const unsigned step = scene_long() ? 1 : SLOWNESS > 1 ? 24 : 8;
    unsigned ended = 0, lives = 0;
    kinds_start(s);
    kinds_end(s);
    atomic_store(&shaken->call, SHAKEN_ANY);
    for (unsigned at = 1 + scene_random(step); atomic_load(&shaken->until) <= 0; at += step) {
        atomic_store(&shaken->until, (int)at);
        ended += !comes_up(s, at);
        lives++;
    }
    print_message("# %u of %u ended at the start\n", ended, lives);
    assert_true(lives > 3);
}

/* Shortage ----------------------------------------------------------------------------------------
 */

/* One more each time, until they are enough to begin with. */
static void too_few_descriptors_at_the_start(void **state)
{
    struct scene *s = *state;
    const char *before = exec_text("%s", getenv("RPOPD"));
    const char *limited = exec_text("%s/limited", s->folder);
    (void)setenv("RPOPD",
                 exec_make(s, "rpopd",
                           exec_text("#!/bin/sh\nulimit -n $(cat %s)\n"
                                     "exec %s \"$@\"\n",
                                     limited, before),
                           0755),
                 1);
    s->daemon = (daemon_free(s->daemon), daemon_new(s->folder, "rpopd"));
    (void)setenv("RPOPD", before, 1);
    bool up = false;
    for (unsigned n = 4; !up && n < 100; n++) {
        unsigned lines = daemon_log_lines(s->daemon);
        (void)exec_make(s, "limited", exec_text("%u\n", n), 0600);
        scene_launch(s, ONE("sleep", ""));
        scene_await(s, LIMIT_MS,
                    daemon_logged(s->daemon, "event=started") || !daemon_alive(s->daemon));
        up = daemon_alive(s->daemon);
        int code = up ? daemon_stop(s->daemon, SIGTERM, LIMIT_MS) : daemon_wait(s->daemon, 0);
        if (code != (up ? 0 : 70) || daemon_log_lines(s->daemon) == lines)
            print_error("%u descriptors: ended with %d\n", n, code);
        scene_check(s, code == (up ? 0 : 70) && daemon_log_lines(s->daemon) > lines);
    }
    assert_true(up);
}

/* Each refusal is followed by a pause of a second, by nothing else. */
static void without_a_process_it_waits(void **state)
{
    struct scene *s = *state;
    unsigned before = atomic_load(&shaken->refusals);
    int64_t start = clock_now_ms();
    kinds_start(s);
    atomic_store(&shaken->call, has_clone3() ? SHAKEN_child_clone : SHAKEN_posix_spawnp);
    atomic_store(&shaken->until, -1);
    push(s, "queue", KINDS_WHOLE "\n");
    scene_await(s, LIMIT_MS, has_failed(before));
    scene_hold(s, 2500, daemon_alive(s->daemon) && exec_done(s) == 0);
    atomic_store(&shaken->until, 0);
    int64_t healed = clock_now_ms();
    assert_in_range(atomic_load(&shaken->refusals) - before, 1, 2 + (healed - start) / 1000);
    scene_await(s, LIMIT_MS, exec_done(s) == 1);
    assert_in_range(clock_now_ms() - healed, 0, WITHIN(2000));
    kinds_none_is_dead(s, "processes");
    kinds_end(s);
}

/* While there is none: nothing is spent, nothing is spun. */
static void without_descriptors_for_a_program_it_waits(void **state)
{
    struct scene *s = *state;
    struct rlimit before, few;
    long long pushed = 0;
    kinds_start(s);
    kinds_push(s, &pushed);
    scene_await(s, LIMIT_MS, kinds_done(s, pushed));
    assert_int_equal(prlimit(daemon_pid(s->daemon), RLIMIT_NOFILE, NULL, &before), 0);
    few = (struct rlimit){.rlim_cur = 3, .rlim_max = before.rlim_max}; /* what is open stays so */
    assert_int_equal(prlimit(daemon_pid(s->daemon), RLIMIT_NOFILE, &few, NULL), 0);
    for (unsigned i = 0; i < 5; i++)
        push(s, "queue", KINDS_WHOLE "\n");
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=short") > 0);
    unsigned lines = daemon_log_lines(s->daemon);
    int64_t cpu = daemon_usage(s->daemon).cpu_us;
    scene_hold(s, 1500, daemon_alive(s->daemon) && exec_done(s) == pushed);
    assert_in_range(daemon_log_lines(s->daemon), lines, lines + 4);
    assert_in_range(daemon_usage(s->daemon).cpu_us - cpu, 0, 500000 * SLOWNESS);
    assert_int_equal(prlimit(daemon_pid(s->daemon), RLIMIT_NOFILE, &before, NULL), 0);
    scene_await(s, LIMIT_MS, exec_done(s) == pushed + 5);
    kinds_none_is_dead(s, "descriptors");
    kinds_end(s);
}

int main(void)
{
    scene_program("tests/e2e/rpopd-shaken");
    const struct CMUnitTest tests[] = {
        SHAKEN(each_call_fails_once_in_mid_drain),
        SHAKEN(so_do_those_that_begin_a_program_without_a_cgroup),
        SHAKEN(any_call_fails_once_at_the_start),
        SHAKEN(too_few_descriptors_at_the_start),
        SHAKEN(without_a_process_it_waits),
        SHAKEN(without_descriptors_for_a_program_it_waits),
    };
    return scene_run(tests);
}
