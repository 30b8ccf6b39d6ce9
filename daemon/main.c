/* rpopd: the command line. Everything else is the master's (master.c). */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/conf.h"
#include "common/log.h"
#include "common/thread.h"
#include "daemon/master.h"
#include "worker/handler/handler.h"

#define RPOPD_CONF RPOPD_SYSCONFDIR "/rpopd/rpopd.conf"

enum { EXIT_USAGE = 64, EXIT_BROKEN = 70, EXIT_CONFIG = 78 };

enum mode {
    MODE_RUN,
    MODE_CHECK,
    MODE_PRINT,
    MODE_HELP_CONFIG,
    MODE_SAMPLE,
    MODE_MANUAL,
    MODE_VERSION,
    MODE_HELP
};

static void usage(FILE *out)
{
    (void)fputs("usage: rpopd [-c FILE] [-t | --print-config]\n"
                "       rpopd --help-config | -V | -h\n"
                "\n"
                "  -c, --config FILE  the configuration (default: " RPOPD_CONF ")\n"
                "  -t, --test         check the configuration and exit\n"
                "  --print-config     print what is in force and exit\n"
                "  --help-config      print every setting and exit\n"
                "  -V, --version      print the version and exit\n"
                "  -h, --help         print this and exit\n",
                out);
}

static enum mode parse_options(int argc, char **argv, const char **ret_file)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"test", no_argument, NULL, 't'},
        {"print-config", no_argument, NULL, MODE_PRINT},
        {"help-config", no_argument, NULL, MODE_HELP_CONFIG},
        {"print-sample", no_argument, NULL, MODE_SAMPLE},
        {"print-manual", no_argument, NULL, MODE_MANUAL},
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    enum mode mode = MODE_RUN;
    for (int c; (c = getopt_long(argc, argv, "c:tVh", options, NULL)) != -1;)
        switch (c) {
        case 'c':
            *ret_file = optarg;
            break;
        case 't':
            mode = MODE_CHECK;
            break;
        case 'V':
            mode = MODE_VERSION;
            break;
        case 'h':
            mode = MODE_HELP;
            break;
        case '?':
            usage(stderr);
            exit(EXIT_USAGE);
        default:
            mode = (enum mode)c;
        }
    if (optind == argc)
        return mode;
    (void)fprintf(stderr, "rpopd: '%s' is one word too many\n", argv[optind]);
    usage(stderr);
    exit(EXIT_USAGE);
}

static int run_daemon(const struct conf *conf)
{
    struct err e = {0};
    int code;
    log_open(conf->log_level, conf->log_format);
    for (char *const *name = conf->not_in_effect; name && *name; name++)
        log_warn("not-in-effect", "setting=%s what='not in effect yet: it changes nothing'", *name);
    thread_enter(&on_master);
    struct master *m = master_new(conf, &e, &code);
    if (!m) {
        char quoted[LOG_QUOTE_MAX];
        log_error("refused", "exit=%d why=%s", code, log_quote(e.text, strlen(e.text), quoted));
        return code;
    }
    code = master_run(m);
    (void)master_free(m);
    return code;
}

/* What the handlers know better than the table: 0, -ENOMEM or -EINVAL. */
static int check_handlers(const struct conf *conf)
{
    int code = 0;
    for (size_t i = 0; i < conf->nqueues; i++) {
        const struct conf_queue *q = &conf->queues[i];
        const struct handler *h = handler_find(q->handler.type);
        struct err e = {0};
        int r = h->check ? h->check(q, &e) : 0;
        if (r < 0)
            (void)fprintf(stderr, "%s:%u: queues[%zu].%s\n", conf->file, q->handler.line, i,
                          e.text);
        if (code != -ENOMEM && r < 0)
            code = r == -ENOMEM ? r : -EINVAL;
    }
    return code;
}

static int with_config(const char *file, enum mode mode)
{
    struct conf *conf;
    int code = conf_load(file, stderr, &conf);
    if (code < 0)
        return err_is_shortage(code) ? EXIT_BROKEN : EXIT_CONFIG;
    if (mode != MODE_PRINT)
        code = check_handlers(conf);
    if (code < 0)
        code = code == -ENOMEM ? EXIT_BROKEN : EXIT_CONFIG;
    else if (mode == MODE_PRINT)
        conf_print(conf, stdout);
    else if (mode == MODE_CHECK)
        (void)printf("%s: ok\n", file);
    else
        code = run_daemon(conf);
    (void)conf_free(conf);
    return code;
}

/* Where one of the three was closed, the next file to be opened would get its number, and every
 * line of the log or of a job would be written into that. They are for programs too: no O_CLOEXEC.
 */
static void open_standard_files(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        (void)close(fd);
}

int main(int argc, char **argv)
{
    open_standard_files();
    const char *file = RPOPD_CONF;
    enum mode mode = parse_options(argc, argv, &file);
    int code = 0;
    switch (mode) {
    case MODE_HELP:
        usage(stdout);
        break;
    case MODE_VERSION:
        (void)puts("rpopd " RPOPD_VERSION);
        break;
    case MODE_HELP_CONFIG:
        conf_print_help(stdout);
        break;
    case MODE_SAMPLE:
        conf_print_sample(stdout);
        break;
    case MODE_MANUAL:
        conf_print_manual(stdout);
        break;
    default:
        code = with_config(file, mode);
    }
    if (fflush(stdout) == 0)
        return code;
    (void)fprintf(stderr, "rpopd: cannot write: %s\n", strerror(errno));
    return code ? code : 1;
}
