/* conf_text.h - loads a configuration from memory and keeps what was said. For
 * tests/unit/test_conf*.c. */
#ifndef TESTS_UNIT_CONF_TEXT_H
#define TESTS_UNIT_CONF_TEXT_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/conf.h"

/* What conf_load_text said; the text of the mistakes lies in `said`. */
static char said[16384];

static inline int load_bytes(const char *text, size_t len, struct conf **ret)
{
    FILE *errors = fmemopen(said, sizeof said, "w");
    assert_non_null(errors);
    int r = conf_load_text("f", text, len, errors, ret);
    (void)fputc('\0', errors);
    (void)fclose(errors);
    return r;
}

static inline int load(const char *text, struct conf **ret)
{
    return load_bytes(text, strlen(text), ret);
}

static inline struct conf *good(const char *text)
{
    struct conf *c = NULL;
    if (load(text, &c) != 0)
        fail_msg("refused: %s\n%s", text, said);
    return c;
}

#define Q "queues: ( { name = \"queue\"; handler: { type = \"null\"; }; } );"

#endif
