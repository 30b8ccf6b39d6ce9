/* rpopctl: the operator's command line. It asks the daemon over its admin socket (ctl_link.h) and
 * prints what it is told (ctl_print.h). */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/admin_request.h"
#include "daemon/ctl_link.h"
#include "daemon/ctl_print.h"

enum { EXIT_NO = 1, EXIT_USAGE = 64, EXIT_UNAVAILABLE = 69, EXIT_CONFIG = 78 };

/* What a command takes; a word of the command line, or an option. */
enum { WORD_QUEUE = 1, WORD_ID = 2, OPT_ID = 4, OPT_ALL = 8, OPT_LIMIT = 16, OPT_REPAIR = 32 };

struct command {
    const char *words[2];
    const char *usage, *help;
    unsigned takes;
    enum admin_command request;
    enum print_kind print;
};

static const struct command commands[] = {
    {{"status", NULL}, "", "the daemon, Redis, workers and queues", 0, ADMIN_STATUS, PRINT_STATUS},
    {{"jobs", NULL}, "", "what waits or runs in the daemon", 0, ADMIN_JOBS, PRINT_JOBS},
    {{"cancel", NULL},
     "ID",
     "end a job: it is dead, with the reason cancelled",
     WORD_ID,
     ADMIN_CANCEL,
     PRINT_CANCEL},
    {{"dead", "list"},
     "QUEUE [--limit N]",
     "the dead letters, the newest first (100)",
     WORD_QUEUE | OPT_LIMIT,
     ADMIN_DEAD_LIST,
     PRINT_DEAD_LIST},
    {{"dead", "show"},
     "QUEUE --id ID",
     "one of them, with its payload",
     WORD_QUEUE | OPT_ID,
     ADMIN_DEAD_SHOW,
     PRINT_DEAD_SHOW},
    {{"dead", "retry"},
     "QUEUE --id ID | --all",
     "try again with a new budget (--limit N: the oldest)",
     WORD_QUEUE | OPT_ID | OPT_ALL | OPT_LIMIT,
     ADMIN_DEAD_RETRY,
     PRINT_DEAD_TAKE},
    {{"dead", "drop"},
     "QUEUE --id ID | --all",
     "delete (--limit N: the oldest)",
     WORD_QUEUE | OPT_ID | OPT_ALL | OPT_LIMIT,
     ADMIN_DEAD_DROP,
     PRINT_DEAD_TAKE},
    {{"fsck", NULL},
     "[--repair]",
     "is every job in one place, and every key somebody's",
     OPT_REPAIR,
     ADMIN_FSCK,
     PRINT_FSCK},
};

#define COMMANDS (sizeof commands / sizeof *commands)

struct args {
    const char *file, *socket;
    bool json, help, version;
    unsigned given; /* OPT_… */
    const char *id, *limit;
    char **words;
    int nwords;
};

static void usage(FILE *out)
{
    (void)fputs("usage: rpopctl [-c FILE | -s SOCKET] [--json] COMMAND\n"
                "\n"
                "  -c, --config FILE    the daemon's configuration: it names the socket\n"
                "  -s, --socket SOCKET  the daemon's socket\n"
                "  --json               one JSON document instead of text\n"
                "  -V, --version        print the version and exit\n"
                "  -h, --help           print this and exit\n"
                "\n",
                out);
    for (size_t i = 0; i < COMMANDS; i++) {
        const struct command *c = &commands[i];
        char line[80];
        (void)snprintf(line, sizeof line, "%s%s%s%s%s", c->words[0], c->words[1] ? " " : "",
                       c->words[1] ? c->words[1] : "", *c->usage ? " " : "", c->usage);
        (void)fprintf(out, "  %-36s %s\n", line, c->help);
    }
}

__attribute__((format(printf, 1, 2), noreturn)) static void wrong(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)fputs("rpopctl: ", stderr);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    (void)fputs("; rpopctl -h lists what there is\n", stderr);
    exit(EXIT_USAGE);
}

static void parse_options(int argc, char **argv, struct args *a)
{
    enum { JSON = 256, ID, ALL, LIMIT, REPAIR };
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"socket", required_argument, NULL, 's'},
        {"json", no_argument, NULL, JSON},        {"id", required_argument, NULL, ID},
        {"all", no_argument, NULL, ALL},          {"limit", required_argument, NULL, LIMIT},
        {"repair", no_argument, NULL, REPAIR},    {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "c:s:Vh", options, NULL)) != -1;)
        switch (c) {
        case 'c':
            a->file = optarg;
            break;
        case 's':
            a->socket = optarg;
            break;
        case 'V':
            a->version = true;
            break;
        case 'h':
            a->help = true;
            break;
        case JSON:
            a->json = true;
            break;
        case ID:
            a->id = optarg;
            a->given |= OPT_ID;
            break;
        case ALL:
            a->given |= OPT_ALL;
            break;
        case LIMIT:
            a->limit = optarg;
            a->given |= OPT_LIMIT;
            break;
        case REPAIR:
            a->given |= OPT_REPAIR;
            break;
        default:
            usage(stderr);
            exit(EXIT_USAGE);
        }
    a->words = argv + optind;
    a->nwords = argc - optind;
}

/* Takes the command's words off those of the command line. */
static const struct command *find_command(struct args *a)
{
    const char *first = a->words[0], *second = a->nwords > 1 ? a->words[1] : "";
    bool known = false;
    for (size_t i = 0; i < COMMANDS; i++) {
        const struct command *c = &commands[i];
        int n = c->words[1] ? 2 : 1;
        if (strcmp(c->words[0], first) != 0)
            continue;
        known = true;
        if (n == 2 && strcmp(c->words[1], second) != 0)
            continue;
        a->words += n;
        a->nwords -= n;
        return c;
    }
    if (known && *second)
        wrong("'%s' is nothing that '%s' does", second, first);
    if (known)
        wrong("'%s' needs a second word", first);
    wrong("'%s' is no command", first);
}

static void check_options(const struct command *c, const struct args *a)
{
    static const char *const names[] = {"--id", "--all", "--limit", "--repair"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (a->given & ~c->takes & OPT_ID << i)
            wrong("'%s' does not take %s", c->words[0], names[i]);
    if (c->takes & OPT_ID && c->takes & OPT_ALL && !(a->given & (OPT_ID | OPT_ALL)))
        wrong("'%s %s' needs --id ID or --all", c->words[0], c->words[1]);
    if (c->takes & OPT_ID && !(c->takes & OPT_ALL) && !a->id)
        wrong("'%s %s' needs --id ID", c->words[0], c->words[1]);
    if (a->given & OPT_ID && a->given & OPT_ALL)
        wrong("--id and --all exclude one another");
    if (a->given & OPT_ID && a->given & OPT_LIMIT)
        wrong("--limit goes with --all, not with --id");
}

static void set(json_t *request, const char *key, const char *text)
{
    if (!*text)
        wrong("%s is empty", key);
    json_t *value = json_string(text);
    if (!value)
        wrong("%s is not valid UTF-8", key);
    (void)json_object_set_new(request, key, value);
}

static void set_limit(json_t *request, const char *text)
{
    char *end;
    long n = strtol(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || n < 1 || n > ADMIN_LIMIT_MAX)
        wrong("--limit %s is no number from 1 to %d", text, ADMIN_LIMIT_MAX);
    (void)json_object_set_new(request, "limit", json_integer(n));
}

static json_t *make_request(const struct command *c, const struct args *a)
{
    json_t *request = json_object();
    int words = (c->takes & (WORD_QUEUE | WORD_ID)) ? 1 : 0;
    if (a->nwords > words)
        wrong("'%s' is one word too many", a->words[words]);
    if (a->nwords < words)
        wrong("'%s' needs a word more: %s", c->words[0], c->usage);
    check_options(c, a);
    set(request, "command", admin_command_name(c->request));
    if (words)
        set(request, c->takes & WORD_QUEUE ? "queue" : "id", a->words[0]);
    if (a->id)
        set(request, "id", a->id);
    if (a->limit)
        set_limit(request, a->limit);
    if (a->given & OPT_ALL)
        (void)json_object_set_new(request, "all", json_true());
    if (a->given & OPT_REPAIR)
        (void)json_object_set_new(request, "repair", json_true());
    return request;
}

static int exit_code(int code)
{
    switch (code) {
    case -ENOTCONN:
        return EXIT_UNAVAILABLE;
    case -EINVAL:
        return EXIT_CONFIG;
    default:
        return code < 0 ? EXIT_NO : code;
    }
}

static int ask(struct ctl_link *link, const struct command *c, const struct args *a,
               const json_t *request, struct err *e)
{
    json_t *last = NULL;
    struct print *p = print_new(c->print, a->json, stdout);
    int r = ctl_link_ask(link, request, print_item, p, &last, e);
    print_end(p, last);
    if (r == 0 && json_integer_value(json_object_get(last, "found")))
        r = EXIT_NO;
    json_decref(last);
    return r;
}

static int run(const struct command *c, const struct args *a)
{
    struct err e = {0};
    struct ctl_sockets sockets = {.path = {(char *)a->socket}, .n = 1};
    struct ctl_link link = {.fd = -1};
    json_t *request = make_request(c, a);
    int r = a->socket ? 0 : ctl_sockets_find(&sockets, a->file, &e);
    if (r == 0)
        r = ctl_link_open(&link, &sockets, &e);
    if (r == 0)
        r = ask(&link, c, a, request, &e);
    if (r < 0)
        (void)fprintf(stderr, "rpopctl: %s\n", e.text);
    ctl_link_close(&link);
    if (!a->socket)
        ctl_sockets_clear(&sockets);
    json_decref(request);
    return exit_code(r);
}

int main(int argc, char **argv)
{
    struct args a = {0};
    int code = 0;
    parse_options(argc, argv, &a);
    if (a.help)
        usage(stdout);
    else if (a.version)
        (void)puts("rpopctl " RPOPD_VERSION);
    else if (a.file && a.socket)
        wrong("-c and -s exclude one another");
    else if (!a.nwords)
        wrong("no command");
    else
        code = run(find_command(&a), &a);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    (void)fprintf(stderr, "rpopctl: cannot write: %s\n", strerror(errno));
    return code ? code : EXIT_NO;
}
