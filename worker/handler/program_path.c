#include "worker/handler/program_path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/text.h"

#define SYSTEM_PATH "/usr/local/bin:/usr/bin:/bin"
#define FIRST_LINE_MAX 256 /* what the kernel reads of it */
#define SHOWN_MAX 120

static bool is_executable(const char *file)
{
    struct stat st;
    return stat(file, &st) == 0 && S_ISREG(st.st_mode) && access(file, X_OK) == 0;
}

const char *program_path_find(const char *name, const char *path, char out[PATH_MAX])
{
    const char *at = path ? path : SYSTEM_PATH;
    for (bool more = !strchr(name, '/'); more;) {
        size_t n = strcspn(at, ":");
        int len = snprintf(out, PATH_MAX, "%.*s%s%s", (int)n, at, n ? "/" : "./", name);
        if (len < PATH_MAX && is_executable(out))
            return out;
        more = at[n] == ':';
        at += n + more;
    }
    (void)snprintf(out, PATH_MAX, "%s", name);
    return out;
}

static const char *show(const char *text, char out[SHOWN_MAX])
{
    return text_quote(text, strlen(text), '"', out, SHOWN_MAX);
}

/* The interpreter of `#! /path argument`; "" without one. */
static const char *interpreter_of(const char *file, char line[FIRST_LINE_MAX + 1])
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, line, FIRST_LINE_MAX);
    if (fd >= 0)
        (void)close(fd);
    line[n < 0 ? 0 : n] = '\0';
    if (strncmp(line, "#!", 2) != 0)
        return "";
    char *at = line + 2 + strspn(line + 2, " \t");
    at[strcspn(at, " \t\n")] = '\0';
    return at;
}

int program_path_check(const char *file, const char *cwd, struct err *e)
{
    char whole[PATH_MAX], line[FIRST_LINE_MAX + 1], shown[SHOWN_MAX], interpreter[SHOWN_MAX];
    struct stat st;
    bool below = *file != '/' && *cwd;
    int n = snprintf(whole, sizeof whole, "%s%s%s", below ? cwd : "", below ? "/" : "", file);
    if (n >= PATH_MAX)
        return err_set(e, -ENAMETOOLONG, "%s is too long a path", show(file, shown));
    if (stat(whole, &st) < 0)
        return err_set(e, -errno, "%s: %s", show(file, shown), strerror(errno));
    if (!S_ISREG(st.st_mode))
        return err_set(e, -EACCES, "%s is no file", show(file, shown));
    if (access(whole, X_OK) < 0)
        return err_set(e, -errno, "%s must not be executed: %s", show(file, shown),
                       strerror(errno));
    const char *by = interpreter_of(whole, line);
    if (*by && !is_executable(by))
        return err_set(e, -ENOENT, "the interpreter %s of %s is not there", show(by, interpreter),
                       show(file, shown));
    return 0;
}
