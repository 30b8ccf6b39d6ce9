/* sleep.c - the documents' do_some_work: the payload is a number of seconds; prints `Waiting 2`,
 * then `Done 2`. */
#include "worker/handler/handler.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/text.h"
#include "worker/runtime/task.h"

#define SECONDS_MAX 1000000000 /* 31 years */

/* Digits with at most one point between or behind them, in milliseconds, rounded up. By hand:
 * strtod takes what is no number of seconds ("inf", "0x2", " 2", "-0") and depends on the locale.
 */
static int parse_seconds(const char *p, size_t len, int64_t *ret_ms)
{
    int64_t whole = 0, thousandths = 0, unit = 100;
    size_t i = 0;
    bool rest = false;
    for (; i < len && p[i] >= '0' && p[i] <= '9'; i++) {
        whole = whole * 10 + (p[i] - '0');
        if (whole > SECONDS_MAX)
            return -ERANGE;
    }
    if (i == 0)
        return -EINVAL;
    if (i < len && p[i] == '.') {
        size_t point = i++;
        for (; i < len && p[i] >= '0' && p[i] <= '9'; i++, unit /= 10) {
            thousandths += (p[i] - '0') * unit;
            rest = rest || (!unit && p[i] != '0');
        }
        if (i == point + 1)
            return -EINVAL;
    }
    if (i < len)
        return -EINVAL;
    *ret_ms = whole * 1000 + thousandths + rest;
    return 0;
}

static void print_line(const char *word, const struct job *j)
{
    struct iovec line[] = {
        {.iov_base = (char *)word, .iov_len = strlen(word)},
        {.iov_base = (char *)j->payload, .iov_len = j->len},
        {.iov_base = (char *)"\n", .iov_len = 1},
    };
    (void)!writev(STDOUT_FILENO, line,
                  3); /* a closed standard output is no reason to fail the job */
}

static enum job_outcome sleep_run(struct job *j, void *state, struct err *why)
{
    (void)state;
    int64_t ms;
    int r = parse_seconds(j->payload, j->len, &ms);
    if (r < 0) {
        char quoted[64];
        (void)err_set(why, r, "payload %s is not a number of seconds from 0 to %d",
                      text_quote(j->payload, j->len, '\'', quoted, sizeof quoted), SECONDS_MAX);
        return JOB_DEAD;
    }
    int64_t deadline = clock_now_ms() + ms;
    print_line("Waiting ", j);
    r = task_sleep_until(deadline);
    if (r == -ECANCELED)
        return JOB_CANCELLED;
    if (r < 0) {
        (void)err_set(why, r, "no memory to sleep");
        return JOB_AGAIN;
    }
    print_line("Done ", j);
    return JOB_DONE;
}

const struct handler handler_sleep = {.type = "sleep", .run = sleep_run};
