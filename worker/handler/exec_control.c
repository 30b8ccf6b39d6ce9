#include "worker/handler/exec_control.h"

#include <errno.h>
#include <string.h>

void control_init(struct control *c)
{
    c->len = c->first_bad_len = 0;
    c->bad = 0;
    c->too_long = false;
    c->delay_ms = -1;
}

int control_parse(const char *line, size_t len, int64_t *ret_delay_ms)
{
    static const char name[] = "retry-after:";
    size_t i = sizeof name - 1;
    int64_t seconds = 0, thousandths = 0;
    if (len <= i || memcmp(line, name, i) != 0)
        return -EINVAL;
    while (i < len && (line[i] == ' ' || line[i] == '\t'))
        i++;
    size_t first = i;
    for (; i < len && line[i] >= '0' && line[i] <= '9' && seconds <= CONTROL_SECONDS_MAX; i++)
        seconds = seconds * 10 + (line[i] - '0');
    if (i == first)
        return -EINVAL;
    if (i + 1 < len && line[i] == '.')
        for (int64_t unit = 100; ++i < len && line[i] >= '0' && line[i] <= '9'; unit /= 10)
            thousandths += (line[i] - '0') * unit;
    if (i < len && line[i] == '\r')
        i++;
    if (i < len || seconds * 1000 + thousandths > (int64_t)CONTROL_SECONDS_MAX * 1000)
        return -EINVAL;
    *ret_delay_ms = seconds * 1000 + thousandths;
    return 0;
}

static void end_line(struct control *c)
{
    if ((c->too_long || control_parse(c->line, c->len, &c->delay_ms) < 0) && c->bad++ == 0) {
        memcpy(c->first_bad, c->line, c->len);
        c->first_bad_len = c->len;
    }
    c->len = 0;
    c->too_long = false;
}

void control_take(struct control *c, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] == '\n')
            end_line(c);
        else if (c->len < sizeof c->line)
            c->line[c->len++] = bytes[i];
        else
            c->too_long = true;
    }
}

void control_end(struct control *c)
{
    if (c->len > 0)
        end_line(c);
}
