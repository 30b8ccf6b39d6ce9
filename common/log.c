#include "common/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#define SD_JOURNAL_SUPPRESS_LOCATION /* it would always be this file */
#include <systemd/sd-journal.h>

#include "common/callout.h"
#include "common/clock.h"
#include "common/log_line.h"
#include "common/text.h"

#define SINK STDERR_FILENO
#define JOURNAL_PAIRS_MAX 24

/* One log a process: every thread writes to the same descriptor. */
static struct {
    _Atomic int level;
    _Atomic int format; /* never CONF_LOG_AUTO behind log_open */
    _Atomic bool colour;
    _Atomic uint64_t dropped;
    pthread_mutex_t lock; /* guards the sink between "there is room" and the write */
} sink = {.level = CONF_LOG_INFO, .format = CONF_LOG_KEYVALUE, .lock = PTHREAD_MUTEX_INITIALIZER};

/* Opening ----------------------------------------------------------------------------------------
 */

/* systemd says in $JOURNAL_STREAM which device and inode the journal's end of stderr is. */
static bool stderr_is_journal(void)
{
    struct stat st;
    char *end;
    const char *text = getenv("JOURNAL_STREAM");
    if (!text || fstat(SINK, &st) < 0)
        return false;
    unsigned long long device = strtoull(text, &end, 10);
    if (end == text || *end != ':')
        return false;
    unsigned long long inode = strtoull(end + 1, &end, 10);
    return !*end && device == st.st_dev && inode == st.st_ino;
}

static enum conf_log_format choose(enum conf_log_format format)
{
    if (format == CONF_LOG_JOURNAL) /* sd_journal_sendv says nothing where there is no journal */
        return access("/run/systemd/journal/socket", F_OK) == 0 ? CONF_LOG_JOURNAL
                                                                : CONF_LOG_KEYVALUE;
    if (format != CONF_LOG_AUTO)
        return format;
    if (stderr_is_journal())
        return CONF_LOG_JOURNAL;
    return isatty(SINK) ? CONF_LOG_TEXT : CONF_LOG_KEYVALUE;
}

void log_open(enum conf_log_level level, enum conf_log_format format)
{
    (void)signal(SIGPIPE, SIG_IGN);
    atomic_store(&sink.level, (int)level);
    atomic_store(&sink.format, (int)choose(format));
    atomic_store(&sink.colour, isatty(SINK) != 0);
}

uint64_t log_dropped(void)
{
    return atomic_load(&sink.dropped);
}

/* Sinks ------------------------------------------------------------------------------------------
 */

/* A pipe that nobody reads would hold a loop for ever: without room the line is dropped. */
static bool has_room(void)
{
    struct pollfd p = {.fd = SINK, .events = POLLOUT};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) && !(p.revents & (POLLERR | POLLNVAL));
}

static void write_line(const char *line, size_t len)
{
    (void)pthread_mutex_lock(&sink.lock);
    bool written = has_room() && write(SINK, line, len) == (ssize_t)len;
    (void)pthread_mutex_unlock(&sink.lock);
    if (!written)
        atomic_fetch_add(&sink.dropped, 1);
}

struct fields {
    struct iovec at[JOURNAL_PAIRS_MAX + 4];
    size_t n;
    size_t used;
    char room[2 * LOG_LINE_MAX];
};

/* NAME=value; false where there is no room left. */
static bool add_field(struct fields *f, const char *front, const char *name, size_t name_len,
                      const char *value, size_t value_len)
{
    size_t front_len = strlen(front), len = front_len + name_len + 1 + value_len;
    char *out = f->room + f->used;
    if (f->n == sizeof f->at / sizeof *f->at || f->used + len > sizeof f->room ||
        front_len + name_len > 64)
        return false;
    (void)stpcpy(out, front); /* its NUL is written over */
    for (size_t i = 0; i < name_len; i++) {
        char c = name[i];
        bool small = c >= 'a' && c <= 'z';
        bool fine = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        out[front_len + i] = small ? (char)(c - 'a' + 'A') : fine ? c : '_';
    }
    out[front_len + name_len] = '=';
    memcpy(out + front_len + name_len + 1, value, value_len);
    f->at[f->n++] = (struct iovec){out, len};
    f->used += len;
    return true;
}

static void add_text(struct fields *f, const char *name, const char *value)
{
    (void)add_field(f, "", name, strlen(name), value, strlen(value));
}

static void send_journal(const struct log_record *r)
{
    static const char *const priorities[] = {"7", "6", "4", "3"};
    struct fields f = {.n = 0};
    struct log_pair pair;
    char message[LOG_LINE_MAX];
    const char *pairs = r->pairs;
    size_t len = log_line_message(r, message);
    (void)add_field(&f, "", "MESSAGE", 7, message, len);
    add_text(&f, "PRIORITY", priorities[r->level]);
    add_text(&f, "SYSLOG_IDENTIFIER", "rpopd");
    add_text(&f, "RPOPD_EVENT", r->event);
    while (log_pair_next(&pairs, &pair) &&
           add_field(&f, "RPOPD_", pair.key, pair.key_len, pair.value, pair.value_len))
        ;
    if (sd_journal_sendv(f.at, (int)f.n) < 0)
        atomic_fetch_add(&sink.dropped, 1);
}

/* Formatting -------------------------------------------------------------------------------------
 */

struct log_call {
    enum conf_log_level level;
    const char *event;
    const char *fmt;
    va_list *args;
};

static void write_record(const struct log_record *r)
{
    char line[LOG_LINE_MAX];
    switch (atomic_load(&sink.format)) {
    case CONF_LOG_JOURNAL:
        send_journal(r);
        return;
    case CONF_LOG_TEXT:
        write_line(line, log_line_text(r, atomic_load(&sink.colour), line));
        return;
    case CONF_LOG_JSON:
        write_line(line, log_line_json(r, line));
        return;
    default:
        write_line(line, log_line_keyvalue(r, line));
        return;
    }
}

/* On the thread's own stack: this takes some 25 KB of it. */
static void log_now(void *arg)
{
    const struct log_call *c = arg;
    char pairs[LOG_PAIRS_MAX];
    int n = vsnprintf(pairs, sizeof pairs, c->fmt, *c->args); // NOLINT: va_start was in log_at
    if (n < 0)
        pairs[0] = '\0';
    else if ((size_t)n >= sizeof pairs)
        memcpy(pairs + sizeof pairs - 4, "...", 4);
    write_record(&(struct log_record){clock_wall_ms(), c->level, c->event, pairs});
}

static void log_off_stack(enum conf_log_level level, const char *event, const char *fmt,
                          va_list *args)
{
    struct log_call call = {.level = level, .event = event, .fmt = fmt, .args = args};
    callout(log_now, &call);
}

void log_at(enum conf_log_level level, const char *event, const char *fmt, ...)
{
    int saved = errno;
    va_list args;
    if ((int)level < atomic_load(&sink.level))
        return;
    va_start(args, fmt);
    log_off_stack(level, event, fmt, &args);
    va_end(args);
    errno = saved;
}

const char *log_quote(const void *bytes, size_t len, char out[LOG_QUOTE_MAX])
{
    return text_quote(bytes, len, '\'', out, LOG_QUOTE_MAX);
}
