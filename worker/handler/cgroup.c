#include "worker/handler/cgroup.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"

#define LINE_ROOM 8192

struct cgroups {
    struct cgroup *idle, *spent; /* spent: to be removed once the kernel lets them go */
    char path[];                 /* rpopd-<pid> */
};

/* Where it is ------------------------------------------------------------------------------------
 */

/* The path behind `0::` in /proc/self/cgroup. */
static bool own_path(char *line, const char **ret_path)
{
    bool found = false;
    FILE *f = fopen("/proc/self/cgroup", "re");
    while (f && !found && fgets(line, LINE_ROOM, f))
        found = !strncmp(line, "0::/", 4);
    if (f)
        (void)fclose(f);
    line[strcspn(line, "\n")] = '\0';
    *ret_path = line + 3;
    return found;
}

/* The fourth and fifth field of the line of cgroup v2 in /proc/self/mountinfo: what is mounted, and
 * where. */
static bool mount_point(char *line, char **ret_root, char **ret_point)
{
    bool found = false;
    FILE *f = fopen("/proc/self/mountinfo", "re");
    while (f && !found && fgets(line, LINE_ROOM, f))
        found = strstr(line, " - cgroup2 ") != NULL;
    if (f)
        (void)fclose(f);
    char *rest = line;
    for (int i = 0; found && i < 3; i++)
        (void)strsep(&rest, " ");
    *ret_root = strsep(&rest, " ");
    *ret_point = strsep(&rest, " ");
    return found && *ret_point;
}

bool cgroups_root(char out[PATH_MAX])
{
    char own[LINE_ROOM], mounts[LINE_ROOM], *root, *point;
    const char *path;
    if (!own_path(own, &path) || !mount_point(mounts, &root, &point))
        return false;
    size_t n = strcmp(root, "/") ? strlen(root) : 0;
    if (strncmp(path, root, n) != 0 || (n > 0 && path[n] && path[n] != '/'))
        return false; /* it is not within what is mounted */
    path += n;
    return snprintf(out, PATH_MAX, "%s%s", point, strcmp(path, "/") ? path : "") < PATH_MAX;
}

/* Those of an owner -------------------------------------------------------------------------------
 */

static bool has_file(const char *directory, const char *name)
{
    char path[PATH_MAX];
    return snprintf(path, sizeof path, "%s/%s", directory, name) < PATH_MAX &&
           access(path, W_OK) == 0;
}

/* Its cgroups and itself, as far as they are empty. */
static void remove_all(const char *directory)
{
    char path[PATH_MAX];
    DIR *d = opendir(directory);
    for (const struct dirent *one; d && (one = readdir(d));)
        if (isdigit((unsigned char)one->d_name[0]) &&
            snprintf(path, sizeof path, "%s/%s", directory, one->d_name) < PATH_MAX)
            (void)rmdir(path);
    if (d)
        (void)closedir(d);
    (void)rmdir(directory);
}

static void remove_stale(const char *root)
{
    char path[PATH_MAX];
    DIR *d = opendir(root);
    for (const struct dirent *one; d && (one = readdir(d));) {
        pid_t pid = 0;
        if (sscanf(one->d_name, "rpopd-%d", &pid) == 1 && pid > 0 && kill(pid, 0) < 0 &&
            errno == ESRCH && snprintf(path, sizeof path, "%s/rpopd-%d", root, pid) < PATH_MAX)
            remove_all(path);
    }
    if (d)
        (void)closedir(d);
}

struct cgroups *cgroups_new(const char *root)
{
    size_t room = strlen(root) + 32;
    struct cgroups *c = calloc(1, sizeof *c + room);
    if (!c)
        return NULL;
    remove_stale(root);
    (void)snprintf(c->path, room, "%s/rpopd-%d", root, getpid());
    bool made = mkdir(c->path, 0755) == 0 || errno == EEXIST;
    if (made && has_file(c->path, "cgroup.kill") && has_file(c->path, "cgroup.procs"))
        return c;
    return cgroups_free(c);
}

static void forget(struct cgroup *one)
{
    if (one->directory >= 0)
        (void)close(one->directory);
    if (one->members >= 0)
        (void)close(one->members);
    free(one);
}

struct cgroups *cgroups_free(struct cgroups *c)
{
    if (!c)
        return NULL;
    for (struct cgroup *one; (one = c->idle ? c->idle : c->spent);) {
        *(c->idle ? &c->idle : &c->spent) = one->next;
        (void)rmdir(one->path);
        forget(one);
    }
    (void)rmdir(c->path); /* the last owner's succeeds */
    free(c);
    return NULL;
}

/* One ---------------------------------------------------------------------------------------------
 */

static bool make(const struct cgroups *c, const struct cgroup *one)
{
    bool made = mkdir(one->path, 0755) == 0;
    if (!made && errno == ENOENT) /* another owner, who was the last for a moment, took it away */
        made = (mkdir(c->path, 0755) == 0 || errno == EEXIST) && mkdir(one->path, 0755) == 0;
    return made;
}

static bool open_it(struct cgroup *one)
{
    one->directory = open(one->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (one->directory >= 0)
        one->members = openat(one->directory, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    return one->members >= 0;
}

static int new_one(struct cgroups *c, struct cgroup **ret_one)
{
    static atomic_uint number; /* of any owner in this process */
    size_t room = strlen(c->path) + 16;
    struct cgroup *one = calloc(1, sizeof *one + room);
    if (!one)
        return -ENOMEM;
    one->directory = one->members = -1;
    (void)snprintf(one->path, room, "%s/%u", c->path, atomic_fetch_add(&number, 1));
    bool made = make(c, one);
    int code = 0;
    if (made && open_it(one)) {
        *ret_one = one;
        return 0;
    }
    if (made) {
        code = err_is_shortage(-errno) ? -errno : 0;
        (void)rmdir(one->path);
    }
    forget(one);
    return code;
}

int cgroup_take(struct cgroups *c, struct cgroup **ret_one)
{
    *ret_one = c ? c->idle : NULL;
    if (!c)
        return 0;
    if (!*ret_one)
        return new_one(c, ret_one);
    c->idle = (*ret_one)->next;
    return 0;
}

static void remove_spent(struct cgroups *c)
{
    for (struct cgroup **at = &c->spent, *one; (one = *at);) {
        if (rmdir(one->path) < 0 && errno == EBUSY) {
            at = &one->next;
            continue;
        }
        *at = one->next;
        forget(one);
    }
}

void cgroup_give(struct cgroups *c, struct cgroup *one)
{
    if (!one)
        return;
    if (!c) {
        (void)rmdir(one->path);
        forget(one);
        return;
    }
    struct cgroup **to = one->killed ? &c->spent : &c->idle;
    one->next = *to;
    *to = one;
    remove_spent(c);
}

bool cgroup_kill(struct cgroup *one)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/cgroup.kill", one->path);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    one->killed = true;
    bool told = fd >= 0 && write(fd, "1", 1) == 1;
    if (fd >= 0)
        (void)close(fd);
    return told;
}
