/* redis_greet: the first words on a connection, in one write: AUTH, SELECT, CLIENT SETNAME, PING.
 * Runs on: master. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/redis_link.h"

static bool is_refusal(const struct redis_reply *r)
{
    return redis_is_error(r, "NOAUTH") || redis_is_error(r, "WRONGPASS") ||
           redis_is_error(r, "NOPERM");
}

/* What the server answered to a greeting, for people. `ERR unknown command 'AUTH', with args
 * beginning with:` repeats the password, and it is not alone in that. */
static void greeting_error(const struct redis_link *l, const struct redis_reply *r, struct err *ret)
{
    const char *password = l->server->password;
    if (r->type != REDIS_ERROR)
        (void)err_set(ret, -EPROTO, "the peer answers a greeting as no Redis server does");
    else if (redis_is_error(r, "ERR") &&
             (strstr(r->str, "with args") || (*password && strstr(r->str, password))))
        (void)err_set(ret, -EPROTO,
                      "ERR in the greeting; its text may repeat the password and is not shown");
    else
        (void)err_set(ret, is_refusal(r) ? -EACCES : -EAGAIN, "%s", r->str);
}

/* Anything else than the answer that is awaited ends the greeting. */
static bool greeted(struct redis_link *l, const struct redis_reply *r, const char *awaited)
{
    struct err why;
    if (!r)
        return false;
    if (redis_is(r, awaited))
        return true;
    greeting_error(l, r, &why);
    redis_link_fail(l, &why, is_refusal(r));
    return false;
}

static void on_ok(struct redis_link *l, const struct redis_reply *r, void *data)
{
    (void)data;
    (void)greeted(l, r, "OK");
}

/* A name is for people: who may not set one lives without. */
static void on_named(struct redis_link *l, const struct redis_reply *r, void *data)
{
    (void)data;
    if (!redis_is_error(r, "NOPERM"))
        (void)greeted(l, r, "OK");
}

/* PING is refused while a server loads, has lost its master or is busy in a script, which AUTH and
 * SELECT are not. */
static void on_ready(struct redis_link *l, const struct redis_reply *r, void *data)
{
    (void)data;
    if (greeted(l, r, "PONG"))
        redis_link_greeted(l);
}

/* CLIENT SETNAME takes no blanks and nothing above '~'. */
static void client_name(const struct redis_link *l, char *out, size_t size)
{
    (void)snprintf(out, size, "%s:%s", l->server->client_name, l->name);
    for (char *p = out; *p; p++)
        if (*p < '!' || *p > '~')
            *p = '_';
}

static int greet_with(struct redis_link *l, struct redis_command *c, redis_fn fn)
{
    return redis_pipe_add(l, c, l->server->connect_timeout_ms, fn, NULL);
}

static int add_greeting(struct redis_link *l, struct redis_command *c)
{
    const struct redis *r = l->server;
    char name[160];
    int error = 0;
    if (*r->password) {
        redis_begin(c, "AUTH");
        if (*r->username)
            redis_arg_text(c, r->username);
        redis_arg_text(c, r->password);
        error = greet_with(l, c, on_ok);
    }
    if (!error && r->url.db) {
        redis_begin(c, "SELECT");
        redis_arg_int(c, r->url.db);
        error = greet_with(l, c, on_ok);
    }
    if (!error && *r->client_name) {
        redis_begin(c, "CLIENT");
        redis_arg_text(c, "SETNAME");
        client_name(l, name, sizeof name);
        redis_arg_text(c, name);
        error = greet_with(l, c, on_named);
    }
    redis_begin(c, "PING");
    return error ? error : greet_with(l, c, on_ready);
}

int redis_greet(struct redis_link *l)
{
    struct redis_command *c = redis_command_new();
    int error = c ? add_greeting(l, c) : -ENOMEM;
    (void)redis_command_free(c);
    return error;
}
