#include "tests/e2e/shaken.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "tests/e2e/scene.h"

struct shaken *shaken_new(struct daemon *d, const char *folder, const char *name)
{
    char path[160];
    (void)snprintf(path, sizeof path, "%s/%s.shaken", folder, name);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(struct shaken)) != 0)
        fail_msg("%s: %s", path, strerror(errno));
    struct shaken *k = mmap(NULL, sizeof(struct shaken), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (k == MAP_FAILED)
        fail_msg("%s: %s", path, strerror(errno));
    k->pace[0].times = 1;
    daemon_setenv(d, "RPOPD_SHAKEN", path);
    return k;
}

struct shaken *shaken_free(struct shaken *k)
{
    if (k)
        (void)munmap(k, sizeof *k);
    return NULL;
}

struct shaken *shaken;

int scene_new_shaken(void **state)
{
    if (scene_new_durable(state) < 0)
        return -1;
    struct scene *s = *state;
    shaken = shaken_new(s->daemon, s->folder, "e2e");
    return 0;
}

int scene_free_shaken(void **state)
{
    shaken = shaken_free(shaken);
    return scene_free(state);
}

void shaken_pace(struct shaken *k, int64_t times)
{
    int64_t real_ns = clock_now_ns();
    unsigned next = atomic_load(&k->now) + 1;
    k->pace[next % 64] = (struct shaken_pace){
        .ahead_ns = shaken_ahead_ns(k, real_ns), .since_ns = real_ns, .times = times};
    atomic_store(&k->now, next);
}

int64_t shaken_now_ms(const struct shaken *k)
{
    int64_t real_ns = clock_now_ns();
    return (real_ns + shaken_ahead_ns(k, real_ns)) / 1000000;
}
