#include "tests/bench/bare.h"

#include <hiredis/hiredis.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "daemon/keys.h"
#include "daemon/script.h"

#define EPOCH "00000000deadbeef.1"
#define OUTSTANDING 2
#define PUSH_AT_ONCE 500

static void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "bench: %s: %s\n", what, why);
    exit(1);
}

struct redisContext *bare_connect(const char *socket)
{
    redisContext *c = redisConnectUnix(socket);
    if (!c || c->err)
        die("connect", c ? c->errstr : "no memory");
    return c;
}

/* Gives the next answer, which is no error. */
static redisReply *answer(redisContext *c)
{
    void *r = NULL;
    if (redisGetReply(c, &r) != REDIS_OK)
        die("answer", c->errstr);
    redisReply *reply = r;
    if (reply->type == REDIS_REPLY_ERROR)
        die("answer", reply->str);
    return reply;
}

static long long answer_integer(redisContext *c)
{
    redisReply *r = answer(c);
    long long n = r->integer;
    freeReplyObject(r);
    return n;
}

void bare_push(struct redisContext *c, uint32_t jobs)
{
    char payload[PUSH_AT_ONCE][17];
    const char *argv[PUSH_AT_ONCE + 2] = {"LPUSH", BARE_QUEUE};
    for (uint32_t i = 0; i < jobs;) {
        int n = 0;
        for (; n < PUSH_AT_ONCE && i < jobs; n++, i++) {
            (void)snprintf(payload[n], sizeof payload[n], "%016u", i);
            argv[n + 2] = payload[n];
        }
        (void)redisAppendCommandArgv(c, n + 2, argv, NULL);
        (void)answer_integer(c);
    }
}

/* Draining --------------------------------------------------------------------------------------
 */

struct drain {
    redisContext *c;
    struct keys key;
    const struct redis_script *claim, *whole;
    uint32_t burst;
    uint64_t next;     /* number of the batch that is claimed next */
    uint64_t answered; /* of the one that is answered next */
};

static void load(redisContext *c, const struct redis_script *s)
{
    (void)redisAppendCommand(c, "SCRIPT LOAD %b", s->text, s->len);
    freeReplyObject(answer(c));
}

static void send_claim(struct drain *d)
{
    const char *q = d->key.queue, *p = d->key.prefix;
    unsigned long long n = d->next++;
    (void)redisAppendCommand(d->c,
                             "EVALSHA %s 7 %s %s %s %s %s %sinflight:bare:" EPOCH ":%llu %s " EPOCH
                             " 1 bare:" EPOCH ":%llu %s %u 1048576",
                             d->claim->sha, d->key.none, d->key.owner, d->key.paused, q, q, p, n,
                             d->key.batches, n, "1-" EPOCH "-0-0-", d->burst);
}

static void send_whole(struct drain *d, unsigned long long n, unsigned long long length)
{
    (void)redisAppendCommand(d->c,
                             "EVALSHA %s 5 %s %sinflight:bare:" EPOCH ":%llu %sacked:bare:" EPOCH
                             ":%llu %s %s bare:" EPOCH ":%llu %llu",
                             d->whole->sha, d->key.none, d->key.prefix, n, d->key.prefix, n,
                             d->key.batches, d->key.stats, n, length);
}

/* One claim's answer; returns how many jobs it brought. */
static size_t take(struct drain *d)
{
    redisReply *r = answer(d->c);
    if (r->type != REDIS_REPLY_ARRAY || r->elements < 2 || strcmp(r->element[0]->str, "ok") != 0)
        die("claim", "is refused");
    size_t n = r->elements - 2;
    freeReplyObject(r);
    if (n)
        send_whole(d, d->answered, n);
    d->answered++;
    return n;
}

int64_t bare_drain(struct redisContext *c, uint32_t jobs, uint32_t burst)
{
    struct drain d = {c, .claim = script_find("claim"), .whole = script_find("whole"), burst, 1, 1};
    if (keys_init(&d.key, BARE_QUEUE, "bare") < 0)
        die("keys", "no memory");
    load(c, d.claim);
    load(c, d.whole);
    freeReplyObject(redisCommand(c, "SET %s %s", d.key.owner, "1 " EPOCH " 1 bare"));
    int64_t began = clock_now_ns();
    uint32_t taken = 0, settled = 0;
    for (int i = 0; i < OUTSTANDING; i++)
        send_claim(&d);
    /* Answers come in the order of sending: the first claims, then a settle and a claim in turn. */
    for (uint64_t first = OUTSTANDING; settled < jobs;) {
        if (first)
            first--;
        else
            settled += (uint32_t)answer_integer(c);
        if (settled == jobs)
            break;
        taken += (uint32_t)take(&d);
        send_claim(&d);
        if (taken > jobs)
            die("claim", "brought more than was pushed");
    }
    int64_t took = clock_now_ns() - began;
    while (d.answered < d.next) {
        freeReplyObject(answer(c));
        d.answered++;
    }
    freeReplyObject(redisCommand(c, "DEL %s", d.key.owner));
    keys_deinit(&d.key);
    return took;
}

int64_t bare_drain_lmove(struct redisContext *c, uint32_t jobs, uint32_t burst)
{
    int64_t began = clock_now_ns();
    for (uint32_t left = jobs; left;) {
        uint32_t n = left < burst ? left : burst;
        for (uint32_t i = 0; i < n; i++)
            (void)redisAppendCommand(c, "LMOVE " BARE_QUEUE " moved RIGHT LEFT");
        (void)redisAppendCommand(c, "UNLINK moved");
        for (uint32_t i = 0; i < n + 1; i++)
            freeReplyObject(answer(c));
        left -= n;
    }
    return clock_now_ns() - began;
}

/* Latency ---------------------------------------------------------------------------------------
 */

void bare_await_blocked(struct redisContext *c, long long n)
{
    for (int64_t end = clock_now_ms() + 20000; clock_now_ms() < end;) {
        (void)redisAppendCommand(c, "INFO clients");
        redisReply *r = answer(c);
        const char *at = strstr(r->str, "blocked_clients:");
        bool enough = at && strtoll(at + strlen("blocked_clients:"), NULL, 10) >= n;
        freeReplyObject(r);
        if (enough)
            return;
        (void)sched_yield();
    }
    die("latency", "no pop is out");
}

int64_t bare_push_until(struct redisContext *c, const char *payload, int fd, const char *line)
{
    char seen[512];
    size_t len = 0;
    int done = 0;
    (void)redisAppendCommand(c, "LPUSH " BARE_QUEUE " %s", payload);
    int64_t began = clock_now_ns();
    while (!done)
        if (redisBufferWrite(c, &done) != REDIS_OK)
            die("push", c->errstr);
    for (seen[0] = '\0'; !strstr(seen, line);) {
        ssize_t n = len < sizeof seen - 1 ? read(fd, seen + len, sizeof seen - 1 - len) : -1;
        if (n <= 0)
            die("latency", "the output has ended");
        len += (size_t)n;
        seen[len] = '\0';
    }
    int64_t took = clock_now_ns() - began;
    (void)answer_integer(c);
    return took;
}

struct popper {
    const char *socket;
    int out;
    uint32_t jobs;
};

static void *pop(void *arg)
{
    const struct popper *p = arg;
    redisContext *c = bare_connect(p->socket);
    for (uint32_t i = 0; i < p->jobs; i++) {
        freeReplyObject(redisCommand(c, "BLPOP " BARE_QUEUE " 20"));
        if (write(p->out, "Done 0\n", 7) != 7)
            die("latency", "cannot write");
    }
    redisFree(c);
    return NULL;
}

void bare_latency(struct redisContext *c, const char *socket, int64_t *ret_ns, uint32_t n)
{
    int fd[2];
    pthread_t thread;
    if (pipe(fd) < 0)
        die("latency", "no pipe");
    struct popper p = {socket, fd[1], n};
    if (pthread_create(&thread, NULL, pop, &p) != 0)
        die("latency", "no thread");
    for (uint32_t i = 0; i < n; i++) {
        bare_await_blocked(c, 1);
        ret_ns[i] = bare_push_until(c, "0", fd[0], "Done 0\n");
    }
    (void)pthread_join(thread, NULL);
    (void)close(fd[0]);
    (void)close(fd[1]);
}
