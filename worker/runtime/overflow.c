#include "worker/runtime/overflow.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/fatal.h"
#include "worker/runtime/coro_ctx.h"

#define SIGNAL_STACK_BYTES ((size_t)64 << 10) /* room for the largest register files (AMX) */

static pthread_once_t installed = PTHREAD_ONCE_INIT;
static struct sigaction previous; /* written once, under `installed` */
static pthread_key_t stack_key;   /* its destructor takes the alternate stack back */

/* Only what is safe in a signal handler: the stack has overflowed, anything else may be broken too.
 */
static void say(const struct coro_ctx *c)
{
    struct fatal_line l = {.len = 0};
    fatal_add(&l, "fatal: task '");
    if (c->name) {
        fatal_add(&l, c->name);
    } else {
        fatal_add(&l, "Task-");
        fatal_add_number(&l, c->id);
    }
    fatal_add(&l, "' overflowed its stack of ");
    fatal_add_number(&l, c->stack->size);
    fatal_add(&l, " bytes\n");
    (void)!write(STDERR_FILENO, l.text, l.len);
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    const struct coro_ctx *c = coro_thread.running;
    if (c && c->stack && (stack_guards(c->stack, info->si_addr) || stack_damaged(c->stack))) {
        say(c);
        fatal_default(number); /* returning faults again, and that is the end */
    } else {
        fatal_pass_on(&previous, number, info, context);
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
    fatal_default(SIGSEGV);
    (void)raise(SIGSEGV);
    abort();
}
