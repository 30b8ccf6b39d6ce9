#include "daemon/admin_request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/job.h"
#include "common/text.h"

enum { QUEUE = 1, ID = 2, LIMIT = 4, ALL = 8, REPAIR = 16, FIELDS = 5 };

static const char *const fields[FIELDS] = {"queue", "id", "limit", "all", "repair"};

static const struct {
    const char *name;
    unsigned needs, takes; /* fields */
} commands[ADMIN_COMMANDS] = {
    [ADMIN_STATUS] = {"status", 0, 0},
    [ADMIN_JOBS] = {"jobs", 0, 0},
    [ADMIN_CANCEL] = {"cancel", ID, ID},
    [ADMIN_DEAD_LIST] = {"dead-list", QUEUE, QUEUE | LIMIT},
    [ADMIN_DEAD_SHOW] = {"dead-show", QUEUE | ID, QUEUE | ID},
    [ADMIN_DEAD_RETRY] = {"dead-retry", QUEUE, QUEUE | ID | ALL | LIMIT},
    [ADMIN_DEAD_DROP] = {"dead-drop", QUEUE, QUEUE | ID | ALL | LIMIT},
    [ADMIN_FSCK] = {"fsck", 0, REPAIR},
};

#define SHOWN 96 /* bytes of a value in a sentence */

const char *admin_command_name(enum admin_command c)
{
    return commands[c].name;
}

static const char *shown(const char *text, char out[SHOWN])
{
    return text_quote(text, strlen(text), '\'', out, SHOWN);
}

static int no_command(const char *what, struct err *e)
{
    char names[160] = "";
    for (size_t i = 0, at = 0; i < ADMIN_COMMANDS && at < sizeof names; i++)
        at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", i ? ", " : "",
                               commands[i].name);
    return err_set(e, -EINVAL, "%s, allowed are %s", what, names);
}

static int find_command(json_t *json, struct admin_request *ret, struct err *e)
{
    char quoted[SHOWN], what[SHOWN + 16];
    const char *name = json_string_value(json_object_get(json, "command"));
    if (!name)
        return no_command("\"command\" is missing or no string", e);
    for (unsigned i = 0; i < ADMIN_COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0) {
            ret->command = (enum admin_command)i;
            return 0;
        }
    (void)snprintf(what, sizeof what, "%s is no command", shown(name, quoted));
    return no_command(what, e);
}

static unsigned field_bit(const char *key)
{
    unsigned i = 0;
    while (i < FIELDS && strcmp(fields[i], key) != 0)
        i++;
    return i < FIELDS ? 1u << i : 0;
}

/* An id goes into patterns: of these characters none means anything there. */
static int check_id(const char *id, struct err *e)
{
    char quoted[SHOWN];
    static const char allowed[] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-_";
    size_t n = strlen(id);
    if (n && n < JOB_ID_MAX && strspn(id, allowed) == n)
        return 0;
    return err_set(e, -EINVAL,
                   "id %s is no job's id, allowed are 1 to %d letters, digits, '.', '-', '_'",
                   shown(id, quoted), JOB_ID_MAX - 1);
}

static int take_text(const char *key, json_t *value, const char **ret, struct err *e)
{
    if (!json_is_string(value) || !json_string_length(value))
        return err_set(e, -EINVAL, "\"%s\" is no text, allowed is one that is not empty", key);
    *ret = json_string_value(value);
    return 0;
}

static int take_flag(const char *key, json_t *value, bool *ret, struct err *e)
{
    if (!json_is_boolean(value))
        return err_set(e, -EINVAL, "\"%s\" is no boolean, allowed are true and false", key);
    *ret = json_is_true(value);
    return 0;
}

static int take_limit(json_t *value, long *ret, struct err *e)
{
    json_int_t n = json_integer_value(value);
    if (!json_is_integer(value) || n < 1 || n > ADMIN_LIMIT_MAX)
        return err_set(e, -EINVAL, "\"limit\" is no number from 1 to %d", ADMIN_LIMIT_MAX);
    *ret = (long)n;
    return 0;
}

static int take_field(unsigned bit, const char *key, json_t *value, struct admin_request *ret,
                      struct err *e)
{
    int r;
    switch (bit) {
    case QUEUE:
        return take_text(key, value, &ret->queue, e);
    case ID:
        r = take_text(key, value, &ret->id, e);
        return r < 0 ? r : check_id(ret->id, e);
    case LIMIT:
        return take_limit(value, &ret->limit, e);
    case ALL:
        return take_flag(key, value, &ret->all, e);
    default:
        return take_flag(key, value, &ret->repair, e);
    }
}

static int take_fields(struct admin_request *ret, struct err *e)
{
    unsigned have = 0, needs = commands[ret->command].needs;
    const char *key, *name = commands[ret->command].name;
    json_t *value;
    json_object_foreach(ret->json, key, value)
    {
        char quoted[SHOWN];
        unsigned bit = field_bit(key);
        if (strcmp(key, "command") == 0)
            continue;
        if (!(bit & commands[ret->command].takes))
            return err_set(e, -EINVAL, "%s does not take %s", name, shown(key, quoted));
        int r = take_field(bit, key, value, ret, e);
        if (r < 0)
            return r;
        have |= bit;
    }
    for (unsigned i = 0; i < FIELDS; i++)
        if (needs & ~have & 1u << i)
            return err_set(e, -EINVAL, "%s needs \"%s\"", name, fields[i]);
    if (commands[ret->command].takes & ALL && !!*ret->id == ret->all)
        return err_set(e, -EINVAL, "%s needs either \"id\" or \"all\": true", name);
    return 0;
}

int admin_request_parse(const char *text, size_t len, struct admin_request *ret, struct err *e)
{
    json_error_t why;
    struct admin_request r = {.queue = "", .id = ""};
    if (len > ADMIN_REQUEST_MAX)
        return err_set(e, -EINVAL, "the request has %zu bytes, allowed are %zu", len,
                       ADMIN_REQUEST_MAX);
    r.json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    if (!r.json && json_error_code(&why) == json_error_out_of_memory)
        return err_set(e, -ENOMEM, "no memory for the request");
    if (!r.json)
        return err_set(e, -EINVAL, "the request is no JSON object in one line: wrong at byte %d",
                       why.position);
    if (!json_is_object(r.json)) {
        json_decref(r.json);
        return err_set(e, -EINVAL, "the request is no JSON object in one line");
    }
    int code = find_command(r.json, &r, e);
    if (code == 0)
        code = take_fields(&r, e);
    if (code < 0)
        json_decref(r.json);
    else
        *ret = r;
    return code;
}

void admin_request_clear(struct admin_request *r)
{
    json_decref(r->json);
    *r = (struct admin_request){.queue = "", .id = ""};
}
