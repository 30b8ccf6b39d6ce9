#include "worker/handler/pool_frame.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/callout.h"
#include "common/text.h"

#define DELAY_MAX 31536000 /* seconds: a year */
#define REPLACEMENT "\xef\xbf\xbd"
#define QUOTED_MAX 80

/* ---- the request ---- */

static json_t *utf8_string(const char *text)
{
    const char *end = text + strlen(text);
    char *copy = malloc(3 * (size_t)(end - text) + 1), *to = copy;
    if (!copy)
        return NULL;
    while (text < end) {
        size_t n = text_utf8(text, end);
        to = n ? mempcpy(to, text, n) : mempcpy(to, REPLACEMENT, 3);
        text += n ? n : 1;
    }
    json_t *s = json_stringn_nocheck(copy, (size_t)(to - copy));
    free(copy);
    return s;
}

struct building {
    const struct job *job;
    int64_t deadline_ms;
    char *line;
    size_t len;
};

static char *with_line_end(char *text, size_t *ret_len)
{
    size_t len = text ? strlen(text) : 0;
    char *line = text ? realloc(text, len + 2) : NULL;
    if (!line) {
        free(text);
        return NULL;
    }
    line[len] = '\n';
    line[len + 1] = '\0';
    *ret_len = len + 1;
    return line;
}

static void build(void *arg)
{
    struct building *b = arg;
    const struct job *j = b->job;
    char id[JOB_ID_MAX];
    json_t *deadline = b->deadline_ms ? json_integer(b->deadline_ms) : json_null();
    json_t *o = json_pack("{s:s, s:o, s:I, s:o, s:I}", "id", job_id(j, id), "queue",
                          utf8_string(j->conf->name), "attempt", (json_int_t)j->attempt, "deadline",
                          deadline, "len", (json_int_t)j->len);
    b->line = o ? with_line_end(json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII), &b->len) : NULL;
    json_decref(o);
}

char *pool_frame_request(const struct job *j, int64_t deadline_ms, size_t *ret_len)
{
    struct building b = {.job = j, .deadline_ms = deadline_ms};
    callout(build, &b);
    if (b.line)
        *ret_len = b.len;
    return b.line;
}

/* ---- the answer ---- */

struct reading {
    const struct job *job;
    const char *line;
    size_t len;
    struct pool_frame_answer answer;
    struct err *e;
    int code;
};

/* The member; NULL where it is missing or null. */
static const json_t *member(const json_t *object, const char *name)
{
    const json_t *v = json_object_get(object, name);
    return json_is_null(v) ? NULL : v;
}

/* As it would stand in the answer. */
static const char *shown(const json_t *v, char out[QUOTED_MAX])
{
    char *text = v ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY | JSON_ENSURE_ASCII) : NULL;
    if (v && !text)
        return "beyond memory";
    if (!v)
        return "missing";
    size_t len = strlen(text);
    (void)snprintf(out, QUOTED_MAX, "%.60s%s", text, len > 60 ? "..." : "");
    free(text);
    return out;
}

static int read_id(const struct reading *r, const json_t *object)
{
    char id[JOB_ID_MAX], out[QUOTED_MAX];
    const json_t *v = member(object, "id");
    const char *text = json_string_value(v);
    (void)job_id(r->job, id);
    if (text && !strcmp(text, id))
        return 0;
    return err_set(r->e, -EPROTO, "the id of its answer is %s, and not that of the job",
                   shown(v, out));
}

static int read_status(struct reading *r, const json_t *object)
{
    static const struct {
        const char *text;
        enum job_outcome outcome;
    } words[] = {{"done", JOB_DONE}, {"retry", JOB_RETRY}, {"dead", JOB_DEAD}};
    char out[QUOTED_MAX];
    const json_t *v = member(object, "status");
    const char *text = json_string_value(v);
    for (size_t i = 0; text && i < sizeof words / sizeof *words; i++)
        if (!strcmp(text, words[i].text)) {
            r->answer.outcome = words[i].outcome;
            return 0;
        }
    return err_set(r->e, -EPROTO,
                   "the status of its answer is %s, allowed are \"done\", \"retry\" and \"dead\"",
                   shown(v, out));
}

static int read_len(struct reading *r, const json_t *object)
{
    char out[QUOTED_MAX];
    const json_t *v = member(object, "len");
    json_int_t most = r->job->conf->max_payload;
    if (v && (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > most))
        return err_set(r->e, -EPROTO,
                       "the len of its answer is %s, allowed is a whole number of bytes from 0 to "
                       "%lld (max_payload)",
                       shown(v, out), (long long)most);
    r->answer.len = v ? (size_t)json_integer_value(v) : 0;
    return 0;
}

static int read_delay(struct reading *r, const json_t *object)
{
    char out[QUOTED_MAX];
    const json_t *v = member(object, "delay");
    double seconds = json_number_value(v);
    if (v && (!json_is_number(v) || !(seconds >= 0 && seconds <= DELAY_MAX)))
        return err_set(r->e, -EPROTO,
                       "the delay of its answer is %s, allowed is a number of seconds from 0 to %d",
                       shown(v, out), DELAY_MAX);
    r->answer.delay_ms = v ? (int64_t)(seconds * 1000 + 0.5) : -1;
    return 0;
}

/* A sentence is one line: control characters become blanks. Cut behind a whole character. */
static void take_sentence(const char *text, char out[ERR_TEXT_MAX])
{
    const char *end = text + strlen(text);
    char *to = out;
    for (size_t n; text < end; text += n) {
        n = text_utf8(text, end);
        if (!n || (size_t)(to - out) + n >= ERR_TEXT_MAX)
            break;
        if (n == 1)
            *to++ = (unsigned char)*text < ' ' || *text == 0x7f ? ' ' : *text;
        else
            to = mempcpy(to, text, n);
    }
    *to = '\0';
}

static int read_error(struct reading *r, const json_t *object)
{
    char out[QUOTED_MAX];
    const json_t *v = member(object, "error");
    if (v && !json_is_string(v))
        return err_set(r->e, -EPROTO, "the error of its answer is %s, allowed is text",
                       shown(v, out));
    take_sentence(v ? json_string_value(v) : "", r->answer.error);
    return 0;
}

static int read_object(struct reading *r, const json_t *object)
{
    int code = read_id(r, object);
    if (code == 0)
        code = read_status(r, object);
    if (code == 0)
        code = read_len(r, object);
    if (code == 0)
        code = read_delay(r, object);
    return code < 0 ? code : read_error(r, object);
}

static void read_answer(void *arg)
{
    struct reading *r = arg;
    char quoted[QUOTED_MAX];
    json_error_t why;
    json_t *o = json_loadb(r->line, r->len, JSON_REJECT_DUPLICATES, &why);
    if (json_is_object(o)) {
        r->code = read_object(r, o);
    } else {
        r->code = err_set(r->e, -EPROTO, "it wrote %s, which is no JSON object: %s",
                          text_quote(r->line, r->len, '\'', quoted, sizeof quoted),
                          o ? "something else" : why.text);
    }
    json_decref(o);
}

int pool_frame_answer(const struct job *j, const char *line, size_t len,
                      struct pool_frame_answer *ret, struct err *e)
{
    struct reading r = {.job = j, .line = line, .len = len, .e = e};
    callout(read_answer, &r);
    if (r.code == 0)
        *ret = r.answer;
    return r.code;
}
