/* Full disks: beneath Redis, beneath the daemon's log, its output and its runtime directory. What
 * lies in Redis is not lost, nothing is run again, the daemon lives and goes on when there is room.
 * The disks are small ones of this process' own. */
#include "tests/e2e/drain.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "tests/e2e/exec.h"

static char disk[64]; /* "": none could be had */

/* A small one at `path`, of which nobody else hears. */
static bool mount_at(const char *path, const char *size)
{
    char options[64];
    (void)snprintf(options, sizeof options, "mode=0700,size=%s", size);
    if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("disk", path, "tmpfs", 0, options))
        return false;
    (void)snprintf(disk, sizeof disk, "%s", path);
    return true;
}

static void fill(void)
{
    static const char zeros[4096];
    char path[80];
    (void)snprintf(path, sizeof path, "%s/full", disk);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    for (size_t size = sizeof zeros; size; size /= 2)
        while (write(fd, zeros, size) == (ssize_t)size)
            ;
    assert_int_equal(errno, ENOSPC);
    (void)close(fd);
}

static void make_room(void)
{
    char path[80];
    (void)snprintf(path, sizeof path, "%s/full", disk);
    assert_int_equal(unlink(path), 0);
}

/* Beneath Redis ----------------------------------------------------------------------------------
 */

/* A server whose directory lies on the small disk. */
static int scene_new_on_disk(void **state, const char *fsync)
{
    char folder[] = "/tmp/rpopd-disk.XXXXXX";
    const char *args[] = {"--appendonly", "yes", "--appendfsync", fsync, NULL};
    if (!mkdtemp(folder))
        return -1;
    if (!mount_at(folder, "4m")) {
        print_message("no mount for this user: %s\n", strerror(errno));
        (void)rmdir(folder);
        return scene_new(state);
    }
    (void)setenv("TMPDIR", disk, 1);
    int r = scene_new_with(state, args);
    (void)unsetenv("TMPDIR");
    return r;
}

static int new_that_syncs_each_second(void **state)
{
    return scene_new_on_disk(state, "everysec");
}

static int new_that_syncs_always(void **state)
{
    return scene_new_on_disk(state, "always");
}

static int free_disk(void **state)
{
    bool folder = *state && strcmp(((struct scene *)*state)->folder, disk) == 0;
    if (folder) {
        daemon_kill(((struct scene *)*state)->daemon);
        (void)umount2(disk, MNT_DETACH);
    }
    int r = scene_free(state);
    if (*disk && !folder) {
        (void)umount2(disk, MNT_DETACH);
        (void)rmdir(disk);
    }
    *disk = '\0';
    return r;
}

/* In the midst of a drain, and the daemon has told of it. */
static void drain_until_full(struct scene *s, const char *told)
{
    if (!*disk)
        skip();
    drain_begin(s, 1000, 20);
    drain_reach(s, 200);
    fill();
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, told) > 0);
}

static void without_room_for_its_log_redis_refuses_writes(void **state)
{
    struct scene *s = *state;
    drain_until_full(s, "MISCONF");
    unsigned lines = daemon_log_lines(s->daemon);
    int64_t cpu = daemon_usage(s->daemon).cpu_us;
    scene_hold(s, 1500, daemon_alive(s->daemon));
    assert_in_range(daemon_log_lines(s->daemon), 0, lines + 6);
    assert_in_range(daemon_usage(s->daemon).cpu_us - cpu, 0, 500000 * SLOWNESS);
    make_room();
    drain_heals(s);
    drain_end(s);
}

/* It ends where it cannot keep what it has promised to. */
static void without_room_for_what_it_syncs_redis_ends(void **state)
{
    struct scene *s = *state;
    drain_until_full(s, "event=redis-lost");
    make_room();
    assert_int_equal(redis_server_restart(s->redis, true), 0);
    drain_heals(s);
    drain_end(s);
}

/* Beneath the daemon -----------------------------------------------------------------------------
 */

/* Its outputs and its runtime directory lie on the small disk. */
static int new_on_disk(void **state)
{
    int r = scene_new(state);
    if (r == 0 && !mount_at(((struct scene *)*state)->folder, "256k"))
        print_message("no mount for this user: %s\n", strerror(errno));
    return r;
}

#define TALKS "seq 20000; exit 65" /* more than there is room for */

static void without_room_for_its_log_the_daemon_goes_on(void **state)
{
    struct scene *s = *state;
    if (!*disk)
        skip();
    scene_start(s,
                "queues = (" QUEUE(
                    "other", "sleep",
                    "") ", { name = \"queue\"; handler: { "
                        "type = \"exec\"; command = [ \"/bin/sh\" ]; }; output_limit = 30; }); ");
    push(s, "queue", "exit 0");
    scene_await(s, LIMIT_MS, exec_done(s) == 1);
    fill();
    push_numbers(s, "other", "0.0", 0, 200);
    push(s, "queue", TALKS);
    push(s, "queue", "exit 0");
    scene_await(s, LIMIT_MS, stat_of(s, "other", "done") == 200 && exec_done(s) == 2);
    scene_await(s, LIMIT_MS, exec_dead(s) == 1);
    json_t *letter = exec_letter(s); /* what it said last is kept all the same */
    assert_non_null(strstr(ctl_text(letter, "output"), "19999\n20000\n"));
    json_decref(letter);
    assert_int_equal(daemon_logged(s->daemon, "event=job-dead"), 0); /* there was no room */
    make_room();
    json_t *status = CTL_JSON(s, 0, "status");
    assert_in_range(ctl_number(status, "log_dropped"), 1, 1000000);
    json_decref(status);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(daemon_logged(s->daemon, "event=stopped"), 1);
    assert_int_equal(ask_int(s, "DEL rpopd:{queue}:dead"), 1);
    assert_string_equal(left_over(s), "");
}

/* Killed there, it comes back without room for its lock file, or says why not; with room it has all
 * that it held. */
static void without_room_for_its_lock_file_it_says_so(void **state)
{
    struct scene *s = *state;
    if (!*disk)
        skip();
    push_numbers(s, "queue", "600.", 0, 20);
    scene_start(s, ONE("sleep", ""));
    scene_await(s, LIMIT_MS, claimed(s, "queue") == 20);
    fill();
    daemon_kill(s->daemon);
    scene_again(s); /* its file is there */
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "recovered") == 20);
    daemon_kill(s->daemon);
    make_room();
    assert_int_equal(daemon_wait(s->daemon, 0), 128 + SIGKILL);
    (void)snprintf(s->runtime_dir, sizeof s->runtime_dir, "%s/new", disk);
    char *conf = scene_conf(s, "lease = 1.0; " ONE("sleep", "")); /* nothing else proves it dead */
    daemon_configure(s->daemon, conf);
    free(conf);
    fill();
    daemon_start(s->daemon);
    int code = daemon_wait(s->daemon, LIMIT_MS);
    print_message("# ended with %d\n", code);
    assert_true(code == 70 || code == 78);
    make_room();
    scene_again(s);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "recovered") == 2 * 20);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(held(s, "queue", "600.", 20).distinct, 20);
    assert_int_equal(ask_int(s, "LLEN queue"), 20);
}

int main(void)
{
#define ON(new, test) cmocka_unit_test_setup_teardown(test, new, free_disk)
    const struct CMUnitTest tests[] = {
        ON(new_that_syncs_each_second, without_room_for_its_log_redis_refuses_writes),
        ON(new_that_syncs_always, without_room_for_what_it_syncs_redis_ends),
        ON(new_on_disk, without_room_for_its_log_the_daemon_goes_on),
        ON(new_on_disk, without_room_for_its_lock_file_it_says_so),
    };
    return scene_run(tests);
}
