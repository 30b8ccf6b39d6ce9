/* The rights that README.md asks for: with them everything works, and each of them is missed by
 * name. */
#include "tests/e2e/scene.h"

#include <sys/stat.h>

#define RIGHTS_MAX 128

struct rights {
    char text[4096]; /* the command of README.md, cut into words */
    const char *word[RIGHTS_MAX];
    unsigned n;
};

static void read_rights(struct rights *r)
{
    char page[65536];
    FILE *f = fopen("README.md", "re");
    assert_non_null(f);
    page[fread(page, 1, sizeof page - 1, f)] = 0;
    (void)fclose(f);
    const char *start = strstr(page, "ACL SETUSER rpopd"),
               *end = start ? strstr(start, "```") : NULL;
    assert_non_null(end);
    (void)snprintf(r->text, sizeof r->text, "%.*s", (int)(end - start), start);
    char *rest = r->text;
    for (char *w; (w = strsep(&rest, " \n\\")) && r->n < RIGHTS_MAX;)
        if (*w)
            r->word[r->n++] = w;
}

/* Gives the user all of them but one (`without` 0: all). */
static void grant(struct scene *s, const struct rights *r, unsigned without)
{
    char command[8192] = "ACL SETUSER rpopd reset ";
    for (unsigned i = 3; i < r->n; i++)
        if (i != without) {
            strcat(command, r->word[i]);
            strcat(command, " ");
        }
    assert_int_equal(ask_int(s, command), 1);
}

static void as_that_user(struct scene *s, char *ret_more, size_t size)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/password", s->folder);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs("secret\n", f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0600), 0);
    (void)snprintf(ret_more, size, "username = \"rpopd\"; password_file = \"%s\";", path);
    s->redis_more = ret_more;
}

static void await_jobs(struct scene *s, long long done, long long dead)
{
    scene_await(s, LIMIT_MS,
                stat_of(s, "queue", "done") == done && stat_of(s, "queue", "dead") == dead);
}

static void with_the_rights_of_the_readme_everything_works(void **state)
{
    struct scene *s = *state;
    struct rights r = {.n = 0};
    char more[256];
    read_rights(&r);
    grant(s, &r, 0);
    as_that_user(s, more, sizeof more);
    push_numbers(s, "queue", "0.00", 0, 300);
    push(s, "queue", "no number");
    scene_start(s, "concurrency = 7; lease = 1.5; shutdown_timeout = 0.1; " ONE(
                       "sleep", "max_payload = 20;"));
    push(s, "queue", "more than the twenty bytes that are allowed");
    await_jobs(s, 300, 2);
    push_numbers(s, "queue", "600.", 0,
                 9); /* taken back after a kill, over a paused queue, given back at the end */
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", 9).distinct == 7);
    daemon_kill(s->daemon);
    scene_again(s);
    scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", 9).total == 300 + 7 + 7);
    assert_int_equal(ask_int(s, "SET rpopd:{queue}:paused x"), 1);
    push(s, "queue", "0.5");
    (void)ask_int(s, "CLIENT KILL TYPE normal SKIPME yes");
    scene_await(s, LIMIT_MS, ask_int(s, "LLEN queue") == 3);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN queue"), 10);
    assert_int_equal(ask_int(s, "DEL queue rpopd:{queue}:paused"), 2);
    assert_int_equal(daemon_logged(s->daemon, "NOPERM"), 0);
    assert_string_equal(left_over(s), "");
}

static bool log_names(struct scene *s, const char *right)
{
    char word[64];
    (void)snprintf(word, sizeof word, "%s", right + 1);
    for (char *p = strchr(word, '|'); p; p = NULL)
        *p = 0;
    return strcasestr(daemon_err(s->daemon, NULL), word) != NULL;
}

/* A right that is not missed is not needed: then README.md asks for too much. */
static void each_right_is_missed_by_name_at_the_start(void **state)
{
    struct scene *s = *state;
    struct rights r = {.n = 0};
    char more[256];
    read_rights(&r);
    as_that_user(s, more, sizeof more);
    strcat(s->url, "?db=1"); /* so that SELECT is needed too */
    for (unsigned i = 3; i < r.n; i++) {
        if (r.word[i][0] != '+' || !strcmp(r.word[i], "+client|setname")) /* a name for people */
            continue;
        grant(s, &r, i);
        scene_launch(s, ONE("sleep", ""));
        int code = daemon_wait(s->daemon, LIMIT_MS);
        if (code != 78 || !log_names(s, r.word[i]))
            fail_msg("without %s: ended with %d; log:\n%s", r.word[i], code,
                     daemon_err(s->daemon, NULL));
    }
}

static void without_a_name_for_its_links_it_works(void **state)
{
    struct scene *s = *state;
    struct rights r = {.n = 0};
    char more[256];
    unsigned i = 3;
    read_rights(&r);
    while (i < r.n && strcmp(r.word[i], "+client|setname") != 0)
        i++;
    grant(s, &r, i);
    as_that_user(s, more, sizeof more);
    scene_start(s, ONE("sleep", ""));
    push(s, "queue", "0.01");
    await_jobs(s, 1, 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void other_keys_are_not_asked_for(void **state)
{
    struct scene *s = *state;
    struct rights r = {.n = 0};
    char more[256];
    read_rights(&r);
    grant(s, &r, 0);
    as_that_user(s, more, sizeof more);
    scene_launch(s, "queues = (" QUEUE("elsewhere", "sleep", "") ");");
    assert_int_equal(daemon_wait(s->daemon, LIMIT_MS), 78);
    assert_true(daemon_logged(s->daemon, "elsewhere") > 0);
}

static void so_are_the_lists_that_are_pushed_to(void **state)
{
    static const char *const settings[] = {"result: { list = \"mine\"; }; ",
                                           "on_success = \"mine\"; ", "on_failure = \"mine\"; ",
                                           "recoveries_to = \"mine\"; "};
    static const char *const names[] = {"result.list", "on_success", "on_failure", "recoveries_to"};
    struct scene *s = *state;
    struct rights r = {.n = 0};
    char more[256], conf[256], words[64];
    read_rights(&r);
    grant(s, &r, 0);
    as_that_user(s, more, sizeof more);
    for (unsigned i = 0; i < 4; i++) {
        (void)snprintf(conf, sizeof conf, "queues = (" QUEUE("queue", "sleep", "%s") ");",
                       settings[i]);
        scene_launch(s, conf);
        assert_int_equal(daemon_wait(s->daemon, LIMIT_MS), 78);
        (void)snprintf(words, sizeof words, "~mine (%s)", names[i]);
        assert_true(daemon_logged(s->daemon, words) > 0);
    }
    assert_int_equal(ask_int(s, "ACL SETUSER rpopd ~mine"), 1);
    scene_start(s, ONE("sleep", "on_success = \"mine\"; on_failure = \"mine\";"));
    push(s, "queue", "0.01");
    push(s, "queue", "no number");
    await_jobs(s, 1, 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN mine"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(with_the_rights_of_the_readme_everything_works),
        SCENE(each_right_is_missed_by_name_at_the_start),
        SCENE(without_a_name_for_its_links_it_works),
        SCENE(other_keys_are_not_asked_for),
        SCENE(so_are_the_lists_that_are_pushed_to),
    };
    return scene_run(tests);
}
