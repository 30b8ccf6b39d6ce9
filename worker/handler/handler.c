#include "worker/handler/handler.h"

#include <string.h>

static const struct handler *const handlers[] = {&handler_sleep, &handler_null, &handler_exec,
                                                 &handler_http,  &handler_pool, &handler_plugin};

const struct handler *handler_find(const char *type)
{
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++)
        if (strcmp(handlers[i]->type, type) == 0)
            return handlers[i];
    return NULL;
}
