/* Any bytes as a configuration: the scan, libconfig behind it, the table; and what is printed reads
 * as the same. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static char *print(const struct conf *c)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        abort();
    conf_print(c, out);
    (void)fclose(out);
    return text;
}

static void check_print(const struct conf *c, FILE *errors)
{
    struct conf *again = NULL;
    char *first = print(c);
    if (conf_load_text("printed", first, strlen(first), errors, &again) != 0)
        abort();
    char *second = print(again);
    if (strcmp(first, second) != 0)
        abort();
    free(first);
    free(second);
    (void)conf_free(again);
}

/* Some line is "f:7: syntax: libconfig says". */
static bool libconfig_refused(const char *said)
{
    for (const char *line = said; line; line = strchr(line, '\n')) {
        int end = 0;
        line += *line == '\n';
        (void)sscanf(line, "f:%*u: syntax: libconfig says%n", &end);
        if (end)
            return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static char said[65536];
    struct conf *c = NULL;
    memset(said, 0, sizeof said);
    FILE *errors = fmemopen(said, sizeof said, "w");
    if (!errors)
        abort();
    /* A block of exactly that size, so that a byte read beyond it is seen. */
    char *text = malloc(len ? len : 1);
    if (!text)
        abort();
    memcpy(text, bytes, len);
    int r = conf_load_text("f", text, len, errors, &c);
    (void)fflush(errors);
    free(text);
    if ((r == 0) != (c != NULL) || (r != 0) != (said[0] != '\0'))
        abort(); /* a refusal has a reason */
    if (libconfig_refused(said))
        abort(); /* the scan let something through */
    if (c)
        check_print(c, errors);
    (void)conf_free(c);
    (void)fclose(errors);
    return 0;
}
