/* wrong.c - what is wrong with a plugin, each under a symbol of its own, and, compiled with
 * UNDEFINED, one that needs a function which nobody has. */
#include <rpopd_plugin.h>

#ifdef UNDEFINED
int rpopd_of_the_next_version(void);

static int run(struct rpopd_job *job, void *state, struct rpopd_error *e)
{
    (void)job, (void)state, (void)e;
    return rpopd_of_the_next_version();
}
#else
static int run(struct rpopd_job *job, void *state, struct rpopd_error *e)
{
    (void)job, (void)state, (void)e;
    return 0;
}
#endif

#define PLUGIN(symbol, ...)                  \
    extern const struct rpopd_plugin symbol; \
    const struct rpopd_plugin symbol = {__VA_ARGS__}

PLUGIN(old_abi, 0, sizeof(struct rpopd_plugin), "old", 0, run, 0);
PLUGIN(new_abi, 99, sizeof(struct rpopd_plugin), "new", 0, run, 0);
PLUGIN(short_size, RPOPD_ABI, 16, "short", 0, run, 0);
PLUGIN(long_size, RPOPD_ABI, 4096, "long", 0, run, 0);
PLUGIN(no_run, RPOPD_ABI, sizeof(struct rpopd_plugin), "norun", 0, 0, 0);
PLUGIN(no_name, RPOPD_ABI, sizeof(struct rpopd_plugin), 0, 0, run, 0);
extern const char tiny;
const char tiny = 1;
int a_function(void);
int a_function(void)
{
    return 0;
}
