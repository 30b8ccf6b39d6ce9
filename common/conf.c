/* The door to libconfig: what conf_scan has checked is parsed, walked along the table and put into
 * the struct. */
#include "common/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <libconfig.h>

#include "common/conf_resolve.h"
#include "common/conf_scan.h"
#include "common/conf_setting.h"
#include "common/conf_source.h"
#include "common/conf_table.h"
#include "common/conf_value.h"
#include "common/log.h"
#include "common/text.h"

#define PATH_MAX_BYTES 200
#define ROWS_MAX 64

struct load {
    struct conf_source source;
    struct conf *conf;
    bool try_first;              /* libconfig reads the text in a child first */
    bool set_later[2][ROWS_MAX]; /* top rows, queue rows: set to something whose feature is not
                                    built */
};

/* Where a group's settings go. */
struct place {
    const struct conf_rows *rows;
    void *base;         /* the struct of the rows */
    const char *prefix; /* for people: "" or "queues[2]." */
    bool *set_later;
    unsigned seen[ROWS_MAX]; /* the line of each; 0: not there */
};

static void complain(struct load *l, unsigned line, const struct place *p, const char *name,
                     const char *sentence)
{
    char path[PATH_MAX_BYTES];
    if (conf_scan_complained(&l->source, line))
        return;
    (void)snprintf(path, sizeof path, "%s%s", p->prefix, name);
    conf_mistake(&l->source, line, path, "%s", sentence);
}

static unsigned line_of(const config_setting_t *s)
{
    return config_setting_source_line(s);
}

static void load_queues(struct load *l, const struct place *p, const struct conf_row *row,
                        const config_setting_t *s);

/* Where the mistakes belong that are found after the walk. */
static void note_line(struct load *l, const struct conf_row *row, unsigned line)
{
    if (!strcmp(row->name, "instance"))
        l->source.instance_line = line;
    else if (!strcmp(row->name, "runtime_dir"))
        l->source.runtime_dir_line = line;
    else if (!strcmp(row->name, "redis.password_file"))
        l->source.password_file_line = line;
}

static void load_setting(struct load *l, struct place *p, const struct conf_row *row,
                         const config_setting_t *s)
{
    struct err e;
    size_t i = (size_t)(row - p->rows->row);
    p->seen[i] = line_of(s);
    if (row->type == CONF_QUEUES && config_setting_type(s) == CONFIG_TYPE_LIST) {
        load_queues(l, p, row, s);
        return;
    }
    int r = conf_setting_put(s, row, p->base, &e);
    if (r == -ENOMEM)
        l->source.no_memory = true;
    else if (r < 0)
        complain(l, line_of(s), p, row->name, e.text);
    else if ((row->flags & CONF_LATER) && !conf_value_is_default(row, p->base))
        p->set_later[i] = true;
    if (r == 0 && p->base == l->conf)
        note_line(l, row, line_of(s));
}

static void unknown(struct load *l, const struct place *p, const char *name,
                    const config_setting_t *s)
{
    char sentence[120], near[CONF_NEAR_MAX];
    if (conf_row_near(p->rows, name, near))
        (void)snprintf(sentence, sizeof sentence, "is no setting, did you mean `%s`", near);
    else
        (void)snprintf(sentence, sizeof sentence,
                       "is no setting, allowed are those of rpopd.conf(5)");
    complain(l, line_of(s), p, name, sentence);
}

/* A group that is no group is one mistake: nothing in it counts as missing. */
static void not_a_group(struct load *l, struct place *p, const char *name,
                        const config_setting_t *s)
{
    size_t len = strlen(name);
    complain(l, line_of(s), p, name, "is no group, allowed is { name = value; ... }");
    for (size_t i = 0; i < p->rows->n; i++)
        if (!strncmp(p->rows->row[i].name, name, len) && p->rows->row[i].name[len] == '.')
            p->seen[i] = line_of(s);
}

/* `group`: "" or the name of the group with its dot, "redis." */
static void load_group(struct load *l, struct place *p, const char *group,
                       const config_setting_t *s)
{
    char name[PATH_MAX_BYTES];
    for (int i = 0; i < config_setting_length(s); i++) {
        const config_setting_t *child = config_setting_get_elem(s, (unsigned)i);
        (void)snprintf(name, sizeof name, "%s%s", group, config_setting_name(child));
        const struct conf_row *row = conf_row_find(p->rows, name);
        if (row) {
            load_setting(l, p, row, child);
        } else if (!conf_row_is_group(p->rows, name)) {
            unknown(l, p, name, child);
        } else if (config_setting_type(child) != CONFIG_TYPE_GROUP) {
            not_a_group(l, p, name, child);
        } else {
            (void)snprintf(name, sizeof name, "%s%s.", group, config_setting_name(child));
            load_group(l, p, name, child);
        }
    }
}

static void load_defaults(struct load *l, const struct conf_rows *rows, void *base)
{
    for (size_t i = 0; i < rows->n; i++)
        if (conf_value_default(&rows->row[i], base) < 0)
            l->source.no_memory = true;
}

/* `type`: of the queue's handler; NULL: none, or not known. */
static void check_required(struct load *l, const struct place *p, const char *type, unsigned line)
{
    char sentence[CONF_ALLOWED_MAX + 40], allowed[CONF_ALLOWED_MAX];
    for (size_t i = 0; i < p->rows->n; i++) {
        const struct conf_row *row = &p->rows->row[i];
        if (p->seen[i] || !conf_row_needed(row, type))
            continue;
        (void)snprintf(sentence, sizeof sentence, "is missing, needed is %s",
                       conf_row_allowed(row, allowed));
        complain(l, line, p, row->name, sentence);
    }
}

static void check_types(struct load *l, const struct place *p, const char *type)
{
    char sentence[CONF_TYPES_MAX + 80], types[CONF_TYPES_MAX];
    for (size_t i = 0; i < p->rows->n; i++) {
        if (!p->seen[i] || conf_row_is_of(&p->rows->row[i], type))
            continue;
        (void)snprintf(sentence, sizeof sentence, "is a setting of %s, not of %s",
                       conf_row_types(&p->rows->row[i], types), type);
        complain(l, p->seen[i], p, p->rows->row[i].name, sentence);
    }
}

/* What is popped before it runs is tried once. */
static void check_once(struct load *l, const struct place *p, struct conf_queue *q)
{
    char sentence[80];
    size_t attempts = (size_t)(conf_row_find(p->rows, "attempts") - p->rows->row);
    if (q->delivery != CONF_AT_MOST_ONCE)
        return;
    if (p->seen[attempts] && q->attempts != 1) {
        (void)snprintf(sentence, sizeof sentence,
                       "is %d, allowed is 1 where delivery is at-most-once", q->attempts);
        complain(l, p->seen[attempts], p, "attempts", sentence);
    }
    q->attempts = 1;
}

static void check_unique(struct load *l, const struct place *p, size_t index,
                         const config_setting_t *s)
{
    const struct conf_queue *q = l->conf->queues;
    char shown[80], sentence[160];
    for (size_t i = 0; q[index].name && i < index; i++) {
        if (!q[i].name || strcmp(q[i].name, q[index].name) != 0)
            continue;
        (void)snprintf(sentence, sizeof sentence,
                       "%s is the name of queues[%zu] too, allowed is one queue a list",
                       text_quote(q[i].name, strlen(q[i].name), '"', shown, sizeof shown), i);
        complain(l, line_of(config_setting_get_member(s, "name")), p, "name", sentence);
        return;
    }
}

const char *conf_put_away(const struct conf_queue *q)
{
    return strcmp(q->recoveries_to, "dead") ? q->recoveries_to : "";
}

/* A job that goes to the list it came from never comes to an end. */
static void check_targets(struct load *l, const struct place *p, const struct conf_queue *q)
{
    const struct {
        const char *name, *list;
    } targets[] = {{"result.list", q->result_list},
                   {"on_success", q->on_success},
                   {"on_failure", q->on_failure},
                   {"recoveries_to", q->recoveries_to ? conf_put_away(q) : NULL}};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        size_t row = (size_t)(conf_row_find(p->rows, targets[i].name) - p->rows->row);
        if (q->name && targets[i].list && !strcmp(q->name, targets[i].list))
            complain(l, p->seen[row], p, targets[i].name,
                     "is the queue itself, for ever, allowed is another list");
    }
}

static char *label_of(const char *name)
{
    char quoted[LOG_QUOTE_MAX];
    (void)log_quote(name, strlen(name), quoted);
    return strndup(quoted + 1, strlen(quoted) - 2);
}

static void load_queue(struct load *l, struct conf_queue *q, size_t index,
                       const config_setting_t *s)
{
    char prefix[40];
    struct place place = {
        .rows = &conf_queue_rows, .base = q, .prefix = prefix, .set_later = l->set_later[1]};
    (void)snprintf(prefix, sizeof prefix, "queues[%zu].", index);
    load_defaults(l, &conf_queue_rows, q);
    const config_setting_t *handler = config_setting_get_member(s, "handler");
    q->handler.line = line_of(handler ? handler : s);
    load_group(l, &place, "", s);
    if (q->name && !(q->label = label_of(q->name)))
        l->source.no_memory = true;
    check_required(l, &place, q->handler.type, line_of(s));
    check_types(l, &place, q->handler.type);
    check_once(l, &place, q);
    check_unique(l, &place, index, s);
    check_targets(l, &place, q);
}

static void load_queues(struct load *l, const struct place *p, const struct conf_row *row,
                        const config_setting_t *s)
{
    char name[40], allowed[CONF_ALLOWED_MAX], sentence[CONF_ALLOWED_MAX + 60];
    size_t n = (size_t)config_setting_length(s);
    if (n < 1 || n > CONF_QUEUES_MAX) {
        (void)snprintf(sentence, sizeof sentence, "has %zu groups, allowed is %s", n,
                       conf_row_allowed(row, allowed));
        complain(l, line_of(s), p, row->name, sentence);
        return;
    }
    l->conf->queues = calloc(n, sizeof *l->conf->queues);
    if (!l->conf->queues) {
        l->source.no_memory = true;
        return;
    }
    l->conf->nqueues = n;
    for (size_t i = 0; i < n && !l->source.no_memory; i++) {
        const config_setting_t *queue = config_setting_get_elem(s, (unsigned)i);
        if (config_setting_type(queue) == CONFIG_TYPE_GROUP) {
            load_queue(l, &l->conf->queues[i], i, queue);
            continue;
        }
        (void)snprintf(name, sizeof name, "queues[%zu]", i);
        complain(l, line_of(queue), p, name, "is no group, allowed is { name = \"queue\"; ... }");
    }
}

static int name_later(struct load *l)
{
    static const struct {
        const struct conf_rows *rows;
        const char *prefix;
    } kinds[] = {{&conf_top_rows, ""}, {&conf_queue_rows, "queues[]."}};
    size_t n = 0;
    char **names = calloc(conf_top_rows.n + conf_queue_rows.n + 1, sizeof *names);
    l->conf->not_in_effect = names;
    if (!names)
        return -ENOMEM;
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < kinds[k].rows->n; i++) {
            if (!l->set_later[k][i])
                continue;
            if (asprintf(&names[n], "%s%s", kinds[k].prefix, kinds[k].rows->row[i].name) < 0) {
                names[n] = NULL;
                return -ENOMEM;
            }
            n++;
        }
    return 0;
}

static void load_root(struct load *l, const config_setting_t *root)
{
    struct place place = {
        .rows = &conf_top_rows, .base = l->conf, .prefix = "", .set_later = l->set_later[0]};
    load_defaults(l, &conf_top_rows, l->conf);
    if (l->source.no_memory)
        return;
    load_group(l, &place, "", root);
    check_required(l, &place, NULL, 1);
    if (!l->source.no_memory && name_later(l) < 0)
        l->source.no_memory = true;
}

/* Without memory ----------------------------------------------------------------------------------
 * libconfig 1.5 does not look at what malloc returned: when there is no memory it is killed by a
 * signal, ends the process, or leaves a name or a text out. What it leaves out is looked for; the
 * rest happens to a child that reads the same text first, which costs a start or a reload under a
 * millisecond. */

static bool memory_for(size_t len)
{
    void *reserve = malloc(64 * len + 65536);
    free(reserve);
    return reserve != NULL;
}

static void leave_at_once(void)
{
    (void)kill(getpid(), SIGKILL);
}

/* In the child: it must end without a word, a core file, or anything that the parent has set up to
 * be done when a process ends or crashes. */
static void read_and_leave(const char *text, volatile bool *ret_whole)
{
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE};
    config_t file;
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    (void)dup2(nowhere, STDERR_FILENO);
    (void)prctl(PR_SET_DUMPABLE, 0);
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++)
        (void)signal(crashes[i], SIG_DFL);
    (void)atexit(leave_at_once); /* runs before those that were there */
    config_init(&file);
    *ret_whole =
        config_read_string(&file, text) && conf_setting_is_whole(config_root_setting(&file));
    leave_at_once();
}

/* A child that cannot be made for another reason than memory is done without. */
static bool child_survives(const char *text)
{
    volatile bool *whole =
        mmap(NULL, sizeof *whole, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (whole == MAP_FAILED)
        return false;
    pid_t pid = fork();
    bool tried = pid >= 0 || errno == ENOMEM;
    if (pid == 0)
        read_and_leave(text, whole);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    bool survived = *whole || !tried;
    (void)munmap((void *)whole, sizeof *whole);
    return survived;
}

static void load_checked(struct load *l, const char *text)
{
    config_t file;
    if (!memory_for(strlen(text)) || (l->try_first && !child_survives(text))) {
        l->source.no_memory = true;
        return;
    }
    config_init(&file);
    if (!config_read_string(&file, text))
        conf_mistake(&l->source, (unsigned)config_error_line(&file), "", "libconfig says: %s",
                     config_error_text(&file));
    else if (conf_setting_is_whole(config_root_setting(&file)))
        load_root(l, config_root_setting(&file));
    else
        l->source.no_memory = true;
    config_destroy(&file);
}

static void load_text(struct load *l, const char *text, size_t len)
{
    l->conf = calloc(1, sizeof *l->conf);
    if (l->conf)
        l->conf->file = strdup(l->source.file);
    char *checked = l->conf && l->conf->file ? conf_scan(&l->source, text, len) : NULL;
    if (checked)
        load_checked(l, checked);
    else if (!l->source.mistakes)
        l->source.no_memory = true;
    free(checked);
}

static int load_end(struct load *l, struct conf **ret_conf)
{
    int r = conf_source_end(&l->source);
    if (r < 0)
        l->conf = conf_free(l->conf);
    else
        *ret_conf = l->conf;
    return r;
}

int conf_load_text(const char *name, const char *text, size_t len, FILE *errors,
                   struct conf **ret_conf)
{
    struct load l = {.source = {.file = name, .errors = errors}};
    load_text(&l, text, len);
    return load_end(&l, ret_conf);
}

int conf_load(const char *path, FILE *errors, struct conf **ret_conf)
{
    struct load l = {.source = {.file = path, .errors = errors}, .try_first = true};
    struct err e;
    char *text;
    size_t len;
    int r = conf_read(path, CONF_FILE_MAX, &text, &len, NULL, &e);
    if (r < 0) {
        (void)fprintf(errors, "%s: %s\n", path, e.text);
        return r;
    }
    load_text(&l, text, len);
    explicit_bzero(text, len); /* a url may hold a password */
    free(text);
    if (l.conf && l.conf->redis.url && !l.source.no_memory)
        conf_resolve(l.conf, &l.source);
    return load_end(&l, ret_conf);
}

static void free_rows(const struct conf_rows *rows, void *base)
{
    for (size_t i = 0; i < rows->n; i++)
        conf_value_free(&rows->row[i], base);
}

static void free_secret(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

struct conf *conf_free(struct conf *c)
{
    if (!c)
        return NULL;
    for (size_t i = 0; i < c->nqueues; i++) {
        free_secret(c->queues[i].handler.http.secret);
        free_rows(&conf_queue_rows, &c->queues[i]);
        free(c->queues[i].label);
    }
    free(c->queues);
    for (char **name = c->not_in_effect; name && *name; name++)
        free(*name);
    free(c->not_in_effect);
    free_secret(c->redis.password);
    free_rows(&conf_top_rows, c);
    free(c->file);
    free(c);
    return NULL;
}
