#include "common/conf_token.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "common/text.h"

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool in_word(char c)
{
    return is_letter(c) || is_digit(c) || c == '_' || c == '-' || c == '*';
}

static bool at(const struct conf_lexer *x, const char *text)
{
    size_t n = strlen(text);
    return (size_t)(x->end - x->p) >= n && !memcmp(x->p, text, n);
}

static int skip_long_comment(struct conf_lexer *x)
{
    unsigned began = x->line;
    for (x->p += 2; x->p < x->end; x->p++) {
        if (at(x, "*/")) {
            x->p += 2;
            return 0;
        }
        x->line += *x->p == '\n';
    }
    x->line = began;
    return err_set(&x->err, -EINVAL, "the comment that begins here has no */");
}

/* Comments too. -EINVAL on one that does not end. */
static int skip_blanks(struct conf_lexer *x)
{
    int r = 0;
    while (x->p < x->end && r == 0) {
        if (strchr(" \t\r\f\n", *x->p)) {
            x->line += *x->p++ == '\n';
        } else if (*x->p == '#' || at(x, "//")) {
            const char *stop = memchr(x->p, '\n', (size_t)(x->end - x->p));
            x->p = stop ? stop : x->end;
        } else if (at(x, "/*")) {
            r = skip_long_comment(x);
        } else {
            return 0;
        }
    }
    return r;
}

static int skip_escape(struct conf_lexer *x)
{
    size_t left = (size_t)(x->end - x->p);
    if (left >= 2 && strchr("\"\\nrtf", x->p[1])) {
        x->p += 2;
        return 0;
    }
    if (left < 4 || x->p[1] != 'x' || !is_hex(x->p[2]) || !is_hex(x->p[3]))
        return err_set(
            &x->err, -EINVAL,
            "behind a \\ in a string stands one of \" \\ n r t f or xNN (write \\\\ for a \\)");
    if (x->p[2] == '0' && x->p[3] == '0')
        return err_set(&x->err, -EINVAL, "\\x00 is not allowed: a string holds no NUL byte");
    x->p += 4;
    return 0;
}

/* From " to ", both in the token. */
static int read_string(struct conf_lexer *x)
{
    for (x->p++; x->p < x->end && *x->p != '\n';) {
        int c = (unsigned char)*x->p;
        if (c == '"') {
            x->p++;
            return 0;
        }
        if (c == '\\') {
            int r = skip_escape(x);
            if (r < 0)
                return r;
            continue;
        }
        if (c < 0x20 && c != '\t' && c != '\r')
            return err_set(&x->err, -EINVAL,
                           "a string holds the control character 0x%02x, write \\x%02x",
                           (unsigned)c, (unsigned)c);
        x->p++;
    }
    return err_set(
        &x->err, -EINVAL,
        "the string that begins in this line has no closing \" (write \\n for a line end in it)");
}

/* Everything that could belong to a number, so that 10s is one wrong number and not 10 and s. */
static void read_number(struct conf_lexer *x)
{
    bool hexadecimal = at(x, "0x") || at(x, "0X");
    for (x->p++; x->p < x->end; x->p++) {
        bool sign = *x->p == '+' || *x->p == '-';
        bool behind_e = !hexadecimal && (x->p[-1] == 'e' || x->p[-1] == 'E');
        if (!is_letter(*x->p) && !is_digit(*x->p) && *x->p != '.' && *x->p != '_' &&
            !(sign && behind_e))
            return;
    }
}

static int read_token(struct conf_lexer *x, enum conf_token_kind *kind)
{
    if (is_letter(*x->p) || *x->p == '*') {
        while (x->p < x->end && in_word(*x->p))
            x->p++;
        *kind = CONF_WORD;
    } else if (*x->p == '"') {
        *kind = CONF_STRING;
        return read_string(x);
    } else if (is_digit(*x->p) || strchr("+-.", *x->p)) {
        *kind = CONF_NUMBER;
        read_number(x);
    } else if (*x->p == '@') {
        return err_set(&x->err, -EINVAL,
                       "@include is not supported: the whole configuration stands in one file");
    } else {
        *kind = CONF_PUNCTUATION;
        x->p += text_utf8(x->p, x->end);
    }
    return 0;
}

struct conf_token conf_token_next(struct conf_lexer *x)
{
    struct conf_token t = {.kind = CONF_END};
    int r = skip_blanks(x);
    t.line = x->line;
    t.at = x->p;
    if (r == 0 && x->p < x->end)
        r = read_token(x, &t.kind);
    if (r < 0)
        t.kind = CONF_BAD;
    t.len = (size_t)(x->p - t.at);
    return t;
}
