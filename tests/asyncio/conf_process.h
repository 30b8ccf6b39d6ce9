/* conf_process.h - what the scenarios run in other processes. */
#ifndef TESTS_ASYNCIO_CONF_PROCESS_H
#define TESTS_ASYNCIO_CONF_PROCESS_H

#include "worker/runtime/process_pool.h"

extern const struct process_function process_functions[];

#endif
