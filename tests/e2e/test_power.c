/* Power loss: Redis' data lie on a file system that forgets, at one moment, whatever was not synced
 * to its disk (ext4's shutdown without its journal; the disk itself is one that keeps what it was
 * told to), and with it Redis and the daemon are gone, and what lay in /run. What was promised to
 * last by appendfsync lasts: with always, all that was confirmed; with everysec, all that was
 * synced. */
#include "tests/e2e/drain.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "tests/e2e/exec.h"

#define SHUTDOWN _IOR('X', 125, uint32_t) /* EXT4_IOC_SHUTDOWN */
#define WITHOUT_ITS_JOURNAL 2
#define SLOTS 20
#define CONF "lease = 1.5; concurrency = 20; " ONE("sleep", "max_recoveries = 1000000;")

/* The disk --------------------------------------------------------------------------------------
 */

static char disk[64]; /* <disk>/image, mounted at <disk>/at; "": there is none */

static bool run(const char *command)
{
    return system(command) == 0;
}

static bool mount_disk(void)
{
    return run(exec_text("mount -t ext4 -o loop %s/image %s/at", disk, disk));
}

static bool make_disk(void)
{
    (void)snprintf(disk, sizeof disk, "/tmp/rpopd-power.XXXXXX");
    if (mkdtemp(disk) && geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        run(exec_text("mkdir %s/at && truncate -s 64M %s/image && mke2fs -q -F -t ext4 %s/image",
                      disk, disk, disk)) &&
        mount_disk())
        return true;
    (void)run(exec_text("rm -rf %s", disk));
    disk[0] = '\0';
    return false;
}

static void sync_disk(void)
{
    int fd = open(exec_text("%s/at", disk), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(syncfs(fd), 0);
    (void)close(fd);
}

/* From here on nothing reaches it, and what is only in memory is forgotten. */
static void cut_disk(void)
{
    uint32_t how = WITHOUT_ITS_JOURNAL;
    int fd = open(exec_text("%s/at", disk), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ioctl(fd, SHUTDOWN, &how), 0);
    (void)close(fd);
}

static void mount_again(struct scene *s)
{
    const char *at = exec_text("%s/at", disk);
    scene_await(s, LIMIT_MS, umount(at) == 0);
    assert_true(mount_disk());
}

static void put(const char *name)
{
    FILE *f = fopen(exec_text("%s/at/%s", disk, name), "we");
    assert_non_null(f);
    (void)fputs("text", f);
    (void)fclose(f);
}

static bool kept(const char *name)
{
    struct stat st;
    return stat(exec_text("%s/at/%s", disk, name), &st) == 0 && st.st_size == 4;
}

/* A server whose directory lies on it, which is known from now on. */
static int scene_new_on_disk(void **state, const char *fsync)
{
    const char *args[] = {"--appendonly", "yes", "--appendfsync", fsync, NULL};
    if (!make_disk()) {
        print_message("no disk of its own for this user\n");
        return scene_new(state);
    }
    (void)setenv("TMPDIR", exec_text("%s/at", disk), 1);
    int r = scene_new_with(state, args);
    (void)unsetenv("TMPDIR");
    return r;
}

static int new_that_syncs_always(void **state)
{
    return scene_new_on_disk(state, "always");
}

static int new_that_syncs_each_second(void **state)
{
    return scene_new_on_disk(state, "everysec");
}

static int free_disk(void **state)
{
    int r = scene_free(state);
    if (*disk) {
        (void)umount2(exec_text("%s/at", disk), MNT_DETACH);
        (void)run(exec_text("rm -rf %s", disk));
    }
    *disk = '\0';
    return r;
}

/* The power -------------------------------------------------------------------------------------
 */

static bool is_stopped(pid_t pid)
{
    char path[64], state = '?';
    (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    (void)fscanf(f, "%*d (redis-server) %c", &state);
    (void)fclose(f);
    return state == 'T';
}

/* Redis confirms nothing behind the moment at which the disk goes. */
static void power_goes(struct scene *s)
{
    (void)redis_server_signal(s->redis, SIGSTOP);
    scene_await(s, LIMIT_MS, is_stopped(redis_server_pid(s->redis)));
    cut_disk();
    daemon_kill(s->daemon);
    redis_server_kill(s->redis);
    (void)run(exec_text("rm -rf %s", s->runtime_dir));
}

/* As an operator is told to, where a transaction was cut in two. */
static void mend(struct scene *s)
{
    if (!run(exec_text("grep -q Truncating %s/redis.log", redis_server_dir(s->redis))))
        return;
    print_message("# its log is written anew\n");
    (void)ask_text(s, "BGREWRITEAOF");
    scene_await(s, LIMIT_MS,
                strstr(ask_text(s, "INFO persistence"), "rewrite_in_progress:0") != NULL);
}

/* What Redis still knows to be in flight. */
static unsigned power_comes(struct scene *s)
{
    mount_again(s);
    assert_int_equal(redis_server_restart(s->redis, true), 0);
    mend(s);
    unsigned in_flight = (unsigned)claimed(s, "queue");
    scene_again(s);
    return in_flight;
}

/* Without this the tests below would show nothing. */
static void the_disk_forgets_what_was_not_synced(void **state)
{
    struct scene *s = *state;
    if (!*disk)
        skip();
    put("synced");
    sync_disk();
    put("unsynced");
    redis_server_kill(s->redis);
    cut_disk();
    mount_again(s);
    assert_true(kept("synced"));
    assert_false(kept("unsynced"));
}

static unsigned done(struct scene *s, unsigned jobs)
{
    return printed(s, "Done", DRAIN_PREFIX, jobs).total;
}

static void end_well(struct scene *s)
{
    scene_await(s, LIMIT_MS, ask_int(s, "LLEN queue") == 0 && claimed(s, "queue") == 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(stat_of(s, "queue", "dead"), 0);
    assert_string_equal(left_over(s), "");
}

/* Some are pushed at the very last moment. */
static void synced_always_nothing_confirmed_is_lost(void **state)
{
    struct scene *s = *state;
    const unsigned cuts = scene_long() ? 30 : 2;
    unsigned pushed = 0, doubles = 0;
    if (!*disk)
        skip();
    sync_disk();
    scene_start(s, CONF);
    for (unsigned i = 0; i < cuts; i++) {
        unsigned before = done(s, pushed);
        push_numbers(s, "queue", DRAIN_PREFIX, pushed, 300);
        pushed += 300;
        scene_await(s, LIMIT_MS, done(s, pushed) >= before + 100 + scene_random(50));
        for (unsigned n = 0; n < 5; n++)
            push_numbers(s, "queue", DRAIN_PREFIX, pushed++, 1);
        power_goes(s);
        doubles += power_comes(s);
        assert_true(doubles <= (i + 1) * SLOTS);
        struct fates f = fates(s, "queue", DRAIN_PREFIX, pushed);
        assert_int_equal(f.nowhere, 0);
    }
    scene_await(s, LIMIT_MS, printed(s, "Done", DRAIN_PREFIX, pushed).distinct == pushed);
    end_well(s);
    unsigned total = done(s, pushed);
    print_message("# %u power cuts, %u jobs, %u run again of %u in flight\n", cuts, pushed,
                  total - pushed, doubles);
    assert_in_range(total, pushed, pushed + doubles);
    assert_int_equal(stat_of(s, "queue", "done"), pushed);
}

#define EARLY 400 /* jobs before the last sync that is known of */
#define LATE 50

static void synced_each_second_what_was_synced_is_kept(void **state)
{
    struct scene *s = *state;
    const unsigned all = EARLY + LATE;
    if (!*disk)
        skip();
    sync_disk();
    drain_with(s, EARLY, "lease = 1.5; concurrency = 20;");
    drain_reach(s, 100);
    assert_int_equal(ask_int(s, "CONFIG SET appendfsync always"), 1);
    assert_int_equal(ask_int(s, "DEL none"), 0);
    assert_in_range(ask_int(s, "HSET rpopd:{queue}:stats mark 1"), 0, 1); /* all up to here */
    assert_int_equal(ask_int(s, "CONFIG SET appendfsync everysec"), 1);
    unsigned before = done(s, all);
    push_numbers(s, "queue", DRAIN_PREFIX, EARLY, LATE);
    scene_await(s, LIMIT_MS, done(s, all) >= before + 100);
    power_goes(s);
    unsigned after = done(s, all);
    (void)power_comes(s);
    scene_await(s, LIMIT_MS, printed(s, "Done", DRAIN_PREFIX, EARLY).distinct == EARLY);
    push(s, "queue", "0.001"); /* and it goes on */
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.001") == 1);
    end_well(s);
    struct tally t = printed(s, "Done", DRAIN_PREFIX, all);
    print_message("# %u of %d that were not synced are lost, %u of all run again\n",
                  all - t.distinct, LATE, t.total - 1 - t.distinct);
    assert_in_range(t.distinct, EARLY, all);
    assert_in_range(t.total - 1 - t.distinct, 0, after - before + 2 * SLOTS);
}

int main(void)
{
#define ON_DISK(new, test) cmocka_unit_test_setup_teardown(test, new, free_disk)
    const struct CMUnitTest tests[] = {
        ON_DISK(new_that_syncs_always, the_disk_forgets_what_was_not_synced),
        ON_DISK(new_that_syncs_always, synced_always_nothing_confirmed_is_lost),
        ON_DISK(new_that_syncs_each_second, synced_each_second_what_was_synced_is_kept),
    };
    return scene_run(tests);
}
