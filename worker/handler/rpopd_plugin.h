/* rpopd_plugin.h - what a plugin of rpopd is built against: a shared object with a function that
 * does a job. rpopd_plugin(3) explains it at length. Stands alone: C11 or C++11 and the C library.
 *
 *     #include <rpopd_plugin.h>
 *
 *     static int run(struct rpopd_job *job, void *state, struct rpopd_error *e)
 *     {
 *         (void)state;
 *         int r = rpopd_sleep(1000, e);       // awaits: other jobs run meanwhile
 *         if (r < 0)
 *             return r;                       // cancelled: pass it on
 *         return rpopd_job_result(job, "slept", 5);
 *     }
 *
 *     RPOPD_PLUGIN("example", NULL, run, NULL);
 *
 * built by `cc -shared -fPIC -o example.so example.c` and named in a queue's handler:
 * `handler: { type = "plugin"; path = "/usr/lib/rpopd/example.so"; };`
 *
 * The functions are symbols of the daemon's binary: a plugin is not linked against anything, and
 * one that needs a function which the daemon does not have is refused when the daemon starts, by
 * that function's name. RPOPD_ABI grows only where a plugin that was built before would break; new
 * functions, and new fields at the end of struct rpopd_plugin, come without that.
 *
 * Runs on. `run` of a coroutine plugin, its tasks, init and exit: a worker's loop thread; it never
 * moves to another. `run` of a plugin with `blocking = true`, and what rpopd_to_thread and
 * rpopd_in_thread are given: a thread of its own. There only the functions marked *any thread* may
 * be called. A function *awaits* where that is said: only from `run` of a coroutine plugin or one
 * of its tasks (RPOPD_NO_TASK elsewhere), and other jobs of the worker run meanwhile.
 *
 * Errors: 0, or a negative errno or enum rpopd_code, with a sentence in *e (NULL is fine). A
 * function that gives a pointer gives NULL, with *e where it has one, else with errno set. What is
 * a mistake in the plugin (NULL where a pointer must be given, a call on the wrong thread) ends the
 * process with a sentence.
 *
 * Cancelling: at the job's time limit, when an operator cancels it and at the end of the daemon the
 * await in which the task stands returns -ECANCELED, once. Clean up, which may await, and pass it
 * on within 3 seconds: the job is settled then without its function. What was got before (a task, a
 * lock, a stream) is still the plugin's to give back.
 *
 * Units: bytes; milliseconds; a deadline is a time of rpopd_now_ms(), negative: none; a timeout
 * that is negative: none. Ownership: *gives* and *takes* as the words say; the rest is borrowed.
 *
 * Stacks: a task has rpopd_stack_bytes(), 64 KiB, with a guard behind it; running over it ends the
 * process with the task's name. printf takes 5 KiB, getaddrinfo 12: rpopd_callout runs such a
 * function on the thread's own stack. */
#ifndef RPOPD_PLUGIN_H
#define RPOPD_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define RPOPD_API __attribute__((visibility("default")))
#define RPOPD_FORMAT(at, first) __attribute__((format(printf, at, first)))
#else
#define RPOPD_API
#define RPOPD_FORMAT(at, first)
#endif

#define RPOPD_ABI 1

struct rpopd_job;      /* the job that `run` was called for; valid until it returns */
struct rpopd_settings; /* what stands under `settings` in the queue's handler */
struct rpopd_future;   /* a task, a call in a thread, or many of them together: a result to await */

struct rpopd_error {
    int code;       /* negative; 0: none */
    char text[240]; /* one sentence, NUL-terminated, cut when longer */
};

enum rpopd_code { /* besides errno values; what rpopd says with another code has a sentence too */
                  RPOPD_INVALID_STATE = -5001, /* not done yet, or done already */
                  RPOPD_MISUSE = -5002,        /* the sentence says what */
                  RPOPD_TYPE = -5003,          /* NULL among the futures */
                  RPOPD_QUEUE_EMPTY = -5005,
                  RPOPD_QUEUE_FULL = -5006,
                  RPOPD_NO_LOOP = -5025,
                  RPOPD_NOT_LOCKED = -5028,
                  RPOPD_OTHER_LOOP = -5030, /* of another worker */
                  RPOPD_NO_TASK = -5032     /* an await outside of a task */
};

/* ---- the plugin ---- */

/* What `run` returns. A negative code is a failed try too, with the sentence in *e as its reason;
 * but -ECANCELED in a job that was cancelled says just that, and -ENOMEM, -EMFILE and -ENFILE are
 * RPOPD_AGAIN. */
enum rpopd_outcome {
    RPOPD_DONE = 0,
    RPOPD_RETRY = 1, /* this try has failed */
    RPOPD_DEAD = 2,  /* it can never be done */
    RPOPD_AGAIN = 3  /* no memory, descriptor or process for it: no try was made, the job is given
                        back, and the daemon claims nothing for a second */
};

struct rpopd_plugin {
    uint32_t abi;     /* RPOPD_ABI */
    uint32_t size;    /* of this struct */
    const char *name; /* for the log */
    /* Once a worker and queue, one after the other, before its first job, which it may not wait
     * for; never awaits. *state is handed to run and exit. Settings are borrowed until exit. A
     * negative code: the daemon does not start and exits, with 78 for -EINVAL (the settings are
     * wrong), with 70 otherwise, and says the sentence. NULL: no state. */
    int (*init)(const struct rpopd_settings *settings, void **state, struct rpopd_error *e);
    /* Does one job. An enum rpopd_outcome or a negative code. */
    int (*run)(struct rpopd_job *job, void *state, struct rpopd_error *e);
    /* After the last job of the worker; never awaits. Not called where a function still runs in a
     * thread that nobody waits for: the process ends then. NULL: nothing to do. */
    void (*exit)(void *state);
};

/* Defines the struct under the symbol that is looked for where the setting `symbol` is not set. */
#define RPOPD_PLUGIN(name_, init_, run_, exit_) \
    const struct rpopd_plugin rpopd_plugin = {  \
        RPOPD_ABI, sizeof(struct rpopd_plugin), name_, init_, run_, exit_}
extern RPOPD_API const struct rpopd_plugin rpopd_plugin;

/* The text of a setting (a number or boolean as it was written); NULL: it is not there. Any thread.
 */
RPOPD_API const char *rpopd_setting(const struct rpopd_settings *s, const char *name);
/* "name=value", from 0; NULL: there are no more. Any thread. */
RPOPD_API const char *rpopd_setting_at(const struct rpopd_settings *s, size_t number);

/* Fills *e (NULL is fine) and returns the code. Any thread. */
RPOPD_API int rpopd_error(struct rpopd_error *e, int code, const char *format, ...)
    RPOPD_FORMAT(3, 4);

enum rpopd_level { RPOPD_DEBUG, RPOPD_INFO, RPOPD_WARNING, RPOPD_ERROR };
/* One line in the daemon's log, with the job's queue and id (NULL: of no job). Any thread. */
RPOPD_API void rpopd_log(const struct rpopd_job *job, enum rpopd_level level, const char *format,
                         ...) RPOPD_FORMAT(3, 4);

/* ---- the job: any thread, one at a time, while `run` has not returned ---- */

/* Its payload, with a NUL behind it; *len (NULL is fine) counts without that. */
RPOPD_API const char *rpopd_job_payload(const struct rpopd_job *job, size_t *len);
RPOPD_API const char *rpopd_job_id(const struct rpopd_job *job); /* the same at every try */
RPOPD_API const char *rpopd_job_queue(const struct rpopd_job *job);
RPOPD_API unsigned rpopd_job_attempt(const struct rpopd_job *job);  /* from 1 */
RPOPD_API unsigned rpopd_job_attempts(const struct rpopd_job *job); /* tries in all */
/* When its time is over, in ms since 1970; 0: it has no limit. */
RPOPD_API int64_t rpopd_job_deadline_ms(const struct rpopd_job *job);
/* Somebody asked for its end: for what does not await, which nothing interrupts. */
RPOPD_API bool rpopd_job_cancelled(const struct rpopd_job *job);

/* For `return rpopd_job_retry(...)`: the sentence becomes the reason. The next try is due in
 * delay_ms; negative: as the queue's backoff says. */
RPOPD_API int rpopd_job_retry(struct rpopd_job *job, int64_t delay_ms, const char *format, ...)
    RPOPD_FORMAT(3, 4);
RPOPD_API int rpopd_job_dead(struct rpopd_job *job, const char *format, ...) RPOPD_FORMAT(2, 3);
/* Copies what it returned, where the queue's settings say that somebody gets it. 0 or -ENOMEM. */
RPOPD_API int rpopd_job_result(struct rpopd_job *job, const void *bytes, size_t len);
/* Copies the last output_limit bytes of its output, for the dead letter. 0 or -ENOMEM. */
RPOPD_API int rpopd_job_output(struct rpopd_job *job, const void *bytes, size_t len);
/* Likewise: with what the process it ran has ended, what the HTTP server said. */
RPOPD_API void rpopd_job_exit_code(struct rpopd_job *job, int code);
RPOPD_API void rpopd_job_signal(struct rpopd_job *job, int signal);
RPOPD_API void rpopd_job_status(struct rpopd_job *job, int status);

/* ---- time ---- */

RPOPD_API int64_t rpopd_now_ms(void); /* of a clock that nobody sets. Any thread */
/* Awaits. 0 or less: one turn for every other task that is ready. 0, -ECANCELED, -ENOMEM. */
RPOPD_API int rpopd_sleep(int64_t ms, struct rpopd_error *e);
RPOPD_API int rpopd_sleep_until(int64_t deadline_ms, struct rpopd_error *e);

/* ---- tasks and what else has a result ---- */

/* A coroutine, or a function for a thread: 0 and *result, or a negative code and *e. */
typedef int (*rpopd_function)(void *arg, void **result, struct rpopd_error *e);

/* Gives: fn(arg) as a task beside this one. It is of the job: what still runs when `run` has
 * returned is cancelled and awaited before the job counts as ended; arg must live that long, so on
 * the stack of `run` only where that has called rpopd_tasks_end. */
RPOPD_API struct rpopd_future *rpopd_task(struct rpopd_job *job, rpopd_function fn, void *arg);
/* Awaits: cancels the tasks of the job that still run, until all have ended. By `run` itself:
 * RPOPD_MISUSE else. */
RPOPD_API int rpopd_tasks_end(struct rpopd_job *job, struct rpopd_error *e);
/* Gives: to be completed by rpopd_future_set, once. */
RPOPD_API struct rpopd_future *rpopd_future_new(void);
RPOPD_API int rpopd_future_set(struct rpopd_future *f, int code, void *result);
RPOPD_API struct rpopd_future *rpopd_future_ref(struct rpopd_future *f); /* shares */
RPOPD_API void rpopd_future_unref(struct rpopd_future *f);               /* NULL is fine */
RPOPD_API bool rpopd_future_done(const struct rpopd_future *f);
/* Asks it to end: true unless it is done. What many are part of is cancelled with them. */
RPOPD_API bool rpopd_future_cancel(struct rpopd_future *f);
/* Its result, or the code it failed with and *e; RPOPD_INVALID_STATE while it is not done. */
RPOPD_API int rpopd_future_result(struct rpopd_future *f, void **result, struct rpopd_error *e);

/* Awaits its result. Where this task is cancelled, so is f. */
RPOPD_API int rpopd_await(struct rpopd_future *f, void **result, struct rpopd_error *e);
/* The same, at most so long: then f is cancelled, and awaited: -ETIMEDOUT. */
RPOPD_API int rpopd_wait_for(struct rpopd_future *f, int64_t timeout_ms, void **result,
                             struct rpopd_error *e);
enum rpopd_when { RPOPD_ALL_COMPLETED, RPOPD_FIRST_COMPLETED, RPOPD_FIRST_ERROR };
/* Awaits as many as `when` says, or the timeout, which is no error; cancels none. The array is put
 * in order: first those that are done, *done of them, then the others. */
RPOPD_API int rpopd_wait(struct rpopd_future **fs, size_t count, int64_t timeout_ms,
                         enum rpopd_when when, size_t *done, struct rpopd_error *e);
/* Gives one that is done as f is, and whose cancelling, or that of who awaits it, f does not feel.
 */
RPOPD_API struct rpopd_future *rpopd_shield(struct rpopd_future *f);

struct rpopd_gathered {
    int code; /* 0 and value; or what it failed with, -ECANCELED among it, and error */
    void *value;
    const struct rpopd_failure *error; /* NULL: no text */
};
RPOPD_API const char *rpopd_failure_text(const struct rpopd_failure *x); /* NULL is fine: "" */
struct rpopd_call {
    rpopd_function fn;
    void *arg;
};
/* Gives one whose result is a `const struct rpopd_gathered *`, one for each argument, in their
 * order, borrowed until its last reference goes. It fails with the first that fails; with
 * return_errors it waits for all, and their errors are results. */
RPOPD_API struct rpopd_future *rpopd_gather(struct rpopd_future *const *fs, size_t count,
                                            bool return_errors);
/* The same for new tasks of the job. */
RPOPD_API struct rpopd_future *rpopd_gather_calls(struct rpopd_job *job,
                                                  const struct rpopd_call *calls, size_t count,
                                                  bool return_errors);

/* A time limit for a block of code in this task:
 *     struct rpopd_timeout *t = rpopd_timeout_enter(2000, e);
 *     r = t ? rpopd_timeout_exit(t, fetch(page, e), e) : e->code;
 * At the limit an await in it returns -ECANCELED, of which _exit (takes) makes -ETIMEDOUT. */
struct rpopd_timeout;
RPOPD_API struct rpopd_timeout *rpopd_timeout_enter(int64_t timeout_ms, struct rpopd_error *e);
RPOPD_API int rpopd_timeout_exit(struct rpopd_timeout *t, int code, struct rpopd_error *e);

/* ---- functions that block, on threads beside the loop ---- */

/* Awaits fn(arg). -ECANCELED: it cannot be interrupted, so it goes on, and uses arg: what it is
 * given must live that long. Up to 32 run at once for a worker's queue, the others wait. */
RPOPD_API int rpopd_to_thread(struct rpopd_job *job, rpopd_function fn, void *arg, void **result,
                              struct rpopd_error *e);
/* Gives the future of the same, to be gathered, shielded or awaited. */
RPOPD_API struct rpopd_future *rpopd_in_thread(struct rpopd_job *job, rpopd_function fn, void *arg,
                                               struct rpopd_error *e);
/* Runs fn(arg) now, on this thread's own stack, which has room; fn must not await. Any thread. */
RPOPD_API void rpopd_callout(void (*fn)(void *arg), void *arg);
RPOPD_API size_t rpopd_stack_bytes(void); /* any thread */

/* ---- descriptors, non-blocking ones; -ETIMEDOUT, -ECANCELED, -EBADF; await unless said ---- */

RPOPD_API int rpopd_wait_readable(int fd, int64_t deadline_ms, struct rpopd_error *e);
RPOPD_API int rpopd_wait_writable(int fd, int64_t deadline_ms, struct rpopd_error *e);
RPOPD_API ssize_t rpopd_read(int fd, void *to, size_t room, int64_t deadline_ms,
                             struct rpopd_error *e); /* 0: end of file */
RPOPD_API ssize_t rpopd_write(int fd, const void *data, size_t len, int64_t deadline_ms,
                              struct rpopd_error *e); /* some of it */
RPOPD_API int rpopd_connect(int fd, const struct sockaddr *address, socklen_t len,
                            int64_t deadline_ms, struct rpopd_error *e);
RPOPD_API void rpopd_close(int fd); /* takes; who awaits it gets -EBADF; never awaits */

/* Reading in pieces, writing as a whole. `limit`: the most that is buffered, 0: 64 KiB. */
struct rpopd_stream;
RPOPD_API struct rpopd_stream *rpopd_stream_new(int fd, size_t limit); /* gives; takes fd */
RPOPD_API void rpopd_stream_free(struct rpopd_stream *s);              /* takes, closes; NULL */
RPOPD_API ssize_t rpopd_stream_read(struct rpopd_stream *s, void *to, size_t room,
                                    int64_t deadline_ms, struct rpopd_error *e);
/* All of it or nothing. -ENODATA: the end came before. -EMSGSIZE: more than the limit. */
RPOPD_API int rpopd_stream_read_exactly(struct rpopd_stream *s, void *to, size_t len,
                                        int64_t deadline_ms, struct rpopd_error *e);
/* Up to and with the text `end`; borrowed until the next call. Errors likewise. */
RPOPD_API int rpopd_stream_read_until(struct rpopd_stream *s, const char *end, const char **data,
                                      size_t *len, int64_t deadline_ms, struct rpopd_error *e);
RPOPD_API int rpopd_stream_write(struct rpopd_stream *s, const void *data, size_t len,
                                 int64_t deadline_ms, struct rpopd_error *e);

/* ---- child processes: never fork(2), the daemon has threads ---- */

struct rpopd_process;
#define RPOPD_STDIN 1u /* a pipe instead of the daemon's own descriptor */
#define RPOPD_STDOUT 2u
#define RPOPD_STDERR 4u
/* Gives; argv[0] is looked for in PATH; envp NULL: the daemon's. Never awaits. */
RPOPD_API struct rpopd_process *rpopd_process_spawn(const char *const argv[],
                                                    const char *const envp[], unsigned pipes,
                                                    struct rpopd_error *e);
RPOPD_API void rpopd_process_free(struct rpopd_process *p); /* takes; kills what still runs; NULL */
RPOPD_API pid_t rpopd_process_pid(const struct rpopd_process *p);
/* Gives this end of its descriptor 0, 1 or 2, non-blocking; -1: no pipe, or taken already. */
RPOPD_API int rpopd_process_take_pipe(struct rpopd_process *p, int number);
RPOPD_API int rpopd_process_signal(struct rpopd_process *p, int signal); /* 0, -ESRCH */
/* Awaits its end: *status is its exit code, or -(the signal). -ETIMEDOUT, -ECANCELED: killed. */
RPOPD_API int rpopd_process_wait(struct rpopd_process *p, int64_t deadline_ms, int *status,
                                 struct rpopd_error *e);

/* ---- between tasks of one worker: fair; _free takes, NULL is fine, and nobody may wait ---- */

struct rpopd_lock;
RPOPD_API struct rpopd_lock *rpopd_lock_new(void);
RPOPD_API void rpopd_lock_free(struct rpopd_lock *l);
RPOPD_API int rpopd_lock_acquire(struct rpopd_lock *l, struct rpopd_error *e); /* awaits */
RPOPD_API int rpopd_lock_release(struct rpopd_lock *l, struct rpopd_error *e);

struct rpopd_event;
RPOPD_API struct rpopd_event *rpopd_event_new(void);
RPOPD_API void rpopd_event_free(struct rpopd_event *v);
RPOPD_API void rpopd_event_set(struct rpopd_event *v);
RPOPD_API void rpopd_event_clear(struct rpopd_event *v);
RPOPD_API bool rpopd_event_is_set(const struct rpopd_event *v);
RPOPD_API int rpopd_event_wait(struct rpopd_event *v, struct rpopd_error *e); /* awaits */

struct rpopd_semaphore;
RPOPD_API struct rpopd_semaphore *rpopd_semaphore_new(unsigned value);
RPOPD_API void rpopd_semaphore_free(struct rpopd_semaphore *s);
RPOPD_API int rpopd_semaphore_acquire(struct rpopd_semaphore *s,
                                      struct rpopd_error *e); /* awaits */
RPOPD_API int rpopd_semaphore_release(struct rpopd_semaphore *s, struct rpopd_error *e);

/* First in, first out; items are the plugin's. room 0: no bound. */
struct rpopd_queue;
RPOPD_API struct rpopd_queue *rpopd_queue_new(size_t room);
RPOPD_API void rpopd_queue_free(struct rpopd_queue *q);
RPOPD_API int rpopd_queue_put(struct rpopd_queue *q, void *item,
                              struct rpopd_error *e); /* awaits */
RPOPD_API int rpopd_queue_get(struct rpopd_queue *q, void **item,
                              struct rpopd_error *e); /* awaits */
RPOPD_API int rpopd_queue_put_nowait(struct rpopd_queue *q, void *item, struct rpopd_error *e);
RPOPD_API int rpopd_queue_get_nowait(struct rpopd_queue *q, void **item, struct rpopd_error *e);
RPOPD_API size_t rpopd_queue_size(const struct rpopd_queue *q);

#ifdef __cplusplus
}
#endif

#endif
