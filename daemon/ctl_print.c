#include "daemon/ctl_print.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/ctl_payload.h"
#include "daemon/ctl_table.h"

#define TABLE_ROWS 1000 /* printed at a time */

struct print {
    enum print_kind kind;
    bool json;
    FILE *out;
    struct table *table;
    unsigned count; /* items that were printed */
    json_t *letter; /* being shown */
    struct payload payload;
};

static const struct {
    const char *headings; /* of the text's table */
    const char *items;    /* JSON: the key of the items in the object; NULL: an array of its own */
    bool object;
} kinds[] = {
    [PRINT_STATUS] = {"QUEUE|>DEPTH|>RUNNING|>WAITING|>RETRY|>DELAYED|>DEAD|>DONE|>RETRIED|>DIED|"
                      ">LOST|>CANCELLED|STATE",
                      "queues", true},
    [PRINT_JOBS] = {"ID|QUEUE|>AGE|STATE|>WORKER|HANDLER|>PID|>ATTEMPT|>BYTES", NULL, false},
    [PRINT_CANCEL] = {NULL, NULL, true},
    [PRINT_DEAD_LIST] = {"ID|DIED|>TRIES|>BYTES|REASON", NULL, false},
    [PRINT_DEAD_SHOW] = {NULL, NULL, true},
    [PRINT_DEAD_TAKE] = {NULL, NULL, true},
    [PRINT_FSCK] = {NULL, "findings", true},
};

/* ---- small things ---- */

const char *print_duration(long long ms, char *out, size_t size)
{
    long long s = ms / 1000;
    if (ms < 0)
        s = 0;
    if (s < 60)
        (void)snprintf(out, size, "%llds", s);
    else if (s < 3600)
        (void)snprintf(out, size, "%lldm %llds", s / 60, s % 60);
    else if (s < 86400)
        (void)snprintf(out, size, "%lldh %lldm", s / 3600, s / 60 % 60);
    else
        (void)snprintf(out, size, "%lldd %lldh", s / 86400, s / 3600 % 24);
    return out;
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "";
}

static long long number_of(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static void cell_text(struct table *t, const json_t *o, const char *key)
{
    table_cell(t, text_of(o, key));
}

/* What Redis did not tell is a question mark. */
static void cell_number(struct table *t, const json_t *o, const char *key)
{
    if (json_is_integer(json_object_get(o, key)))
        table_number(t, number_of(o, key));
    else
        table_cell(t, "?");
}

static void cell_if_any(struct table *t, const json_t *o, const char *key)
{
    if (json_is_integer(json_object_get(o, key)))
        table_number(t, number_of(o, key));
    else
        table_cell(t, "-");
}

static void print_escaped(FILE *out, const char *text)
{
    char *escaped = table_escape(text, strlen(text));
    (void)fputs(escaped, out);
    free(escaped);
}

/* ---- status ---- */

static void append(char *out, size_t size, const char *fmt, const char *a, const char *b)
{
    size_t len = strlen(out);
    (void)snprintf(out + len, size - len, fmt, len ? "; " : "", a, b);
}

static void status_state(struct table *t, const json_t *o)
{
    char state[512] = "";
    const json_t *troubles = json_object_get(o, "troubles"), *one;
    size_t i;
    if (json_is_true(json_object_get(o, "paused")))
        append(state, sizeof state, "%spaused%s%s", *text_of(o, "reason") ? ": " : "",
               text_of(o, "reason"));
    if (!json_is_true(json_object_get(o, "registered")))
        append(state, sizeof state, "%snot registered%s%s", "", "");
    if (*text_of(o, "error"))
        append(state, sizeof state, "%s%s%s", text_of(o, "error"), "");
    json_array_foreach(troubles, i, one)
        append(state, sizeof state, "%s%s at %s", text_of(one, "error"), text_of(one, "at"));
    table_cell(t, *state ? state : "ok");
}

static void status_row(struct table *t, const json_t *o)
{
    static const char *const now[] = {"depth", "running", "waiting", "retry", "delayed", "dead"};
    static const char *const ever[] = {"done", "retry", "dead", "lost", "cancelled"};
    const json_t *stats = json_object_get(o, "stats");
    cell_text(t, o, "queue");
    for (size_t i = 0; i < sizeof now / sizeof *now; i++)
        cell_number(t, o, now[i]);
    for (size_t i = 0; i < sizeof ever / sizeof *ever; i++)
        cell_number(t, stats, ever[i]);
    status_state(t, o);
}

static void print_redis(const json_t *redis, FILE *out)
{
    bool up = json_is_true(json_object_get(redis, "up"));
    const json_t *rtt = json_object_get(redis, "rtt_ms");
    (void)fprintf(out, "redis    %s, %s", text_of(redis, "address"), up ? "up" : "down");
    if (json_is_number(rtt))
        (void)fprintf(out, ", round trip %.2f ms", json_number_value(rtt));
    else if (up)
        (void)fputs(", gives no answer", out);
    (void)fprintf(out, ", %lld reconnects", number_of(redis, "reconnects"));
    if (*text_of(redis, "error")) {
        (void)fputs(", ", out);
        print_escaped(out, text_of(redis, "error"));
    }
    (void)fputc('\n', out);
}

static void print_workers(const json_t *last, FILE *out)
{
    const json_t *workers = json_object_get(last, "workers"), *one;
    long long running = 0;
    size_t i;
    (void)fprintf(out, "workers  %zu, running", json_array_size(workers));
    json_array_foreach(workers, i, one)
    {
        running += number_of(one, "running");
        (void)fprintf(out, " %lld", number_of(one, "running"));
    }
    (void)fprintf(out, ": %lld of %lld slots", running, number_of(last, "slots"));
    json_array_foreach(workers, i, one)
    {
        if (number_of(one, "hangs_ms"))
            (void)fprintf(out, ", worker %zu hangs for %llds", i,
                          number_of(one, "hangs_ms") / 1000);
    }
    (void)fputc('\n', out);
}

static void print_since_start(const json_t *counts, FILE *out)
{
    static const char *const names[] = {"done", "retried", "dead", "cancelled", "lost"};
    (void)fputs("jobs    ", out);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        (void)fprintf(out, "%s %lld %s", i ? "," : "", number_of(counts, names[i]), names[i]);
    (void)fputs(" since the start\n", out);
}

static void print_status_head(const json_t *last, FILE *out)
{
    char up[32];
    (void)fprintf(out, "rpopd    %s, instance %s, pid %lld, up %s, %s\n", text_of(last, "version"),
                  text_of(last, "instance"), number_of(last, "pid"),
                  print_duration(number_of(last, "uptime_ms"), up, sizeof up),
                  text_of(last, "life"));
    print_redis(json_object_get(last, "redis"), out);
    print_workers(last, out);
    print_since_start(json_object_get(last, "since_start"), out);
    if (number_of(last, "log_dropped") > 0)
        (void)fprintf(out, "log      %lld lines dropped: no room, no reader or no disk\n",
                      number_of(last, "log_dropped"));
    (void)fputc('\n', out);
}

/* ---- jobs, cancel ---- */

static void jobs_row(struct table *t, const json_t *o)
{
    char age[32];
    cell_text(t, o, "id");
    cell_text(t, o, "queue");
    table_cell(t, print_duration(number_of(o, "age_ms"), age, sizeof age));
    cell_text(t, o, "state");
    cell_if_any(t, o, "worker");
    cell_text(t, o, "handler");
    cell_if_any(t, o, "pid");
    cell_number(t, o, "attempt");
    cell_number(t, o, "payload_bytes");
}

/* ---- dead letters ---- */

static const char *print_time(long long ms, char *out, size_t size)
{
    struct tm tm;
    time_t t = (time_t)(ms / 1000);
    if (!localtime_r(&t, &tm) || !strftime(out, size, "%Y-%m-%d %H:%M:%S", &tm))
        (void)snprintf(out, size, "?");
    return out;
}

static void dead_row(struct table *t, const json_t *o)
{
    char died[32];
    bool readable = json_is_string(json_object_get(o, "id"));
    table_cell(t, readable ? text_of(o, "id") : "?");
    table_cell(t, print_time(number_of(o, "died_ms"), died, sizeof died));
    cell_number(t, o, "attempts");
    cell_number(t, o, "payload_bytes");
    if (readable)
        cell_text(t, o, "reason");
    else
        table_cell(t, "(cannot be read: not of this version)");
}

static void show_line(FILE *out, const char *name, const char *text)
{
    (void)fprintf(out, "%-9s ", name);
    print_escaped(out, text);
    (void)fputc('\n', out);
}

static void show_letter(const json_t *o, const struct payload *p, FILE *out)
{
    static const char *const more[] = {"reason", "exit",     "signal", "status",
                                       "run_ms", "instance", "output", "output_base64"};
    char time[32], *text = table_escape(p->len ? p->bytes : "", p->len);
    show_line(out, "id", text_of(o, "id"));
    show_line(out, "claimed", print_time(number_of(o, "first_ms"), time, sizeof time));
    show_line(out, "died", print_time(number_of(o, "died_ms"), time, sizeof time));
    (void)fprintf(out, "%-9s %lld\n", "tries", number_of(o, "attempts"));
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        const json_t *value = json_object_get(o, more[i]);
        if (json_is_string(value))
            show_line(out, more[i], json_string_value(value));
        else if (json_is_integer(value))
            (void)fprintf(out, "%-9s %lld\n", more[i], (long long)json_integer_value(value));
    }
    (void)fprintf(out, "%-9s %zu bytes\n%s\n", "payload", p->len, text);
    free(text);
}

static void print_taken(const json_t *last, FILE *out)
{
    bool retried = json_object_get(last, "retried");
    (void)fprintf(out, "%s %lld", retried ? "retried" : "dropped",
                  number_of(last, retried ? "retried" : "dropped"));
    if (number_of(last, "unreadable"))
        (void)fprintf(out, ", left alone %lld that cannot be read", number_of(last, "unreadable"));
    (void)fputc('\n', out);
}

/* The letter first, then pieces of its payload. */
static void show_item(struct print *p, const json_t *item)
{
    const char *piece = json_string_value(json_object_get(item, "piece_base64"));
    if (!piece)
        p->letter = json_deep_copy(item);
    else if (payload_add(&p->payload, piece) < 0)
        (void)fputs("rpopctl: a piece of the payload is no base64\n", stderr);
}

/* ---- fsck ---- */

static void print_finding(const json_t *o, FILE *out)
{
    bool repaired = json_is_true(json_object_get(o, "repaired"));
    show_line(out, text_of(o, "kind"), text_of(o, "what"));
    show_line(out, "  key", text_of(o, "key"));
    if (*text_of(o, "detail"))
        show_line(out, "  detail", text_of(o, "detail"));
    show_line(out, repaired ? "  done" : "  repair", text_of(o, "repair"));
}

static void print_found(const json_t *last, FILE *out)
{
    if (number_of(last, "found"))
        (void)fprintf(out, "%lld found, %lld repaired; ", number_of(last, "found"),
                      number_of(last, "repaired"));
    else
        (void)fputs("clean: ", out);
    (void)fprintf(out, "%lld keys of %lld queues\n", number_of(last, "keys"),
                  number_of(last, "of_queues"));
}

/* ---- text ---- */

/* Of many rows a piece: they are not kept. The status has its head before the first. */
static void row_done(struct print *p)
{
    if (++p->count % TABLE_ROWS == 0)
        table_print(p->table, p->out);
}

static void text_item(struct print *p, const json_t *item)
{
    switch (p->kind) {
    case PRINT_STATUS:
        return status_row(p->table, item);
    case PRINT_JOBS:
        jobs_row(p->table, item);
        return row_done(p);
    case PRINT_DEAD_LIST:
        dead_row(p->table, item);
        return row_done(p);
    case PRINT_FSCK:
        return print_finding(item, p->out);
    default:
        return;
    }
}

static void text_last(struct print *p, const json_t *last)
{
    switch (p->kind) {
    case PRINT_STATUS:
        return print_status_head(last, p->out);
    case PRINT_CANCEL:
        (void)fprintf(p->out, "cancelled %s, which was %s\n", text_of(last, "id"),
                      text_of(last, "state"));
        return;
    case PRINT_DEAD_SHOW:
        return show_letter(p->letter, &p->payload, p->out);
    case PRINT_DEAD_TAKE:
        return print_taken(last, p->out);
    case PRINT_FSCK:
        return print_found(last, p->out);
    default:
        return;
    }
}

/* ---- JSON ---- */

static void dump(const json_t *json, FILE *out)
{
    (void)json_dumpf(json, out, JSON_COMPACT);
}

/* Before the first item, or instead of one. */
static void begin_items(struct print *p)
{
    if (kinds[p->kind].items)
        (void)fprintf(p->out, "{\"%s\":", kinds[p->kind].items);
    (void)fputc('[', p->out);
}

static void json_item(struct print *p, const json_t *item)
{
    if (p->count++)
        (void)fputs(",\n ", p->out);
    else
        begin_items(p);
    dump(item, p->out);
}

/* The object's other keys, and its end; last NULL: it was broken off. */
static void end_items(struct print *p, const json_t *last)
{
    const char *key;
    json_t *value;
    if (!p->count)
        begin_items(p);
    (void)fputc(']', p->out);
    json_object_foreach((json_t *)last, key, value)
    {
        (void)fprintf(p->out, ",\n\"%s\":", key);
        json_dumpf(value, p->out, JSON_COMPACT | JSON_ENCODE_ANY);
    }
    (void)fputs("}\n", p->out);
}

/* Where nothing came there is no document, not an empty one. */
static void json_last(struct print *p, json_t *last)
{
    if (!last && !p->count)
        return;
    if (kinds[p->kind].items)
        return end_items(p, last);
    if (!kinds[p->kind].object) {
        (void)fputs(p->count ? "]\n" : "[]\n", p->out);
        return;
    }
    if (p->letter) {
        (void)json_object_update(last, p->letter);
        payload_to_json(&p->payload, last);
    }
    dump(last, p->out);
    (void)fputc('\n', p->out);
}

/* ---- both ---- */

struct print *print_new(enum print_kind kind, bool json, FILE *out)
{
    struct print *p = calloc(1, sizeof *p);
    if (!p) {
        (void)fputs("rpopctl: no memory\n", stderr);
        exit(1);
    }
    *p = (struct print){.kind = kind, .json = json, .out = out};
    if (!json && kinds[kind].headings)
        p->table = table_new(kinds[kind].headings);
    return p;
}

int print_item(void *print, const json_t *item)
{
    struct print *p = print;
    if (p->kind == PRINT_DEAD_SHOW)
        show_item(p, item);
    else if (p->json)
        json_item(p, item);
    else
        text_item(p, item);
    return 0;
}

void print_end(struct print *p, json_t *last)
{
    if (p->json)
        json_last(p, last);
    else if (last)
        text_last(p, last);
    if (p->table)
        table_print(p->table, p->out);
    (void)table_free(p->table);
    json_decref(p->letter);
    payload_clear(&p->payload);
    free(p);
}
