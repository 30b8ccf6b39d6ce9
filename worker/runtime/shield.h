/* shield.h - awaits a future without handing on a cancellation to it.
 * Runs on: the loop's thread. Never awaits: what it gives is awaited. Errors: NULL with errno set.
 * Source: CPython 3.11 asyncio.shield. */
#ifndef RUNTIME_SHIELD_H
#define RUNTIME_SHIELD_H

#include "worker/runtime/future.h"

/* Gives a future that is done as `inner` is: finished, failed, or cancelled where inner was
 * cancelled; one iteration later. Cancelling it, or who awaits it, leaves inner alone. Where inner
 * is done already it is inner itself. Shares inner: its result is borrowed from it. ERROR_TYPE
 * (NULL), ERROR_CLOSED, -ENOMEM. */
struct future *shield(struct future *inner);

#endif
