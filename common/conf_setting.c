#include "common/conf_setting.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/conf_value.h"

/* Every member of a group has its name and every text its bytes. At most CONF_DEPTH_MAX deep. */
bool conf_setting_is_whole(const config_setting_t *s)
{
    if (config_setting_type(s) == CONFIG_TYPE_STRING)
        return config_setting_get_string(s) != NULL;
    if (!config_setting_is_aggregate(s))
        return true;
    for (int i = 0; i < config_setting_length(s); i++) {
        const config_setting_t *child = config_setting_get_elem(s, (unsigned)i);
        if (!child || (config_setting_is_group(s) && !config_setting_name(child)) ||
            !conf_setting_is_whole(child))
            return false;
    }
    return true;
}

static struct conf_value value_of(const config_setting_t *s)
{
    switch (config_setting_type(s)) {
    case CONFIG_TYPE_BOOL:
        return (struct conf_value){.kind = CONF_A_BOOL, .boolean = config_setting_get_bool(s)};
    case CONFIG_TYPE_INT:
        return (struct conf_value){.kind = CONF_AN_INTEGER, .integer = config_setting_get_int(s)};
    case CONFIG_TYPE_INT64:
        return (struct conf_value){.kind = CONF_AN_INTEGER, .integer = config_setting_get_int64(s)};
    case CONFIG_TYPE_FLOAT:
        return (struct conf_value){.kind = CONF_A_FLOAT, .number = config_setting_get_float(s)};
    case CONFIG_TYPE_STRING:
        return (struct conf_value){.kind = CONF_A_STRING, .text = config_setting_get_string(s)};
    case CONFIG_TYPE_GROUP:
        return (struct conf_value){.kind = CONF_A_GROUP, .texts = NULL};
    case CONFIG_TYPE_ARRAY:
        return (struct conf_value){.kind = CONF_AN_ARRAY, .texts = NULL};
    default:
        return (struct conf_value){.kind = CONF_A_LIST};
    }
}

/* As name=value. 0, -ENOMEM, -EINVAL (it is no scalar). */
static int pair_of(const config_setting_t *s, char **ret)
{
    const char *name = config_setting_name(s);
    struct conf_value v = value_of(s);
    int r;
    if (v.kind == CONF_A_BOOL)
        r = asprintf(ret, "%s=%s", name, v.boolean ? "true" : "false");
    else if (v.kind == CONF_AN_INTEGER)
        r = asprintf(ret, "%s=%lld", name, (long long)v.integer);
    else if (v.kind == CONF_A_FLOAT)
        r = asprintf(ret, "%s=%.17g", name, v.number);
    else if (v.kind == CONF_A_STRING)
        r = asprintf(ret, "%s=%s", name, v.text);
    else
        return -EINVAL;
    return r < 0 ? -ENOMEM : 0;
}

static int text_of(const config_setting_t *s, char **ret)
{
    struct conf_value v = value_of(s);
    if (v.kind != CONF_A_STRING)
        return -EINVAL;
    *ret = strdup(v.text);
    return *ret ? 0 : -ENOMEM;
}

/* The texts of an array, or the pairs of a group. */
static int put_members(const config_setting_t *s, const struct conf_row *row, void *base,
                       struct err *e)
{
    struct conf_value v = value_of(s);
    size_t n = (size_t)config_setting_length(s), made = 0;
    char **texts = calloc(n + 1, sizeof *texts);
    int r = texts ? 0 : -ENOMEM;
    while (r == 0 && made < n) {
        const config_setting_t *member = config_setting_get_elem(s, (unsigned)made);
        r = v.kind == CONF_A_GROUP ? pair_of(member, &texts[made]) : text_of(member, &texts[made]);
        made += r == 0;
    }
    if (r == 0)
        v.texts = (const char *const *)texts;
    if (r != -ENOMEM)
        r = conf_value_put(row, base, v, e);
    for (size_t i = 0; i < made; i++)
        free(texts[i]);
    free(texts);
    return r;
}

int conf_setting_put(const config_setting_t *s, const struct conf_row *row, void *base,
                     struct err *e)
{
    bool many = row->type == CONF_WORDS   ? config_setting_is_array(s)
                : row->type == CONF_PAIRS ? config_setting_is_group(s)
                                          : false;
    return many ? put_members(s, row, base, e) : conf_value_put(row, base, value_of(s), e);
}
