#include "tests/e2e/plugin.h"

#include <libgen.h>
#include <limits.h>

const char *plugin_path(const char *name)
{
    static char path[PATH_MAX + 64];
    char self[PATH_MAX] = "";
    assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    (void)snprintf(path, sizeof path, "%s/plugin/%s.so", dirname(self), name);
    return path;
}

char *plugin_queue(const char *path, const char *handler, const char *top, const char *queue)
{
    char *text = NULL;
    if (asprintf(&text,
                 "%s queues = ({ name = \"queue\"; handler: { type = \"plugin\"; path = \"%s\"; %s "
                 "}; %s });\n",
                 top, path, handler, queue) < 0)
        fail_msg("no memory");
    return text;
}

void plugin_start(struct scene *s, const char *name, const char *handler, const char *top,
                  const char *queue)
{
    char *text = plugin_queue(plugin_path(name), handler, top, queue);
    scene_start(s, text);
    free(text);
}

void plugin_push_deaf(struct scene *s, const char *how)
{
    char payload[128];
    (void)snprintf(payload, sizeof payload, "%s %s/go", how, s->folder);
    push(s, "queue", payload);
}

void plugin_let_go(const struct scene *s)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/go", s->folder);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    (void)fclose(f);
}

const char *plugin_dead_letter(struct scene *s)
{
    return ask_text(s, "EVAL %s 1 rpopd:{queue}:dead",
                    "return redis.call('ZRANGE', KEYS[1], 0, 0)[1] or ''");
}
