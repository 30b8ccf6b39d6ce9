/* rpopd-exec: sets for itself what posix_spawn cannot set for a child, and becomes the program. It
 * is started by rpopd alone (launch.h tells the words) and says on descriptor LAUNCH_PIPE why it
 * cannot. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/rlimit.h"
#include "worker/handler/launch.h"

#define EXIT_FAILED 127

static void fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn));

static void fail(int code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)dprintf(LAUNCH_PIPE, "%d ", code);
    (void)vdprintf(LAUNCH_PIPE, fmt, args);
    va_end(args);
    exit(EXIT_FAILED);
}

static void set_limit(const char *text)
{
    int resource;
    struct rlimit limit;
    struct err e;
    if (rlimit_parse(text, &resource, &limit, &e) < 0)
        fail(EINVAL, "handler.rlimits: %s", e.text);
    if (setrlimit((unsigned)resource, &limit) < 0)
        fail(errno, "cannot set the limit %s: %s", text, strerror(errno));
}

static void become(const char *name)
{
    const struct passwd *user = getpwnam(name);
    if (!user)
        fail(ENOENT, "there is no user '%s'", name);
    if (initgroups(name, user->pw_gid) < 0 || setgid(user->pw_gid) < 0 || setuid(user->pw_uid) < 0)
        fail(errno, "cannot become the user '%s': %s", name, strerror(errno));
}

static void set_nice(const char *text)
{
    errno = 0;
    if (nice((int)strtol(text, NULL, 10)) == -1 && errno)
        fail(errno, "cannot add %s to the nice value: %s", text, strerror(errno));
}

/* Where it cannot, what it starts is found by other means. */
static void join(const char *cgroup)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/cgroup.procs", cgroup);
    int fd = *cgroup ? open(path, O_WRONLY | O_CLOEXEC) : -1;
    if (fd >= 0)
        (void)!write(fd, "0", 1);
}

/* What needs rights comes before the user's are taken. */
static char **apply(int argc, char **argv)
{
    static const struct option options[] = {
        {"user", required_argument, NULL, 'u'},   {"umask", required_argument, NULL, 'm'},
        {"nice", required_argument, NULL, 'n'},   {"rlimit", required_argument, NULL, 'r'},
        {"no-new-privs", no_argument, NULL, 'p'}, {NULL, 0, NULL, 0}};
    const char *user = NULL;
    int no_new_privs = 0;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, "+", options, NULL)) != -1;)
        switch (c) {
        case 'u':
            user = optarg;
            break;
        case 'm':
            (void)umask((mode_t)strtoul(optarg, NULL, 8));
            break;
        case 'n':
            set_nice(optarg);
            break;
        case 'r':
            set_limit(optarg);
            break;
        case 'p':
            no_new_privs = 1;
            break;
        default:
            fail(EINVAL, "rpopd-exec does not know '%s'", argv[optind - 1]);
        }
    if (argc - optind < 3)
        fail(EINVAL, "rpopd-exec has no program to start");
    join(argv[optind]);
    if (user)
        become(user);
    if (no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        fail(errno, "cannot set no_new_privs: %s", strerror(errno));
    return argv + optind + 1;
}

int main(int argc, char **argv)
{
    if (fcntl(LAUNCH_PIPE, F_SETFD, FD_CLOEXEC) < 0 || argc < 2) {
        (void)fputs("rpopd-exec is started by rpopd alone\n", stderr);
        return 64;
    }
    char **words = apply(argc, argv);
    (void)execv(words[0], words + 1);
    fail(errno, "cannot start '%s': %s", words[1], strerror(errno));
}
