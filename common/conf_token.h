/* conf_token.h - cuts the text of a configuration into tokens. Runs on: any thread. Never awaits.
 * Allocates nothing. Borrows the text, which is UTF-8 without NUL bytes. Source: the grammar in the
 * libconfig manual. */
#ifndef COMMON_CONF_TOKEN_H
#define COMMON_CONF_TOKEN_H

#include <stddef.h>

#include "common/err.h"

enum conf_token_kind {
    CONF_END,
    CONF_WORD,
    CONF_NUMBER, /* whatever begins like one */
    CONF_STRING, /* with its quotes */
    CONF_PUNCTUATION,
    CONF_BAD, /* the lexer's err says why; nothing behind it can be understood */
};

struct conf_token {
    enum conf_token_kind kind;
    const char *at;
    size_t len;
    unsigned line; /* CONF_BAD: where the trouble begins */
};

struct conf_lexer {
    const char *p, *end;
    unsigned line; /* from 1 */
    struct err err;
};

struct conf_token conf_token_next(struct conf_lexer *x);

#endif
