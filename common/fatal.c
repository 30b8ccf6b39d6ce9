#include "common/fatal.h"

void fatal_add(struct fatal_line *l, const char *text)
{
    while (*text && l->len < sizeof l->text)
        l->text[l->len++] = *text++;
}

void fatal_add_number(struct fatal_line *l, uint64_t n)
{
    char digits[21];
    size_t at = sizeof digits - 1;
    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    fatal_add(l, digits + at);
}

void fatal_default(int number)
{
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    (void)sigaction(number, &dfl, NULL);
}

void fatal_pass_on(const struct sigaction *before, int number, siginfo_t *info, void *context)
{
    if (before->sa_flags & SA_SIGINFO)
        before->sa_sigaction(number, info, context);
    else if (before->sa_handler == SIG_DFL || before->sa_handler == SIG_IGN)
        fatal_default(number);
    else
        before->sa_handler(number);
}
