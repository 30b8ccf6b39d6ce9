/* Everything that is printed from the table: what is in force, the help, the sample, the manual's
 * settings. */
#include <stdlib.h>
#include <string.h>

#include "common/conf.h"
#include "common/conf_table.h"
#include "common/conf_value.h"
#include "common/url.h"

#define COLUMNS 96
#define MANUAL_COLUMNS 78
#define INDENT 4

/* Walks the rows as a file is laid out: the first row of a group opens it and the last one closes
 * it. */
struct walk {
    FILE *out;
    const void *base;               /* the struct of the rows; the sample has none */
    const struct conf_queue *queue; /* the same, of a queue's rows; else NULL */
    const char *comment;            /* "#" in front of every line that is none, or "" */
    int indent;                     /* blanks */
    bool apart;                     /* an empty line in front of what comes next */
    void (*setting)(struct walk *w, const struct conf_row *row, const char *name);
};

static void put_indent(const struct walk *w)
{
    (void)fprintf(w->out, "%*s%s", w->indent, "", w->comment);
}

static void put_gap(struct walk *w)
{
    if (w->apart)
        (void)fputc('\n', w->out);
}

static size_t group_len(const struct conf_row *row)
{
    const char *dot = strchr(row->name, '.');
    return dot ? (size_t)(dot - row->name) : 0;
}

static bool same_group(const struct conf_row *a, const struct conf_row *b)
{
    size_t n = group_len(a);
    return group_len(b) == n && !memcmp(a->name, b->name, n);
}

static void walk_rows(struct walk *w, const struct conf_rows *rows)
{
    for (size_t i = 0; i < rows->n; i++) {
        const struct conf_row *row = &rows->row[i];
        int len = (int)group_len(row);
        if (len && (i == 0 || !same_group(row, row - 1))) {
            put_gap(w);
            put_indent(w);
            (void)fprintf(w->out, "%.*s: {\n", len, row->name);
            w->indent += INDENT;
            w->apart = false;
        }
        w->setting(w, row, row->name + len + (len > 0));
        if (len && (i + 1 == rows->n || !same_group(row, row + 1))) {
            w->indent -= INDENT;
            put_indent(w);
            (void)fputs("};\n", w->out);
        }
    }
}

static void open_queues(struct walk *w)
{
    put_indent(w);
    (void)fputs("queues: (\n", w->out);
    w->indent += INDENT;
}

static void walk_queue(struct walk *w, bool last)
{
    put_indent(w);
    (void)fputs("{\n", w->out);
    w->indent += INDENT;
    walk_rows(w, &conf_queue_rows);
    w->indent -= INDENT;
    put_indent(w);
    (void)fputs(last ? "}\n" : "},\n", w->out);
}

static void close_queues(struct walk *w)
{
    w->indent -= INDENT;
    put_indent(w);
    (void)fputs(");\n", w->out);
}

/* What is in force ------------------------------------------------------------------------------
 */

static void print_queues(struct walk *w)
{
    const struct conf *c = w->base;
    open_queues(w);
    for (size_t i = 0; i < c->nqueues; i++) {
        w->base = w->queue = &c->queues[i];
        walk_queue(w, i + 1 == c->nqueues);
    }
    w->base = c;
    w->queue = NULL;
    close_queues(w);
}

static bool has_password(const struct conf_row *row, const void *base, struct url *ret_url)
{
    if (strcmp(row->name, "redis.url") != 0)
        return false;
    const struct conf *c = base;
    bool has = url_parse(c->redis.url, ret_url, NULL) == 0 && ret_url->password[0];
    explicit_bzero(ret_url->password, sizeof ret_url->password);
    return has;
}

static void print_setting(struct walk *w, const struct conf_row *row, const char *name)
{
    struct url u;
    char shown[URL_TEXT_MAX];
    if (row->type == CONF_QUEUES) {
        print_queues(w);
        return;
    }
    if (w->queue && !conf_row_is_of(row, w->queue->handler.type))
        return;
    put_indent(w);
    (void)fprintf(w->out, "%s = ", name);
    if (has_password(row, w->base, &u)) {
        (void)fprintf(w->out, "\"%s\"; # its password is not shown\n", url_print(&u, shown));
        return;
    }
    conf_value_print(row, w->base, w->out);
    (void)fputs(";\n", w->out);
}

void conf_print(const struct conf *c, FILE *out)
{
    struct walk w = {.out = out, .base = c, .comment = "", .setting = print_setting};
    walk_rows(&w, &conf_top_rows);
}

/* Texts of the table -----------------------------------------------------------------------------
 */

/* Breaks the words of a text into lines of at most `columns`, each with `front` behind `indent`
 * blanks. */
static void put_words(FILE *out, const char *text, size_t size, int columns, int indent,
                      const char *front)
{
    int column = 0, begin = indent + (int)strlen(front);
    for (const char *end = text + size; text < end;) {
        int len = (int)strcspn(text, " ");
        if (len > end - text)
            len = (int)(end - text);
        if (column && column + 1 + len > columns) {
            (void)fputc('\n', out);
            column = 0;
        }
        if (column)
            (void)fprintf(out, " %.*s", len, text);
        else
            (void)fprintf(out, "%*s%s%.*s", indent, "", front, len, text);
        column = (column ? column + 1 : begin) + len;
        text += len + 1;
    }
    (void)fputc('\n', out);
}

static void put_text(FILE *out, int indent, const char *front, const char *text)
{
    put_words(out, text, strlen(text), COLUMNS, indent, front);
}

#define FACTS_MAX 400

/* What can be said of every row alike. */
static const char *facts(const struct conf_row *row, char out[FACTS_MAX])
{
    char allowed[CONF_ALLOWED_MAX];
    char types[CONF_TYPES_MAX];
    bool required = row->flags & CONF_REQUIRED;
    const char *of = conf_row_types(row, types);
    (void)snprintf(out, FACTS_MAX, "%s%s%s%s%s%s %s.%s%s", *of ? "A setting of " : "", of,
                   *of ? ". " : "", required ? "Required" : "Default: ", required ? "" : row->def,
                   required ? ":" : "; allowed:", conf_row_allowed(row, allowed),
                   row->flags & CONF_LIVE ? " A reload applies it." : "",
                   row->flags & CONF_LATER ? " Not in effect yet." : "");
    return out;
}

/* Help -------------------------------------------------------------------------------------------
 */

static void put_help(FILE *out, const struct conf_rows *rows, const char *prefix)
{
    char text[FACTS_MAX];
    for (size_t i = 0; i < rows->n; i++) {
        const struct conf_row *row = &rows->row[i];
        (void)fprintf(out, "%s%s\n", prefix, row->name);
        put_text(out, INDENT, "", row->text);
        put_text(out, INDENT, "", facts(row, text));
        if (row->type == CONF_QUEUES)
            put_help(out, &conf_queue_rows, "queues[].");
    }
}

void conf_print_help(FILE *out)
{
    put_help(out, &conf_top_rows, "");
}

/* Sample -----------------------------------------------------------------------------------------
 */

static void sample_setting(struct walk *w, const struct conf_row *row, const char *name)
{
    char text[FACTS_MAX];
    put_gap(w);
    put_text(w->out, w->indent, "# ", row->text);
    put_text(w->out, w->indent, "# ", facts(row, text));
    if (row->type == CONF_QUEUES) {
        w->apart = false;
        open_queues(w);
        walk_queue(w, true);
        close_queues(w);
    } else {
        put_indent(w);
        (void)fprintf(w->out, "%s = %s;\n", name, row->def);
    }
    w->apart = true;
}

void conf_print_sample(FILE *out)
{
    struct walk w = {.out = out, .comment = "#", .apart = true, .setting = sample_setting};
    put_text(out, 0, "# ",
             "rpopd.conf - every setting of rpopd with its default. Lines that begin with # and a "
             "blank explain; "
             "take the # away from a line that does not to change what it says, and from those "
             "that open and close "
             "its group.");
    put_text(out, 0, "# ",
             "Check it with rpopd -t -c FILE. The manual page is rpopd.conf(5). At least one queue "
             "is needed.");
    walk_rows(&w, &conf_top_rows);
}

/* Manual -----------------------------------------------------------------------------------------
 */

/* Every sentence begins a line, as mdoc(7) wants it. */
static void put_sentences(FILE *out, const char *text)
{
    while (*text) {
        const char *stop = strstr(text, ". ");
        size_t len = stop ? (size_t)(stop + 1 - text) : strlen(text);
        put_words(out, text, len, MANUAL_COLUMNS, 0, "");
        text += len + (stop != NULL);
    }
}

static void put_manual(FILE *out, const struct conf_rows *rows, const char *prefix)
{
    char text[FACTS_MAX];
    (void)fputs(".Bl -tag -width Ds\n", out);
    for (size_t i = 0; i < rows->n; i++) {
        const struct conf_row *row = &rows->row[i];
        (void)fprintf(out, ".It Va %s%s\n", prefix, row->name);
        put_sentences(out, row->text);
        (void)fputs(".br\n", out);
        put_sentences(out, facts(row, text));
    }
    (void)fputs(".El\n", out);
}

void conf_print_manual(FILE *out)
{
    put_manual(out, &conf_top_rows, "");
    (void)fputs(
        ".Ss Settings of a queue\nEach member of\n.Va queues\nis a group with these settings.\n",
        out);
    put_manual(out, &conf_queue_rows, "");
}
