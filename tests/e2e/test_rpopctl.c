/* rpopctl: status, jobs, cancel, in text and JSON, and what goes wrong. */
#include "tests/e2e/ctl.h"

#define TWO \
    "queues = (" QUEUE("queue", "sleep", "") ", " QUEUE("other", "null", "") "); workers = 2; "

static void start_paused(struct scene *s, const char *more)
{
    (void)ask_text(s, "SET rpopd:{queue}:paused %s", "just so");
    scene_start(s, more);
}

static json_t *jobs_of(struct scene *s)
{
    return CTL_JSON(s, 0, "jobs");
}

static size_t jobs_in_state(struct scene *s, const char *state)
{
    size_t n = 0;
    json_t *jobs = jobs_of(s);
    for (size_t i = 0; i < json_array_size(jobs); i++)
        n += strcmp(ctl_text(json_array_get(jobs, i), "state"), state) == 0;
    json_decref(jobs);
    return n;
}

/* -1: none. */
static long long process_of(struct scene *s, const char *queue)
{
    json_t *jobs = jobs_of(s);
    long long pid = ctl_number(ctl_find(jobs, "queue", queue), "pid");
    json_decref(jobs);
    return pid;
}

/* ---- status ---- */

static void status_tells_what_lies_where(void **state)
{
    struct scene *s = *state;
    start_paused(s, TWO);
    (void)ask_int(s, "LPUSH queue a b c");
    (void)ask_int(s, "ZADD rpopd:{queue}:retry 9999999999999 a 9999999999999 b");
    (void)ask_int(s, "ZADD rpopd:{queue}:delayed 9999999999 a");
    (void)ask_int(s, "ZADD rpopd:{queue}:dead 1 a");
    (void)ask_int(s, "HSET rpopd:{queue}:stats done 7 lost 2 other 5");
    json_t *json = CTL_JSON(s, 0, "status");
    assert_string_equal(ctl_text(json, "instance"), "e2e");
    assert_string_equal(ctl_text(json, "life"), "running");
    assert_int_equal(ctl_number(json, "pid"), daemon_pid(s->daemon));
    assert_int_equal(json_array_size(json_object_get(json, "workers")), 2);
    const json_t *redis = json_object_get(json, "redis");
    assert_true(json_is_true(json_object_get(redis, "up")));
    assert_true(json_is_real(json_object_get(redis, "rtt_ms")));
    const json_t *queues = json_object_get(json, "queues"), *q = ctl_find(queues, "queue", "queue");
    assert_int_equal(json_array_size(queues), 2);
    assert_int_equal(ctl_number(q, "depth"), 3);
    assert_int_equal(ctl_number(q, "retry"), 2);
    assert_int_equal(ctl_number(q, "delayed"), 1);
    assert_int_equal(ctl_number(q, "dead"), 1);
    assert_true(json_is_true(json_object_get(q, "paused")));
    assert_string_equal(ctl_text(q, "reason"), "just so");
    assert_int_equal(ctl_number(json_object_get(q, "stats"), "done"), 7);
    assert_int_equal(ctl_number(json_object_get(q, "stats"), "lost"), 2);
    assert_int_equal(ctl_number(json_object_get(q, "stats"), "cancelled"), 0);
    assert_true(json_is_false(json_object_get(ctl_find(queues, "queue", "other"), "paused")));
    json_decref(json);
    const struct ctl_run *r = CTL(s, "status");
    assert_int_equal(r->code, 0);
    assert_non_null(strstr(r->out, "paused: just so"));
    assert_string_equal(r->err, "");
}

static void status_counts_what_became_of_jobs_since_the_start(void **state)
{
    struct scene *s = *state;
    scene_start(s, ONE("sleep", "timeout = 0.05; attempts = 2; backoff: { base = 0.01; };"));
    push(s, "queue", "0.001");
    push(s, "queue", "600");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 1 && stat_of(s, "queue", "done") == 1);
    scene_await(s, LIMIT_MS,
                strstr(CTL(s, "status")->out, "jobs     1 done, 1 retried, 1 dead, 0 cancelled, 0 "
                                              "lost since the start\n"));
    json_t *json = CTL_JSON(s, 0, "status");
    const json_t *since = json_object_get(json, "since_start");
    assert_int_equal(ctl_number(since, "retried"), 1);
    assert_int_equal(ctl_number(since, "cancelled"), 0);
    json_decref(json);
}

static bool redis_is_down(struct scene *s)
{
    json_t *json = CTL_JSON(s, 0, "status");
    const json_t *redis = json_object_get(json, "redis");
    const json_t *q = json_array_get(json_object_get(json, "queues"), 0);
    bool down = json_is_false(json_object_get(redis, "up")) && *ctl_text(redis, "error") &&
                json_is_null(json_object_get(q, "depth")) &&
                json_is_null(json_object_get(redis, "rtt_ms"));
    json_decref(json);
    return down;
}

static void status_is_told_without_redis_too(void **state)
{
    struct scene *s = *state;
    scene_start(s, TWO);
    redis_server_kill(s->redis);
    scene_await(s, LIMIT_MS, redis_is_down(s));
    assert_non_null(strstr(CTL(s, "status")->out, " down, "));
}

static void status_does_not_wait_for_a_redis_that_hangs(void **state)
{
    struct scene *s = *state;
    scene_start(s, TWO);
    assert_int_equal(redis_server_signal(s->redis, SIGSTOP), 0);
    json_t *json = CTL_JSON(s, 0, "status");
    assert_true(json_is_null(json_object_get(json_object_get(json, "redis"), "rtt_ms")));
    json_decref(json);
    assert_int_equal(redis_server_signal(s->redis, SIGCONT), 0);
}

/* Of two bytes each, behind none or one of one byte. */
static void a_long_reason_is_cut_between_characters(void **state)
{
    static const char *const begins[] = {"", "x"};
    struct scene *s = *state;
    char reason[304];
    scene_start(s, TWO);
    for (int shift = 0; shift < 2; shift++) {
        (void)strcpy(reason, begins[shift]);
        for (int i = 0; i < 150; i++)
            (void)strcat(reason, "\xc3\xa9");
        (void)ask_text(s, "SET rpopd:{queue}:paused %s", reason);
        json_t *json = CTL_JSON(s, 0, "status");
        const json_t *q = ctl_find(json_object_get(json, "queues"), "queue", "queue");
        const char *told = ctl_text(q, "reason");
        assert_in_range(strlen(told), 195, 200);
        assert_string_equal(told + strlen(told) - 5, "\xc3\xa9...");
        json_decref(json);
    }
}

static void a_key_of_another_type_is_told_in_its_row(void **state)
{
    struct scene *s = *state;
    scene_start(s, TWO);
    (void)ask_int(s, "SADD rpopd:{other}:dead x");
    json_t *json = CTL_JSON(s, 0, "status");
    const json_t *queues = json_object_get(json, "queues");
    assert_non_null(strstr(ctl_text(ctl_find(queues, "queue", "other"), "error"), "WRONGTYPE"));
    assert_int_equal(ctl_number(ctl_find(queues, "queue", "queue"), "depth"), 0);
    json_decref(json);
}

static void a_thousand_queues_are_told_at_once(void **state)
{
    struct scene *s = *state;
    size_t size = 200000, len = 0;
    char *text = malloc(size);
    assert_non_null(text);
    for (int i = 0; i < 1000; i++)
        len += (size_t)snprintf(text + len, size - len,
                                "%s{ name = \"%s%03d\"; handler: { type = \"null\"; }; }",
                                i ? ", " : "queues = (", i ? "q" : "queue", i);
    (void)snprintf(text + len, size - len, ");");
    scene_launch(s, text);
    free(text);
    scene_await(s, LIMIT_MS, redis_server_integer(s->redis, "EXISTS rpopd:{q999}:owner:e2e") == 1);
    (void)ask_int(s, "RPUSH rpopd:{q500}:dead x"); /* of another type: its row alone says so */
    json_t *json = CTL_JSON(s, 0, "status");
    const json_t *queues = json_object_get(json, "queues");
    assert_int_equal(json_array_size(queues), 1000);
    assert_int_equal(ctl_number(ctl_find(queues, "queue", "q999"), "depth"), 0);
    assert_int_equal(ctl_number(ctl_find(queues, "queue", "q500"), "depth"), -1);
    json_decref(json);
}

/* ---- jobs, cancel, USR1 ---- */

static void jobs_are_listed_and_one_is_cancelled(void **state)
{
    struct scene *s = *state;
    char id[128];
    scene_start(s, "concurrency = 1; " ONE("sleep", "concurrency = 1; "));
    push(s, "queue", "86400");
    scene_await(s, LIMIT_MS, jobs_in_state(s, "running") == 1);
    push(s, "queue", "0.001");
    json_t *jobs = jobs_of(s);
    const json_t *j = json_array_get(jobs, 0);
    assert_int_equal(json_array_size(jobs), 1); /* the other one is not claimed: no slot is free */
    assert_string_equal(ctl_text(j, "queue"), "queue");
    assert_string_equal(ctl_text(j, "handler"), "sleep");
    assert_int_equal(ctl_number(j, "worker"), 0);
    assert_int_equal(ctl_number(j, "attempt"), 1);
    assert_int_equal(ctl_number(j, "payload_bytes"), 5);
    assert_true(ctl_number(j, "age_ms") >= 0);
    (void)snprintf(id, sizeof id, "%s", ctl_text(j, "id"));
    json_decref(jobs);
    assert_non_null(strstr(CTL(s, "jobs")->out, id));

    json_t *said = CTL_JSON(s, 0, "cancel", id);
    assert_string_equal(ctl_text(said, "id"), id);
    assert_string_equal(ctl_text(said, "state"), "running");
    json_decref(said);
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.001") == 1); /* its slot is free */
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "cancelled") == 1);
    const char *record = ask_text(s, "EVAL %s 1 rpopd:{queue}:dead",
                                  "return redis.call('ZRANGE', KEYS[1], 0, 0)[1]");
    assert_ptr_equal(strstr(record, id), record);
    assert_non_null(strstr(record, "cancelled"));
    assert_non_null(strstr(record, "\n86400"));
    assert_int_equal(stat_of(s, "queue", "dead"), 0);
    ctl_refused(s, CTL(s, "cancel", id), 1, id);
}

static void the_process_of_a_job_is_told(void **state)
{
    static const char *const queues[] = {"queue", "pool", "other"};
    struct scene *s = *state;
    scene_start(s, "queues = ({ name = \"queue\"; handler: { type = \"exec\"; command = [ "
                   "\"/bin/sleep\", \"600\" ]; }; }, { name = \"pool\"; handler: { type = "
                   "\"pool\"; command = [ \"/bin/sh\", \"-c\", \"read l; sleep 600\" ]; }; "
                   "}, " QUEUE("other", "sleep", "") ");");
    for (int i = 0; i < 3; i++) {
        push(s, queues[i], "600");
        scene_await(s, LIMIT_MS, jobs_in_state(s, "running") == (size_t)i + 1);
    }
    scene_await(s, LIMIT_MS, process_of(s, "queue") > 0 && process_of(s, "pool") > 0);
    assert_int_equal(kill((pid_t)process_of(s, "queue"), 0), 0);
    assert_int_equal(kill((pid_t)process_of(s, "pool"), 0), 0);
    assert_int_equal(process_of(s, "other"), -1);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
}

static void many_jobs_are_listed_each_once(void **state)
{
    struct scene *s = *state;
    const unsigned n = MANY;
    scene_start(s, "concurrency = 10000; " ONE("sleep", ""));
    (void)ask_text(s, "EVAL %s 1 queue %d",
                   "for i = 1, ARGV[1] do redis.call('LPUSH', KEYS[1], '86400') end", (int)n);
    scene_await(s, LIMIT_MS, jobs_in_state(s, "running") == n);
    assert_int_equal(daemon_stop(s->daemon, SIGQUIT, LIMIT_MS), 0);
}

static void usr1_writes_the_jobs_into_the_log(void **state)
{
    struct scene *s = *state;
    scene_start(s, ONE("sleep", ""));
    push(s, "queue", "86400");
    push(s, "queue", "86401");
    scene_await(s, LIMIT_MS, jobs_in_state(s, "running") == 2);
    daemon_signal(s->daemon, SIGUSR1);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=jobs in_flight=2") == 1);
    assert_int_equal(daemon_logged(s->daemon, "event=job queue='queue'"), 2);
    assert_true(daemon_alive(s->daemon));
}

/* ---- the command line ---- */

static void usage_is_64_with_a_sentence(void **state)
{
    struct scene *s = *state;
    ctl_refused(s, CTL_RAW("frobnicate"), 64, "'frobnicate' is no command");
    ctl_refused(s, CTL_RAW("-s", "/x"), 64, "no command");
    ctl_refused(s, CTL_RAW("-s", "/x", "status", "more"), 64, "'more' is one word too many");
    ctl_refused(s, CTL_RAW("cancel"), 64, "'cancel' needs a word more: ID");
    ctl_refused(s, CTL_RAW("status", "--id", "x"), 64, "'status' does not take --id");
    ctl_refused(s, CTL_RAW("--no-such"), 64, "usage: rpopctl");
    ctl_refused(s, CTL_RAW("-c", "/x", "-s", "/y", "status"), 64, "exclude one another");
    ctl_refused(s, CTL_RAW("-s", "/x", "cancel", "\xff"), 64, "is not valid UTF-8");
    ctl_refused(s, CTL_RAW("-s", "/x", "cancel", ""), 64, "id is empty");
    ctl_refused(s, CTL_RAW("-s", "/x", "dead", "list", ""), 64, "queue is empty");
    ctl_refused(s, CTL_RAW("-s", "/x", "dead", "drop", "q", "--id", "x", "--limit", "3"), 64,
                "--limit goes with --all");
    assert_int_equal(CTL_RAW("-h")->code, 0);
    assert_non_null(strstr(CTL_RAW("-h")->out, "cancel ID"));
    assert_int_equal(strncmp(CTL_RAW("-V")->out, "rpopctl ", 8), 0);
}

static void no_daemon_is_69_and_names_the_socket(void **state)
{
    struct scene *s = *state;
    char path[160];
    (void)snprintf(path, sizeof path, "%s/nothing.sock", s->folder);
    ctl_refused(s, CTL_RAW("-s", path, "status"), 69, path);
    ctl_refused(s, CTL_RAW("-s", path, "status"), 69, "is rpopd running");
    char far[200];
    (void)snprintf(far, sizeof far, "/%0150d", 1);
    ctl_refused(s, CTL_RAW("-s", far, "status"), 69, "allowed are 107 bytes");
    scene_start(s, TWO);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    (void)snprintf(path, sizeof path, "%s/rpopd.sock", s->runtime_dir);
    ctl_refused(s, CTL(s, "status"), 69, path);
    assert_int_equal(access(path, F_OK), -1);
    ctl_refused(s, CTL_RAW("-c", "/does/not/exist.conf", "status"), 78, "/does/not/exist.conf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(status_tells_what_lies_where),
        SCENE(status_counts_what_became_of_jobs_since_the_start),
        SCENE(status_is_told_without_redis_too),
        SCENE(status_does_not_wait_for_a_redis_that_hangs),
        SCENE(a_long_reason_is_cut_between_characters),
        SCENE(a_key_of_another_type_is_told_in_its_row),
        SCENE(a_thousand_queues_are_told_at_once),
        SCENE(jobs_are_listed_and_one_is_cancelled),
        SCENE(the_process_of_a_job_is_told),
        SCENE(many_jobs_are_listed_each_once),
        SCENE(usr1_writes_the_jobs_into_the_log),
        SCENE(usage_is_64_with_a_sentence),
        SCENE(no_daemon_is_69_and_names_the_socket),
    };
    return scene_run(tests);
}
