/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=asprintf */
/* The lock file: one daemon of a name on a host, and which runs are known to be dead. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/lock.h"
#include "tests/lib/oom.h"

#define DATABASE "unix:///run/redis.sock?db=0"

static char top[64], dir[80], path[512];

static int begin(void **state)
{
    (void)state;
    strcpy(top, "/tmp/rpopd-lock.XXXXXX");
    if (!mkdtemp(top))
        return -1;
    (void)snprintf(dir, sizeof dir, "%s/run", top);
    return 0;
}

static int remove_one(const char *name, const struct stat *st, int flag, struct FTW *f)
{
    (void)st, (void)flag, (void)f;
    return remove(name);
}

static int end(void **state)
{
    (void)state;
    return nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct lock *open_it(void)
{
    struct err e = {0};
    struct lock *l = lock_open(dir, "host", DATABASE, &e);
    if (!l)
        fail_msg("%d %s", e.code, e.text);
    return l;
}

static bool own(const struct lock *l, const char *run)
{
    return lock_is_own_run(l, run, strlen(run));
}

/* The path of the one file in the directory whose name ends like this; counts them. */
static int find_kind(const char *kind)
{
    int n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *f; d && (f = readdir(d));)
        if (f->d_name[0] != '.' && strstr(f->d_name, kind)) {
            (void)snprintf(path, sizeof path, "%s/%s", dir, f->d_name);
            n++;
        }
    if (d)
        (void)closedir(d);
    return n;
}

static int find_file(void)
{
    return find_kind(".lock");
}

static void write_file(const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static long file_size(void)
{
    struct stat st;
    return stat(path, &st) < 0 ? -1 : (long)st.st_size;
}

static void the_directory_is_made_for_its_owner_alone(void **state)
{
    (void)state;
    struct stat st;
    mode_t mask = umask(0);
    struct lock *l = open_it();
    (void)umask(mask);
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(find_file(), 1);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_memory_equal(path + strlen(dir), "/host-", 6);
    assert_null(lock_close(l));
    assert_null(lock_close(NULL));
}

static void a_run_is_64_bits_in_hex_and_each_is_another(void **state)
{
    (void)state;
    char first[RUN_MAX];
    struct lock *l = open_it();
    assert_int_equal(strlen(lock_run(l)), RUN_MAX - 1);
    assert_int_equal(strspn(lock_run(l), "0123456789abcdef"), RUN_MAX - 1);
    strcpy(first, lock_run(l));
    (void)lock_close(l);
    l = open_it();
    assert_string_not_equal(first, lock_run(l));
    (void)lock_close(l);
}

static void a_second_daemon_of_the_name_is_refused(void **state)
{
    (void)state;
    struct err e = {0};
    struct lock *l = open_it();
    assert_null(lock_open(dir, "host", DATABASE, &e));
    assert_int_equal(e.code, -EEXIST);
    assert_string_equal(e.text, "instance host is already running on this host");
    (void)lock_close(l);
    (void)lock_close(open_it());
}

static void another_name_or_database_has_a_lock_of_its_own(void **state)
{
    (void)state;
    struct err e;
    struct lock *a = open_it(), *b = lock_open(dir, "host2", DATABASE, &e),
                *c = lock_open(dir, "host", "unix:///run/redis.sock?db=1", &e);
    assert_non_null(b);
    assert_non_null(c);
    assert_int_equal(find_file(), 3);
    assert_false(own(a, lock_run(b)) || own(a, lock_run(c)) || own(b, lock_run(a)));
    (void)lock_close(a);
    (void)lock_close(b);
    (void)lock_close(c);
}

static void the_longest_instance_name_keeps_its_databases_apart(void **state)
{
    (void)state;
    char name[65];
    memset(name, 'i', 64);
    name[64] = '\0';
    struct err e;
    struct lock *a = lock_open(dir, name, "a", &e), *b = lock_open(dir, name, "b", &e);
    assert_non_null(a);
    assert_non_null(b);
    (void)lock_close(a);
    (void)lock_close(b);
}

static void runs_before_this_one_are_known_to_be_dead(void **state)
{
    (void)state;
    char runs[3][RUN_MAX];
    for (int i = 0; i < 3; i++) {
        struct lock *l = open_it();
        strcpy(runs[i], lock_run(l));
        for (int j = 0; j <= i; j++)
            assert_true(own(l, runs[j]));
        (void)lock_close(l);
    }
    assert_int_equal(find_file(), 1);
    assert_int_equal(file_size(), 3 * RUN_MAX);
}

static void only_a_whole_name_is_a_run(void **state)
{
    (void)state;
    struct lock *l = open_it();
    char longer[RUN_MAX + 1];
    (void)snprintf(longer, sizeof longer, "%s0", lock_run(l));
    assert_true(lock_is_own_run(l, longer, RUN_MAX - 1)); /* the front of an epoch's name */
    assert_false(lock_is_own_run(l, longer, RUN_MAX));
    assert_false(lock_is_own_run(l, lock_run(l), RUN_MAX - 2));
    assert_false(lock_is_own_run(l, "", 0));
    assert_false(own(l, "0123456789abcdef"));
    (void)lock_close(l);
}

static void dead_runs_are_forgotten_when_nothing_of_them_is_left(void **state)
{
    (void)state;
    char first[RUN_MAX], second[RUN_MAX];
    struct lock *l = open_it();
    strcpy(first, lock_run(l));
    (void)lock_close(l);
    l = open_it();
    strcpy(second, lock_run(l));
    assert_int_equal(lock_forget_dead(l), 0);
    assert_false(own(l, first));
    assert_true(own(l, second));
    assert_int_equal(find_file(), 1);
    assert_int_equal(file_size(), RUN_MAX);
    assert_int_equal(lock_forget_dead(l), 0);
    (void)lock_close(l);
    l = open_it();
    assert_false(own(l, first));
    assert_true(own(l, second));
    (void)lock_close(l);
}

static const char *note_of(const struct lock *l, const char *run)
{
    return lock_note(l, run, strlen(run));
}

static void a_crash_note_names_the_job_of_a_dead_run_until_that_is_forgotten(void **state)
{
    (void)state;
    struct lock *l = open_it();
    char run[RUN_MAX], line[80];
    strcpy(run, lock_run(l));
    (void)snprintf(line, sizeof line, "%s %s.1-7-3\n", run, run);
    assert_true(write(lock_note_fd(l), line, strlen(line)) > 0);
    assert_null(note_of(l, run)); /* its own */
    (void)lock_close(l);
    l = open_it();
    assert_string_equal(note_of(l, run) + RUN_MAX - 1, ".1-7-3");
    assert_null(note_of(l, lock_run(l)));
    assert_null(note_of(l, "0123456789abcdef"));
    assert_null(note_of(l, "0123"));
    assert_int_equal(lock_forget_dead(l), 0);
    assert_null(note_of(l, run));
    assert_int_equal(find_kind(".note"), 1);
    assert_true(file_size() > 0); /* to be written over, also at this moment */
    assert_true(pwrite(lock_note_fd(l), "x 1\n", 4, 0) > 0);
    (void)lock_close(l);
    l = open_it();
    assert_null(note_of(l, run));
    (void)lock_close(l);
}

static void what_is_no_note_names_nobody(void **state)
{
    (void)state;
    struct lock *l = open_it();
    char run[RUN_MAX], text[300];
    strcpy(run, lock_run(l));
    (void)lock_close(l);
    assert_int_equal(find_kind(".note"), 1);
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    const char *const texts[] = {"", "\n", run, text};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        write_file(texts[i]);
        l = open_it();
        assert_null(note_of(l, run));
        (void)lock_close(l);
        assert_int_equal(find_kind(".note"), 1);
    }
}

static void what_is_no_run_in_the_file_is_left_out(void **state)
{
    (void)state;
    (void)lock_close(open_it());
    assert_int_equal(find_file(), 1);
    write_file("0123456789abcdef\n\n0123456789ABCDEF\n0123456789abcde\n0123456789abcdef0\n"
               "fedcba9876543210\r\n/etc/passwd\n \nffffffffffffffff\n00000000");
    struct lock *l = open_it();
    assert_true(own(l, "0123456789abcdef"));
    assert_true(own(l, "ffffffffffffffff"));
    assert_false(own(l, "0123456789ABCDEF"));
    assert_false(own(l, "fedcba9876543210"));
    assert_int_equal(file_size(), 3 * RUN_MAX);
    (void)lock_close(l);
}

static void the_file_keeps_no_more_than_4096_dead_runs(void **state)
{
    (void)state;
    (void)lock_close(open_it());
    assert_int_equal(find_file(), 1);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < 10000; i++)
        assert_true(fprintf(f, "%016x\n", i) > 0);
    assert_int_equal(fclose(f), 0);
    struct lock *l = open_it();
    assert_true(own(l, "0000000000000000"));
    assert_true(own(l, "0000000000000fff"));
    assert_false(own(l, "0000000000001000"));
    assert_int_equal(file_size(), 4097 * RUN_MAX);
    (void)lock_close(l);
}

static void a_directory_that_others_may_write_is_refused(void **state)
{
    (void)state;
    static const mode_t modes[] = {0720, 0702, 01777};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        struct err e = {0};
        assert_true(mkdir(dir, 0700) == 0 || errno == EEXIST);
        assert_int_equal(chmod(dir, modes[i]), 0);
        assert_null(lock_open(dir, "host", DATABASE, &e));
        assert_int_equal(e.code, -EPERM);
        assert_non_null(strstr(e.text, "writable by nobody else"));
        assert_non_null(strstr(e.text, dir));
    }
    assert_int_equal(chmod(dir, 0755), 0);
    (void)lock_close(open_it());
}

static void a_directory_of_somebody_else_is_refused(void **state)
{
    (void)state;
    struct err e = {0};
    if (geteuid() != 0)
        skip();
    assert_int_equal(mkdir(dir, 0700), 0);
    assert_int_equal(chown(dir, 12345, (gid_t)-1), 0);
    assert_null(lock_open(dir, "host", DATABASE, &e));
    assert_int_equal(e.code, -EPERM);
    assert_non_null(strstr(e.text, "must belong to user 0"));
}

static void links_are_not_followed(void **state)
{
    (void)state;
    struct err e = {0};
    char other[96];
    (void)snprintf(other, sizeof other, "%s/other", top);
    assert_int_equal(mkdir(other, 0700), 0);
    assert_int_equal(symlink(other, dir), 0);
    assert_null(lock_open(dir, "host", DATABASE, &e));
    assert_true(e.code == -ENOTDIR || e.code == -ELOOP);
    assert_int_equal(unlink(dir), 0);

    (void)lock_close(open_it());
    assert_int_equal(find_file(), 1);
    assert_int_equal(unlink(path), 0);
    (void)snprintf(other, sizeof other, "%s/other/victim", top);
    assert_int_equal(symlink(other, path), 0);
    assert_null(lock_open(dir, "host", DATABASE, &e));
    assert_int_equal(e.code, -ELOOP);
    assert_int_equal(access(other, F_OK), -1);
}

static void a_directory_that_cannot_be_made_is_told_by_name(void **state)
{
    (void)state;
    struct err e = {0};
    assert_null(lock_open("/nowhere/at/all", "host", DATABASE, &e));
    assert_int_equal(e.code, -ENOENT);
    assert_string_equal(e.text,
                        "runtime_dir: cannot make '/nowhere/at/all': No such file or directory");
}

/* The disk is full: no run may be registered that the file does not name. */
static void a_file_that_takes_no_more_is_an_error(void **state)
{
    (void)state;
    struct err e = {0};
    struct rlimit before, none;
    (void)lock_close(open_it());
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    none = (struct rlimit){.rlim_cur = 20, .rlim_max = before.rlim_max};
    void (*old)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    struct lock *l = lock_open(dir, "host", DATABASE, &e);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, old);
    assert_null(l);
    assert_int_equal(e.code, -ENOSPC);
    assert_non_null(strstr(e.text, "cannot use the lock file"));
    (void)lock_close(open_it());
}

static void a_child_of_the_daemon_does_not_hold_the_lock(void **state)
{
    (void)state;
    struct lock *l = open_it();
    assert_int_equal(find_file(), 1);
    int flags = -1;
    for (int fd = 3; fd < 64 && flags < 0; fd++) {
        char link[64], target[512];
        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, target, sizeof target - 1);
        if (n > 0 && (target[n] = '\0', strcmp(target, path) == 0))
            flags = fcntl(fd, F_GETFD);
    }
    assert_int_equal(flags, FD_CLOEXEC);
    (void)lock_close(l);
}

static void without_memory_the_lock_is_free_again(void **state)
{
    (void)state;
    unsigned n = 0;
    for (;;) {
        struct err e = {0};
        oom_arm(++n);
        struct lock *l = lock_open(dir, "host", DATABASE, &e);
        if (!oom_disarm()) {
            assert_non_null(l);
            (void)lock_close(l);
            break;
        }
        assert_null(l);
        assert_int_equal(e.code, -ENOMEM);
        assert_string_not_equal(e.text, "");
    }
    assert_true(n > 2);
    struct lock *l = open_it();
    oom_arm(1);
    int r = lock_forget_dead(l);
    assert_true(oom_disarm());
    assert_int_equal(r, -ENOMEM);
    (void)lock_close(l);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_crash_note_names_the_job_of_a_dead_run_until_that_is_forgotten),
        TEST(what_is_no_note_names_nobody),
        TEST(the_directory_is_made_for_its_owner_alone),
        TEST(a_run_is_64_bits_in_hex_and_each_is_another),
        TEST(a_second_daemon_of_the_name_is_refused),
        TEST(another_name_or_database_has_a_lock_of_its_own),
        TEST(the_longest_instance_name_keeps_its_databases_apart),
        TEST(runs_before_this_one_are_known_to_be_dead),
        TEST(only_a_whole_name_is_a_run),
        TEST(dead_runs_are_forgotten_when_nothing_of_them_is_left),
        TEST(what_is_no_run_in_the_file_is_left_out),
        TEST(the_file_keeps_no_more_than_4096_dead_runs),
        TEST(a_directory_that_others_may_write_is_refused),
        TEST(a_directory_of_somebody_else_is_refused),
        TEST(links_are_not_followed),
        TEST(a_directory_that_cannot_be_made_is_told_by_name),
        TEST(a_file_that_takes_no_more_is_an_error),
        TEST(a_child_of_the_daemon_does_not_hold_the_lock),
        TEST(without_memory_the_lock_is_free_again),
    };
    return cmocka_run_group_tests_name("lock", tests, NULL, NULL);
}
