#include "common/conf_table.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/conf_check.h"
#include "common/text.h"

#define SIZE(a) (sizeof(a) / sizeof *(a))
#define TOP(field) offsetof(struct conf, field)
#define QUEUE(field) offsetof(struct conf_queue, field)
#define PROGRAM (CONF_OF(CONF_EXEC) | CONF_OF(CONF_POOL)) /* the types that start one */
#define YEAR 31536000.0                                   /* seconds */

const char *const conf_handler_types[] = {[CONF_SLEEP] = "sleep",
                                          [CONF_NULL] = "null",
                                          [CONF_EXEC] = "exec",
                                          [CONF_HTTP] = "http",
                                          [CONF_POOL] = "pool",
                                          [CONF_PLUGIN] = "plugin",
                                          NULL};

static const char *const levels[] = {"debug", "info", "warning", "error", NULL};
static const char *const formats[] = {"auto", "text", "keyvalue", "journal", "json", NULL};
static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", NULL};
static const char *const deliveries[] = {"at-least-once", "at-most-once", NULL};

static const struct conf_row top[] = {
    {"instance", CONF_TEXT, TOP(instance), 0, 64, "\"\"", 0, NULL, conf_check_instance_or_empty,
     "Name of this instance: 1 to 64 letters (A-Z, a-z), digits, dots, underscores and hyphens. A "
     "name lives once on a database. Empty: $RPOPD_INSTANCE, else the host name."},
    {"runtime_dir", CONF_TEXT, TOP(runtime_dir), 0, 4000, "\"\"", 0, NULL, conf_check_directory,
     "Directory of the lock and the crash note, an absolute path. Empty: $RUNTIME_DIRECTORY, else "
     "$XDG_RUNTIME_DIR/rpopd, else /tmp/rpopd-<uid>."},
    {"redis.url", CONF_TEXT, TOP(redis.url), 1, 4000, "\"redis://127.0.0.1:6379/0\"", 0, NULL,
     conf_check_url,
     "Address of the server: redis://[user[:password]@]host[:port][/database] or "
     "unix:///path[?db=database]. TLS (rediss://) is not built in. A password belongs into "
     "password_file."},
    {"redis.username", CONF_TEXT, TOP(redis.username), 0, 255, "\"\"", 0, NULL, NULL,
     "User of the server's access list. It counts before the one in the url. Empty: none."},
    {"redis.password_file", CONF_TEXT, TOP(redis.password_file), 0, 4000, "\"\"", 0, NULL, NULL,
     "File that holds the password and that nobody but its owner may read; one line end at its end "
     "is dropped. Empty: the systemd credential redis-password where there is one."},
    {"redis.connect_timeout", CONF_SECONDS, TOP(redis.connect_timeout_ms), 0.1, 300, "5.0", 0, NULL,
     NULL, "Time in which a connection must be made."},
    {"redis.command_timeout", CONF_SECONDS, TOP(redis.command_timeout_ms), 0.1, 300, "5.0", 0, NULL,
     NULL, "Time in which a command must be answered; after it the connection is made anew."},
    {"redis.wait", CONF_BOOL, TOP(redis.wait), 0, 0, "true", 0, NULL, NULL,
     "Whether to wait at start for a server that cannot be reached. If not, rpopd exits with "
     "status 69 then."},
    {"workers", CONF_COUNT, TOP(workers), 0, 1024, "1", CONF_LIVE, NULL, NULL,
     "Worker threads, each with its own event loop. 0: one per CPU."},
    {"concurrency", CONF_COUNT, TOP(concurrency), 1, 1000000, "100", CONF_LIVE, NULL, NULL,
     "Jobs in flight in each worker."},
    {"shutdown_timeout", CONF_SECONDS, TOP(shutdown_timeout_ms), 0, 86400, "25.0", CONF_LIVE, NULL,
     NULL,
     "Time that running jobs have to finish when the daemon stops. What runs then is given back."},
    {"lease", CONF_SECONDS, TOP(lease_ms), 1, 3600, "15.0", 0, NULL, NULL,
     "Time without a heartbeat after which an instance counts as gone and others take its jobs."},
    {"queues", CONF_QUEUES, TOP(queues), 1, CONF_QUEUES_MAX, "( )", CONF_REQUIRED | CONF_LIVE, NULL,
     NULL, "The lists that are consumed, a group each."},
    {"log.level", CONF_CHOICE, TOP(log_level), 0, 0, "\"info\"", CONF_LIVE, levels, NULL,
     "What is less urgent is not logged."},
    {"log.format", CONF_CHOICE, TOP(log_format), 0, 0, "\"auto\"", CONF_LIVE, formats, NULL,
     "How a line looks. With auto it is fields to the journal under systemd, text on a terminal, "
     "else key=value pairs."},
    {"admin.socket", CONF_TEXT, TOP(admin_socket), 0, CONF_SOCKET_MAX, "\"\"", 0, NULL,
     conf_check_directory,
     "Path of the socket that rpopctl talks to, open to the daemon's user and group. Empty: "
     "rpopd.sock in runtime_dir."},
    {"admin.http", CONF_TEXT, TOP(admin_http), 0, 270, "\"\"", CONF_LATER, NULL, conf_check_http,
     "Address and port that serve / /metrics /healthz /readyz, as in 127.0.0.1:9121. Empty: none."},
    {"admin.token_file", CONF_TEXT, TOP(admin_token_file), 0, 4000, "\"\"", CONF_LATER, NULL, NULL,
     "File that holds the token which a client of admin.http must show. Empty: none is asked for."},
};

static const struct conf_row queue[] = {
    {"name", CONF_TEXT, QUEUE(name), 1, 4000, "\"queue\"", CONF_REQUIRED | CONF_LIVE, NULL,
     conf_check_list, "Name of the list. It does not begin with rpopd: and comes once."},
    {"handler.type", CONF_TEXT, QUEUE(handler.type), 1, 64, "\"sleep\"", CONF_REQUIRED | CONF_LIVE,
     conf_handler_types, NULL,
     "What is done with a job. With sleep the payload is a number of seconds to wait. With null it "
     "is done at once. With exec a program is started and gets it on its standard input. With http "
     "it is sent to a web server. With pool a program that is kept gets one job after the other. "
     "With plugin a shared object does it, see rpopd_plugin(3)."},
    {"handler.command", CONF_WORDS, QUEUE(handler.command), 1, 1000, "[ \"/bin/cat\" ]",
     CONF_REQUIRED | CONF_LIVE | PROGRAM, NULL, NULL,
     "The program and its arguments; no shell. Without a / in its name it is looked for in PATH."},
    {"handler.env", CONF_WORDS, QUEUE(handler.env), 0, 1000, "[]", CONF_LIVE | PROGRAM, NULL,
     conf_check_variable,
     "Variables for its environment, \"NAME=value\" each; they count before the daemon's own."},
    {"handler.cwd", CONF_TEXT, QUEUE(handler.cwd), 0, 4000, "\"\"", CONF_LIVE | PROGRAM, NULL,
     conf_check_directory, "Directory it begins in, an absolute path. Empty: the daemon's."},
    {"handler.kill_grace", CONF_SECONDS, QUEUE(handler.kill_grace_ms), 0, 3600, "5.0",
     CONF_LIVE | PROGRAM, NULL, NULL,
     "Time between TERM and KILL for it and all it has started, when a job is to end or has left "
     "processes behind."},
    {"handler.user", CONF_TEXT, QUEUE(handler.user), 0, 255, "\"\"", CONF_LIVE | PROGRAM, NULL,
     NULL,
     "User that it runs as, with the user's groups; for a daemon that was started as root. Empty: "
     "the daemon's."},
    {"handler.umask", CONF_TEXT, QUEUE(handler.umask), 0, 4, "\"\"", CONF_LIVE | PROGRAM, NULL,
     conf_check_umask, "Its mask for the modes of new files, as in \"027\". Empty: the daemon's."},
    {"handler.nice", CONF_COUNT, QUEUE(handler.nice), -20, 19, "0", CONF_LIVE | PROGRAM, NULL, NULL,
     "What is added to its nice value."},
    {"handler.rlimits", CONF_WORDS, QUEUE(handler.rlimits), 0, 32, "[]", CONF_LIVE | PROGRAM, NULL,
     conf_check_rlimit,
     "Its resource limits, \"nofile=1024\" or, soft and hard, \"core=0:unlimited\", by the names "
     "of "
     "man 2 setrlimit."},
    {"handler.no_new_privs", CONF_BOOL, QUEUE(handler.no_new_privs), 0, 0, "false",
     CONF_LIVE | PROGRAM, NULL, NULL,
     "Whether no program in it may gain rights by set-user-ID or file capabilities."},
    {"handler.url", CONF_TEXT, QUEUE(handler.http.url), 1, 4000, "\"http://127.0.0.1/job\"",
     CONF_REQUIRED | CONF_LIVE | CONF_OF(CONF_HTTP), NULL, NULL,
     "Where a job is sent, by http or https. Behind the host {payload}, {queue} and {id} stand for "
     "those of the job, URL-encoded; other braces are %7B and %7D."},
    {"handler.method", CONF_TEXT, QUEUE(handler.http.method), 1, 6, "\"POST\"",
     CONF_LIVE | CONF_OF(CONF_HTTP), methods, NULL,
     "How. With POST, PUT and PATCH the payload is the body; with the others there is none."},
    {"handler.headers", CONF_WORDS, QUEUE(handler.http.headers), 0, 100, "[]",
     CONF_LIVE | CONF_OF(CONF_HTTP), NULL, NULL,
     "Header fields that are sent, each as Name: value. Without a Content-Type a body is "
     "application/octet-stream."},
    {"handler.secret_file", CONF_TEXT, QUEUE(handler.http.secret_file), 0, 4000, "\"\"",
     CONF_LIVE | CONF_OF(CONF_HTTP), NULL, NULL,
     "File with the key of the signature X-Rpopd-Signature, that nobody but its owner may read; "
     "one line end at its end is dropped. Empty: nothing is signed."},
    {"handler.connect_timeout", CONF_SECONDS, QUEUE(handler.http.connect_timeout_ms), 0.1, 300,
     "5.0", CONF_LIVE | CONF_OF(CONF_HTTP), NULL, NULL,
     "Time in which the name must be known and a connection made, with TLS."},
    {"handler.redirects", CONF_COUNT, QUEUE(handler.http.redirects), 0, 20, "3",
     CONF_LIVE | CONF_OF(CONF_HTTP), NULL, NULL,
     "Redirects that are followed for one try, on the host and port of the url; and from http to "
     "https there."},
    {"handler.redirect_hosts", CONF_WORDS, QUEUE(handler.http.redirect_hosts), 0, 100, "[]",
     CONF_LIVE | CONF_OF(CONF_HTTP), NULL, NULL,
     "Further hosts that a redirect may lead to, each as host or host:port; without a port: 80 "
     "and 443."},
    {"handler.response_limit", CONF_BYTES, QUEUE(handler.http.response_limit), 0, 536870912,
     "1048576", CONF_LIVE | CONF_OF(CONF_HTTP), NULL, NULL,
     "Bytes that are read of an answer's body. What is longer is cut, and is no result."},
    {"handler.proxy", CONF_TEXT, QUEUE(handler.http.proxy), 0, 4000, "\"\"",
     CONF_LIVE | CONF_OF(CONF_HTTP), NULL, NULL,
     "Proxy: http://host:port, https://, socks4a:// or socks5h://. Empty: none, whatever the "
     "environment says."},
    {"handler.ca_file", CONF_TEXT, QUEUE(handler.http.ca_file), 0, 4000, "\"\"",
     CONF_LIVE | CONF_OF(CONF_HTTP), NULL, NULL,
     "File with the certificates of those who may vouch for a server, as PEM. Empty: the "
     "system's."},
    {"handler.processes", CONF_COUNT, QUEUE(handler.processes), 0, 1024, "0",
     CONF_LIVE | CONF_OF(CONF_POOL), NULL, NULL,
     "Most processes of the queue in this instance, each with one job at a time; concurrency is no "
     "larger then. They are started when there are jobs, and kept. 0: one per CPU."},
    {"handler.max_jobs", CONF_COUNT, QUEUE(handler.max_jobs), 0, 1000000000, "0",
     CONF_LIVE | CONF_OF(CONF_POOL), NULL, NULL,
     "Jobs that a process gets; then it is ended, and another one takes its place. 0: no end."},
    {"handler.max_rss", CONF_BYTES, QUEUE(handler.max_rss), 0, 1099511627776, "0",
     CONF_LIVE | CONF_OF(CONF_POOL), NULL, NULL,
     "Resident memory of a process, looked at behind each job; one with more is ended likewise. 0: "
     "no limit."},
    {"handler.path", CONF_TEXT, QUEUE(handler.path), 1, 4000, "\"/usr/lib/rpopd/plugin.so\"",
     CONF_REQUIRED | CONF_LIVE | CONF_OF(CONF_PLUGIN), NULL, conf_check_directory,
     "The shared object, an absolute path."},
    {"handler.symbol", CONF_TEXT, QUEUE(handler.symbol), 1, 250, "\"rpopd_plugin\"",
     CONF_LIVE | CONF_OF(CONF_PLUGIN), NULL, NULL, "The symbol in it that describes the plugin."},
    {"handler.blocking", CONF_BOOL, QUEUE(handler.blocking), 0, 0, "false",
     CONF_LIVE | CONF_OF(CONF_PLUGIN), NULL, NULL,
     "Whether it is a plain function that may block: each job has a thread then. If not, it is a "
     "coroutine on the worker's loop."},
    {"handler.settings", CONF_PAIRS, QUEUE(handler.settings), 0, 1000, "{ }",
     CONF_LIVE | CONF_OF(CONF_PLUGIN), NULL, NULL,
     "What the plugin wants to be told: texts, numbers and booleans under any names, handed on "
     "unchecked."},
    {"weight", CONF_COUNT, QUEUE(weight), 1, 1000, "1", CONF_LIVE, NULL, NULL,
     "Share among the queues of one priority: while all of them have jobs waiting, the jobs taken "
     "of "
     "each are as their weights."},
    {"priority", CONF_COUNT, QUEUE(priority), -1000, 1000, "0", CONF_LIVE, NULL, NULL,
     "A queue with a higher one is served first: a lower one gets the slots that no higher one has "
     "a job for. What runs is not interrupted."},
    {"concurrency", CONF_COUNT, QUEUE(concurrency), 0, 1000000, "0", CONF_LIVE, NULL, NULL,
     "Jobs of this queue in flight in this instance. 0: no limit of its own."},
    {"timeout", CONF_SECONDS, QUEUE(timeout_ms), 0, YEAR, "300.0", CONF_LIVE, NULL, NULL,
     "Time a job may run; after it the try has failed. 0: no limit."},
    {"attempts", CONF_COUNT, QUEUE(attempts), 1, 1000000, "10", CONF_LIVE, NULL, NULL,
     "Tries in all, then the job goes to the dead letters."},
    {"backoff.base", CONF_SECONDS, QUEUE(backoff_base_ms), 0, YEAR, "1.0", CONF_LIVE, NULL, NULL,
     "Delay after the first failed try."},
    {"backoff.factor", CONF_FACTOR, QUEUE(backoff_factor), 1, 1000, "2.0", CONF_LIVE, NULL, NULL,
     "Each further delay is that many times the one before."},
    {"backoff.max", CONF_SECONDS, QUEUE(backoff_max_ms), 0, YEAR, "3600.0", CONF_LIVE, NULL, NULL,
     "No delay is longer."},
    {"backoff.jitter", CONF_FACTOR, QUEUE(backoff_jitter), 0, 1, "0.1", CONF_LIVE, NULL, NULL,
     "Part of a delay that is random."},
    {"delivery", CONF_CHOICE, QUEUE(delivery), 0, 0, "\"at-least-once\"", CONF_LIVE, deliveries,
     NULL,
     "With at-least-once a job is kept until its outcome is settled. With at-most-once it is "
     "popped "
     "before it runs: what a crash or a lost answer meets is lost, nothing runs twice, and a try "
     "that fails is the last (attempts is 1). At a stop a payload that is larger than the "
     "connection's buffers, and on its way over a slow link, may be lost, too."},
    {"max_payload", CONF_BYTES, QUEUE(max_payload), 1, 536870912, "67108864", CONF_LIVE, NULL, NULL,
     "Bytes of the largest payload; a larger one goes to the dead letters."},
    {"max_recoveries", CONF_COUNT, QUEUE(max_recoveries), 1, 1000000, "3", CONF_LIVE, NULL, NULL,
     "Times that a job may bring the daemon down before it is put away."},
    {"recoveries_to", CONF_TEXT, QUEUE(recoveries_to), 1, 4000, "\"dead\"", CONF_LIVE, NULL,
     conf_check_list,
     "Where such a job goes: dead, or the name of a list that gets its payload, and is not this "
     "one."},
    {"dead_max", CONF_COUNT, QUEUE(dead_max), 1, 10000000, "10000", CONF_LIVE, NULL, NULL,
     "Dead letters that are kept; the oldest go first."},
    {"dead_age", CONF_SECONDS, QUEUE(dead_age_ms), 1, 100 * YEAR, "15552000.0", CONF_LIVE, NULL,
     NULL, "Time that a dead letter is kept."},
    {"output_limit", CONF_BYTES, QUEUE(output_limit), 0, 16777216, "65536", CONF_LIVE, NULL, NULL,
     "Bytes of a job's output that are kept as evidence."},
    {"result.list", CONF_TEXT, QUEUE(result_list), 0, 4000, "\"\"", CONF_LIVE, NULL,
     conf_check_list_or_empty,
     "List that what a job returned is pushed to when it is done, once, as the job's id, a line "
     "end and the result; RPOP gets the oldest. A job that returned nothing is not in it. One that "
     "returned more than max_payload (http: response_limit) or than Redis takes in one argument "
     "(proto-max-bulk-len) is dead; Redis answers nobody while it takes a large one. Empty: none."},
    {"result.key_ttl", CONF_SECONDS, QUEUE(result_key_ttl_ms), 0, YEAR, "0.0", CONF_LIVE, NULL,
     NULL,
     "Time that what a job returned is kept under the key rpopd:{name}:result:<job id>. 0: it is "
     "not."},
    {"on_success", CONF_TEXT, QUEUE(on_success), 0, 4000, "\"\"", CONF_LIVE, NULL,
     conf_check_list_or_empty,
     "List that a job goes to when it is done: what it returned, or its payload where it returned "
     "nothing. It may be another queue. Empty: none."},
    {"on_failure", CONF_TEXT, QUEUE(on_failure), 0, 4000, "\"\"", CONF_LIVE, NULL,
     conf_check_list_or_empty,
     "List that the payload of a job goes to when it is dead, for whatever reason, beside its dead "
     "letter. Empty: none."},
};

const struct conf_rows conf_top_rows = {top, SIZE(top)};
const struct conf_rows conf_queue_rows = {queue, SIZE(queue)};

const struct conf_row *conf_row_find(const struct conf_rows *rows, const char *name)
{
    for (size_t i = 0; i < rows->n; i++)
        if (!strcmp(rows->row[i].name, name))
            return &rows->row[i];
    return NULL;
}

bool conf_row_is_group(const struct conf_rows *rows, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < rows->n; i++)
        if (!strncmp(rows->row[i].name, name, n) && rows->row[i].name[n] == '.')
            return true;
    return false;
}

static const char *last_part(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

struct nearest {
    const char *name;
    unsigned distance; /* the first that is not near enough any more, then the least seen */
    char *out;
    bool found;
};

static void consider(struct nearest *n, const char *row, size_t len)
{
    char candidate[CONF_NEAR_MAX];
    (void)snprintf(candidate, sizeof candidate, "%.*s", (int)len, row);
    unsigned d = text_distance(n->name, candidate);
    if (d >= n->distance)
        return;
    n->distance = d;
    n->found = true;
    memcpy(n->out, candidate, sizeof candidate);
}

bool conf_row_near(const struct conf_rows *rows, const char *name, char out[CONF_NEAR_MAX])
{
    struct nearest n = {.name = name, .distance = strlen(name) < 5 ? 2 : 3, .out = out};
    for (size_t i = 0; i < rows->n; i++) {
        const char *row = rows->row[i].name;
        consider(&n, row, strlen(row));
        consider(&n, row, strcspn(row, "."));
    }
    for (size_t i = 0; !n.found && i < rows->n; i++) /* the right name in the wrong group */
        if (!strcmp(last_part(rows->row[i].name), last_part(name))) {
            (void)snprintf(out, CONF_NEAR_MAX, "%s", rows->row[i].name);
            return true;
        }
    return n.found;
}

static int type_index(const char *type)
{
    for (int i = 0; type && conf_handler_types[i]; i++)
        if (!strcmp(conf_handler_types[i], type))
            return i;
    return -1;
}

bool conf_row_is_of(const struct conf_row *row, const char *type)
{
    int i = type_index(type);
    return row->flags < CONF_OF(0) || i < 0 || row->flags & CONF_OF(i);
}

bool conf_row_needed(const struct conf_row *row, const char *type)
{
    bool of_some = row->flags >= CONF_OF(0);
    return row->flags & CONF_REQUIRED && (!of_some || (type && conf_row_is_of(row, type)));
}

const char *conf_row_types(const struct conf_row *row, char out[CONF_TYPES_MAX])
{
    unsigned left = row->flags / CONF_OF(0);
    size_t n = 0;
    out[0] = '\0';
    for (unsigned i = 0; left >> i; i++) {
        if (!(left >> i & 1))
            continue;
        const char *front = n == 0 ? "" : left >> i == 1 ? " and " : ", ";
        n += (size_t)snprintf(out + n, CONF_TYPES_MAX - n, "%s%s", front, conf_handler_types[i]);
    }
    return out;
}

static void list_words(const char *const *words, char *out, size_t size)
{
    size_t n = (size_t)snprintf(out, size, "one of ");
    for (size_t i = 0; words[i] && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s\"%s\"", i ? ", " : "", words[i]);
}

const char *conf_row_allowed(const struct conf_row *row, char out[CONF_ALLOWED_MAX])
{
    switch (row->type) {
    case CONF_TEXT:
        if (row->words)
            list_words(row->words, out, CONF_ALLOWED_MAX);
        else
            (void)snprintf(out, CONF_ALLOWED_MAX, "text of %s%.0f bytes in double quotes",
                           row->min > 0 ? "1 to " : "at most ", row->max);
        break;
    case CONF_BOOL:
        (void)snprintf(out, CONF_ALLOWED_MAX, "true or false");
        break;
    case CONF_COUNT:
        (void)snprintf(out, CONF_ALLOWED_MAX, "a whole number from %.0f to %.0f", row->min,
                       row->max);
        break;
    case CONF_BYTES:
        (void)snprintf(out, CONF_ALLOWED_MAX, "a whole number of bytes from %.0f to %.0f", row->min,
                       row->max);
        break;
    case CONF_SECONDS:
        (void)snprintf(out, CONF_ALLOWED_MAX, "a number of seconds from %.10g to %.10g", row->min,
                       row->max);
        break;
    case CONF_FACTOR:
        (void)snprintf(out, CONF_ALLOWED_MAX, "a number from %.10g to %.10g", row->min, row->max);
        break;
    case CONF_CHOICE:
        list_words(row->words, out, CONF_ALLOWED_MAX);
        break;
    case CONF_WORDS:
        (void)snprintf(out, CONF_ALLOWED_MAX,
                       "an array of %s%.0f texts of at most %d bytes: [ \"...\", \"...\" ]",
                       row->min > 0 ? "1 to " : "at most ", row->max, CONF_WORD_MAX);
        break;
    case CONF_PAIRS:
        (void)snprintf(out, CONF_ALLOWED_MAX,
                       "a group of at most %.0f numbers, booleans and texts of at most %d bytes: "
                       "{ name = value; ... }",
                       row->max, CONF_WORD_MAX);
        break;
    case CONF_QUEUES:
        (void)snprintf(out, CONF_ALLOWED_MAX,
                       "a list of %.0f to %.0f groups: ( { name = \"queue\"; handler: { type = "
                       "\"sleep\"; }; } )",
                       row->min, row->max);
        break;
    }
    return out;
}
