/* conf_setting.h - what libconfig has read, on its way to the field of a row.
 * Runs on: any thread. Never awaits. Internal to common/conf*.c. */
#ifndef COMMON_CONF_SETTING_H
#define COMMON_CONF_SETTING_H

#include <libconfig.h>

#include "common/conf_table.h"

/* Without memory libconfig leaves names and texts out. At most CONF_DEPTH_MAX deep. */
bool conf_setting_is_whole(const config_setting_t *s);

/* As conf_value_put. */
int conf_setting_put(const config_setting_t *s, const struct conf_row *row, void *base,
                     struct err *e);

#endif
