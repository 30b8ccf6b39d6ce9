#include "tests/e2e/load.h"

#include "tests/e2e/kinds.h"
#include "tests/e2e/web.h"

#define KINDS (NUL + 1)
#define QUEUES (2 * KINDS)
#define SLOTS 40
#define PREFIX "0.5" /* half a second and up to a fifth more: eight digits follow */
#define WAYS 4
#define NUMBERED 0 /* the queue of sleep */

/* About seven tenths of the slots are in use: the numbered jobs hold most of them. */
static const struct fare {
    const char *name, *good, *bad[WAYS];
    double a_second, bad_a_second;
} kinds[KINDS] = {
    [SLEEP] = {"sleep", NULL, {"no number", "600", "no number", "600"}, 40, 0.5},
    [EXEC] = {"exec", "good", {"fail", "crash", "hang", "stray"}, 3, 1},
    [HTTP] = {"http", "echo", {"cut", "loop", "hang", "status"}, 10, 1},
    [POOL] = {"pool", "ok job", {"exit 3", "signal 11", "hang", "babble"}, 10, 1},
    [PLUGIN] = {"plugin", "good", {"dead", "retry", "slow", "swallow"}, 20, 1},
    [BLOCKING] = {"blocking", "good", {"dead", "retry", "poll", "poll"}, 5, 0.5},
    [NUL] = {"null", "nothing", {NULL}, 60, 0},
};

struct load {
    struct scene *scene;
    unsigned long pushed[QUEUES]; /* of a kind: 2 * kind; and of those that fail: that and one */
    double due[QUEUES];
    int64_t fed_ms; /* 0: rests */
    FILE *out;
    unsigned char *runs; /* of each numbered job */
    unsigned long room;
};

static const char *queue_name(int queue)
{
    static char name[32];
    (void)snprintf(name, sizeof name, "%s%s", kinds[queue / 2].name, queue % 2 ? "-bad" : "");
    return name;
}

static bool is_used(int queue)
{
    return queue % 2 == 0 || kinds[queue / 2].bad_a_second > 0;
}

struct load *load_new(struct scene *s)
{
    struct load *l = calloc(1, sizeof *l);
    assert_non_null(l);
    l->scene = s;
    return l;
}

struct load *load_free(struct load *l)
{
    if (l && l->out)
        (void)fclose(l->out);
    if (l)
        free(l->runs);
    free(l);
    return NULL;
}

/* The configuration -----------------------------------------------------------------------------
 */

static const char script[] = "read x; case $x in fail) exit 1;; crash) kill -9 $$;; hang) sleep "
                             "600;; stray) (setsid sleep 600 &); exit 1;; esac";

/* What is to be done is tried for ever, what fails is given up soon. Few connections to the web
 * server are kept, so that they do not hide others. */
static void print_queue(FILE *f, int queue)
{
    (void)fprintf(f, "{ name = \"%s\"; %s handler: { ", queue_name(queue),
                  queue % 2 ? "attempts = 2; timeout = 0.5; concurrency = 4; dead_max = 100; "
                              "backoff: { base = 0.05; };"
                            : "attempts = 1000; backoff: { base = 0.05; max = 1.0; };");
    kind_print(f, (enum kind)(queue / 2), script, 2);
    (void)fprintf(f, " }; %s }", queue == 2 * HTTP ? "concurrency = 2;" : "");
}

char *load_conf(const struct load *l)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    (void)l;
    assert_non_null(f);
    (void)fprintf(f, "concurrency = %d; log: { level = \"error\"; }; queues = (", SLOTS);
    for (int i = 0; i < QUEUES; i++)
        if (is_used(i)) {
            (void)fputs(i ? ",\n" : "\n", f);
            print_queue(f, i);
        }
    (void)fputs(");\n", f);
    assert_int_equal(fclose(f), 0);
    return text;
}

/* Pushing ---------------------------------------------------------------------------------------
 */

/* `n` jobs; numbered ones go on where the last ended. All of them or none. */
static void feed_queue(struct load *l, int queue, unsigned n)
{
    static const char push_all[] =
        "for i = ARGV[2], ARGV[2] + ARGV[3] - 1 do "
        "redis.call('LPUSH', KEYS[1], string.format(ARGV[1], i)) end return 1";
    const struct fare *k = &kinds[queue / 2];
    const char *payload = queue == NUMBERED ? PREFIX "%08d"
                          : queue % 2       ? k->bad[l->pushed[queue] % WAYS]
                                            : k->good;
    if (ask_int(l->scene, "EVAL %s 1 %s %s %lu %u", push_all, queue_name(queue), payload,
                l->pushed[queue], n) != 1)
        return;
    l->pushed[queue] += n;
    l->due[queue] -= n;
}

void load_feed(struct load *l)
{
    int64_t now = clock_now_ms(), since = l->fed_ms ? now - l->fed_ms : 0;
    if (l->fed_ms && since < 100)
        return;
    l->fed_ms = now;
    for (int i = 0; i < QUEUES; i++) {
        const struct fare *k = &kinds[i / 2];
        l->due[i] += (i % 2 ? k->bad_a_second : k->a_second) * (double)since / 1000;
        if (l->due[i] >= 1) /* of those that fail each is another */
            feed_queue(l, i, i % 2 ? 1 : (unsigned)l->due[i]);
    }
}

void load_rest(struct load *l)
{
    l->fed_ms = 0;
}

void load_pause(struct load *l, unsigned ms)
{
    for (int i = 0; i < QUEUES; i++)
        if (is_used(i))
            (void)ask_int(l->scene, "SET rpopd:{%s}:paused load PX %u", queue_name(i), ms);
}

/* Counting --------------------------------------------------------------------------------------
 */

unsigned long load_jobs(const struct load *l)
{
    unsigned long n = 0;
    for (int i = 0; i < QUEUES; i++)
        n += l->pushed[i];
    return n;
}

static bool queue_is_over(struct load *l, int queue)
{
    return stat_of(l->scene, queue_name(queue), queue % 2 ? "dead" : "done") ==
           (long long)l->pushed[queue];
}

bool load_is_over(struct load *l)
{
    for (int i = 0; i < QUEUES; i++)
        if (is_used(i) && !queue_is_over(l, i))
            return false;
    return true;
}

const char *load_wrong(struct load *l)
{
    static char text[160];
    text[0] = '\0';
    for (int i = 0; i < QUEUES; i++)
        if (is_used(i) &&
            (!queue_is_over(l, i) || stat_of(l->scene, queue_name(i), i % 2 ? "done" : "dead") ||
             stat_of(l->scene, queue_name(i), "lost")))
            (void)snprintf(text, sizeof text, "%s: %lu pushed, %lld done, %lld dead, %lld lost",
                           queue_name(i), l->pushed[i], stat_of(l->scene, queue_name(i), "done"),
                           stat_of(l->scene, queue_name(i), "dead"),
                           stat_of(l->scene, queue_name(i), "lost"));
    return text;
}

static void count_run(struct load *l, unsigned long number)
{
    if (number >= l->room) {
        unsigned long room = number * 2 + 65536;
        l->runs = realloc(l->runs, room);
        assert_non_null(l->runs);
        memset(l->runs + l->room, 0, room - l->room);
        l->room = room;
    }
    if (l->runs[number] < UINT8_MAX)
        l->runs[number]++;
}

/* All lines that are complete. */
static void read_on(struct load *l)
{
    char path[128], line[512];
    unsigned long number;
    (void)snprintf(path, sizeof path, "%s/rpopd.out", l->scene->folder);
    if (!l->out)
        l->out = fopen(path, "re");
    assert_non_null(l->out);
    long at = ftell(l->out);
    clearerr(l->out);
    while (fgets(line, sizeof line, l->out) && strchr(line, '\n')) {
        if (sscanf(line, "Done " PREFIX "%8lu\n", &number) == 1)
            count_run(l, number);
        at = ftell(l->out);
    }
    (void)fseek(l->out, at, SEEK_SET);
}

struct load_runs load_runs(struct load *l)
{
    struct load_runs r = {0};
    read_on(l);
    const unsigned long pushed = l->pushed[NUMBERED];
    for (unsigned long i = 0; i < pushed; i++) {
        unsigned runs = i < l->room ? l->runs[i] : 0;
        r.none += runs == 0;
        r.again += runs > 1;
    }
    return r;
}
