#include "tests/e2e/kinds.h"

#include "tests/e2e/exec.h"
#include "tests/e2e/plugin.h"
#include "tests/e2e/web.h"
#include "tests/lib/pool_child.h"

#define WHOLE_EXEC "IFS= read -r x; test \"$x\" = '" KINDS_WHOLE "'\n"
#define WHOLE_POOL                                                \
    "while IFS= read -r line && IFS= read -r x; do\n"             \
    "  test \"$x\" = '" KINDS_WHOLE "' || exit 3\n"               \
    "  id=${line#*\\\"id\\\":\\\"} id=${id%%\\\"*}\n"             \
    "  printf '{\"id\":\"%s\",\"status\":\"done\"}\\n' \"$id\"\n" \
    "done\n"

static const char *const queues[] = {"queue", "pooled", "slept", "asked", "plugged"};
#define KINDS (sizeof queues / sizeof *queues)

void kind_print(FILE *f, enum kind kind, const char *script, int processes)
{
    char command[POOL_CHILD_COMMAND_MAX];
    switch (kind) {
    case EXEC:
        (void)fprintf(f,
                      "type = \"exec\"; kill_grace = 0.2; command = [ \"/bin/sh\", \"-c\", \"%s\" "
                      "];",
                      script);
        break;
    case HTTP:
        (void)fprintf(f, "type = \"http\"; url = \"http://127.0.0.1:%d/{payload}\";",
                      web_port(web));
        break;
    case POOL:
        (void)fprintf(f, "type = \"pool\"; processes = %d; kill_grace = 0.2; command = [ %s ];",
                      processes, pool_child_command(command));
        break;
    case PLUGIN:
    case BLOCKING:
        (void)fprintf(f, "type = \"plugin\"; path = \"%s\"; blocking = %s;", plugin_path("act"),
                      kind == BLOCKING ? "true" : "false");
        break;
    default:
        (void)fprintf(f, "type = \"%s\";", kind == NUL ? "null" : "sleep");
    }
}

void kinds_start(struct scene *s)
{
    const char *exec = exec_make(s, "exec", WHOLE_EXEC, 0600),
               *pool = exec_make(s, "pool", WHOLE_POOL, 0600);
    web = web_new(s, NULL);
    scene_start(s,
                exec_text("lease = 3600.0; queues = ("
                          "{ name = \"queue\"; attempts = 1; handler: { type = \"exec\"; "
                          "command = [ \"/bin/sh\", \"%s\" ]; }; }, "
                          "{ name = \"pooled\"; attempts = 1; handler: { type = \"pool\"; "
                          "processes = 1; max_jobs = 2; command = [ \"/bin/sh\", \"%s\" ]; }; }, "
                          "{ name = \"asked\"; attempts = 1; handler: { type = \"http\"; "
                          "url = \"http://127.0.0.1:%d/echo\"; }; }, "
                          "{ name = \"plugged\"; attempts = 1; handler: { type = \"plugin\"; "
                          "path = \"%s\"; }; }, " QUEUE("slept", "sleep", "attempts = 1;") ");",
                          exec, pool, web_port(web), plugin_path("act")));
}

void kinds_end(struct scene *s)
{
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    web = web_free(web);
    assert_string_equal(left_over(s), "");
}

void kinds_push(struct scene *s, long long *pushed)
{
    push(s, "queue", KINDS_WHOLE "\n");
    push(s, "pooled", KINDS_WHOLE "\n");
    push(s, "slept", "0.001");
    push(s, "asked", KINDS_WHOLE);
    push(s, "plugged", KINDS_WHOLE);
    ++*pushed;
}

bool kinds_done(struct scene *s, long long pushed)
{
    for (size_t i = 0; i < KINDS; i++)
        if (stat_of(s, queues[i], "done") < pushed)
            return false;
    return true;
}

void kinds_none_is_dead(struct scene *s, const char *what)
{
    for (size_t i = 0; i < KINDS; i++) {
        if (ask_int(s, "EXISTS rpopd:{%s}:dead", queues[i]) == 0)
            continue;
        print_error("%s: a job of %s is dead: %s\n", what, queues[i],
                    ask_text(s, "EVAL %s 1 rpopd:{%s}:dead",
                             "return redis.call('ZRANGE', KEYS[1], 0, -1)[1]", queues[i]));
        scene_fail(s, "a try was spent", __FILE__, __LINE__);
    }
}
