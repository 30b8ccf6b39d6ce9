/* Fuzzes Retry-After and dates: what is read is within its bounds, and a date that is read is the
 * one that the system writes for that time. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "worker/handler/http_date.h"

#define NOW 1700000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Written in the first form it reads as the same; the name of the day may be another. */
static void check_again(int64_t s)
{
    char text[64];
    struct tm tm;
    int64_t again;
    time_t t = (time_t)s;
    assert(gmtime_r(&t, &tm) != NULL);
    if (tm.tm_year + 1900 > 9999)
        return; /* the last second of the last day was a leap second */
    assert(strftime(text, sizeof text, "%a, %d %b ", &tm) > 0);
    size_t n = strlen(text);
    (void)strftime(text + n, sizeof text - n, "%Y %H:%M:%S GMT", &tm);
    if (tm.tm_year + 1900 >= 1000) /* %Y writes no zeros in front */
        assert(http_date_parse(text, NOW, &again) == 0 && again == s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    int64_t s;
    assert(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    if (http_retry_after(text, NOW, &s) == 0)
        assert(s >= 0 && s <= HTTP_DELAY_MAX_S);
    if (http_date_parse(text, NOW, &s) == 0) {
        assert(s >= -62135596800 && s <= 253402300800);
        check_again(s);
    }
    free(text);
    return 0;
}
