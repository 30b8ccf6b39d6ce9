#include "common/conf_scan.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/conf_number.h"
#include "common/conf_token.h"
#include "common/text.h"

struct name {
    const char *at;
    size_t len;
    unsigned line;
};

struct level {
    char kind;     /* '{' '(' '[' */
    unsigned line; /* where it was opened */
    size_t index;  /* list, array: of the value being read */
    char element;  /* array: what its values are: 'b' 's' 'i' 'f'; else 0 */
    size_t nnames; /* group */
    struct name names[CONF_GROUP_MAX];
};

enum expect { A_NAME, AN_EQUALS, A_VALUE, A_VALUE_OR_CLOSE, A_SEPARATOR };

struct scan {
    struct conf_source *source;
    struct conf_lexer lexer;
    unsigned line;     /* of the token in hand */
    unsigned out_line; /* what was handed on ends in this line */
    enum expect expect;
    bool stopped;
    unsigned mute;     /* the level of a setting that comes twice: nothing is handed on until it has
                          ended; else 0 */
    bool after_string; /* "two" "strings" in a row are one */
    char *out;
    size_t out_len, out_size;
    unsigned depth; /* of the current level; the text itself is level 1 */
    struct level level[CONF_DEPTH_MAX + 2];
};

static struct level *current(struct scan *s)
{
    return &s->level[s->depth];
}

/* Each token keeps its line, for the mistakes that are found in what libconfig made of it. */
static void emit(struct scan *s, const char *bytes, size_t len)
{
    if (s->mute)
        return;
    assert(s->out_len + (s->line - s->out_line) + len + 2 <= s->out_size);
    for (; s->out_line < s->line; s->out_line++)
        s->out[s->out_len++] = '\n';
    memcpy(s->out + s->out_len, bytes, len);
    s->out_len += len;
    s->out[s->out_len++] = ' ';
}

/* Mistakes ------------------------------------------------------------------------------------- */

#define PATH_MAX_BYTES 200

static size_t add(char *out, size_t n, const char *bytes, size_t len)
{
    if (n + len >= PATH_MAX_BYTES)
        return n;
    memcpy(out + n, bytes, len);
    out[n + len] = '\0';
    return n + len;
}

/* "queues[2].handler.type": where the scan stands. */
static void path_of(const struct scan *s, char out[PATH_MAX_BYTES])
{
    size_t n = 0;
    out[0] = '\0';
    for (unsigned i = 1; i <= s->depth; i++) {
        const struct level *l = &s->level[i];
        if (l->kind != '{') {
            char index[32];
            int len = snprintf(index, sizeof index, "[%zu]", l->index);
            n = add(out, n, index, (size_t)len);
        } else if (l->nnames && !(i == s->depth && s->expect == A_NAME)) {
            const struct name *name = &l->names[l->nnames - 1];
            if (n)
                n = add(out, n, ".", 1);
            n = add(out, n, name->at, name->len);
        }
    }
}

#define SAY(s, line, ...)                                     \
    do {                                                      \
        char path[PATH_MAX_BYTES];                            \
        path_of((s), path);                                   \
        conf_mistake((s)->source, (line), path, __VA_ARGS__); \
    } while (0)

/* A mistake behind which nothing can be understood. */
#define STOP(s, line, ...)         \
    do {                           \
        SAY(s, line, __VA_ARGS__); \
        (s)->stopped = true;       \
    } while (0)

#define SHOWN 40
struct shown {
    char text[SHOWN];
};

static struct shown show(const char *at, size_t len)
{
    struct shown r;
    (void)text_quote(at, len, '\'', r.text, sizeof r.text);
    return r;
}

/* Grammar -------------------------------------------------------------------------------------- */

static const char *wanted(const struct scan *s)
{
    char kind = s->level[s->depth].kind;
    switch (s->expect) {
    case A_NAME:
        return s->depth == 1 ? "the name of a setting" : "the name of a setting or }";
    case AN_EQUALS:
        return "= or :";
    case A_VALUE:
        return "a value";
    case A_VALUE_OR_CLOSE:
        return kind == '(' ? "a value or )" : "a value or ]";
    default:
        return kind == '{' ? "; or the name of a setting" : kind == '(' ? ", or )" : ", or ]";
    }
}

static void unexpected(struct scan *s, struct conf_token t)
{
    STOP(s, s->line, "%s is not expected here, allowed is %s", show(t.at, t.len).text, wanted(s));
}

static void open_level(struct scan *s, struct conf_token t)
{
    if (s->depth > CONF_DEPTH_MAX) {
        STOP(s, s->line, "more than %d levels of %c", CONF_DEPTH_MAX, *t.at);
        return;
    }
    if (current(s)->kind == '[') {
        STOP(s, s->line, "[ ] holds plain values alone; a list of groups stands in ( )");
        return;
    }
    s->depth++;
    struct level *l = current(s);
    l->kind = *t.at;
    l->line = s->line;
    l->index = 0;
    l->element = '\0';
    l->nnames = 0;
    s->expect = l->kind == '{' ? A_NAME : A_VALUE_OR_CLOSE;
    emit(s, t.at, 1);
}

static void close_level(struct scan *s, struct conf_token t)
{
    char kind = current(s)->kind;
    char closes = kind == '{' ? '}' : kind == '(' ? ')' : ']';
    if (*t.at != closes || s->depth == 1) {
        unexpected(s, t);
        return;
    }
    if (s->mute == s->depth)
        s->mute = 0;
    s->depth--;
    s->expect = A_SEPARATOR;
    emit(s, t.at, 1);
}

static bool is_boolean(struct conf_token t)
{
    return (t.len == 4 && !strncasecmp(t.at, "true", 4)) ||
           (t.len == 5 && !strncasecmp(t.at, "false", 5));
}

static void on_name(struct scan *s, struct conf_token t)
{
    struct level *l = current(s);
    if (is_boolean(t)) { /* libconfig would see a value */
        unexpected(s, t);
        return;
    }
    if (s->mute == s->depth)
        s->mute = 0;
    if (l->nnames == CONF_GROUP_MAX) {
        STOP(s, s->line, "more than %d settings in one group", CONF_GROUP_MAX);
        return;
    }
    if (t.len > CONF_NAME_MAX) {
        STOP(s, s->line, "a name longer than %d bytes", CONF_NAME_MAX);
        return;
    }
    unsigned before = 0;
    for (size_t i = 0; i < l->nnames; i++)
        if (l->names[i].len == t.len && !memcmp(l->names[i].at, t.at, t.len))
            before = l->names[i].line;
    l->names[l->nnames++] = (struct name){t.at, t.len, s->line};
    s->expect = AN_EQUALS;
    if (before) {
        SAY(s, s->line, "is set twice, first in line %u; once is allowed", before);
        if (!s->mute)
            s->mute = s->depth;
    }
    emit(s, t.at, t.len);
}

static void wrong_word(struct scan *s, struct conf_token t)
{
    static const char *const booleans[] = {"yes", "no", "on",      "off",
                                           "y",   "n",  "enabled", "disabled"};
    for (size_t i = 0; i < sizeof booleans / sizeof *booleans; i++)
        if (strlen(booleans[i]) == t.len && !strncasecmp(booleans[i], t.at, t.len)) {
            SAY(s, s->line, "%s is not a value, use true or false", show(t.at, t.len).text);
            return;
        }
    SAY(s, s->line,
        "%s is not a value, allowed are numbers, true, false and text in \"double quotes\"",
        show(t.at, t.len).text);
}

/* libconfig has arrays of one type alone, for which 2147483648 is of another type than 1. */
static void check_element(struct scan *s, char element, const char *text)
{
    struct level *l = current(s);
    if (l->kind != '[')
        return;
    if (element == 'i' && strchr(text, 'L'))
        STOP(s, s->line, "%s is out of range, allowed in [ ] are whole numbers of 32 bits", text);
    else if (l->element && l->element != element)
        STOP(s, s->line,
             "is of another type than the values before it, allowed in [ ] is one type");
    l->element = element;
}

static void emit_value(struct scan *s, char element, const char *text, size_t len)
{
    emit(s, text, len);
    check_element(s, element, text);
}

/* Something harmless for a wrong value; in an array nothing is harmless beside all others. */
static void stand_in(struct scan *s)
{
    emit(s, "0", 1);
    s->stopped = s->stopped || current(s)->kind == '[';
}

static void on_word_value(struct scan *s, struct conf_token t)
{
    if (is_boolean(t)) {
        emit_value(s, 'b', t.at, t.len);
        return;
    }
    wrong_word(s, t);
    stand_in(s);
}

static void on_number(struct scan *s, struct conf_token t)
{
    char integer[CONF_INTEGER_MAX];
    struct err e;
    int r = conf_number(t.at, t.len, integer, &e);
    if (r < 0) {
        SAY(s, s->line, "%s", e.text);
        stand_in(s);
    } else if (r == CONF_IS_INTEGER) {
        emit_value(s, 'i', integer, strlen(integer));
    } else {
        emit_value(s, 'f', t.at, t.len);
    }
}

static void on_value(struct scan *s, struct conf_token t)
{
    if (t.kind == CONF_PUNCTUATION && strchr("{([", *t.at)) {
        open_level(s, t);
        return;
    }
    if (t.kind == CONF_PUNCTUATION) {
        if (s->expect == A_VALUE_OR_CLOSE)
            close_level(s, t);
        else
            unexpected(s, t);
        return;
    }
    if (t.kind == CONF_WORD)
        on_word_value(s, t);
    else if (t.kind == CONF_NUMBER)
        on_number(s, t);
    else
        emit_value(s, 's', t.at, t.len);
    s->after_string = t.kind == CONF_STRING;
    s->expect = A_SEPARATOR;
}

static void on_separator(struct scan *s, struct conf_token t)
{
    bool in_group = current(s)->kind == '{';
    bool joins = s->after_string && t.kind == CONF_STRING;
    s->after_string = joins;
    if (joins) {
        emit(s, t.at, t.len);
    } else if (in_group && t.kind == CONF_WORD) {
        on_name(s, t);
    } else if (t.kind == CONF_PUNCTUATION && (*t.at == ',' || (in_group && *t.at == ';'))) {
        current(s)->index++;
        s->expect = in_group ? A_NAME : A_VALUE;
        emit(s, t.at, 1);
    } else if (t.kind == CONF_PUNCTUATION) {
        close_level(s, t);
    } else {
        unexpected(s, t);
    }
}

static void on_token(struct scan *s, struct conf_token t)
{
    switch (s->expect) {
    case A_NAME:
        if (t.kind == CONF_WORD)
            on_name(s, t);
        else if (t.kind == CONF_PUNCTUATION)
            close_level(s, t);
        else
            unexpected(s, t);
        return;
    case AN_EQUALS:
        if (t.kind != CONF_PUNCTUATION || !strchr("=:", *t.at)) {
            unexpected(s, t);
            return;
        }
        s->expect = A_VALUE;
        emit(s, t.at, 1);
        return;
    case A_VALUE:
    case A_VALUE_OR_CLOSE:
        on_value(s, t);
        return;
    case A_SEPARATOR:
        on_separator(s, t);
        return;
    }
}

static void on_end(struct scan *s)
{
    const struct level *l = current(s);
    if (s->depth > 1)
        STOP(s, l->line, "the %c that stands in this line has no %c", l->kind,
             l->kind == '{'   ? '}'
             : l->kind == '(' ? ')'
                              : ']');
    else if (s->expect != A_NAME && s->expect != A_SEPARATOR)
        STOP(s, s->line, "the file ends where %s is expected", wanted(s));
}

/* What is wrong with the bytes themselves, before any of them is understood. */
static void check_bytes(struct scan *s, const char *p, const char *end)
{
    unsigned line = 1;
    if (end - p >= 3 && !memcmp(p, "\xef\xbb\xbf", 3)) {
        STOP(s, 1, "the file begins with a byte order mark, save it as plain UTF-8 without one");
        return;
    }
    while (p < end && !s->stopped) {
        size_t n = text_utf8(p, end);
        if (n == 0)
            STOP(s, line, "byte 0x%02x is not UTF-8", (unsigned)(unsigned char)*p);
        else if (*p == '\0')
            STOP(s, line, "a NUL byte, allowed is text");
        line += *p == '\n';
        p += n;
    }
}

static void scan_all(struct scan *s)
{
    check_bytes(s, s->lexer.p, s->lexer.end);
    while (!s->stopped) {
        struct conf_token t = conf_token_next(&s->lexer);
        s->line = t.line;
        if (t.kind == CONF_BAD) {
            STOP(s, t.line, "%s", s->lexer.err.text);
        } else if (t.kind == CONF_END) {
            on_end(s);
            break;
        } else {
            on_token(s, t);
        }
    }
    s->out[s->out_len] = '\0';
}

char *conf_scan(struct conf_source *source, const char *text, size_t len)
{
    /* A token grows by the blank behind it and by an L at most, never beyond twice its length. */
    size_t size = 2 * len + 2;
    struct scan *s = calloc(1, sizeof *s);
    char *out = malloc(size);
    if (!s || !out) {
        source->no_memory = true;
        free(s);
        free(out);
        return NULL;
    }
    s->source = source;
    s->lexer = (struct conf_lexer){.p = text, .end = text + len, .line = 1};
    s->line = s->out_line = s->depth = 1;
    s->out = out;
    s->out_size = size;
    s->level[1].kind = '{';
    scan_all(s);
    source->scan_mistakes = source->mistakes;
    if (s->stopped) {
        free(out);
        out = NULL;
    }
    free(s);
    return out;
}
