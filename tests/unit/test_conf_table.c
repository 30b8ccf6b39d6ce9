/* The configuration: every setting with every wrong type, and around its range. */
#include "tests/unit/conf_text.h"

#include <math.h>

#include "common/conf_table.h"
#include "common/conf_value.h"

/* What must stand beside the setting in its group: the first handler type that may have it, where
 * it is of some alone, and whatever that type, or the one that the value names, must have. */
static const char *beside(const struct conf_row *row, const char *value, char out[200])
{
    bool names = !strcmp(row->name, "handler.type"), of_some = row->flags >= CONF_OF(0);
    size_t n = 0, t = 0;
    char quoted[80];
    for (; conf_handler_types[t]; t++) {
        (void)snprintf(quoted, sizeof quoted, "\"%s\"", conf_handler_types[t]);
        if (names ? !strcmp(quoted, value) : of_some && conf_row_is_of(row, conf_handler_types[t]))
            break;
    }
    out[0] = '\0';
    if (!conf_handler_types[t])
        return out;
    if (!names)
        n = (size_t)snprintf(out, 200, "type = %s; ", quoted);
    for (size_t i = 0; i < conf_queue_rows.n; i++) {
        const struct conf_row *other = &conf_queue_rows.row[i];
        if (other != row && other->flags >= CONF_OF(0) &&
            conf_row_needed(other, conf_handler_types[t]))
            n += (size_t)snprintf(out + n, 200 - n, "%s = %s; ", strchr(other->name, '.') + 1,
                                  other->def);
    }
    return out;
}

/* The setting of a row alone in a file that is well otherwise. */
static const char *file_with(const struct conf_row *row, bool of_queue, const char *value)
{
    static char text[6000];
    char group[240] = "", handler[200] = "";
    bool of_handler = !strncmp(row->name, "handler.", 8);
    const char *close = "";
    const char *name = row->name, *dot = strchr(name, '.');
    if (dot) {
        (void)snprintf(group, sizeof group, "%.*s: { %s", (int)(dot - name), name,
                       of_handler ? beside(row, value, handler) : "");
        name = dot + 1;
        close = " };";
    }
    if (!of_queue)
        (void)snprintf(text, sizeof text, "%s%s = %s;%s\n%s", group, name, value, close,
                       strcmp(name, "queues") ? Q : "");
    else
        (void)snprintf(text, sizeof text, "queues: ( {\n%s%s%s%s = %s;%s\n} );",
                       strcmp(row->name, "name") ? "name = \"q\"; " : "",
                       of_handler ? "" : "handler: { type = \"null\"; }; ", group, name, value,
                       close);
    return text;
}

/* One line, `f:LINE: NAME: ...`, with these words in it. */
static void refused(const struct conf_row *row, bool of_queue, const char *value, const char *words)
{
    char front[80];
    struct conf *c = NULL;
    const char *text = file_with(row, of_queue, value);
    int r = load(text, &c);
    (void)snprintf(front, sizeof front, "f:%d: %s%s: ", of_queue ? 2 : 1,
                   of_queue ? "queues[0]." : "", row->name);
    if (r != -EINVAL || strncmp(said, front, strlen(front)) != 0 || !strstr(said, words) ||
        strchr(said, '\n') != said + strlen(said) - 1)
        fail_msg("%d for %s\nwanted %s...%s...\nsaid: %s", r, text, front, words, said);
    assert_null(c);
}

/* What is printed for the row after its value was read. */
static const char *accepted(const struct conf_row *row, bool of_queue, const char *value)
{
    static char printed[5000];
    struct conf *c = good(file_with(row, of_queue, value));
    FILE *out = fmemopen(printed, sizeof printed, "w");
    conf_value_print(row, of_queue ? (const void *)c->queues : c, out);
    (void)fputc('\0', out);
    (void)fclose(out);
    (void)conf_free(c);
    return printed;
}

static const struct {
    const struct conf_rows *rows;
    bool of_queue;
} kinds[] = {{&conf_top_rows, false}, {&conf_queue_rows, true}};

static void every_setting_refuses_every_other_type(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        unsigned fits; /* types that take it */
    } values[] = {
        {"true", 1u << CONF_BOOL},
        {"1", 1u << CONF_COUNT | 1u << CONF_BYTES | 1u << CONF_SECONDS | 1u << CONF_FACTOR},
        {"1L", 1u << CONF_COUNT | 1u << CONF_BYTES | 1u << CONF_SECONDS | 1u << CONF_FACTOR},
        {"1.0", 1u << CONF_SECONDS | 1u << CONF_FACTOR},
        {"\"1\"", 1u << CONF_TEXT | 1u << CONF_CHOICE},
        {"{ }", 1u << CONF_PAIRS},
        {"{ a = 1; }", 1u << CONF_PAIRS},
        {"[ ]", 1u << CONF_WORDS},
        {"[ 1, 2 ]", 0},
        {"( )", 1u << CONF_QUEUES},
        {"( 1, \"x\" )", 1u << CONF_QUEUES},
    };
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < kinds[k].rows->n; i++)
            for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
                const struct conf_row *row = &kinds[k].rows->row[i];
                bool empty = values[v].fits == 1u << CONF_WORDS && row->min > 0;
                if (empty || !(values[v].fits & 1u << row->type))
                    refused(row, kinds[k].of_queue, values[v].value, ", allowed is ");
            }
}

static void numbers(const struct conf_row *row, bool of_queue)
{
    char value[64], words[200];
    bool whole = row->type == CONF_COUNT || row->type == CONF_BYTES;
    const char *format = whole ? "%.0f" : "%.17g";
    double step = whole ? 1 : 0.001;
    static const char *const beyond[] = {"-9223372036854775808",
                                         "2147483648",
                                         "4294967297",
                                         "1000000000000",
                                         "0x1FFFFFFFF",
                                         "99999999999999999999999",
                                         "-99999999999999999999999",
                                         "0x7fffffffffffffffff"};
    (void)conf_row_allowed(row, words);
    (void)snprintf(value, sizeof value, format, row->min);
    assert_true(fabs(strtod(accepted(row, of_queue, value), NULL) - row->min) < 0.0005);
    (void)snprintf(value, sizeof value, format, row->max);
    assert_true(fabs(strtod(accepted(row, of_queue, value), NULL) - row->max) < 0.0005);
    (void)snprintf(value, sizeof value, format, row->min - step);
    refused(row, of_queue, value, words);
    (void)snprintf(value, sizeof value, format, row->max + step);
    refused(row, of_queue, value, words);
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++)
        if (row->max < 2147483648.0 || strlen(beyond[i]) > 13)
            refused(row, of_queue, beyond[i], "out of range");
    if (!whole)
        refused(row, of_queue, "1e999", "out of range");
    refused(row, of_queue, "010", "begins with a zero");
    refused(row, of_queue, "nan", "is not a value");
    refused(row, of_queue, "inf", "is not a value");
    refused(row, of_queue, "-inf", "is not a number");
    refused(row, of_queue, "10s", "is not a number");
    refused(row, of_queue, "yes", "use true or false");
}

static void texts(const struct conf_row *row, bool of_queue)
{
    char *value = test_malloc(5000);
    value[0] = '"';
    memset(value + 1, 'x', (size_t)row->max + 1);
    strcpy(value + 2 + (size_t)row->max, "\"");
    if (!row->words)
        refused(row, of_queue, value, "bytes long, allowed is text of ");
    test_free(value);
    if (row->min > 0 && !row->words)
        refused(row, of_queue, "\"\"", "is 0 bytes long");
}

static void words(const struct conf_row *row, bool of_queue)
{
    char value[64], allowed[CONF_ALLOWED_MAX];
    for (size_t i = 0; row->words[i]; i++) {
        (void)snprintf(value, sizeof value, "\"%s\"", row->words[i]);
        const char *printed = accepted(row, of_queue, value);
        assert_string_equal(printed, value);
    }
    refused(row, of_queue, "\"\"", conf_row_allowed(row, allowed));
    refused(row, of_queue, "\"SLEEP\"", allowed);
}

static void every_setting_is_checked_below_at_and_above_its_range(void **state)
{
    (void)state;
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < kinds[k].rows->n; i++) {
            const struct conf_row *row = &kinds[k].rows->row[i];
            bool number = row->type == CONF_COUNT || row->type == CONF_BYTES ||
                          row->type == CONF_SECONDS || row->type == CONF_FACTOR;
            if (number)
                numbers(row, kinds[k].of_queue);
            if (row->type == CONF_TEXT)
                texts(row, kinds[k].of_queue);
            if (row->words)
                words(row, kinds[k].of_queue);
            if (row->type == CONF_BOOL) {
                assert_string_equal(accepted(row, kinds[k].of_queue, "FALSE"), "false");
                refused(row, kinds[k].of_queue, "on", "use true or false");
            }
        }
}

static void every_setting_may_come_once(void **state)
{
    (void)state;
    char text[400];
    for (size_t i = 0; i < conf_top_rows.n; i++) {
        const struct conf_row *row = &conf_top_rows.row[i];
        const char *dot = strchr(row->name, '.'),
                   *def = row->type == CONF_QUEUES ? "( )" : row->def;
        struct conf *c;
        if (dot)
            (void)snprintf(text, sizeof text, "%.*s: {\n%s = %s;\n%s = %s; };\n" Q,
                           (int)(dot - row->name), row->name, dot + 1, def, dot + 1, def);
        else
            (void)snprintf(text, sizeof text, "\n%s\n%s = %s;%s",
                           row->type == CONF_QUEUES ? Q : "workers = 1;", row->name, def,
                           row->type == CONF_QUEUES ? "" : "\n");
        if (!dot && row->type != CONF_QUEUES)
            (void)snprintf(text, sizeof text, "\n%s = %s;\n%s = %s;\n" Q, row->name, def, row->name,
                           def);
        assert_int_equal(load(text, &c), -EINVAL);
        char front[80];
        (void)snprintf(front, sizeof front, "f:3: %s: is set twice, first in line 2", row->name);
        if (strncmp(said, front, strlen(front)) != 0 ||
            strchr(said, '\n') != said + strlen(said) - 1)
            fail_msg("wanted %s\nsaid %s", front, said);
    }
}

static void names_and_addresses_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value, *words;
    } rows[] = {
        {"instance", "\"a b\"", "\"a b\" is not a name, allowed are 1 to 64 of"},
        {"instance", "\"a/b\"", "is not a name"},
        {"instance", "\"\xc3\xa4\"", "is not a name"},
        {"runtime_dir", "\"run\"", "allowed is an absolute path"},
        {"redis.url", "\"http://h\"", "begins with neither redis://"},
        {"redis.url", "\"rediss://h\"", "TLS, which is not built in"},
        {"redis.url", "\"redis://h:0\"", "1 to 65535"},
        {"redis.url", "\"redis://h:65536\"", "1 to 65535"},
        {"redis.url", "\"redis://h/x\"", "0 to 2147483647"},
        {"redis.url", "\"unix://run/redis.sock\"", "absolute path"},
        {"redis.url", "\"redis://u:%00@h\"", "NUL byte"},
        {"admin.socket", "\"run\"", "allowed is an absolute path"},
        {"admin.http", "\"9121\"", "allowed is address:port"},
        {"admin.http", "\"127.0.0.1:0\"", "allowed is address:port"},
        {"admin.http", "\"[::1]\"", "allowed is address:port"},
    };
    static const char *const lists[] = {"name", "recoveries_to", "result.list", "on_success",
                                        "on_failure"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        refused(conf_row_find(&conf_top_rows, rows[i].name), false, rows[i].value, rows[i].words);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        refused(conf_row_find(&conf_queue_rows, lists[i]), true, "\"rpopd:{x}:dead\"",
                "begins with \"rpopd:\"");
    const struct conf_row *http = conf_row_find(&conf_top_rows, "admin.http");
    assert_string_equal(accepted(http, false, "\"[::1]:9121\""), "\"[::1]:9121\"");
    assert_string_equal(accepted(http, false, "\"127.0.0.1:9121\""), "\"127.0.0.1:9121\"");
    const struct conf_row *name = conf_row_find(&conf_queue_rows, "name");
    assert_string_equal(accepted(name, true, "\"rpopd\""), "\"rpopd\"");
    assert_string_equal(accepted(name, true, "\"a b\" \"\\\"\\\\\\n\\xff{\xe4\xb8\xad}\""),
                        "\"a b\\\"\\\\\\n\\xff{\xe4\xb8\xad}\"");
}

static void every_number_at_its_most_is_read(void **state)
{
    (void)state;
    char text[4000];
    size_t n = 0;
    for (size_t k = 0; k < 2; k++) {
        if (k)
            n += (size_t)sprintf(text + n,
                                 "queues: ( { name = \"a\"; handler: { type = \"null\"; };\n");
        for (size_t i = 0; i < kinds[k].rows->n; i++) {
            const struct conf_row *row = &kinds[k].rows->row[i];
            if (row->type != CONF_TEXT && row->max > 0 && row->type != CONF_QUEUES &&
                !strchr(row->name, '.'))
                n += (size_t)sprintf(text + n, "%s = %.0f;\n", row->name, row->max);
        }
    }
    strcpy(text + n, "} );");
    struct conf *c = good(text);
    assert_int_equal(c->workers, 1024);
    assert_int_equal(c->concurrency, 1000000);
    assert_int_equal(c->queues[0].max_payload, 536870912);
    (void)conf_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_setting_refuses_every_other_type),
        cmocka_unit_test(every_setting_is_checked_below_at_and_above_its_range),
        cmocka_unit_test(every_setting_may_come_once),
        cmocka_unit_test(names_and_addresses_are_checked),
        cmocka_unit_test(every_number_at_its_most_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
