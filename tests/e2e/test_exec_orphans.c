/* The handler exec: the end of all that a job has started, where no cgroup can be written: the
 * daemon runs in a mount namespace in which they are read-only. */
#include "tests/e2e/exec.h"

static const char script[] =
    "#!/bin/sh\n"
    "exec unshare --mount sh -c '\n"
    "  point=$(awk \"/ - cgroup2 /{ print \\$5; exit }\" /proc/self/mountinfo)\n"
    "  [ -z \"$point\" ] || mount -o remount,bind,ro \"$point\" || exit 99\n"
    "  exec \"$@\"' sh \"%s\" \"$@\"\n";

int main(void)
{
    char path[] = "/tmp/rpopd-e2e-ro.XXXXXX";
    const char *program = getenv("RPOPD");
    char *real = realpath(program ? program : "build/rpopd", NULL);
    int fd = mkstemp(path);
    if (geteuid() != 0 || !real || fd < 0) {
        print_message("1..0 # skipped: it takes root to make a mount namespace\n");
        (void)unlink(path);
        return 0;
    }
    (void)dprintf(fd, script, real);
    (void)fchmod(fd, 0755);
    (void)close(fd);
    (void)setenv("RPOPD", path, 1);
    int failed = exec_end_run();
    (void)unlink(path);
    free(real);
    return failed;
}
