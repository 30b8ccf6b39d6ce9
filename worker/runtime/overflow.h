/* overflow.h - a stack overflow is a clean crash: it names the task, then dies by the default
 * action. Runs on: the threads that run coroutines. Never awaits. The SIGSEGV handler is installed
 * once for the process; a fault that is no overflow goes on to the handler that was there before.
 */
#ifndef RUNTIME_OVERFLOW_H
#define RUNTIME_OVERFLOW_H

struct coro_ctx;

void overflow_thread_init(void); /* an alternate signal stack for this thread, kept until it ends */
/* For a damaged red zone: says the sentence and ends the process by SIGSEGV. */
_Noreturn void overflow_die(const struct coro_ctx *c);

#endif
