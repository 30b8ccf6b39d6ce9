#include "common/conf_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void conf_mistake(struct conf_source *s, unsigned line, const char *name, const char *fmt, ...)
{
    va_list args;
    if (s->mistakes < CONF_MISTAKES_SHOWN) {
        s->lines[s->mistakes] = line;
        (void)fprintf(s->errors, "%s:", s->file);
        if (line)
            (void)fprintf(s->errors, "%u:", line);
        (void)fprintf(s->errors, " %s: ", *name ? name : "syntax");
        va_start(args, fmt);
        (void)vfprintf(s->errors, fmt, args);
        va_end(args);
        (void)fputc('\n', s->errors);
    }
    s->mistakes++;
}

bool conf_scan_complained(const struct conf_source *s, unsigned line)
{
    for (unsigned i = 0; i < s->scan_mistakes && i < CONF_MISTAKES_SHOWN; i++)
        if (s->lines[i] == line)
            return true;
    return false;
}

int conf_source_end(struct conf_source *s)
{
    if (s->no_memory) {
        (void)fprintf(s->errors, "%s: no memory to read it\n", s->file);
        return -ENOMEM;
    }
    if (s->mistakes > CONF_MISTAKES_SHOWN)
        (void)fprintf(s->errors, "%s: %u more mistakes are not shown\n", s->file,
                      s->mistakes - CONF_MISTAKES_SHOWN);
    return s->mistakes ? -EINVAL : 0;
}

static const char *kind_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return "a directory";
    case S_IFIFO:
        return "a named pipe";
    case S_IFSOCK:
        return "a socket";
    default:
        return "a device";
    }
}

/* Up to `max` bytes into text[max + 1]; one byte more is -EFBIG. */
static int read_all(int fd, char *text, size_t max, size_t *ret_len, struct err *e)
{
    size_t n = 0;
    while (n <= max) {
        ssize_t r = read(fd, text + n, max + 1 - n);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return err_set(e, -errno, "cannot be read: %s", strerror(errno));
        if (r == 0) {
            text[n] = '\0';
            *ret_len = n;
            return 0;
        }
        n += (size_t)r;
    }
    return err_set(e, -EFBIG, "is longer than %zu bytes", max);
}

static int read_fd(int fd, size_t max, char **ret_text, size_t *ret_len, struct stat *st,
                   struct err *e)
{
    if (fstat(fd, st) < 0)
        return err_set(e, -errno, "cannot be read: %s", strerror(errno));
    if (!S_ISREG(st->st_mode))
        return err_set(e, -EINVAL, "is %s, not a file", kind_of(st->st_mode));
    char *text = malloc(max + 1);
    if (!text)
        return err_set(e, -ENOMEM, "no memory to read it");
    int r = read_all(fd, text, max, ret_len, e);
    if (r < 0) {
        explicit_bzero(text, max + 1);
        free(text);
        return r;
    }
    *ret_text = text;
    return 0;
}

int conf_read(const char *path, size_t max, char **ret_text, size_t *ret_len, struct stat *ret_stat,
              struct err *e)
{
    struct stat st;
    /* O_NONBLOCK: a named pipe without a writer would stop the start for ever. */
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 && errno == ENXIO)
        return err_set(e, -EINVAL, "is a socket or a device, not a file");
    if (fd < 0)
        return err_set(e, -errno, "cannot be opened: %s", strerror(errno));
    int r = read_fd(fd, max, ret_text, ret_len, &st, e);
    (void)close(fd);
    if (r == 0 && ret_stat)
        *ret_stat = st;
    return r;
}
