#include "worker/handler/exec_output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"

#define RING_FIRST ((size_t)1024)

void output_init(struct output *o, const struct job *j)
{
    *o = (struct output){.job = j, .window_ms = clock_now_ms()};
}

void output_deinit(struct output *o)
{
    free(o->ring);
    o->ring = NULL;
}

/* The evidence ----------------------------------------------------------------------------------
 */

/* Room for n more, as far as the limit and memory go; it grows before it goes round. */
static void grow(struct output *o, size_t n)
{
    size_t limit = (size_t)o->job->conf->output_limit, room = o->room ? o->room : RING_FIRST;
    while (room < o->len + n && room < limit)
        room *= 2;
    if (room > limit)
        room = limit;
    if (room <= o->room || o->start > 0) /* once it went round, it stays as large as it is */
        return;
    char *ring = realloc(o->ring, room);
    if (!ring)
        return;
    o->ring = ring;
    o->room = room;
}

static void ring_put(struct output *o, const char *bytes, size_t n)
{
    if (o->len + n > o->room)
        grow(o, n);
    if (n > o->room) {
        bytes += n - o->room;
        n = o->room;
    }
    for (size_t done = 0; done < n;) {
        size_t at = (o->start + o->len) % o->room, part = n - done;
        if (part > o->room - at)
            part = o->room - at;
        memcpy(o->ring + at, bytes + done, part);
        done += part;
        o->len += part;
        if (o->len > o->room) {
            o->start = (o->start + o->len - o->room) % o->room;
            o->len = o->room;
        }
    }
}

int output_keep(const struct output *o, struct job *j)
{
    if (o->len == 0)
        return 0;
    char *whole = malloc(o->len);
    if (!whole)
        return -ENOMEM;
    size_t first = o->room - o->start < o->len ? o->room - o->start : o->len;
    memcpy(whole, o->ring + o->start, first);
    memcpy(whole + first, o->ring, o->len - first);
    int r = job_output(j, whole, o->len);
    free(whole);
    return r;
}

/* The log ---------------------------------------------------------------------------------------
 */

static void note_cut(struct output *o)
{
    char id[JOB_ID_MAX];
    if (o->cut_lines > 0)
        log_warn("job-output-cut", "queue='%s' id=%s lines=%" PRIu64 " bytes=%" PRIu64,
                 o->job->conf->label, job_id(o->job, id), o->cut_lines, o->cut_bytes);
    o->cut_lines = o->cut_bytes = 0;
}

/* Another line may be logged. */
static bool has_room(struct output *o)
{
    if (o->logged < OUTPUT_LINES_MAX)
        return true;
    int64_t now_ms = clock_now_ms();
    if (now_ms - o->window_ms < OUTPUT_WINDOW_MS)
        return false;
    note_cut(o);
    o->window_ms = now_ms;
    o->logged = 0;
    return true;
}

static void log_line(struct output *o, enum output_stream stream, const char *text, size_t len)
{
    static const char *const names[] = {"stdout", "stderr"};
    char id[JOB_ID_MAX], pid[24] = "", shown[4 * OUTPUT_LINE_MAX + 8];
    if (!has_room(o)) {
        o->cut_lines++;
        o->cut_bytes += len;
        return;
    }
    o->logged++;
    if (o->pid)
        (void)snprintf(pid, sizeof pid, " pid=%d", o->pid);
    log_info("job-output", "queue='%s' id=%s%s stream=%s line=%s", o->job->conf->label,
             job_id(o->job, id), pid, names[stream],
             text_quote(text, len, '\'', shown, sizeof shown));
}

/* Takes a part of a line, whole where `ended`. */
static void line_put(struct output *o, enum output_stream stream, const char *bytes, size_t n,
                     bool ended)
{
    struct output_line *l = &o->line[stream];
    bool any = l->len > 0 || n > 0 || ended;
    while (l->len + n > sizeof l->text) {
        size_t part = sizeof l->text - l->len;
        memcpy(l->text + l->len, bytes, part);
        log_line(o, stream, l->text, sizeof l->text);
        l->len = 0;
        bytes += part;
        n -= part;
    }
    memcpy(l->text + l->len, bytes, n);
    l->len += n;
    if (ended && any) {
        log_line(o, stream, l->text, l->len);
        l->len = 0;
    }
}

void output_take(struct output *o, enum output_stream stream, const char *bytes, size_t n)
{
    if (o->job->conf->output_limit > 0)
        ring_put(o, bytes, n);
    for (const char *end = bytes + n, *at; bytes < end; bytes = at) {
        at = memchr(bytes, '\n', (size_t)(end - bytes));
        size_t len = (size_t)((at ? at : end) - bytes);
        line_put(o, stream, bytes, len, at != NULL);
        at = at ? at + 1 : end;
    }
}

void output_end(struct output *o)
{
    for (enum output_stream s = OUTPUT_STDOUT; s < OUTPUT_STREAMS; s++)
        if (o->line[s].len > 0)
            line_put(o, s, "", 0, true);
    note_cut(o);
}
