/* program_check.c - whether a queue's program can be started on this machine. */
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/text.h"
#include "worker/handler/environment.h"
#include "worker/handler/launch.h"
#include "worker/handler/program.h"
#include "worker/handler/program_path.h"

#define SHOWN_MAX 120

static const char *show(const char *text, char out[SHOWN_MAX])
{
    return text_quote(text, strlen(text), '"', out, SHOWN_MAX);
}

static int check_command(const struct conf_handler *h, struct err *e)
{
    char file[PATH_MAX], shown[SHOWN_MAX];
    size_t n;
    const char *name = h->command[0];
    const char **environment = environment_new(environ, h->env, 0, &n);
    if (!environment)
        return err_set(e, -ENOMEM, "no memory");
    (void)program_path_find(name, environment_get(environment, "PATH"), file);
    free(environment);
    if (!strchr(file, '/'))
        return err_set(e, -EINVAL,
                       "handler.command: %s is not in PATH, allowed is a program that is there",
                       show(name, shown));
    struct err why;
    if (program_path_check(file, h->cwd, &why) < 0)
        return err_set(e, -EINVAL, "handler.command: %s, allowed is a program that can be executed",
                       why.text);
    return 0;
}

static int check_cwd(const struct conf_handler *h, struct err *e)
{
    struct stat st;
    char shown[SHOWN_MAX];
    if (!*h->cwd || (stat(h->cwd, &st) == 0 && S_ISDIR(st.st_mode)))
        return 0;
    return err_set(e, -EINVAL, "handler.cwd: %s is no directory, allowed is one that is there",
                   show(h->cwd, shown));
}

static int check_user(const struct conf_handler *h, struct err *e)
{
    struct passwd room, *found = NULL;
    char text[4096], shown[SHOWN_MAX];
    if (!*h->user)
        return 0;
    (void)getpwnam_r(h->user, &room, text, sizeof text, &found);
    if (!found)
        return err_set(e, -EINVAL, "handler.user: there is no user %s, allowed is one that is",
                       show(h->user, shown));
    if (geteuid() != 0)
        return err_set(e, -EINVAL,
                       "handler.user: cannot become %s, allowed is a user where the daemon is "
                       "started as root",
                       show(h->user, shown));
    return 0;
}

static int check_launcher(const struct conf_handler *h, struct err *e)
{
    char path[PATH_MAX];
    const char *setting = launch_needed(h);
    if (!setting || launch_path(path) == 0)
        return 0;
    return err_set(e, -EINVAL, "%s: needs the program rpopd-exec, allowed is one at %s", setting,
                   path);
}

int program_check(const struct conf_queue *queue, struct err *e)
{
    const struct conf_handler *h = &queue->handler;
    int r = check_cwd(h, e);
    if (r == 0)
        r = check_user(h, e);
    if (r == 0)
        r = check_launcher(h, e);
    return r == 0 ? check_command(h, e) : r;
}
