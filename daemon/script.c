#include "daemon/script.h"

#include <assert.h>
#include <string.h>

static const struct redis_script scripts[] = {
#include "gen/lua.inc"
};

const struct redis_script *script_find(const char *name)
{
    size_t at = 0;
    while (at < sizeof scripts / sizeof scripts[0] && strcmp(scripts[at].name, name) != 0)
        at++;
    assert(at < sizeof scripts / sizeof scripts[0]);
    return &scripts[at];
}

const struct redis_script *script_all(size_t *ret_n)
{
    *ret_n = sizeof scripts / sizeof scripts[0];
    return scripts;
}
