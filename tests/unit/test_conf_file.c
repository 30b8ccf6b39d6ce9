/* The configuration and its surroundings: the file itself, the environment, secrets, what is
 * printed. */
#include "tests/unit/conf_text.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/conf_source.h"

/* A folder of its own, which is the working directory while a test runs. */
static char folder[] = "/tmp/rpopd-conf-XXXXXX";

static int enter(void **state)
{
    (void)state;
    static const char *const clean[] = {"RPOPD_INSTANCE", "RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR",
                                        "CREDENTIALS_DIRECTORY"};
    for (size_t i = 0; i < sizeof clean / sizeof *clean; i++)
        (void)unsetenv(clean[i]);
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    (void)state;
    static const char *const names[] = {
        "f", "link", "pipe", "socket", "secret", "redis-password", "d/redis-password", "printed"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        (void)unlink(names[i]);
    (void)rmdir("d");
    return chdir("/") == 0 && rmdir(folder) == 0 ? 0 : -1;
}

static void put(const char *path, const char *bytes, size_t len, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && write(fd, bytes, len) == (ssize_t)len && fchmod(fd, mode) == 0);
    (void)close(fd);
}

static int load_file(const char *path, struct conf **ret)
{
    FILE *errors = fmemopen(said, sizeof said, "w");
    int r = conf_load(path, errors, ret);
    (void)fputc('\0', errors);
    (void)fclose(errors);
    return r;
}

static struct conf *good_file(const char *text)
{
    struct conf *c = NULL;
    put("f", text, strlen(text), 0644);
    if (load_file("f", &c) != 0)
        fail_msg("refused: %s", said);
    return c;
}

static void what_is_no_file_is_refused(void **state)
{
    (void)state;
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
    struct conf *c = NULL;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    (void)close(fd);
    assert_int_equal(mkfifo("pipe", 0600), 0);
    assert_int_equal(symlink("link", "link"), 0);
    static const struct {
        const char *path;
        int r;
        const char *said;
    } rows[] = {
        {"none", -ENOENT, "none: cannot be opened: No such file or directory\n"},
        {"none/f", -ENOENT, "none/f: cannot be opened: No such file or directory\n"},
        {"/tmp", -EINVAL, "/tmp: is a directory, not a file\n"},
        {"pipe", -EINVAL, "pipe: is a named pipe, not a file\n"},
        {"socket", -EINVAL, "socket: is a socket or a device, not a file\n"},
        {"/dev/zero", -EINVAL, "/dev/zero: is a device, not a file\n"},
        {"link", -ELOOP, "link: cannot be opened: Too many levels of symbolic links\n"},
        {"", -ENOENT, ": cannot be opened: No such file or directory\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(load_file(rows[i].path, &c), rows[i].r);
        assert_string_equal(said, rows[i].said);
    }
    assert_null(c);
}

static void a_file_that_may_not_be_read_is_refused(void **state)
{
    (void)state;
    struct conf *c = NULL;
    put("f", Q, strlen(Q), 0000);
    if (geteuid() == 0) { /* root may: look with the eyes of nobody */
        assert_int_equal(chmod(folder, 0755), 0);
        assert_int_equal(seteuid(65534), 0);
    }
    int r = load_file("f", &c);
    if (getuid() == 0)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(r, -EACCES);
    assert_string_equal(said, "f: cannot be opened: Permission denied\n");
}

static void a_file_holds_one_mebibyte_at_most(void **state)
{
    (void)state;
    struct conf *c = NULL;
    char *text = test_malloc(CONF_FILE_MAX + 1);
    memset(text, ' ', CONF_FILE_MAX + 1);
    memcpy(text, Q, strlen(Q));
    put("f", text, CONF_FILE_MAX + 1, 0600);
    assert_int_equal(load_file("f", &c), -EFBIG);
    assert_string_equal(said, "f: is longer than 1048576 bytes\n");
    put("f", text, CONF_FILE_MAX, 0600);
    assert_int_equal(load_file("f", &c), 0);
    (void)conf_free(c);
    test_free(text);
}

static void a_link_to_a_file_is_followed(void **state)
{
    (void)state;
    struct conf *c = NULL;
    put("f", Q, strlen(Q), 0644);
    assert_int_equal(symlink("f", "link"), 0);
    assert_int_equal(load_file("link", &c), 0);
    assert_string_equal(c->file, "link");
    (void)conf_free(c);
}

static void the_instance_is_set_or_named_by_the_environment_or_the_host(void **state)
{
    (void)state;
    char host[300] = "";
    (void)gethostname(host, sizeof host - 1);
    struct conf *c = good_file(Q);
    assert_string_equal(c->instance, host);
    (void)conf_free(c);
    (void)setenv("RPOPD_INSTANCE", "blue", 1);
    c = good_file(Q);
    assert_string_equal(c->instance, "blue");
    (void)conf_free(c);
    c = good_file("instance = \"A.b_c-9\";" Q);
    assert_string_equal(c->instance, "A.b_c-9");
    (void)conf_free(c);
    (void)setenv("RPOPD_INSTANCE", "a/b", 1);
    assert_int_equal(load_file("f", &c), 0); /* the setting counts first */
    (void)conf_free(c);
    put("f", Q, strlen(Q), 0644);
    assert_int_equal(load_file("f", &c), -EINVAL);
    assert_string_equal(said, "f: instance: $RPOPD_INSTANCE: \"a/b\" is not a name, allowed are 1 "
                              "to 64 of A-Z a-z 0-9 . _ -\n");
    static const char empty[] = "\ninstance = \"\";" Q;
    put("f", empty, strlen(empty), 0644);
    assert_int_equal(load_file("f", &c), -EINVAL);
    assert_memory_equal(said, "f:2: instance: ", 15);
}

static void the_runtime_directory_is_set_or_found(void **state)
{
    (void)state;
    char want[64];
    (void)snprintf(want, sizeof want, "/tmp/rpopd-%ju", (uintmax_t)geteuid());
    struct conf *c = good_file(Q);
    assert_string_equal(c->runtime_dir, want);
    (void)conf_free(c);
    (void)setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
    c = good_file(Q);
    assert_string_equal(c->runtime_dir, "/run/user/7/rpopd");
    (void)conf_free(c);
    (void)setenv("RUNTIME_DIRECTORY", "/run/rpopd:/run/more", 1);
    c = good_file(Q);
    assert_string_equal(c->runtime_dir, "/run/rpopd");
    (void)conf_free(c);
    c = good_file("runtime_dir = \"/mine\";" Q);
    assert_string_equal(c->runtime_dir, "/mine");
    (void)conf_free(c);
    (void)setenv("RUNTIME_DIRECTORY", "run", 1);
    put("f", Q, strlen(Q), 0644);
    assert_int_equal(load_file("f", &c), -EINVAL);
    assert_non_null(
        strstr(said, "f: runtime_dir: $RUNTIME_DIRECTORY or $XDG_RUNTIME_DIR is no absolute path"));
}

static void no_workers_means_one_for_each_cpu(void **state)
{
    (void)state;
    struct conf *c = good_file("workers = 0;" Q);
    assert_int_equal(c->workers, sysconf(_SC_NPROCESSORS_ONLN));
    (void)conf_free(c);
    c = good_file("workers = 7;" Q);
    assert_int_equal(c->workers, 7);
    (void)conf_free(c);
}

#define WITH_SECRET "redis: {\n password_file = \"secret\"; };" Q

#define POOL(more) "{ handler: { type = \"pool\"; command = [ \"x\" ]; " more " }"
static void a_queue_runs_no_more_than_its_pool_has(void **state)
{
    (void)state;
    struct conf *c =
        good_file("queues: (" POOL("processes = 3;") "; name = \"a\"; concurrency = 9; }," POOL(
            "processes = 3;") "; name = \"b\"; concurrency = 2; }, " POOL("") "; name = \"c\"; "
                                                                              "});");
    assert_int_equal(c->queues[0].concurrency, 3);
    assert_int_equal(c->queues[1].concurrency, 2);
    assert_int_equal(c->queues[2].concurrency, sysconf(_SC_NPROCESSORS_ONLN));
    (void)conf_free(c);
}

static void a_password_is_read_from_its_file(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *want;
    } rows[] = {{"hush", "hush"},
                {"hush\n", "hush"},
                {"hush\r\n", "hush"},
                {"hush\n\n", "hush\n"},
                {" a 'b' \"c\" ", " a 'b' \"c\" "},
                {"", ""},
                {"\n", ""},
                {"\xff\xfe", "\xff\xfe"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        put("secret", rows[i].bytes, strlen(rows[i].bytes), 0600);
        struct conf *c = good_file(WITH_SECRET);
        assert_string_equal(c->redis.password, rows[i].want);
        (void)conf_free(c);
    }
    struct conf *c = good_file(Q);
    assert_string_equal(c->redis.password, "");
    (void)conf_free(c);
}

static void secret_is_refused(const char *want)
{
    struct conf *c = NULL;
    put("f", WITH_SECRET, strlen(WITH_SECRET), 0644);
    assert_int_equal(load_file("f", &c), -EINVAL);
    assert_memory_equal(said, "f:2: redis.password_file: secret ", 33);
    if (!strstr(said, want) || strstr(said, "hush"))
        fail_msg("wanted %s\nsaid %s", want, said);
}

static void a_password_file_is_kept_from_others_and_is_text(void **state)
{
    (void)state;
    static const mode_t modes[] = {0644, 0640, 0604, 0620, 0602, 0610, 0601};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        put("secret", "hush", 4, modes[i]);
        secret_is_refused("allowed is 0600 or less");
    }
    put("secret", "hu\0sh", 5, 0600);
    secret_is_refused("holds a NUL byte");
    char *big = test_malloc(65537);
    memset(big, 'x', 65537);
    put("secret", big, 65537, 0600);
    secret_is_refused("is longer than 65536 bytes");
    put("secret", big, 65536, 0400);
    (void)conf_free(good_file(WITH_SECRET));
    test_free(big);
    (void)unlink("secret");
    secret_is_refused("cannot be opened: No such file or directory");
    assert_int_equal(mkfifo("secret", 0600), 0);
    secret_is_refused("is a named pipe, not a file");
}

static void the_credential_is_used_where_no_file_is_named(void **state)
{
    (void)state;
    char text[200];
    assert_int_equal(mkdir("d", 0700), 0);
    (void)snprintf(text, sizeof text, "%s/d", folder);
    (void)setenv("CREDENTIALS_DIRECTORY", text, 1);
    struct conf *c = good_file(Q);
    assert_string_equal(c->redis.password, "");
    (void)conf_free(c);
    put("d/redis-password", "from systemd\n", 13, 0440);
    c = good_file(Q);
    assert_string_equal(c->redis.password, "from systemd");
    (void)conf_free(c);
    put("secret", "own", 3, 0600);
    c = good_file(WITH_SECRET);
    assert_string_equal(c->redis.password, "own");
    (void)conf_free(c);
    (void)snprintf(text, sizeof text, "redis: { password_file = \"%s/d/redis-password\"; };" Q,
                   folder);
    c = good_file(text);
    assert_string_equal(c->redis.password, "from systemd");
    (void)conf_free(c);
    put("secret", "own", 3, 0644);
    (void)snprintf(text, sizeof text, "redis: { password_file = \"%s/d/../secret\"; };" Q, folder);
    put("f", text, strlen(text), 0644);
    assert_int_equal(load_file("f", &c), -EINVAL); /* a way out of the directory */
    assert_non_null(strstr(said, "allowed is 0600 or less"));
    put("d/redis-password", "a\0b", 3, 0440);
    put("f", Q, strlen(Q), 0644);
    assert_int_equal(load_file("f", &c), -EINVAL);
    assert_non_null(strstr(said, "redis-password holds a NUL byte"));
}

/* Printing ---------------------------------------------------------------------------------------
 */

static char *printed(void (*print)(FILE *out))
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    print(out);
    (void)fclose(out);
    return text;
}

static char *print_conf(const struct conf *c)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    conf_print(c, out);
    (void)fclose(out);
    return text;
}

static void what_is_printed_is_read_as_the_same(void **state)
{
    (void)state;
    static const char *const rows[] = {
        Q,
        "instance = \"a\"; runtime_dir = \"/r\"; workers = 0; lease = 1.001; shutdown_timeout = "
        "0.25; concurrency = 1000000;"
        "redis: { url = \"redis://u@[::1]:7/3\"; username = \"\\\\\\\"\\n\\x01\\xff\xc3\xa4\"; "
        "connect_timeout = 0.1; wait = false; };"
        "log: { level = \"error\"; format = \"json\"; }; admin: { http = \"h:1\"; socket = \"/s\"; "
        "token_file = \"t\"; };"
        "queues: ( { name = \"a b\"; handler: { type = \"sleep\"; }; weight = 5; priority = -3; "
        "concurrency = 7; timeout = 0;"
        "attempts = 1; backoff: { base = 0; factor = 1.1; max = 31536000; jitter = "
        "0.333333333333333333; };"
        "delivery = \"at-most-once\"; max_payload = 536870912; max_recoveries = 1000000; "
        "recoveries_to = \"x\"; dead_max = 1;"
        "dead_age = 3153600000; output_limit = 0; result: { list = \"r\"; key_ttl = 0.001; }; "
        "on_success = \"s\"; on_failure = \"f\"; },"
        "{ name = \"b\"; handler: { type = \"null\"; }; } );",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct conf *c = good_file(rows[i]);
        char *first = print_conf(c), **later = c->not_in_effect;
        struct conf *again = good_file(first);
        char *second = print_conf(again);
        assert_string_equal(first, second);
        for (size_t n = 0; later[n] || again->not_in_effect[n]; n++)
            assert_string_equal(later[n], again->not_in_effect[n]);
        assert_true(i == 0 || again->queues[0].dead_age_ms == 3153600000000);
        assert_true(i == 0 || !strcmp(again->redis.username, "\\\"\n\x01\xff\xc3\xa4"));
        free(first);
        free(second);
        (void)conf_free(again);
        (void)conf_free(c);
    }
}

static void no_secret_is_printed(void **state)
{
    (void)state;
    put("secret", "hush", 4, 0600);
    struct conf *c =
        good_file("redis: { url = \"redis://me:hush@h:7/3\"; password_file = \"secret\"; };" Q);
    char *text = print_conf(c);
    assert_null(strstr(text, "hush"));
    assert_non_null(strstr(text, "url = \"redis://me@h:7/3\"; # its password is not shown\n"));
    assert_non_null(strstr(text, "password_file = \"secret\";\n"));
    struct conf *again = good_file(text);
    assert_string_equal(again->redis.url, "redis://me@h:7/3");
    (void)conf_free(again);
    (void)conf_free(c);
    free(text);
}

/* Files of the repository, read before the tests leave its folder. */
static char *sample_file, *manual_file;

static void the_sample_in_the_repository_is_the_one_that_is_printed(void **state)
{
    (void)state;
    char *text = printed(conf_print_sample);
    assert_string_equal(text, sample_file);
    free(text);
}

static void the_manual_holds_the_settings_that_are_printed(void **state)
{
    (void)state;
    static const char begin[] = ".\\\" begin of the settings\n",
                      end[] = ".\\\" end of the settings\n";
    char *text = printed(conf_print_manual);
    char *first = strstr(manual_file, begin), *last = strstr(manual_file, end);
    assert_true(first && last && first < last);
    *last = '\0';
    assert_string_equal(text, first + strlen(begin));
    free(text);
}

/* Takes away each # that no blank follows: those in front of settings, but not of one that the
 * sample's handler type has not. */
static void uncomment(char *text)
{
    bool of_another = false;
    for (char *line = text, *end; *line; line = end) {
        end = line + strcspn(line, "\n");
        end += *end == '\n';
        char *mark = line + strspn(line, " ");
        bool setting = *mark == '#' && mark[1] != ' ';
        if (setting && !of_another)
            *mark = ' ';
        of_another = (of_another && !setting) || !strncmp(mark, "# A setting of ", 15);
    }
}

static void the_sample_without_its_marks_is_valid_and_changes_nothing(void **state)
{
    (void)state;
    char *text = printed(conf_print_sample);
    struct conf *c = NULL;
    put("f", text, strlen(text), 0644);
    assert_int_equal(load_file("f", &c), -EINVAL);
    assert_memory_equal(said, "f:1: queues: is missing", 23);
    uncomment(text);
    c = good_file(text);
    struct conf *plain =
        good_file("queues: ( { name = \"queue\"; handler: { type = \"sleep\"; }; } );");
    char *a = print_conf(c), *b = print_conf(plain);
    assert_string_equal(a, b);
    assert_null(c->not_in_effect[0]);
    free(a);
    free(b);
    free(text);
    (void)conf_free(c);
    (void)conf_free(plain);
}

static void the_help_names_every_setting(void **state)
{
    (void)state;
    char *text = printed(conf_print_help);
    static const char *const names[] = {
        "\nredis.password_file\n", "\nworkers\n", "\nqueues[].backoff.jitter\n",
        "\nadmin.token_file\n", "Default: 15.0; allowed: a number of seconds from 1 to 3600."};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_non_null(strstr(text, names[i]));
    free(text);
}

static char *read_repository(const char *path)
{
    struct err e;
    char *text;
    size_t len;
    if (conf_read(path, CONF_FILE_MAX, &text, &len, NULL, &e) == 0)
        return text;
    (void)fprintf(stderr, "%s %s: start this from the top of the repository\n", path, e.text);
    exit(1);
}

int main(void)
{
    sample_file = read_repository("conf/rpopd.conf");
    manual_file = read_repository("conf/rpopd.conf.5");
#define TEST(f) cmocka_unit_test_setup_teardown(f, enter, leave)
    const struct CMUnitTest tests[] = {
        TEST(what_is_no_file_is_refused),
        TEST(a_file_that_may_not_be_read_is_refused),
        TEST(a_file_holds_one_mebibyte_at_most),
        TEST(a_link_to_a_file_is_followed),
        TEST(the_instance_is_set_or_named_by_the_environment_or_the_host),
        TEST(the_runtime_directory_is_set_or_found),
        TEST(no_workers_means_one_for_each_cpu),
        TEST(a_queue_runs_no_more_than_its_pool_has),
        TEST(a_password_is_read_from_its_file),
        TEST(a_password_file_is_kept_from_others_and_is_text),
        TEST(the_credential_is_used_where_no_file_is_named),
        TEST(what_is_printed_is_read_as_the_same),
        TEST(no_secret_is_printed),
        TEST(the_sample_in_the_repository_is_the_one_that_is_printed),
        TEST(the_manual_holds_the_settings_that_are_printed),
        TEST(the_sample_without_its_marks_is_valid_and_changes_nothing),
        TEST(the_help_names_every_setting),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(sample_file);
    free(manual_file);
    return failed;
}
