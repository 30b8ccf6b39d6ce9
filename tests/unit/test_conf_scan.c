/* The text of a configuration: its grammar, what is wrong with it and where, and what libconfig
 * would choke on. */
#include "tests/unit/conf_text.h"

#include "common/conf_number.h"
#include "common/conf_scan.h"

static void mistakes_say_where_and_what(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"workers 2;", "f:1: workers: '2' is not expected here, allowed is = or :"},
        {"workers = ;", "f:1: workers: ';' is not expected here, allowed is a value"},
        {"workers = 1;;",
         "f:1: syntax: ';' is not expected here, allowed is the name of a setting"},
        {"workers", "f:1: workers: the file ends where = or : is expected"},
        {"workers =\n\n", "f:3: workers: the file ends where a value is expected"},
        {"= 2;", "f:1: syntax: '=' is not expected here, allowed is the name of a setting"},
        {"2 = 2;", "f:1: syntax: '2' is not expected here, "},
        {"workers = 1 2;",
         "f:1: workers: '2' is not expected here, allowed is ; or the name of a setting"},
        {"workers = 1 \"x\";", "f:1: workers: '\"x\"' is not expected here, "},
        {"}", "f:1: syntax: '}' is not expected here, "},
        {"redis: { ) };",
         "f:1: redis: ')' is not expected here, allowed is the name of a setting or }"},
        {"redis: { wait = true ] };", "f:1: redis.wait: ']' is not expected here, "},
        {"queues: ( 1 2 );", "f:1: queues[0]: '2' is not expected here, allowed is , or )"},
        {"queues: ( 1, );", "f:1: queues[1]: ')' is not expected here, allowed is a value"},
        {"queues: ( , );", "f:1: queues[0]: ',' is not expected here, allowed is a value or )"},
        {"queues: ( 1; );", "f:1: queues[0]: ';' is not expected here, allowed is , or )"},
        {"x = [ 1 2 ];", "f:1: x[0]: '2' is not expected here, allowed is , or ]"},
        {"x = [ 1, ];", "f:1: x[1]: ']' is not expected here, allowed is a value"},
        {"x = [ { } ];", "f:1: x[0]: [ ] holds plain values alone"},
        {"x = [ ( ) ];", "f:1: x[0]: [ ] holds plain values alone"},
        {"x = [ [ ] ];", "f:1: x[0]: [ ] holds plain values alone"},
        {"\nredis: {\n url = \"x\";\n", "f:2: redis: the { that stands in this line has no }"},
        {"\n\nqueues: (\n", "f:3: queues[0]: the ( that stands in this line has no )"},
        {"x = [ 1", "f:1: x[0]: the [ that stands in this line has no ]"},
        {"workers = 1;\n/* open\nlease = 2;\n",
         "f:2: syntax: the comment that begins here has no */"},
        {"workers = 1;\n/*/", "f:2: syntax: the comment that begins here has no */"},
        {"\ninstance = \"a;\nworkers = 1;\n",
         "f:2: instance: the string that begins in this line has no closing \""},
        {"instance = \"a\\", "f:1: instance: behind a \\ in a string stands one of"},
        {"instance = \"a", "f:1: instance: the string that begins in this line has no closing \""},
        {"instance = \"a\\q\";", "f:1: instance: behind a \\ in a string stands one of"},
        {"instance = \"a\\x4\";", "f:1: instance: behind a \\ in a string stands one of"},
        {"instance = \"a\\x4g\";", "f:1: instance: behind a \\ in a string stands one of"},
        {"instance = \"a\\\nb\";", "f:1: instance: behind a \\ in a string stands one of"},
        {"instance = \"a\\x00\";", "f:1: instance: \\x00 is not allowed"},
        {"instance = \"a\x01\";",
         "f:1: instance: a string holds the control character 0x01, write \\x01"},
        {"\x01", "f:1: syntax: '\\x01' is not expected here"},
        {"workers = \xe4\xb8\xad;", "f:1: workers: '\xe4\xb8\xad' is not expected here"},
        {"\xe4\xb8\xad = 1;", "f:1: syntax: '\xe4\xb8\xad' is not expected here"},
        {"workers = 1;\n# \xff\n", "f:2: syntax: byte 0xff is not UTF-8"},
        {"\n\ninstance = \"\xc0\x80\";", "f:3: syntax: byte 0xc0 is not UTF-8"},
        {"\xef\xbb\xbfworkers = 1;", "f:1: syntax: the file begins with a byte order mark"},
        {"\xff\xfew\0o\0", "f:1: syntax: byte 0xff is not UTF-8"},
        {"@include \"/\"\n", "f:1: syntax: @include is not supported"},
        {"workers = 1;\n  @include \"/nonexistent\"\n", "f:2: syntax: @include is not supported"},
        {"redis: {\n@include \"f\"\n};", "f:2: redis: @include is not supported"},
        {"wait = @include \"f\"\n", "f:1: wait: @include is not supported"},
        {"workers = 1.2.3;", "f:1: workers: '1.2.3' is not a number"},
        {"workers = 1_000;", "f:1: workers: '1_000' is not a number"},
        {"workers = 0x;", "f:1: workers: '0x' is not a number"},
        {"workers = 0xg;", "f:1: workers: '0xg' is not a number"},
        {"workers = --1;", "f:1: workers: '-' is not a number"},
        {"workers = .;", "f:1: workers: '.' is not a number"},
        {"workers = 1e;", "f:1: workers: '1e' is not a number"},
        {"workers = -0x5;", "f:1: workers: '-0x5' is not a number"},
        {"workers = 1LLL;", "f:1: workers: '1LLL' is not a number"},
        {"workers = 1.5L;", "f:1: workers: '1.5L' is not a number"},
        {"workers = 00;", "f:1: workers: '00' begins with a zero"},
        {"workers = -010;", "f:1: workers: '-010' begins with a zero"},
        {"workers = four;",
         "f:1: workers: 'four' is not a value, allowed are numbers, true, false and text"},
        {"redis: { wait = Yes; };", "f:1: redis.wait: 'Yes' is not a value, use true or false"},
        {"redis: { wait = off; };", "f:1: redis.wait: 'off' is not a value, use true or false"},
        {"x = [ 1, 2.5 ];", "f:1: x[1]: is of another type than the values before it"},
        {"x = [ \"a\", true ];", "f:1: x[1]: is of another type than the values before it"},
        {"x = [ 1, 2147483648 ];", "f:1: x[1]: 2147483648L is out of range, allowed in [ ] are"},
        {"x = [ 1.5, yes ];", "f:1: x[1]: 'yes' is not a value"},
        {"true = 1;", "f:1: syntax: 'true' is not expected here, allowed is the name of a setting"},
        {"x = 1; FALSE: 2;", "f:1: syntax: 'FALSE' is not expected here"},
        {"x-y.z = 1;", "f:1: x-y: '.z' is not expected here, allowed is = or :"},
    };
    struct conf *c;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(load(rows[i].text, &c), -EINVAL);
        if (strncmp(said, rows[i].want, strlen(rows[i].want)) != 0)
            fail_msg("%s\nwanted %s\nsaid %s", rows[i].text, rows[i].want, said);
    }
}

static void a_nul_byte_is_refused_wherever_it_stands(void **state)
{
    (void)state;
    static const char text[] = Q "\nworkers = 1;\n# x\nlease = \"a\";\n";
    char copy[sizeof text];
    struct conf *c;
    for (size_t i = 0; i < sizeof text - 1; i++) {
        memcpy(copy, text, sizeof text);
        copy[i] = '\0';
        assert_int_equal(load_bytes(copy, sizeof text - 1, &c), -EINVAL);
        assert_non_null(strstr(said, ": syntax: a NUL byte, allowed is text\n"));
    }
}

/* A list or an array is no value of any setting, but of one to come: it reaches the table. */
static void lists_and_arrays_are_well_written(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "[ ]",
        "[ 1, 0x2, -3L ]",
        "[ 1.5, .5, 1e3 ]",
        "[ true, FALSE ]",
        "[ \"a\" \"b\", \"c\" ]",
        "( )",
        "( 1, 2.5, true, \"a\" \"b\", 4294967296, [ 1 ], ( ), { a = 1; } )"};
    char text[200];
    struct conf *c;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        (void)snprintf(text, sizeof text, "nothing = %s;" Q, rows[i]);
        assert_int_equal(load(text, &c), -EINVAL);
        assert_string_equal(said,
                            "f:1: nothing: is no setting, allowed are those of rpopd.conf(5)\n");
    }
}

static void what_is_well_written_is_read(void **state)
{
    (void)state;
    static const char *const rows[] = {
        Q,
        Q "\n",
        Q "workers = 2",
        Q "workers : 2,lease=3.0 concurrency=5;",
        "\r\n\r\nworkers = 2;\r\n# c\r\n// d\r\n/* e\r\n */\r\n" Q "\r\n",
        "\t\f workers\t=\t2 ;" Q,
        "/**/workers/* a */=/* b *//* c */2/***/;" Q "/* @include \"/\" */# @include \"/\"\n//",
        "instance = \"a\" /* and */\n \"b\"  \"c\";" Q,
        "redis: { }; log = { };" Q,
        "workers = 0x2; lease = 15.; shutdown_timeout = .5; concurrency = 10LL;" Q,
        "lease = 1E2; shutdown_timeout = 2.5e+1; redis = { wait = TRUE; connect_timeout = 5e-1; "
        "};" Q,
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        (void)conf_free(good(rows[i]));
}

static void strings_keep_their_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"\"a\\\\b\\\"c\\n\\r\\t\\f\\x41\\xfe\"", "a\\b\"c\n\r\t\fA\xfe"},
        {"\"# no // comment /* here */\"", "# no // comment /* here */"},
        {"\"@include \\\"/\\\"\"", "@include \"/\""},
        {"\"\xe4\xb8\xad \xf0\x9f\x98\x80\"", "\xe4\xb8\xad \xf0\x9f\x98\x80"},
        {"\"{q};(),[]=:\"", "{q};(),[]=:"},
        {"\"a\"\"b\"\n\"c\"", "abc"},
        {"\"\\\\n\"", "\\n"},
    };
    char text[400];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        (void)snprintf(text, sizeof text,
                       "queues: ( { name = %s; handler: { type = \"null\"; }; } );", rows[i].text);
        struct conf *c = good(text);
        assert_string_equal(c->queues[0].name, rows[i].want);
        (void)conf_free(c);
    }
}

static void lines_are_counted_through_everything(void **state)
{
    (void)state;
    struct conf *c;
    assert_int_equal(load("# 1\n// 2\n/* 3\n4 */\r\n\n" Q
                          "\n\nredis: {\n  username =\n \"a\" /* 10\n */ \"b\";\n  wait = 1;\n};\n"
                          "workers\n=\n-1\n;\nlease = 0.5;",
                          &c),
                     -EINVAL);
    assert_non_null(strstr(said, "f:12: redis.wait: "));
    assert_non_null(strstr(said, ": workers: "));
    assert_non_null(strstr(said, "f:18: lease: "));
}

static void a_setting_that_comes_twice_does_not_hide_the_rest(void **state)
{
    (void)state;
    struct conf *c;
    assert_int_equal(load("redis: { wait = true; };\nredis: { nonsense = [ 1, 2 ]; more: { a = 1; "
                          "a = 2; }; };\nworkers = 1;\n"
                          "workers = 2;\nworkers = 3;\nlease = 0;\n" Q,
                          &c),
                     -EINVAL);
    assert_string_equal(
        said, "f:2: redis: is set twice, first in line 1; once is allowed\n"
              "f:2: redis.more.a: is set twice, first in line 2; once is allowed\n"
              "f:4: workers: is set twice, first in line 3; once is allowed\n"
              "f:5: workers: is set twice, first in line 4; once is allowed\n"
              "f:6: lease: 0 is out of range, allowed is a number of seconds from 1 to 3600\n");
}

static char *repeat(const char *part, size_t n)
{
    size_t len = strlen(part);
    char *text = test_malloc(len * n + 1);
    for (size_t i = 0; i < n; i++)
        memcpy(text + i * len, part, len);
    text[len * n] = '\0';
    return text;
}

static void refuses_repeated(const char *part, size_t n, const char *words)
{
    struct conf *c;
    char *text = repeat(part, n);
    assert_int_equal(load(text, &c), -EINVAL);
    if (!strstr(said, words))
        fail_msg("%zu times %s: %s", n, part, said);
    test_free(text);
}

static void depth_and_size_are_limited_before_libconfig(void **state)
{
    (void)state;
    refuses_repeated("g:{", 10000, "more than 16 levels of {");
    refuses_repeated("g:(", 10000, "is not a value");
    refuses_repeated("g=[[", 10000, "[ ] holds plain values alone");
    refuses_repeated("g:(((((((((((((((((", 10000, "more than 16 levels of (");
    refuses_repeated("(", 10000, "is not expected here");
    refuses_repeated("a:({", 5, "the { that stands in this line has no }");
    refuses_repeated("a", 100000, "a name longer than 64 bytes");
    refuses_repeated("\\", 100000, "is not expected here");
    refuses_repeated("/* ", 100000, "has no */");
    refuses_repeated("\"", 99999, "is not expected here");
    char *text = test_malloc(100000);
    size_t n = 0;
    struct conf *c;
    for (int i = 0; i < 300; i++)
        n += (size_t)sprintf(text + n, "s%d = 1;\n", i);
    assert_int_equal(load(text, &c), -EINVAL);
    assert_non_null(strstr(said, "f:257: syntax: more than 256 settings in one group\n"));
    test_free(text);
}

static void sixteen_levels_are_allowed(void **state)
{
    (void)state;
    char *open = repeat("g:{", 16), *close = repeat("};", 16), text[200];
    struct conf *c;
    (void)snprintf(text, sizeof text, "%s%s" Q, open, close);
    assert_int_equal(load(text, &c), -EINVAL);
    assert_string_equal(said, "f:1: g: is no setting, allowed are those of rpopd.conf(5)\n");
    (void)snprintf(text, sizeof text, "g:{%s%s};", open, close);
    assert_int_equal(load(text, &c), -EINVAL);
    assert_non_null(strstr(said, "more than 16 levels"));
    test_free(open);
    test_free(close);
}

/* libconfig alone compares all names of a group with one another, and copies what grows: a file of
 * 1 MiB must not keep it busy for minutes, which the limit on the test's time would show. */
static void a_full_file_is_read(void **state)
{
    (void)state;
    struct conf *c = NULL;
    const int queues = getenv("MEMCHECK") ? 500 : 10000; /* valgrind is 30 times slower */
    char *escapes = repeat("\\x41", 60000), *text = test_malloc(CONF_FILE_MAX + 200);
    (void)sprintf(text, "instance = \"%s\";", escapes);
    assert_int_equal(load(text, &c), -EINVAL);
    assert_non_null(strstr(said, "f:1: instance: is 60000 bytes long"));
    size_t n = (size_t)sprintf(text, "queues: (\n");
    for (int i = 0; n < CONF_FILE_MAX / 4; i++)
        n += (size_t)sprintf(text + n, "%s{ }", i ? "," : "");
    (void)sprintf(text + n, ");");
    assert_int_equal(load(text, &c), -EINVAL);
    assert_non_null(strstr(said, "groups, allowed is a list of 1 to 10000 groups"));
    n = (size_t)sprintf(text, "queues: (\n");
    for (int i = 0; i < queues; i++)
        n += (size_t)sprintf(
            text + n, "%s{ name = \"queue with the number %d\"; handler: { type = \"null\"; }; }",
            i ? "," : "", i);
    (void)sprintf(text + n, ");");
    assert_int_equal(load(text, &c), 0);
    assert_int_equal(c->nqueues, queues);
    (void)conf_free(c);
    test_free(escapes);
    test_free(text);
}

static void numbers_are_handed_on_in_one_form(void **state)
{
    (void)state;
    static const struct {
        const char *text, *integer;
    } rows[] = {
        {"0", "0"},
        {"-0", "0"},
        {"+7", "7"},
        {"7L", "7"},
        {"7LL", "7"},
        {"0x1F", "31"},
        {"0X1fL", "31"},
        {"2147483647", "2147483647"},
        {"2147483648", "2147483648L"},
        {"-2147483648", "-2147483648"},
        {"-2147483649", "-2147483649L"},
        {"0xFFFFFFFF", "4294967295L"},
        {"9223372036854775807", "9223372036854775807L"},
        {"9223372036854775808", "9223372036854775807L"},
        {"-9223372036854775808", "-9223372036854775808L"},
        {"-9999999999999999999", "-9223372036854775808L"},
        {"92233720368547758070", "9223372036854775807L"},
        {"0xffffffffffffffffff", "9223372036854775807L"},
    };
    char out[CONF_INTEGER_MAX];
    struct err e;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(conf_number(rows[i].text, strlen(rows[i].text), out, &e), CONF_IS_INTEGER);
        assert_string_equal(out, rows[i].integer);
    }
    assert_int_equal(conf_number("1.5", 3, out, &e), CONF_IS_FLOAT);
    assert_int_equal(conf_number("1e5", 3, out, &e), CONF_IS_FLOAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mistakes_say_where_and_what),
        cmocka_unit_test(a_nul_byte_is_refused_wherever_it_stands),
        cmocka_unit_test(lists_and_arrays_are_well_written),
        cmocka_unit_test(what_is_well_written_is_read),
        cmocka_unit_test(strings_keep_their_bytes),
        cmocka_unit_test(lines_are_counted_through_everything),
        cmocka_unit_test(a_setting_that_comes_twice_does_not_hide_the_rest),
        cmocka_unit_test(depth_and_size_are_limited_before_libconfig),
        cmocka_unit_test(sixteen_levels_are_allowed),
        cmocka_unit_test(a_full_file_is_read),
        cmocka_unit_test(numbers_are_handed_on_in_one_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
