#include "daemon/ctl_table.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"

struct table {
    unsigned columns;
    bool number[TABLE_COLUMNS];
    int width[TABLE_COLUMNS];
    char **cells; /* headings first, row by row */
    size_t n, room;
    bool headed; /* the headings were printed */
};

static void *or_die(void *memory)
{
    if (memory)
        return memory;
    (void)fputs("rpopctl: no memory\n", stderr);
    exit(1);
}

char *table_escape(const char *bytes, size_t len)
{
    const char *p = bytes, *end = bytes + len;
    char *text = or_die(malloc(len * TEXT_ESCAPED_MAX + 1)), *out = text;
    while (p < end) {
        char one[TEXT_ESCAPED_MAX];
        size_t n = text_escape_one(p, end, '\0', one);
        size_t size = strnlen(one, sizeof one);
        memcpy(out, one, size);
        out += size;
        p += n;
    }
    *out = '\0';
    return text;
}

static int characters(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void add(struct table *t, char *cell)
{
    unsigned column = (unsigned)(t->n % t->columns);
    if (t->n == t->room) {
        t->room = t->room ? t->room * 2 : 64;
        t->cells = or_die(realloc(t->cells, t->room * sizeof *t->cells));
    }
    t->cells[t->n++] = cell;
    if (characters(cell) > t->width[column])
        t->width[column] = characters(cell);
}

struct table *table_new(const char *headings)
{
    struct table *t = or_die(calloc(1, sizeof *t));
    t->columns = 1;
    for (const char *p = headings; (p = strchr(p, '|')); p++)
        t->columns++;
    for (unsigned i = 0; i < t->columns; i++) {
        size_t len = strcspn(headings, "|");
        t->number[i] = *headings == '>';
        add(t, or_die(strndup(headings + t->number[i], len - t->number[i])));
        headings += len + 1;
    }
    return t;
}

struct table *table_free(struct table *t)
{
    if (!t)
        return NULL;
    for (size_t i = 0; i < t->n; i++)
        free(t->cells[i]);
    free(t->cells);
    free(t);
    return NULL;
}

void table_cell(struct table *t, const char *text)
{
    add(t, table_escape(text, strlen(text)));
}

void table_number(struct table *t, long long n)
{
    char digits[24];
    (void)snprintf(digits, sizeof digits, "%lld", n);
    table_cell(t, digits);
}

static void print_cell(const struct table *t, unsigned column, const char *text, FILE *out)
{
    int pad = t->width[column] - characters(text);
    bool last = column + 1 == t->columns;
    if (t->number[column])
        (void)fprintf(out, "%*s%s", pad, "", text);
    else
        (void)fprintf(out, "%s%*s", text, last ? 0 : pad, "");
    (void)fputs(last ? "\n" : "  ", out);
}

void table_print(struct table *t, FILE *out)
{
    if (t->n <= t->columns)
        return;
    for (size_t i = t->headed ? t->columns : 0; i < t->n; i++)
        print_cell(t, (unsigned)(i % t->columns), t->cells[i], out);
    for (; t->n > t->columns; t->n--)
        free(t->cells[t->n - 1]);
    t->headed = true;
}
