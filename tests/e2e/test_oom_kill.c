/* The kernel's memory killer: what it does to a program of a job and to the daemon, which run in a
 * control group of their own with a limit (version 1 or 2), as under MemoryMax= of a unit. */
#include "tests/e2e/exec.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>

#define MIB (1LL << 20)

/* The group -------------------------------------------------------------------------------------
 */

static struct {
    char folder[PATH_MAX]; /* "": there is none */
    bool v2;
    char wrapper[64], program[PATH_MAX];
} group;

static const char *group_file(const char *name)
{
    return exec_text("%s/%s", group.folder, name);
}

static bool put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        (void)close(fd);
    return ok;
}

/* Where the memory controller is mounted. */
static bool mount_point(char ret_path[PATH_MAX], bool *ret_v2)
{
    char line[2 * PATH_MAX];
    bool found = false;
    FILE *f = fopen("/proc/self/mountinfo", "re");
    while (f && !found && fgets(line, sizeof line, f)) {
        const char *v1 = strstr(line, " - cgroup "), *v2 = strstr(line, " - cgroup2 ");
        found = sscanf(line, "%*s %*s %*s %*s %4095s", ret_path) == 1 &&
                ((v1 && strstr(v1, "memory")) ||
                 (v2 && !access(exec_text("%s/memory.stat", ret_path), F_OK)));
        *ret_v2 = v2 != NULL;
    }
    if (f)
        (void)fclose(f);
    return found;
}

static bool make_group(void)
{
    char point[PATH_MAX];
    if (!mount_point(point, &group.v2))
        return false;
    if (group.v2)
        (void)put(exec_text("%s/cgroup.subtree_control", point), "+memory"); /* most have it */
    (void)snprintf(group.folder, sizeof group.folder, "%s",
                   exec_text("%s/rpopd-e2e.%d", point, getpid()));
    if (mkdir(group.folder, 0755) == 0 &&
        access(group_file(group.v2 ? "memory.max" : "memory.limit_in_bytes"), W_OK) == 0)
        return true;
    (void)rmdir(group.folder);
    group.folder[0] = '\0';
    return false;
}

/* What is in it may take so much; below 0: anything. Nothing is swapped out instead. */
static void set_limit(long long bytes)
{
    const char *text = bytes < 0 ? group.v2 ? "max" : "-1" : exec_text("%lld", bytes);
    if (group.v2)
        (void)put(group_file("memory.swap.max"), "0"); /* there may be no swap */
    else if (bytes < 0)
        (void)put(group_file("memory.memsw.limit_in_bytes"), text);
    assert_true(put(group_file(group.v2 ? "memory.max" : "memory.limit_in_bytes"), text));
    if (!group.v2 && bytes >= 0)
        (void)put(group_file("memory.memsw.limit_in_bytes"), text);
}

/* Everything that is in it. Returns how many were. */
static unsigned kill_all(void)
{
    int pid;
    unsigned n = 0;
    FILE *f = fopen(group_file("cgroup.procs"), "re");
    while (f && fscanf(f, "%d", &pid) == 1)
        n += kill(pid, SIGKILL) == 0;
    if (f)
        (void)fclose(f);
    return n;
}

/* So many of its processes were killed for its limit. */
static long long kills(void)
{
    char line[128];
    long long n = -1;
    FILE *f = fopen(group_file(group.v2 ? "memory.events" : "memory.oom_control"), "re");
    while (f && fgets(line, sizeof line, f))
        (void)sscanf(line, "oom_kill %lld", &n);
    if (f)
        (void)fclose(f);
    return n;
}

static void free_group(void)
{
    int64_t end = clock_now_ms() + LIMIT_MS;
    while (group.folder[0] && rmdir(group.folder) != 0 && errno == EBUSY && clock_now_ms() < end) {
        (void)kill_all();
        scene_tick();
    }
    group.folder[0] = '\0';
}

/* A scene whose daemon begins in the group: a script joins it and becomes the daemon. */
static int scene_new_in_group(void **state)
{
    const char *program = getenv("RPOPD");
    if (!make_group()) {
        print_message("no memory controller that this user may write to\n");
        return scene_new(state);
    }
    (void)snprintf(group.wrapper, sizeof group.wrapper, "/tmp/rpopd-e2e-group.XXXXXX");
    int fd = mkstemp(group.wrapper);
    if (fd < 0 || !realpath(program ? program : "build/rpopd", group.program))
        return -1;
    (void)dprintf(fd, "#!/bin/sh\necho $$ >%s && exec \"%s\" \"$@\"\n", group_file("cgroup.procs"),
                  group.program);
    (void)fchmod(fd, 0755);
    (void)close(fd);
    (void)setenv("RPOPD", group.wrapper, 1);
    int r = scene_new(state);
    (void)setenv("RPOPD", group.program, 1);
    return r;
}

static int free_in_group(void **state)
{
    int r = scene_free(state);
    free_group();
    (void)unlink(group.wrapper);
    return r;
}

/* A program -------------------------------------------------------------------------------------
 */

#define NEIGHBOURS 5
#define HOG "exec tail /dev/zero" /* it looks for the end of a line */

/* The neighbours wait for the killed ones. */
static void a_program_that_takes_too_much_is_killed_alone(void **state)
{
    struct scene *s = *state;
    if (!group.folder[0])
        skip();
    scene_start(s, "concurrency = 20; queues = (" QUEUE(
                       "other", "sleep",
                       "") ", { name = \"queue\"; attempts = 1; handler: { type = \"exec\"; "
                           "command = [ \"/bin/sh\" ]; }; }); ");
    /* Whoever has most is killed: that is a program, when it may have more than the daemon has. */
    set_limit(3LL * 1024 * daemon_usage(s->daemon).rss_kb + 64 * MIB);
    pid_t pid = daemon_pid(s->daemon);
    push_numbers(s, "other", "600.", 0, NEIGHBOURS);
    for (unsigned i = 0; i < NEIGHBOURS; i++)
        push(s, "queue", exec_text("while [ ! -e %s/go ]; do sleep 0.02; done", s->folder));
    scene_await(s, LIMIT_MS, claimed(s, "queue") + claimed(s, "other") == 2LL * NEIGHBOURS);
    json_t *letter = exec_dies(s, HOG);
    assert_string_equal(ctl_text(letter, "reason"), "signal 9 (SIGKILL)");
    assert_int_equal(ctl_number(letter, "signal"), SIGKILL);
    json_decref(letter);
    letter = exec_dies(s, "tail /dev/zero; echo no more; exit 65"); /* what it had started */
    assert_string_equal(ctl_text(letter, "reason"), "exit code 65");
    json_decref(letter);
    assert_int_equal(kills(), 2);
    (void)exec_make(s, "go", "", 0600);
    scene_await(s, LIMIT_MS, exec_done(s) == NEIGHBOURS);
    assert_int_equal(running(s), NEIGHBOURS);
    assert_int_equal(daemon_alive(s->daemon) ? daemon_pid(s->daemon) : 0, pid);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "DEL other"), 1);
    assert_string_equal(left_over(s), "");
}

/* The daemon ------------------------------------------------------------------------------------
 */

#define LARGE (4 * MIB)
#define JOBS 16 /* at a time */
#define ALL 32
#define ROOM ((SLOWNESS > 1 ? 40 : 24) * MIB)

/* A number and as much as makes it large. */
static void push_large(struct scene *s, unsigned first, unsigned n)
{
    static const char script[] =
        "local more = '\\n' .. string.rep(string.rep('x', 1024), ARGV[3] / 1024) "
        "for i = ARGV[1], ARGV[1] + ARGV[2] - 1 do redis.call('LPUSH', KEYS[1], i .. more) end "
        "return 1";
    assert_int_equal(ask_int(s, "EVAL %s 1 queue %u %u %lld", script, first, n, LARGE), 1);
}

/* What each has written when it was allowed to end; how often in all in *ret_total. */
static unsigned written(struct scene *s, unsigned *ret_total)
{
    bool seen[ALL] = {false};
    unsigned distinct = 0;
    *ret_total = 0;
    for (const char *at = exec_file(s, "ledger", NULL); *at; at = strchr(at, '\n') + 1) {
        unsigned i = (unsigned)atoi(at);
        ++*ret_total;
        distinct += i < ALL && !seen[i];
        seen[i % ALL] = true;
    }
    return distinct;
}

/* Each holds its payload in the daemon's memory until it may end. */
static void start_with_large_jobs(struct scene *s, const char *script)
{
    scene_start(s, exec_text("concurrency = %d; queues = ({ name = \"queue\"; handler: { type = "
                             "\"exec\"; command = [ \"/bin/sh\", \"-c\", \"read n; %s "
                             "echo $n >>%s/ledger\" ]; }; }); ",
                             JOBS, script, s->folder));
    set_limit(1024 * daemon_usage(s->daemon).rss_kb + ROOM);
    push_large(s, 0, ALL);
}

static void all_were_done(struct scene *s, unsigned most)
{
    unsigned total;
    assert_int_equal(written(s, &total), ALL);
    assert_in_range(total, ALL, most);
    assert_int_equal(exec_dead(s), 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* Each holds its payload in the daemon's memory until it may end. */
static void a_daemon_that_has_too_much_comes_back_and_loses_nothing(void **state)
{
    struct scene *s = *state;
    if (!group.folder[0])
        skip();
    start_with_large_jobs(s, exec_text("while [ ! -e %s/go ]; do sleep 0.2; done;", s->folder));
    scene_await(s, LIMIT_MS, !daemon_alive(s->daemon));
    assert_int_equal(daemon_wait(s->daemon, 0), 128 + SIGKILL);
    assert_in_range(kills(), 1, INT_MAX);
    scene_await(s, LIMIT_MS, kill_all() == 0); /* as systemd does with what is left in a unit */
    set_limit(-1);
    long long had = claimed(s, "queue");
    print_message("# killed with %lld jobs\n", had);
    assert_in_range(had, 1, JOBS);
    int64_t began = clock_now_ms();
    scene_again(s);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "recovered") == had);
    assert_in_range(clock_now_ms() - began, 0, WITHIN(1000));
    (void)exec_make(s, "go", "", 0600);
    scene_await(s, LIMIT_MS, exec_done(s) == ALL);
    all_were_done(s, ALL); /* none had come to its end before */
}

/* What brings it down again and again runs alone in the end. */
static void so_does_one_whose_limit_stays(void **state)
{
    struct scene *s = *state;
    unsigned deaths = 0;
    if (!group.folder[0] || !scene_long())
        skip();
    start_with_large_jobs(s, "sleep 0.2;");
    int64_t end = clock_now_ms() + 4LL * LIMIT_MS;
    while (exec_done(s) < ALL && clock_now_ms() < end) {
        if (!daemon_alive(s->daemon)) {
            deaths++;
            (void)kill_all();
            daemon_start(s->daemon);
        }
        scene_tick();
    }
    print_message("# killed %u times\n", deaths);
    assert_in_range(deaths, 1, INT_MAX);
    all_were_done(s, ALL + deaths * JOBS);
}

int main(void)
{
#define IN_GROUP(test) cmocka_unit_test_setup_teardown(test, scene_new_in_group, free_in_group)
    const struct CMUnitTest tests[] = {
        IN_GROUP(a_program_that_takes_too_much_is_killed_alone),
        IN_GROUP(a_daemon_that_has_too_much_comes_back_and_loses_nothing),
        IN_GROUP(so_does_one_whose_limit_stays),
    };
    return scene_run(tests);
}
