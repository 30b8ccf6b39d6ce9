/* conf.h - the configuration: one table of settings, read from a libconfig file.
 * Runs on: any thread (a loaded configuration is const and may be shared). Never awaits. Units:
 * seconds in the file, milliseconds here (`_ms`). Errors: a list of lines `file:line: name: what,
 * allowed`, all mistakes at once. The table in conf_table.c is the only place that names a setting;
 * --help-config, --print-config, conf/rpopd.conf and the manual page print from it. */
#ifndef COMMON_CONF_H
#define COMMON_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/err.h"

#define CONF_SOCKET_MAX 107 /* bytes of a unix socket's path */
#define CONF_SOCKET "rpopd.sock"

struct conf_redis {
    char *url, *username, *password_file;
    char *
        password; /* what password_file or the systemd credential redis-password held; "" without */
    int64_t connect_timeout_ms, command_timeout_ms;
    bool wait;
};

enum conf_delivery { CONF_AT_LEAST_ONCE, CONF_AT_MOST_ONCE };

/* In the order of conf_handler_types. */
enum conf_handler_type { CONF_SLEEP, CONF_NULL, CONF_EXEC, CONF_HTTP, CONF_POOL, CONF_PLUGIN };

struct conf_http {
    char *url, *method;
    char **headers; /* "Name: value", NULL-terminated */
    char *secret_file;
    char *secret; /* what secret_file held; NULL without */
    int64_t connect_timeout_ms;
    int redirects;
    char **redirect_hosts;  /* "host" or "host:port", NULL-terminated */
    int64_t response_limit; /* bytes */
    char *proxy, *ca_file;
};

struct conf_handler {
    char *type;    /* name of a handler: "sleep", "null" */
    unsigned line; /* of the file: where it is described */
    /* exec, pool: what is started, NULL-terminated arrays */
    char **command, **env;
    char *cwd, *user, *umask; /* "": as the daemon's */
    int64_t kill_grace_ms;
    int nice;
    char **rlimits; /* each as rlimit_parse reads it */
    bool no_new_privs;
    struct conf_http http;
    /* pool */
    int processes; /* resolved: at least 1 */
    int max_jobs;
    int64_t max_rss;     /* bytes; 0: no limit */
    char *path, *symbol; /* plugin */
    bool blocking;
    char **settings; /* anybody's, each as name=value; NULL-terminated */
};

struct conf_queue {
    char *name;
    char *label; /* the name as it stands between apostrophes in the log: escaped, cut */
    struct conf_handler handler;
    int weight, priority, concurrency; /* concurrency 0: no limit of its own */
    int64_t timeout_ms;                /* 0: none */
    int attempts;
    int64_t backoff_base_ms, backoff_max_ms;
    double backoff_factor, backoff_jitter;
    enum conf_delivery delivery;
    int64_t max_payload; /* bytes */
    int max_recoveries;
    char *recoveries_to; /* "dead" or the name of a list */
    int dead_max;
    int64_t dead_age_ms;
    int64_t output_limit; /* bytes */
    char *result_list;
    int64_t result_key_ttl_ms;
    char *on_success, *on_failure;
};

enum conf_log_level { CONF_LOG_DEBUG, CONF_LOG_INFO, CONF_LOG_WARNING, CONF_LOG_ERROR };
enum conf_log_format {
    CONF_LOG_AUTO,
    CONF_LOG_TEXT,
    CONF_LOG_KEYVALUE,
    CONF_LOG_JOURNAL,
    CONF_LOG_JSON
};

struct conf {
    char *file;        /* where it was read from */
    char *instance;    /* resolved: never empty */
    char *runtime_dir; /* resolved: never empty */
    struct conf_redis redis;
    int workers; /* resolved: at least 1 */
    int concurrency;
    int64_t shutdown_timeout_ms, lease_ms;
    struct conf_queue *queues;
    size_t nqueues;
    enum conf_log_level log_level;
    enum conf_log_format log_format;
    char *admin_socket; /* resolved: never empty */
    char *admin_http, *admin_token_file;
    char **not_in_effect; /* names of settings in the file whose feature is not built yet, each
                             once; NULL-terminated */
};

/* The list that recoveries_to names; "": it says dead. */
const char *conf_put_away(const struct conf_queue *q);

/* Reads and checks `path`. Gives the configuration in *ret_conf and returns 0; else -EINVAL
 * (mistakes), -ENOENT, -EACCES, -EIO, -ENOMEM ..., and every mistake was written to `errors` as a
 * line. The text is read and checked by us before libconfig sees it: 1.5 ends the process on an
 * @include of a directory, wraps integers and lets an open comment swallow the rest. */
int conf_load(const char *path, FILE *errors, struct conf **ret_conf);
/* The same from memory, for tests: as far as the text goes. Nothing is taken from the environment
 * or another file, so instance, runtime_dir and workers are as they were written, and there is no
 * password. */
int conf_load_text(const char *name, const char *text, size_t len, FILE *errors,
                   struct conf **ret_conf);
struct conf *conf_free(struct conf *c); /* takes; NULL or half-built is fine; returns NULL */

void conf_print(const struct conf *c,
                FILE *out); /* --print-config: what is in force, readable as a file again */
void conf_print_help(
    FILE *out); /* --help-config: every setting, type, range, unit, default, text */
void conf_print_sample(FILE *out); /* conf/rpopd.conf: everything commented out with its default */
void conf_print_manual(FILE *out); /* the settings section of conf/rpopd.conf.5 */

/* The handler types that exist are told to the table by name: "type is one of ...". */
extern const char *const conf_handler_types[]; /* NULL-terminated */

#endif
