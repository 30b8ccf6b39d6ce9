/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=strdup,--wrap=strndup,--wrap=asprintf */
/* The configuration without memory: each allocation fails in turn, which is an error and no leak.
 */
#include "tests/unit/conf_text.h"

#include <sys/stat.h>
#include <unistd.h>

static int countdown; /* the allocation that fails; 0: none */
static int calls;

static bool fails(void)
{
    calls++;
    return countdown && --countdown == 0;
}

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

char *__wrap_strdup(const char *text);
char *__wrap_strdup(const char *text)
{
    size_t n = strlen(text) + 1;
    char *copy = fails() ? NULL : __real_malloc(n);
    return copy ? memcpy(copy, text, n) : NULL;
}

char *__wrap_strndup(const char *text, size_t max);
char *__wrap_strndup(const char *text, size_t max)
{
    size_t n = strnlen(text, max);
    char *copy = fails() ? NULL : __real_calloc(n + 1, 1);
    return copy ? memcpy(copy, text, n) : NULL;
}

int __wrap_asprintf(char **ret, const char *fmt, ...);
int __wrap_asprintf(char **ret, const char *fmt, ...)
{
    va_list args;
    if (fails())
        return -1;
    va_start(args, fmt);
    int n = vasprintf(ret, fmt, args);
    va_end(args);
    return n;
}

#define FULL                                                                                      \
    "instance = \"\"; redis: { username = \"u\"; password_file = \"%s\"; };\n"                    \
    "queues: ( { name = \"a\"; handler: { type = \"null\"; }; attempts = 3; on_failure = \"x\"; " \
    "},\n"                                                                                        \
    "          { name = \"b\"; handler: { type = \"sleep\"; }; result: { list = \"r\"; }; } );"

static char path[] = "/tmp/rpopd-memory-XXXXXX";
static char secret[] = "/tmp/rpopd-memory-XXXXXX";

static int write_files(void **state)
{
    (void)state;
    int fd = mkstemp(secret), file = mkstemp(path);
    bool fine =
        fd >= 0 && file >= 0 && write(fd, "hush\n", 5) == 5 && dprintf(file, FULL, secret) > 0;
    (void)close(fd);
    (void)close(file);
    return fine ? 0 : -1;
}

static int remove_files(void **state)
{
    (void)state;
    (void)unlink(secret);
    (void)unlink(path);
    return 0;
}

/* Fails allocation n of one load; what was said lies in `said`. */
static int load_without(int n, struct conf **ret)
{
    FILE *errors = fmemopen(said, sizeof said, "w");
    assert_non_null(errors);
    countdown = n;
    int r = conf_load(path, errors, ret);
    countdown = 0;
    (void)fputc('\0', errors);
    (void)fclose(errors);
    return r;
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    struct conf *c = NULL;
    int r = -ENOMEM, n = 1;
    for (; r == -ENOMEM; n++) {
        r = load_without(n, &c);
        if (r == -ENOMEM) {
            assert_null(c);
            assert_non_null(strstr(said, ": no memory to read it\n"));
            assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
        }
    }
    assert_int_equal(r, 0);
    assert_in_range(n, 30, 200); /* the file above takes some forty */
    assert_string_equal(c->redis.password, "hush");
    assert_int_equal(c->nqueues, 2);
    (void)conf_free(c);
}

static void a_half_built_configuration_can_be_freed(void **state)
{
    (void)state;
    assert_null(conf_free(NULL));
    assert_null(conf_free(calloc(1, sizeof(struct conf))));
}

static void the_largest_numbers_allocate_no_more_than_the_smallest(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "workers = 1; concurrency = 1; queues: ( { name = \"a\"; handler: { type = \"null\"; }; "
        "concurrency = 0; max_payload = 1; } );",
        "workers = 1024; concurrency = 1000000; queues: ( { name = \"a\"; handler: { type = "
        "\"null\"; }; concurrency = 1000000; "
        "max_payload = 536870912; } );"};
    int counted[2];
    for (int i = 0; i < 2; i++) {
        calls = 0;
        struct conf *c = good(rows[i]);
        counted[i] = calls;
        (void)conf_free(c);
    }
    assert_int_equal(counted[0], counted[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_allocation_may_fail, write_files, remove_files),
        cmocka_unit_test(a_half_built_configuration_can_be_freed),
        cmocka_unit_test(the_largest_numbers_allocate_no_more_than_the_smallest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
