/* plugin.c - a shared object does the job: as a coroutine on the loop, or, with `blocking`, as a
 * plain function on a thread beside it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/text.h"
#include "worker/handler/handler.h"
#include "worker/handler/plugin.h"

#define THREADS_MAX 32 /* of a coroutine plugin: rpopd_to_thread */

static int plugin_check(const struct conf_queue *queue, struct err *e)
{
    struct rpopd_plugin plugin;
    return plugin_load(queue, &plugin, e);
}

static struct plugin_hook *hook_new(const struct conf_queue *queue)
{
    struct plugin_hook *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    atomic_init(&h->refs, 1);
    h->conf = *queue;
    h->conf.name = strdup(queue->name);
    h->settings.pairs = queue->handler.settings;
    /* A job that blocks never waits for a thread; the slots and LEFT_MAX (plugin_run.c) bound them.
     */
    h->threads = executor_new(queue->handler.blocking ? EXECUTOR_AS_NEEDED : THREADS_MAX);
    if (h->conf.name && h->threads)
        return h;
    plugin_hook_unref(h);
    return NULL;
}

/* The sentence of an init that has failed. */
static int refused(const struct plugin_hook *h, int code, struct err *said, struct err *e)
{
    char name[80], queue[80];
    said->text[sizeof said->text - 1] = '\0';
    return err_set(e, code, "queue %s: init of plugin %s: %s",
                   text_quote(h->conf.name, strlen(h->conf.name), '\'', queue, sizeof queue),
                   text_quote(h->plugin.name, strlen(h->plugin.name), '\'', name, sizeof name),
                   said->code ? said->text : error_sentence(code));
}

static int plugin_init(const struct conf_queue *queue, void **ret_state, struct err *e)
{
    struct err said = {0};
    struct plugin_hook *h = hook_new(queue);
    if (!h)
        return err_set(e, -ENOMEM, "no memory for the plugin of queue '%s'", queue->name);
    plugin_leave_at_exit();
    int r = plugin_load(queue, &h->plugin, e);
    if (r == 0 && h->plugin.init) {
        r = h->plugin.init(&h->settings, &h->state, plugin_error(&said));
        if (r < 0)
            (void)refused(h, r, &said, e);
    }
    if (r < 0)
        plugin_hook_unref(h);
    else
        *ret_state = h;
    return r < 0 ? r : 0;
}

static void plugin_exit(void *state)
{
    struct plugin_hook *h = state;
    unsigned calls = atomic_load(&h->calls);
    char queue[LOG_QUOTE_MAX];
    if (calls)
        log_warn("plugin-left-behind",
                 "queue=%s calls=%u what='functions still run in threads: "
                 "they end with the process, exit is not called'",
                 log_quote(h->conf.name, strlen(h->conf.name), queue), calls);
    else if (h->plugin.exit)
        h->plugin.exit(h->state);
    plugin_hook_unref(h);
}

const struct handler handler_plugin = {.type = "plugin",
                                       .check = plugin_check,
                                       .init = plugin_init,
                                       .run = plugin_run,
                                       .exit = plugin_exit};
