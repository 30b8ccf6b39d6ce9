#include "common/conf_value.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"

static void *field(const struct conf_row *row, void *base)
{
    return (char *)base + row->offset;
}

static const void *const_field(const struct conf_row *row, const void *base)
{
    return (const char *)base + row->offset;
}

/* Checking and storing ---------------------------------------------------------------------------
 */

static int wrong_kind(const struct conf_row *row, enum conf_kind kind, struct err *e)
{
    static const char *const names[] = {"a boolean", "a whole number", "a number with a fraction",
                                        "text",      "a group { }",    "an array [ ]",
                                        "a list ( )"};
    char allowed[CONF_ALLOWED_MAX];
    return err_set(e, -EINVAL, "is %s, allowed is %s", names[kind], conf_row_allowed(row, allowed));
}

static int out_of_range(const struct conf_row *row, const char *value, struct err *e)
{
    char allowed[CONF_ALLOWED_MAX];
    return err_set(e, -EINVAL, "%s is out of range, allowed is %s", value,
                   conf_row_allowed(row, allowed));
}

static int put_integer(const struct conf_row *row, void *base, struct conf_value v, struct err *e)
{
    char shown[40];
    if (v.kind != CONF_AN_INTEGER)
        return wrong_kind(row, v.kind, e);
    if ((double)v.integer < row->min || (double)v.integer > row->max) {
        const char *beyond = v.integer == INT64_MAX   ? " or more"
                             : v.integer == INT64_MIN ? " or less"
                                                      : "";
        (void)snprintf(shown, sizeof shown, "%" PRId64 "%s", v.integer, beyond);
        return out_of_range(row, shown, e);
    }
    if (row->type == CONF_COUNT)
        *(int *)field(row, base) = (int)v.integer;
    else
        *(int64_t *)field(row, base) = v.integer;
    return 0;
}

static int put_number(const struct conf_row *row, void *base, struct conf_value v, struct err *e)
{
    char shown[40];
    if (v.kind != CONF_AN_INTEGER && v.kind != CONF_A_FLOAT)
        return wrong_kind(row, v.kind, e);
    double d = v.kind == CONF_AN_INTEGER ? (double)v.integer : v.number;
    if (!(d >= row->min && d <= row->max)) { /* what is not a number fails both */
        (void)snprintf(shown, sizeof shown, "%.17g", d);
        return out_of_range(row, shown, e);
    }
    if (row->type == CONF_FACTOR) {
        *(double *)field(row, base) = d;
        return 0;
    }
    int64_t ms = llround(d * 1000);
    *(int64_t *)field(row, base) = d > 0 && ms == 0 ? 1 : ms; /* 0 means something else */
    return 0;
}

/* The index of the text in the row's words, or -EINVAL. */
static int find_word(const struct conf_row *row, const char *text, struct err *e)
{
    char allowed[CONF_ALLOWED_MAX], shown[60];
    for (int i = 0; row->words[i]; i++)
        if (!strcmp(row->words[i], text))
            return i;
    return err_set(e, -EINVAL, "%s is unknown, allowed is %s",
                   text_quote(text, strlen(text), '"', shown, sizeof shown),
                   conf_row_allowed(row, allowed));
}

static int put_choice(const struct conf_row *row, void *base, struct conf_value v, struct err *e)
{
    if (v.kind != CONF_A_STRING)
        return wrong_kind(row, v.kind, e);
    int i = find_word(row, v.text, e);
    if (i < 0)
        return i;
    unsigned choice = (unsigned)i; /* what an enum is here */
    memcpy(field(row, base), &choice, sizeof choice);
    return 0;
}

static int put_text(const struct conf_row *row, void *base, struct conf_value v, struct err *e)
{
    char allowed[CONF_ALLOWED_MAX];
    if (v.kind != CONF_A_STRING)
        return wrong_kind(row, v.kind, e);
    if (row->words && find_word(row, v.text, e) < 0)
        return -EINVAL;
    size_t len = strlen(v.text);
    if ((double)len > row->max || (double)len < row->min)
        return err_set(e, -EINVAL, "is %zu bytes long, allowed is %s", len,
                       conf_row_allowed(row, allowed));
    int r = row->check ? row->check(v.text, e) : 0;
    if (r < 0)
        return r;
    char *copy = strdup(v.text);
    if (!copy)
        return err_set(e, -ENOMEM, "no memory");
    char **at = field(row, base);
    free(*at);
    *at = copy;
    return 0;
}

static char **free_texts(char **texts)
{
    for (char **at = texts; at && *at; at++)
        free(*at);
    free(texts);
    return NULL;
}

static char **copy_texts(const char *const *texts, size_t n)
{
    char **copy = calloc(n + 1, sizeof *copy);
    for (size_t i = 0; copy && i < n; i++)
        if (!(copy[i] = strdup(texts[i])))
            return free_texts(copy);
    return copy;
}

/* The first that does not fit is named by its place. */
static int check_texts(const struct conf_row *row, const char *const *texts, struct err *e)
{
    char allowed[CONF_ALLOWED_MAX];
    struct err why = {0};
    for (size_t i = 0; texts[i]; i++) {
        size_t len = strlen(texts[i]);
        if (len > CONF_WORD_MAX)
            return err_set(e, -EINVAL, "[%zu] is %zu bytes long, allowed is %s", i, len,
                           conf_row_allowed(row, allowed));
        if (row->check && row->check(texts[i], &why) < 0)
            return err_set(e, -EINVAL, "[%zu]: %s", i, why.text);
    }
    return 0;
}

static int put_texts(const struct conf_row *row, void *base, struct conf_value v, struct err *e)
{
    char allowed[CONF_ALLOWED_MAX];
    size_t n = 0;
    if (v.kind != (row->type == CONF_WORDS ? CONF_AN_ARRAY : CONF_A_GROUP))
        return wrong_kind(row, v.kind, e);
    while (v.texts && v.texts[n])
        n++;
    if (!v.texts)
        return err_set(e, -EINVAL, "holds something else, allowed is %s",
                       conf_row_allowed(row, allowed));
    if ((double)n < row->min || (double)n > row->max)
        return err_set(e, -EINVAL, "has %zu members, allowed is %s", n,
                       conf_row_allowed(row, allowed));
    int r = check_texts(row, v.texts, e);
    if (r < 0)
        return r;
    char **copy = copy_texts(v.texts, n);
    if (!copy)
        return err_set(e, -ENOMEM, "no memory");
    conf_value_free(row, base);
    *(char ***)field(row, base) = copy;
    return 0;
}

void conf_value_free(const struct conf_row *row, void *base)
{
    if (row->type == CONF_TEXT) {
        char **at = field(row, base);
        free(*at);
        *at = NULL;
    } else if (row->type == CONF_WORDS || row->type == CONF_PAIRS) {
        char ***at = field(row, base);
        *at = free_texts(*at);
    }
}

int conf_value_put(const struct conf_row *row, void *base, struct conf_value v, struct err *e)
{
    switch (row->type) {
    case CONF_TEXT:
        return put_text(row, base, v, e);
    case CONF_BOOL:
        if (v.kind != CONF_A_BOOL)
            return wrong_kind(row, v.kind, e);
        *(bool *)field(row, base) = v.boolean;
        return 0;
    case CONF_COUNT:
    case CONF_BYTES:
        return put_integer(row, base, v, e);
    case CONF_SECONDS:
    case CONF_FACTOR:
        return put_number(row, base, v, e);
    case CONF_CHOICE:
        return put_choice(row, base, v, e);
    case CONF_WORDS:
    case CONF_PAIRS:
        return put_texts(row, base, v, e);
    case CONF_QUEUES:
        return wrong_kind(row, v.kind, e);
    }
    return -EINVAL;
}

/* Defaults ---------------------------------------------------------------------------------------
 */

#define DEFAULT_TEXT_MAX 64

/* The row's default; `text` gives a text its room. */
static struct conf_value default_of(const struct conf_row *row, char text[DEFAULT_TEXT_MAX])
{
    static const char *const none[] = {NULL};
    size_t len = strlen(row->def);
    if (row->def[0] == '"') {
        assert(len >= 2 && len < DEFAULT_TEXT_MAX);
        memcpy(text, row->def + 1, len - 2);
        text[len - 2] = '\0';
        return (struct conf_value){.kind = CONF_A_STRING, .text = text};
    }
    if (row->type == CONF_WORDS || row->type == CONF_PAIRS)
        return (struct conf_value){.kind = row->type == CONF_WORDS ? CONF_AN_ARRAY : CONF_A_GROUP,
                                   .texts = none};
    if (row->type == CONF_BOOL)
        return (struct conf_value){.kind = CONF_A_BOOL, .boolean = !strcmp(row->def, "true")};
    if (strchr(row->def, '.'))
        return (struct conf_value){.kind = CONF_A_FLOAT, .number = strtod(row->def, NULL)};
    return (struct conf_value){.kind = CONF_AN_INTEGER, .integer = strtoll(row->def, NULL, 10)};
}

int conf_value_default(const struct conf_row *row, void *base)
{
    char text[DEFAULT_TEXT_MAX];
    if (row->flags & CONF_REQUIRED)
        return 0;
    int r = conf_value_put(row, base, default_of(row, text), NULL);
    assert(r != -EINVAL); /* the table itself is wrong */
    return r;
}

bool conf_value_is_default(const struct conf_row *row, const void *base)
{
    char text[DEFAULT_TEXT_MAX];
    const void *at = const_field(row, base);
    struct conf_value v = default_of(row, text);
    unsigned choice;
    switch (row->type) {
    case CONF_TEXT:
        return !strcmp(*(char *const *)at, v.text);
    case CONF_BOOL:
        return *(const bool *)at == v.boolean;
    case CONF_COUNT:
        return *(const int *)at == v.integer;
    case CONF_BYTES:
        return *(const int64_t *)at == v.integer;
    case CONF_SECONDS:
        return *(const int64_t *)at == llround(v.number * 1000);
    case CONF_FACTOR:
        return !(*(const double *)at < v.number || *(const double *)at > v.number);
    case CONF_CHOICE:
        memcpy(&choice, at, sizeof choice);
        return !strcmp(row->words[choice], v.text);
    case CONF_WORDS:
    case CONF_PAIRS:
        return !**(char *const *const *)at;
    case CONF_QUEUES:
        break;
    }
    return false;
}

/* Printing ---------------------------------------------------------------------------------------
 */

static void print_text(const char *text, FILE *out)
{
    char one[TEXT_ESCAPED_MAX];
    const char *end = text + strlen(text);
    (void)fputc('"', out);
    while (text < end) {
        text += text_escape_one(text, end, '"', one);
        (void)fputs(one, out);
    }
    (void)fputc('"', out);
}

/* 5.0, 0.25: the fewest digits that are read as the same, with a point. */
static void print_number(double d, FILE *out)
{
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, d);
        double again = strtod(text, NULL);
        if (!(again < d || again > d))
            break;
    }
    (void)fprintf(out, "%s%s", text, strpbrk(text, ".e") ? "" : ".0");
}

static void print_seconds(int64_t ms, FILE *out)
{
    char text[40];
    int n = snprintf(text, sizeof text, "%" PRId64 ".%03d", ms / 1000, (int)(ms % 1000));
    while (text[n - 1] == '0' && text[n - 2] != '.')
        text[--n] = '\0';
    (void)fputs(text, out);
}

/* [ "a", "b" ] */
static void print_words(char *const *words, FILE *out)
{
    (void)fputs("[ ", out);
    for (size_t i = 0; words[i]; i++) {
        (void)fputs(i ? ", " : "", out);
        print_text(words[i], out);
    }
    (void)fputs(words[0] ? " ]" : "]", out);
}

/* { a = "1"; b = "x"; } */
static void print_pairs(char *const *pairs, FILE *out)
{
    (void)fputs("{ ", out);
    for (size_t i = 0; pairs[i]; i++) {
        int name = (int)strcspn(pairs[i], "=");
        (void)fprintf(out, "%.*s = ", name, pairs[i]);
        print_text(pairs[i] + name + 1, out);
        (void)fputs("; ", out);
    }
    (void)fputc('}', out);
}

void conf_value_print(const struct conf_row *row, const void *base, FILE *out)
{
    const void *at = const_field(row, base);
    unsigned choice;
    switch (row->type) {
    case CONF_TEXT:
        print_text(*(char *const *)at, out);
        return;
    case CONF_BOOL:
        (void)fputs(*(const bool *)at ? "true" : "false", out);
        return;
    case CONF_COUNT:
        (void)fprintf(out, "%d", *(const int *)at);
        return;
    case CONF_BYTES:
        (void)fprintf(out, "%" PRId64, *(const int64_t *)at);
        return;
    case CONF_SECONDS:
        print_seconds(*(const int64_t *)at, out);
        return;
    case CONF_FACTOR:
        print_number(*(const double *)at, out);
        return;
    case CONF_CHOICE:
        memcpy(&choice, at, sizeof choice);
        print_text(row->words[choice], out);
        return;
    case CONF_WORDS:
        print_words(*(char *const *const *)at, out);
        return;
    case CONF_PAIRS:
        print_pairs(*(char *const *const *)at, out);
        return;
    case CONF_QUEUES:
        return;
    }
}
