/* A child of a pool: reads a request, runs the function, sends the answer, until the pool's end of
 * the socket is closed. Everything here blocks. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/thread.h"
#include "worker/runtime/process_frame.h"

#define SCRATCH 4096

static const struct process_function *table; /* written once, by main() before it does anything */

const struct process_function *process_function_find(const char *name)
{
    for (const struct process_function *f = table; f && f->name; f++)
        if (strcmp(f->name, name) == 0)
            return f;
    return NULL;
}

bool process_function_table(void)
{
    return table;
}

/* False: the pool is gone. */
static bool read_all(void *to, size_t len)
{
    ssize_t n = 1;
    for (char *at = to; len > 0 && n != 0; at += n, len -= (size_t)n)
        while ((n = recv(PROCESS_CHILD_FD, at, len, 0)) < 0)
            if (errno != EINTR)
                return false;
    return len == 0;
}

static bool read_away(uint64_t len)
{
    char scratch[SCRATCH];
    for (size_t n; len > 0; len -= n) {
        n = len < sizeof scratch ? (size_t)len : sizeof scratch;
        if (!read_all(scratch, n))
            return false;
    }
    return true;
}

static bool send_all(const void *from, size_t len, int flags)
{
    ssize_t n;
    for (const char *at = from; len > 0; at += n, len -= (size_t)n)
        while ((n = send(PROCESS_CHILD_FD, at, len, MSG_NOSIGNAL | flags)) < 0)
            if (errno != EINTR)
                return false;
    return true;
}

static bool send_answer(struct process_answer *a, const void *body, size_t len)
{
    a->len = len;
    return send_all(a, sizeof *a, len > 0 ? MSG_MORE : 0) && send_all(body, len, 0);
}

static bool send_error(struct process_answer *a, const struct err *e)
{
    const char *text = e->code ? e->text : error_sentence(a->code);
    return send_answer(a, text, strnlen(text, ERR_TEXT_MAX - 1));
}

static bool call(const char *name, const void *arg, size_t len, struct process_answer *a)
{
    const struct process_function *f = process_function_find(name);
    struct err e = {.code = 0};
    void *result = NULL;
    size_t result_len = 0;
    a->code = f ? f->fn(arg, len, &result, &result_len, &e)
                : err_set(&e, -EINVAL, "no function '%s' is registered", name);
    if (a->code >= 0 && result_len > PROCESS_BYTES_MAX)
        a->code = err_set(&e, -EMSGSIZE, "a result of %zu bytes is more than the limit of %zu",
                          result_len, PROCESS_BYTES_MAX);
    a->code = a->code < 0 ? a->code : 0; /* as a coroutine's */
    bool sent = a->code == 0 ? send_answer(a, result, result_len) : send_error(a, &e);
    free(result);
    return sent;
}

/* False: the pool is gone, or is not one. */
static bool serve(void)
{
    struct process_request q;
    char name[PROCESS_NAME_MAX + 1];
    if (!read_all(&q, sizeof q) || q.magic != PROCESS_REQUEST || q.name_len > PROCESS_NAME_MAX ||
        q.len > PROCESS_BYTES_MAX || !read_all(name, q.name_len))
        return false;
    name[q.name_len] = 0;
    struct process_answer a = {.magic = PROCESS_ANSWER, .number = q.number};
    void *arg = malloc(q.len ? q.len : 1);
    bool ok;
    if (arg) {
        ok = read_all(arg, q.len) && call(name, arg, q.len, &a);
    } else {
        a.code = -ENOMEM;
        ok = read_away(q.len) && send_error(&a, &(struct err){.code = 0});
    }
    free(arg);
    return ok;
}

void process_pool_child(int argc, char **argv, const struct process_function *functions)
{
    GIVEN(functions);
    table = functions;
    if (argc != 2 || strcmp(argv[1], PROCESS_CHILD_WORD) != 0)
        return;
    /* Where the parent has died before this, its end of the socket is closed. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (fcntl(PROCESS_CHILD_FD, F_SETFD, FD_CLOEXEC) < 0) {
        (void)fprintf(stderr, "%s: only a pool of processes starts a child\n", argv[0]);
        exit(64);
    }
    thread_enter(&on_pool);
    while (serve())
        ;
    exit(0); // NOLINT: the one thread there is
}
