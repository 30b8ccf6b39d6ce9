/* plugin_load.c - from a path to a plugin that fits, or to a sentence that says why it does not. */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <string.h>
#include <sys/stat.h>

#include "common/text.h"
#include "worker/handler/plugin.h"

#define ALLOWED "allowed is a shared object built against rpopd_plugin.h"
#define ABI_OLDEST 1
#define SIZE_OLDEST (offsetof(struct rpopd_plugin, exit) + sizeof(void (*)(void)))

/* dlerror begins with the path, which the line names already. */
static const char *why_not(const char *path)
{
    const char *why = dlerror();
    size_t n = strlen(path);
    if (!why)
        return "no reason is given";
    return strncmp(why, path, n) == 0 && strncmp(why + n, ": ", 2) == 0 ? why + n + 2 : why;
}

/* NULL with *e. */
static void *open_object(const char *path, struct err *e)
{
    struct stat st;
    int r = stat(path, &st);
    if (r < 0)
        (void)err_set(e, -EINVAL, "handler.path: %s, " ALLOWED, strerror(errno));
    else if (!S_ISREG(st.st_mode)) /* a pipe would be waited for */
        (void)err_set(e, -EINVAL, "handler.path: is not a file, " ALLOWED);
    if (r < 0 || !S_ISREG(st.st_mode))
        return NULL;
    /* For good: what it has left on threads and in atexit must stay mapped. */
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!object)
        (void)err_set(e, -EINVAL, "handler.path: %.120s, " ALLOWED, why_not(path));
    return object;
}

/* The symbol is data, and this large at least. */
static bool is_data(const void *symbol, size_t size)
{
    Dl_info info;
    void *entry = NULL;
    if (!dladdr1(symbol, &info, &entry, RTLD_DL_SYMENT) || !entry)
        return false;
    const ElfW(Sym) *s = entry;
    return ELF64_ST_TYPE(s->st_info) == STT_OBJECT && s->st_size >= size;
}

static int fits(const struct rpopd_plugin *p, const char *shown, struct err *e)
{
    if (!is_data(p, offsetof(struct rpopd_plugin, name)))
        return err_set(e, -EINVAL, "handler.path: its %s is no struct rpopd_plugin, " ALLOWED,
                       shown);
    if (p->abi < ABI_OLDEST)
        return err_set(e, -EINVAL,
                       "handler.path: it is built for plugin ABI %u, this rpopd takes %d to %d: "
                       "build it against the rpopd_plugin.h that is installed",
                       p->abi, ABI_OLDEST, RPOPD_ABI);
    if (p->abi > RPOPD_ABI)
        return err_set(e, -EINVAL,
                       "handler.path: it is built for plugin ABI %u, this rpopd takes %d to %d: "
                       "it needs a newer rpopd",
                       p->abi, ABI_OLDEST, RPOPD_ABI);
    if (p->size < SIZE_OLDEST || !is_data(p, p->size))
        return err_set(e, -EINVAL,
                       "handler.path: the size in its %s is %u, allowed is the struct's own, at "
                       "least %zu",
                       shown, p->size, SIZE_OLDEST);
    if (!p->name || !p->run)
        return err_set(e, -EINVAL,
                       "handler.path: its %s has no %s, allowed is one with name and "
                       "run",
                       shown, p->name ? "run" : "name");
    return 0;
}

int plugin_load(const struct conf_queue *queue, struct rpopd_plugin *ret_plugin, struct err *e)
{
    const char *name = queue->handler.symbol;
    char shown[80];
    (void)text_quote(name, strlen(name), '\'', shown, sizeof shown);
    void *object = open_object(queue->handler.path, e);
    if (!object)
        return -EINVAL;
    const struct rpopd_plugin *p = dlsym(object, name);
    if (!p)
        return err_set(e, -EINVAL,
                       "handler.symbol: %s is not in the shared object, allowed is a symbol that "
                       "it exports",
                       shown);
    int r = fits(p, shown, e);
    if (r < 0)
        return r;
    *ret_plugin = (struct rpopd_plugin){0};
    memcpy(ret_plugin, p, p->size < sizeof *p ? p->size : sizeof *p);
    return 0;
}
