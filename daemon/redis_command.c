#include "daemon/redis_command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#define FIRST_ARGS 32
#define FIRST_TEXT 256
#define INT_ROOM 20 /* "-9223372036854775808" */

/* An argument is borrowed from the caller, or lies in `text` (numbers), where its offset counts:
 * text may move. */
struct redis_command {
    const char **argv;
    size_t *len;
    size_t n, room;
    char *text;
    size_t text_len, text_room;
    size_t bytes; /* of all arguments */
    const struct redis_script *script;
    bool failed; /* no memory on the way: told by the sending */
};

struct redis_command *redis_command_new(void)
{
    return calloc(1, sizeof(struct redis_command));
}

struct redis_command *redis_command_free(struct redis_command *c)
{
    if (!c)
        return NULL;
    free(c->argv);
    free(c->len);
    free(c->text);
    free(c);
    return NULL;
}

static bool more_args(struct redis_command *c)
{
    size_t room = c->room ? c->room * 2 : FIRST_ARGS;
    const char **argv = realloc(c->argv, room * sizeof *argv);
    if (!argv)
        return false;
    c->argv = argv;
    size_t *len = realloc(c->len, room * sizeof *len);
    if (!len)
        return false;
    c->len = len;
    c->room = room;
    return true;
}

void redis_arg(struct redis_command *c, const void *bytes, size_t len)
{
    if (c->failed || (c->n == c->room && !more_args(c))) {
        c->failed = true;
        return;
    }
    c->argv[c->n] = len ? bytes : "";
    c->len[c->n++] = len;
    c->bytes += len;
}

void redis_arg_text(struct redis_command *c, const char *text)
{
    redis_arg(c, text, strlen(text));
}

/* Makes room for a number; the arguments that lie in `text` move with it. */
static bool more_text(struct redis_command *c, size_t need)
{
    if (c->text_room - c->text_len >= need)
        return true;
    size_t room = c->text_room ? c->text_room * 2 : FIRST_TEXT;
    char *text = malloc(room);
    if (!text)
        return false;
    if (c->text_len)
        memcpy(text, c->text, c->text_len);
    for (size_t i = 0; i < c->n; i++)
        if (c->text && c->argv[i] >= c->text && c->argv[i] < c->text + c->text_room)
            c->argv[i] = text + (c->argv[i] - c->text);
    free(c->text);
    c->text = text;
    c->text_room = room;
    return true;
}

/* Without printf: a command has many. */
static size_t print_int(char out[INT_ROOM], int64_t n)
{
    char digits[INT_ROOM];
    uint64_t left = n < 0 ? -(uint64_t)n : (uint64_t)n;
    size_t count = 0, at = 0;
    do
        digits[count++] = (char)('0' + left % 10);
    while (left /= 10);
    if (n < 0)
        out[at++] = '-';
    while (count)
        out[at++] = digits[--count];
    return at;
}

void redis_arg_int(struct redis_command *c, int64_t n)
{
    if (c->failed || !more_text(c, INT_ROOM)) {
        c->failed = true;
        return;
    }
    char *at = c->text + c->text_len;
    size_t len = print_int(at, n);
    c->text_len += len;
    redis_arg(c, at, len);
}

void redis_begin(struct redis_command *c, const char *word)
{
    c->n = c->text_len = c->bytes = 0;
    c->failed = false;
    c->script = NULL;
    redis_arg_text(c, word);
}

void redis_begin_script(struct redis_command *c, const struct redis_script *s, unsigned nkeys)
{
    redis_begin(c, "EVALSHA");
    redis_arg(c, s->sha, sizeof s->sha - 1);
    redis_arg_int(c, nkeys);
    c->script = s;
}

const struct redis_script *redis_command_script(const struct redis_command *c)
{
    return c->script;
}

int redis_command_format(const struct redis_command *c, char **ret_wire, size_t *ret_len)
{
    char *wire;
    if (c->failed)
        return -ENOMEM;
    if (c->bytes > REDIS_COMMAND_MAX || c->n > REDIS_COMMAND_MAX / 64)
        return -EMSGSIZE;
    long long n = redisFormatCommandArgv(&wire, (int)c->n, c->argv, c->len);
    if (n < 0)
        return -ENOMEM;
    *ret_wire = wire;
    *ret_len = (size_t)n;
    return 0;
}

void redis_wire_free(char *wire)
{
    if (wire)
        redisFreeCommand(wire);
}

/* "*<n>\r\n$7\r\nEVALSHA\r\n$40\r\n<sha>\r\n..." -> "*<n>\r\n$4\r\nEVAL\r\n$<len>\r\n" <text>
 * "\r\n..." */
void redis_command_eval(const char *wire, const struct redis_script *s, struct redis_eval *ret_eval)
{
    size_t count = strcspn(wire, "\r") + 2;
    ret_eval->head_len = (size_t)snprintf(ret_eval->head, sizeof ret_eval->head,
                                          "%.*s$4\r\nEVAL\r\n$%zu\r\n", (int)count, wire, s->len);
    ret_eval->tail_at = count + strlen("$7\r\nEVALSHA\r\n$40\r\n") + 40;
}
