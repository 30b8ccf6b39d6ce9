#include "tests/e2e/scene.h"

#include <ftw.h>
#include <time.h>

#include "tests/e2e/proxy.h"

void scene_program(const char *path)
{
    char text[4096];
    const char *named = getenv("RPOPD");
    (void)snprintf(text, sizeof text, "%s", named ? named : "build/rpopd");
    (void)snprintf(strrchr(text, '/') + 1, 64, "%s", path);
    (void)setenv("RPOPD", text, 1);
}

int scene_new_with(void **state, const char *const *args)
{
    struct scene *s = calloc(1, sizeof *s);
    *state = s;
    if (!s)
        return -1;
    s->instance = "e2e";
    s->redis_more = "";
    (void)snprintf(s->folder, sizeof s->folder, "/tmp/rpopd-e2e.XXXXXX");
    if (!mkdtemp(s->folder))
        return -1;
    (void)snprintf(s->runtime_dir, sizeof s->runtime_dir, "%s/run", s->folder);
    s->redis = redis_server_start(false, args);
    if (!s->redis)
        return -1;
    (void)snprintf(s->url, sizeof s->url, "%s", redis_server_url(s->redis));
    s->daemon = daemon_new(s->folder, "rpopd");
    return 0;
}

int scene_new(void **state)
{
    return scene_new_with(state, NULL);
}

int scene_new_durable(void **state)
{
    return scene_new_with(
        state, (const char *const[]){"--appendonly", "yes", "--appendfsync", "always", NULL});
}

int scene_new_pair_with(void **state, const char *const *args)
{
    if (scene_new_with(state, args) < 0)
        return -1;
    struct scene *s = *state;
    (void)redis_server_stop(s->redis);
    s->redis = redis_server_start(true, args);
    s->other = redis_server_start(true, args);
    if (!s->redis || !s->other)
        return -1;
    s->proxy = proxy_new(s->folder, redis_server_socket(s->redis));
    (void)snprintf(s->url, sizeof s->url, "%s", proxy_url(s->proxy));
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
    (void)st, (void)flag, (void)f;
    return remove(path);
}

int scene_free(void **state)
{
    struct scene *s = *state;
    if (!s)
        return 0;
    daemon_free(s->daemon);
    daemon_free(s->second);
    proxy_free(s->proxy);
    redis_server_stop(s->redis);
    redis_server_stop(s->other);
    if (getenv("E2E_KEEP"))
        (void)fprintf(stderr, "kept: %s\n", s->folder);
    else
        (void)nftw(s->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(s);
    *state = NULL;
    return 0;
}

/* The daemon ------------------------------------------------------------------------------------
 */

char *scene_conf(const struct scene *s, const char *more)
{
    char *text = NULL;
    if (asprintf(&text,
                 "instance = \"%s\";\nruntime_dir = \"%s\";\nredis: { url = \"%s\"; %s };\n%s\n",
                 s->instance, s->runtime_dir, s->url, s->redis_more, more) < 0)
        fail_msg("no memory");
    return text;
}

char *scene_queues(unsigned n, const char *more)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    assert_non_null(f);
    (void)fprintf(f, "%s\nqueues = (" QUEUE("queue", "sleep", ""), more);
    for (unsigned i = 1; i < n; i++)
        (void)fprintf(f, ",\n{ name = \"q%u\"; handler: { type = \"sleep\"; }; }", i);
    (void)fputs(");\n", f);
    assert_int_equal(fclose(f), 0);
    return text;
}

static void configure(struct scene *s, const char *more)
{
    char *text = scene_conf(s, more);
    daemon_configure(s->daemon, text);
    free(text);
}

void scene_launch(struct scene *s, const char *more)
{
    configure(s, more);
    daemon_start(s->daemon);
}

static void owner_of(struct scene *s, const char *instance, char *ret_value, size_t size)
{
    const char *v = ask_text(s, "GET rpopd:{queue}:owner:%s", instance);
    (void)snprintf(ret_value, size, "%s", v ? v : "");
}

/* After a kill the owner key of the former life still stands there. */
static bool registered_since(struct scene *s, const char *instance, const char *before)
{
    char now[256];
    owner_of(s, instance, now, sizeof now);
    return now[0] && strcmp(now, before) != 0;
}

/* With the file as it is, until it is registered. */
static void start_anew(struct scene *s, struct daemon *d, const char *instance)
{
    char before[256];
    owner_of(s, instance, before, sizeof before);
    daemon_start(d);
    scene_await(s, LIMIT_MS, registered_since(s, instance, before) || !daemon_alive(d));
    scene_check(s, daemon_alive(d));
}

void scene_start(struct scene *s, const char *more)
{
    configure(s, more);
    start_anew(s, s->daemon, s->instance);
}

void scene_second(struct scene *s, const char *instance, const char *more)
{
    const char *first = s->instance;
    if (!s->second)
        s->second = daemon_new(s->folder, instance);
    s->instance = s->second_instance = instance;
    char *text = scene_conf(s, more);
    s->instance = first;
    daemon_configure(s->second, text);
    free(text);
    start_anew(s, s->second, instance);
}

void scene_again(struct scene *s)
{
    start_anew(s, s->daemon, s->instance);
}

void scene_fresh(struct scene *s)
{
    static const char *const outputs[] = {"out", "err"};
    assert_int_equal(ask_int(s, "FLUSHALL"), 1);
    s->daemon = daemon_free(s->daemon);
    for (unsigned i = 0; i < 2; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/rpopd.%s", s->folder, outputs[i]);
        (void)unlink(path);
    }
    s->daemon = daemon_new(s->folder, "rpopd");
}

#define LEFT "event=left-behind"

/* Told to give all back at once, it leaves to the next start what a slow machine did not confirm in
 * time, and says so. Then that start is made, and told the same. */
static int stop_wholly(struct scene *s, struct daemon *d, const char *instance, int sig,
                       int64_t limit_ms)
{
    unsigned left = daemon_logged(d, LEFT);
    int r = daemon_stop(d, sig, limit_ms);
    for (unsigned i = 0; !r && sig == SIGQUIT && i < 5 && daemon_logged(d, LEFT) > left; i++) {
        left = daemon_logged(d, LEFT);
        print_message("# %s left something behind: once more\n", instance);
        start_anew(s, d, instance);
        r = daemon_stop(d, sig, limit_ms);
    }
    return r;
}

void scene_stop_second(struct scene *s, int sig)
{
    assert_int_equal(stop_wholly(s, s->second, s->second_instance, sig, LIMIT_MS), 0);
}

void scene_stop(struct scene *s, int sig, int code, int64_t limit_ms)
{
    int r = stop_wholly(s, s->daemon, s->instance, sig, limit_ms);
    if (r == code)
        return;
    char what[96];
    (void)snprintf(what, sizeof what, "signal %d: ended with %d and not %d (%d: not in time)", sig,
                   r, code, -ETIMEDOUT);
    scene_fail(s, what, __FILE__, __LINE__);
}

/* Waiting, failing ------------------------------------------------------------------------------
 */

static void rest_ms(long ms)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

void scene_tick(void)
{
    rest_ms(5);
}

void scene_rest(int64_t since_ms)
{
    rest_ms(clock_now_ms() - since_ms < 250 ? 5 : 20);
}

/* What lies in Redis, for who reads the failure. */
static void show_keys(struct scene *s)
{
    static const char script[] = "local out = {} "
                                 "for _, k in ipairs(redis.call('KEYS', '*')) do "
                                 "  local t = redis.call('TYPE', k).ok "
                                 "  local n = t == 'list' and redis.call('LLEN', k) or t == 'zset' "
                                 "and redis.call('ZCARD', k) or '' "
                                 "  out[#out + 1] = k .. ' ' .. t .. ' ' .. n "
                                 "end "
                                 "return table.concat(out, '\\n')";
    const char *keys = redis_server_pid(s->redis) ? ask_text(s, "EVAL %s 0", script) : NULL;
    (void)fprintf(stderr, "keys:\n%s\n", keys ? keys : "Redis gives no answer");
}

static const char *tail_of(const char *text, size_t len)
{
    return len > 3000 ? text + len - 3000 : text;
}

void scene_fail(struct scene *s, const char *what, const char *file, int line)
{
    size_t len;
    const char *err = daemon_err(s->daemon, &len);
    bool alive = daemon_alive(s->daemon);
    (void)fprintf(stderr, "%s\nthe daemon %s; the end of its log:\n%s\n", what,
                  alive ? "lives" : "has ended", tail_of(err, len));
    if (s->second) {
        err = daemon_err(s->second, &len);
        (void)fprintf(stderr, "the end of the second's log:\n%s\n", tail_of(err, len));
    }
    show_keys(s);
    _fail(file, line);
    abort();
}

bool scene_long(void)
{
    return getenv("E2E_LONG") != NULL;
}

int scene_number(const char *name, int n)
{
    const char *text = getenv(name);
    return text ? atoi(text) : n;
}

unsigned scene_random(unsigned below)
{
    static unsigned seed; /* one sequence a program, so that SEED repeats it */
    if (!seed) {
        seed = (unsigned)scene_number("SEED", (int)(clock_now_ns() & 0xffffff)) | 1;
        print_message("# SEED=%u\n", seed);
    }
    return (unsigned)rand_r(&seed) % below;
}
