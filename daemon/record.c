#include "daemon/record.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64.h"
#include "common/clock.h"
#include "common/text.h"

#define DIGITS_SMALL 9 /* of an attempt or a strike */
#define DIGITS_TIME 15

/* ---- reading ---- */

/* A number of at most `max` digits and a blank behind it; *p goes on behind both. */
static bool number(const char **p, const char *end, unsigned max, int64_t *ret)
{
    int64_t n = 0;
    unsigned digits = 0;
    for (; *p < end && **p >= '0' && **p <= '9'; (*p)++, digits++) {
        if (digits == max)
            return false;
        n = n * 10 + (**p - '0');
    }
    *ret = n;
    return digits && *p < end && *(*p)++ == ' ';
}

int record_parse(const char *bytes, size_t len, struct record *ret)
{
    const char *p = bytes, *end = len ? memchr(bytes, '\n', len) : NULL;
    int64_t version, attempt, strikes, first, last;
    if (!end)
        return -EINVAL;
    while (p<end && * p> ' ' && *p <= '~')
        p++;
    size_t id = (size_t)(p - bytes);
    if (!id || id >= JOB_ID_MAX || p == end || *p++ != ' ')
        return -EINVAL;
    if (!number(&p, end, 1, &version) || version != 1 || !number(&p, end, DIGITS_SMALL, &attempt) ||
        !number(&p, end, DIGITS_SMALL, &strikes) || !number(&p, end, DIGITS_TIME, &first) ||
        !number(&p, end, DIGITS_TIME, &last))
        return -EINVAL;
    *ret = (struct record){.id_len = id,
                           .attempt = (uint32_t)attempt,
                           .strikes = (uint32_t)strikes,
                           .first_ms = first,
                           .last_ms = last,
                           .evidence_at = (size_t)(p - bytes),
                           .head = (size_t)(end - bytes) + 1};
    return 0;
}

/* ---- writing ---- */

static bool is_utf8(const char *p, const char *end)
{
    for (size_t n; p < end; p += n)
        if (!(n = text_utf8(p, end)))
            return false;
    return true;
}

/* The limit may have cut the first character. */
static const char *whole_characters(const char *p, const char *end)
{
    const char *at = p;
    while (at < end && at < p + 3 && (*at & 0xc0) == 0x80)
        at++;
    return is_utf8(at, end) ? at : NULL;
}

static json_t *in_base64(const char *bytes, size_t len)
{
    char *text = base64_encode(bytes, len);
    json_t *s = text ? json_string(text) : NULL;
    free(text);
    return s;
}

static int add_output(json_t *o, const struct job_evidence *e)
{
    const char *end = e->output + e->output_len, *text = whole_characters(e->output, end);
    if (text)
        return json_object_set_new(o, "output", json_stringn(text, (size_t)(end - text)));
    return json_object_set_new(o, "output_base64", in_base64(e->output, e->output_len));
}

static int add_number(json_t *o, const char *name, int n, int none)
{
    return n == none ? 0 : json_object_set_new(o, name, json_integer(n));
}

static int add_run_time(json_t *o, const struct job *j)
{
    return json_object_set_new(o, "run_ms", json_integer(j->run_ms));
}

static int add_evidence(json_t *o, const struct job *j, const char *instance)
{
    const struct job_evidence *e = &j->evidence;
    json_t *reason = json_string(j->reason ? j->reason : "");
    if (!reason)
        reason = json_string("(the reason is not valid UTF-8)");
    if (json_object_set_new(o, "reason", reason) < 0 ||
        add_number(o, "exit", e->exit_code, -1) < 0 || add_number(o, "signal", e->signal, 0) < 0 ||
        add_number(o, "status", e->status, 0) < 0 ||
        (atomic_load(&j->begun) && add_run_time(o, j) < 0) ||
        json_object_set_new(o, "instance", json_string(instance)) < 0)
        return -1;
    return j->outcome == JOB_DEAD && e->output_len ? add_output(o, e) : 0;
}

static char *evidence(const struct job *j, const char *instance)
{
    json_t *o = json_object();
    char *line = o && add_evidence(o, j, instance) == 0
                     ? json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII)
                     : NULL;
    json_decref(o);
    return line;
}

static char *make_head(const struct job *j, const char *instance)
{
    char id[JOB_ID_MAX], *head, *line = evidence(j, instance);
    if (!line)
        return NULL;
    if (asprintf(&head, "%s 1 %" PRIu32 " %" PRIu32 " %" PRId64 " %" PRId64 " %s\n", job_id(j, id),
                 j->attempt, j->strikes, j->first_ms, clock_wall_ms(), line) < 0)
        head = NULL;
    free(line);
    return head;
}

const char *record_head(struct job *j, const char *instance)
{
    if (!j->record)
        j->record = make_head(j, instance);
    return j->record;
}
