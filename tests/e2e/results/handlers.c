/* The handlers of build/tests/e2e/rpopd-results: the daemon as it is, except that `null` returns
 * something. The payload says what:
 *   none…     nothing
 *   empty…    no bytes
 *   bytes…    some with NUL bytes
 *   big N     N bytes
 *   small…    one byte
 *   dead…     it is dead
 *   <number>  waits as `sleep` does, and returns r:<number>
 *   else      r:<payload>, a result that is a payload again for the next queue of a chain */
#include "worker/handler/handler.h"

#include <stdlib.h>
#include <string.h>

static void give(struct job *j, const char *front, const char *bytes, size_t len)
{
    size_t n = strlen(front);
    char *result = malloc(n + len + 1);
    if (!result)
        abort();
    memcpy(result, front, n);
    memcpy(result + n, bytes, len);
    job_result(j, result, n + len);
}

static void give_many(struct job *j, size_t len)
{
    char *result = malloc(len);
    if (!result)
        abort();
    memset(result, 'x', len);
    job_result(j, result, len);
}

static bool begins(const struct job *j, const char *word)
{
    return strncmp(j->payload, word, strlen(word)) == 0;
}

static enum job_outcome result_run(struct job *j, void *state, struct err *why)
{
    if (begins(j, "dead")) {
        (void)err_set(why, -1, "as it was asked");
        return JOB_DEAD;
    }
    if (j->payload[0] >= '0' && j->payload[0] <= '9') {
        enum job_outcome r = handler_sleep.run(j, state, why);
        if (r != JOB_DONE)
            return r;
    }
    if (begins(j, "none"))
        return JOB_DONE;
    if (begins(j, "empty"))
        give(j, "", "", 0);
    else if (begins(j, "bytes"))
        give(j, "", "\0a\n\0\xff", 5);
    else if (begins(j, "small"))
        give(j, "s", "", 0);
    else if (begins(j, "big "))
        give_many(j, strtoul(j->payload + 4, NULL, 10));
    else
        give(j, "r:", j->payload, j->len);
    return JOB_DONE;
}

static const struct handler with_result = {.type = "null", .run = result_run};

const struct handler *handler_find(const char *type)
{
    static const struct handler *const all[] = {&with_result, &handler_sleep, &handler_exec};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i]->type, type) == 0)
            return all[i];
    return NULL;
}
