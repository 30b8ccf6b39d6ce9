/* Many daemons at one list: each has its part, and what the dead ones held is done by the others.
 */
#include "tests/e2e/scene.h"

#define FLEET_MAX 200
#define CONF "workers = 1; lease = 3.0; concurrency = 4; " ONE("sleep", "")
#define PREFIX "0.050"
#define JOBS_EACH 40

struct fleet {
    struct scene *scene;
    unsigned n;
    struct daemon *at[FLEET_MAX];
};

static const char *name_of(unsigned i)
{
    static char name[16];
    (void)snprintf(name, sizeof name, "d%u", i);
    return name;
}

static void launch(struct fleet *f, unsigned i)
{
    const char *name = name_of(i);
    f->scene->instance = name;
    char *text = scene_conf(f->scene, CONF);
    f->at[i] = daemon_new(f->scene->folder, name);
    daemon_configure(f->at[i], text);
    free(text);
    daemon_start(f->at[i]);
}

static unsigned at_work(const struct fleet *f)
{
    unsigned n = 0;
    for (unsigned i = 0; i < f->n; i++)
        n += strstr(daemon_out(f->at[i], NULL), "Waiting ") != NULL;
    return n;
}

/* Half of them, at once as far as that goes. Returns how many jobs they held then. */
static unsigned kill_half(struct fleet *f)
{
    for (unsigned i = 0; i < f->n; i += 2)
        daemon_signal(f->at[i], SIGKILL);
    for (unsigned i = 0; i < f->n; i += 2)
        daemon_kill(f->at[i]);
    unsigned n = 0;
    for (unsigned i = 0; i < f->n; i += 2)
        n += (unsigned)claimed_by(f->scene, "queue", name_of(i));
    return n;
}

static bool drained(const struct fleet *f, unsigned jobs)
{
    return claimed(f->scene, "queue") == 0 &&
           printed_by_all(f->at, f->n, "Done", PREFIX, jobs).distinct == jobs;
}

static void many_share_one_list_and_half_of_them_die(void **state)
{
    struct fleet f = {.scene = *state, .n = scene_long() ? FLEET_MAX : 12};
    unsigned jobs = JOBS_EACH * f.n;
    for (unsigned i = 0; i < f.n; i++)
        launch(&f, i);
    scene_await(f.scene, LIMIT_MS, ask_int(f.scene, "ZCARD rpopd:{queue}:owners") == f.n);
    push_numbers(f.scene, "queue", PREFIX, 0, jobs);
    scene_await(f.scene, LIMIT_MS, at_work(&f) == f.n);
    unsigned doubles = kill_half(&f);
    scene_await(f.scene, 2 * LIMIT_MS, drained(&f, jobs));
    for (unsigned i = 1; i < f.n; i += 2)
        scene_check(f.scene, daemon_stop(f.at[i], SIGTERM, LIMIT_MS) == 0);
    struct tally done = printed_by_all(f.at, f.n, "Done", PREFIX, jobs);
    print_message("# %u daemons, %u jobs, %u run again of %u\n", f.n, jobs,
                  done.total - done.distinct, doubles);
    assert_in_range(done.total, jobs, jobs + doubles);
    assert_int_equal(stat_of(f.scene, "queue", "done"), jobs);
    assert_string_equal(left_over(f.scene), "");
    for (unsigned i = 0; i < f.n; i++)
        f.at[i] = daemon_free(f.at[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {SCENE(many_share_one_list_and_half_of_them_die)};
    return scene_run(tests);
}
