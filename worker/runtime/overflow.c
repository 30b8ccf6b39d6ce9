#include "worker/runtime/overflow.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "worker/runtime/coro_ctx.h"

#define SIGNAL_STACK_BYTES ((size_t)64 << 10) /* room for the largest register files (AMX) */

static pthread_once_t installed = PTHREAD_ONCE_INIT;
static struct sigaction previous; /* written once, under `installed` */
static pthread_key_t stack_key;   /* its destructor takes the alternate stack back */

struct line {
    char text[256];
    size_t len;
};

static void add(struct line *l, const char *text)
{
    while (*text && l->len < sizeof l->text - 1)
        l->text[l->len++] = *text++;
}

static void add_number(struct line *l, uint64_t n)
{
    char digits[21];
    size_t at = sizeof digits - 1;
    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    add(l, digits + at);
}

/* Only what is safe in a signal handler: the stack has overflowed, anything else may be broken too.
 */
static void say(const struct coro_ctx *c)
{
    struct line l = {.len = 0};
    add(&l, "fatal: task '");
    if (c->name) {
        add(&l, c->name);
    } else {
        add(&l, "Task-");
        add_number(&l, c->id);
    }
    add(&l, "' overflowed its stack of ");
    add_number(&l, c->stack->size);
    add(&l, " bytes\n");
    (void)!write(STDERR_FILENO, l.text, l.len);
}

static void restore_default(int number)
{
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    (void)sigaction(number, &dfl, NULL);
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    const struct coro_ctx *c = coro_thread.running;
    if (c && c->stack && (stack_guards(c->stack, info->si_addr) || stack_damaged(c->stack))) {
        say(c);
        restore_default(number); /* returning faults again, and that is the end */
    } else if (previous.sa_flags & SA_SIGINFO) {
        previous.sa_sigaction(number, info, context);
    } else if (previous.sa_handler == SIG_DFL || previous.sa_handler == SIG_IGN) {
        restore_default(number);
    } else {
        previous.sa_handler(number);
    }
}

static void take_stack_back(void *map)
{
    stack_t off = {.ss_flags = SS_DISABLE};
    (void)sigaltstack(&off, NULL);
    (void)munmap(map, SIGNAL_STACK_BYTES);
}

static void install(void)
{
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    (void)sigemptyset(&sa.sa_mask);
    (void)pthread_key_create(&stack_key, take_stack_back);
    (void)sigaction(SIGSEGV, &sa, &previous);
}

void overflow_thread_init(void)
{
    stack_t now;
    (void)pthread_once(&installed, install);
    if (sigaltstack(NULL, &now) == 0 && !(now.ss_flags & SS_DISABLE))
        return; /* somebody's (a sanitizer's) is there already */
    void *map = mmap(NULL, SIGNAL_STACK_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return; /* an overflow then dies without a name: no reason to refuse to run */
    stack_t own = {.ss_sp = map, .ss_size = SIGNAL_STACK_BYTES};
    (void)sigaltstack(&own, NULL);
    (void)pthread_setspecific(stack_key, map);
}

void overflow_die(const struct coro_ctx *c)
{
    say(c);
    restore_default(SIGSEGV);
    (void)raise(SIGSEGV);
    abort();
}
