#include "common/callout.h"

#include <stddef.h>

static _Thread_local void (*installed)(callout_fn fn, void *arg);

void callout(callout_fn fn, void *arg)
{
    if (installed)
        installed(fn, arg);
    else
        fn(arg);
}

void callout_install(void (*switcher)(callout_fn fn, void *arg))
{
    installed = switcher;
}
