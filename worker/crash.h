/* crash.h - the crash note: which job brought the process down. Runs on: crash_job on the thread of
 * a task or of what it calls; the handler on whatever thread is hit, on its own stack. Never
 * awaits. Written at SEGV, BUS, FPE, ILL and ABRT that the thread itself caused, while a job's code
 * runs on it; whoever handled the signal before is called next. Source: signal-safety(7). */
#ifndef WORKER_CRASH_H
#define WORKER_CRASH_H

struct job;

/* The job whose code runs from here on, in this task and what it hands to executor threads. Without
 * memory for it a crash leaves no note. */
void crash_job(struct job *j);

#endif
