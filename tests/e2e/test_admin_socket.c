/* The admin socket: whose it is, what may be said over it, and what is done about who says too much
 * or nothing. */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "tests/e2e/ctl.h"

#define TWO \
    "queues = (" QUEUE("queue", "sleep", "") ", " QUEUE("other", "null", "") "); workers = 2; "

static void the_socket_is_for_user_and_group(void **state)
{
    struct scene *s = *state;
    struct stat st;
    char path[160];
    scene_start(s, TWO);
    (void)snprintf(path, sizeof path, "%s/rpopd.sock", s->runtime_dir);
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0660);
    assert_int_equal(st.st_uid, geteuid());
}

static void a_dead_daemons_socket_is_replaced(void **state)
{
    struct scene *s = *state;
    scene_start(s, TWO);
    daemon_kill(s->daemon);
    char path[160];
    (void)snprintf(path, sizeof path, "%s/rpopd.sock", s->runtime_dir);
    assert_int_equal(access(path, F_OK), 0);
    ctl_refused(s, CTL(s, "status"), 69, path);
    scene_again(s);
    json_decref(CTL_JSON(s, 0, "status"));
}

static void configure_second(struct scene *s, const char *name)
{
    const char *first = s->instance;
    s->instance = name;
    s->second = daemon_new(s->folder, name);
    char *text = scene_conf(s, TWO);
    s->instance = first;
    daemon_configure(s->second, text);
    free(text);
}

static bool answers(struct scene *s, const char *instance)
{
    const struct ctl_run *r = CTL(s, "--json", "status");
    json_t *json = json_loads(r->out, 0, NULL);
    bool it = json && strcmp(ctl_text(json, "instance"), instance) == 0;
    json_decref(json);
    return it;
}

static void a_living_daemons_socket_is_not_taken(void **state)
{
    struct scene *s = *state;
    scene_start(s, TWO);
    configure_second(s, "later");
    daemon_start(s->second);
    scene_await(s, LIMIT_MS, daemon_logged(s->second, "another daemon listens there") == 1);
    assert_true(answers(s, "e2e"));
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    scene_await(s, LIMIT_MS, answers(s, "later")); /* it is tried again */
    assert_int_equal(daemon_logged(s->second, "another daemon listens there"), 1);
}

static void a_path_that_cannot_be_used_is_a_mistake(void **state)
{
    struct scene *s = *state;
    char more[400], file[128];
    (void)snprintf(file, sizeof file, "%s/file", s->folder);
    FILE *f = fopen(file, "we");
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
    (void)snprintf(more, sizeof more, TWO "admin: { socket = \"%s\"; }; ", file);
    scene_launch(s, more);
    assert_int_equal(daemon_wait(s->daemon, LIMIT_MS), 78);
    assert_int_equal(daemon_logged(s->daemon, "is there and is no socket"), 1);
    assert_int_equal(access(file, F_OK), 0);
    (void)snprintf(more, sizeof more, TWO "admin: { socket = \"%s/no/x\"; }; ", s->folder);
    scene_launch(s, more);
    assert_int_equal(daemon_wait(s->daemon, LIMIT_MS), 78);
    assert_int_equal(daemon_logged(s->daemon, "No such file"), 1);
    (void)snprintf(s->runtime_dir + strlen(s->runtime_dir),
                   sizeof s->runtime_dir - strlen(s->runtime_dir), "%050d", 0);
    (void)snprintf(more, sizeof more, "runtime_dir = \"%s/%050d\"; " TWO, s->runtime_dir, 0);
    daemon_configure(s->daemon, more);
    daemon_start(s->daemon);
    assert_int_equal(daemon_wait(s->daemon, LIMIT_MS), 78);
    assert_int_equal(daemon_logged(s->daemon, "allowed are 107: set admin.socket"), 1);
}

/* ---- strangers ---- */

static void garbage_is_refused_and_the_next_request_answered(void **state)
{
    struct scene *s = *state;
    scene_start(s, TWO);
    int fd = ctl_connect(s);
    ctl_say(fd, "\0\xff\n[]\n{\"command\":\"jobs\"}\n", 26);
    assert_non_null(strstr(ctl_hear(fd, LIMIT_MS), "\"ok\":false"));
    assert_non_null(strstr(ctl_hear(fd, LIMIT_MS), "no JSON object"));
    assert_string_equal(ctl_hear(fd, LIMIT_MS), "{\"ok\":true}");
    (void)close(fd);
}

static void a_line_without_an_end_is_refused(void **state)
{
    struct scene *s = *state;
    static char zeros[65536];
    scene_start(s, TWO);
    int fd = ctl_connect(s);
    memset(zeros, '0', sizeof zeros);
    for (int i = 0; i < 17; i++)
        if (send(fd, zeros, sizeof zeros, MSG_NOSIGNAL) < 0)
            break;
    assert_non_null(strstr(ctl_hear(fd, LIMIT_MS), "more than 1 MiB"));
    assert_true(ctl_is_cut(fd, LIMIT_MS));
    (void)close(fd);
    json_decref(CTL_JSON(s, 0, "status"));
}

/* As many as there is room for, all silent; was one more refused? (A slow machine may have cut the
 * first of them by then.) */
static bool crowd(struct scene *s)
{
    int fd[32];
    for (int i = 0; i < 32; i++)
        fd[i] = ctl_connect(s);
    ctl_say(fd[0], "{\"comm", 6);
    const struct ctl_run *r = CTL(s, "status");
    for (int i = 0; i < 32; i++) {
        scene_check(s, ctl_is_cut(fd[i], LIMIT_MS));
        (void)close(fd[i]);
    }
    return r->code == 1 && strstr(r->err, "too many clients");
}

static void who_hangs_is_cut_and_one_more_is_refused(void **state)
{
    struct scene *s = *state;
    scene_start(s, TWO);
    scene_await(s, LIMIT_MS, crowd(s));
    json_decref(CTL_JSON(s, 0, "status"));
}

static void who_does_not_read_is_cut(void **state)
{
    struct scene *s = *state;
    static const char request[] = "{\"command\":\"status\"}\n";
    const struct timeval limit = {.tv_sec = LIMIT_MS / 1000};
    ssize_t n;
    scene_start(s, TWO);
    int fd = ctl_connect(s);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit), 0);
    do /* blocks once nothing is read from it any more */
        n = send(fd, request, sizeof request - 1, MSG_NOSIGNAL);
    while (n > 0);
    assert_true(errno == EPIPE || errno == ECONNRESET);
    (void)close(fd);
    json_decref(CTL_JSON(s, 0, "status"));
}

static void many_clients_are_answered(void **state)
{
    struct scene *s = *state;
    static const char request[] = "{\"command\":\"jobs\"}\n";
    int fd[24];
    scene_start(s, TWO);
    for (int i = 0; i < 24; i++)
        fd[i] = ctl_connect(s);
    for (int i = 0; i < 24; i++)
        ctl_say(fd[i], request, sizeof request - 1);
    for (int i = 0; i < 24; i++) {
        assert_string_equal(ctl_hear(fd[i], LIMIT_MS), "{\"ok\":true}");
        (void)close(fd[i]);
    }
    for (int i = 0; i < 200; i++) { /* gone before it is answered */
        int one = ctl_connect(s);
        ctl_say(one, request, sizeof request - 1);
        (void)close(one);
    }
    scene_await(s, LIMIT_MS, answers(s, "e2e"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(the_socket_is_for_user_and_group),
        SCENE(a_dead_daemons_socket_is_replaced),
        SCENE(a_living_daemons_socket_is_not_taken),
        SCENE(a_path_that_cannot_be_used_is_a_mistake),
        SCENE(garbage_is_refused_and_the_next_request_answered),
        SCENE(a_line_without_an_end_is_refused),
        SCENE(who_hangs_is_cut_and_one_more_is_refused),
        SCENE(who_does_not_read_is_cut),
        SCENE(many_clients_are_answered),
    };
    return scene_run(tests);
}
