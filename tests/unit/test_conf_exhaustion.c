/* The configuration when an allocation fails in any library: in ours, in libconfig, in libc. The
 * program has a malloc of its own, which a sanitizer or valgrind has, too; with those nothing is
 * tested here. */
#include "tests/unit/conf_text.h"

#include <unistd.h>

static long calls, failing; /* failing: the call that fails; 0: none */

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__has_feature)
#define OWN_MALLOC 1
#elif defined(__has_feature)
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer) && \
    !__has_feature(memory_sanitizer)
#define OWN_MALLOC 1
#endif
#endif

#ifdef OWN_MALLOC
static bool fails(void)
{
    if (++calls != failing)
        return false;
    errno = ENOMEM;
    return true;
}

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

void *malloc(size_t n)
{
    return fails() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    return fails() ? NULL : __libc_realloc(p, n);
}
#endif

#define FULL                                                                                      \
    "instance = \"a\"; redis: { username = \"u\"; };\n"                                           \
    "queues: ( { name = \"a\"; handler: { type = \"null\"; }; attempts = 3; on_failure = \"x\"; " \
    "},"                                                                                          \
    " { name = \"b\"; handler: { type = \"sleep\"; }; result: { list = \"r\"; }; } );"

static char path[] = "/tmp/rpopd-exhaustion-XXXXXX";

static int write_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    bool fine = fd >= 0 && write(fd, FULL, sizeof FULL - 1) == sizeof FULL - 1;
    (void)close(fd);
    return fine ? 0 : -1;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

/* Fails call n; what was said lies in `said`. */
static int load_without(long n, struct conf **ret)
{
    FILE *errors = fmemopen(said, sizeof said, "w");
    assert_non_null(errors);
    calls = 0;
    failing = n;
    int r = conf_load(path, errors, ret);
    failing = 0;
    (void)fputc('\0', errors);
    (void)fclose(errors);
    return r;
}

static void check_whole(const struct conf *c)
{
    assert_string_equal(c->instance, "a");
    assert_string_equal(c->redis.username, "u");
    assert_int_equal(c->nqueues, 2);
    assert_int_equal(c->queues[0].attempts, 3);
    assert_string_equal(c->queues[0].on_failure, "x");
    assert_string_equal(c->queues[1].name, "b");
    assert_string_equal(c->queues[1].handler.type, "sleep");
    assert_string_equal(c->queues[1].result_list, "r");
}

static void any_allocation_may_fail_in_any_library(void **state)
{
    (void)state;
    struct conf *c = NULL;
    assert_int_equal(load_without(0, &c), 0);
    (void)conf_free(c);
    long all = calls, refused = 0;
    if (all == 0)
        skip();
    for (long n = 1; n <= all; n++) {
        c = NULL;
        int r = load_without(n, &c);
        if (r == 0) {
            check_whole(c);
            (void)conf_free(c);
            continue;
        }
        refused++;
        assert_int_equal(r, -ENOMEM);
        assert_null(c);
        assert_non_null(strstr(said, ": no memory to read it\n"));
    }
    assert_true(refused > 100); /* libconfig alone makes more than that */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(any_allocation_may_fail_in_any_library, write_file,
                                        remove_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
