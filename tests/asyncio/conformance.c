/* conformance.c - plays one scenario of the conformance suite: `conformance ID`, `conformance
 * --list`. The trace goes to standard output; exit status 64 for an id that is not known. */
#include <stdio.h>
#include <string.h>

#include "tests/asyncio/conf.h"
#include "tests/asyncio/conf_process.h"

static const struct scenario *const lists[] = {
    callback_scenarios, cancel_scenarios,  coro_scenarios,     executor_scenarios, future_scenarios,
    gather_scenarios,   http_scenarios,    io_scenarios,       limit_scenarios,    loop_scenarios,
    many_scenarios,     process_scenarios, redis_scenarios,    run_scenarios,      scope_scenarios,
    sync_scenarios,     task_scenarios,    teardown_scenarios, thread_scenarios,   wait_scenarios};

static const struct scenario *find(const char *id)
{
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        for (const struct scenario *s = lists[i]; s->id; s++)
            if (strcmp(s->id, id) == 0)
                return s;
    return NULL;
}

static void print_list(void)
{
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        for (const struct scenario *s = lists[i]; s->id; s++)
            (void)puts(s->id);
}

int main(int argc, char **argv)
{
    process_pool_child(argc, argv, process_functions);
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        print_list();
        return 0;
    }
    const struct scenario *s = argc == 2 ? find(argv[1]) : NULL;
    if (!s)
        return 64;
    start_clock();
    s->play();
    return 0;
}
