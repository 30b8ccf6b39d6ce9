#include "daemon/redis_reply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "daemon/resp.h"

#define BLOCK_FIRST ((size_t)16 << 10) /* stays with the reader: most replies need no other */
#define BLOCK_MAX ((size_t)1 << 20)
#define FED_MAX  \
    ((size_t)256 \
     << 10) /* after a reply of more the reader is made anew: its buffer never shrinks */

#if HIREDIS_MAJOR >= 1
typedef size_t array_size;
#else
typedef int array_size;
#endif

struct block {
    struct block *next;
    size_t used, size;
    _Alignas(max_align_t) char bytes[];
};

struct redis_reader {
    redisReader *parser;
    redisReplyObjectFunctions functions;
    struct resp scan;
    struct block *blocks; /* the one in use first; the last of the list stays */
    struct redis_reply root;
    size_t fed;  /* bytes given to the parser since it was made */
    bool answer; /* root was handed out and the arena is to be emptied */
};

/* The arena ----------------------------------------------------------------------------------- */

static struct block *block_new(struct redis_reader *r, size_t size)
{
    struct block *b = malloc(sizeof *b + size);
    if (!b)
        return NULL;
    *b = (struct block){.next = r->blocks, .size = size};
    r->blocks = b;
    return b;
}

static void *take(struct redis_reader *r, size_t size)
{
    struct block *b = r->blocks;
    size_t align = _Alignof(max_align_t), need = (size + align - 1) & ~(align - 1);
    if (b->size - b->used < need) {
        size_t next = b->size * 2 < BLOCK_MAX ? b->size * 2 : BLOCK_MAX;
        b = block_new(r, need > next ? need : next);
        if (!b)
            return NULL;
    }
    void *p = b->bytes + b->used;
    b->used += need;
    return p;
}

static void empty(struct redis_reader *r)
{
    while (r->blocks && r->blocks->next) {
        struct block *b = r->blocks;
        r->blocks = b->next;
        free(b);
    }
    if (r->blocks)
        r->blocks->used = 0;
}

/* hiredis' reply functions -------------------------------------------------------------------- */

static struct redis_reply *slot(const redisReadTask *t)
{
    struct redis_reader *r = t->privdata;
    struct redis_reply *parent = t->parent ? t->parent->obj : NULL;
    return parent ? &parent->item[t->idx] : &r->root;
}

static void *create_text(const redisReadTask *t, char *bytes, size_t len)
{
    static const enum redis_type types[] = {[REDIS_REPLY_STRING] = REDIS_STRING,
                                            [REDIS_REPLY_STATUS] = REDIS_STATUS,
                                            [REDIS_REPLY_ERROR] = REDIS_ERROR};
    struct redis_reply *x = slot(t);
    size_t large;
    if (t->type == REDIS_REPLY_STATUS && resp_is_stand_in(bytes, len, &large)) {
        *x = (struct redis_reply){.type = REDIS_LARGE, .len = large};
        return x;
    }
    char *copy = take(t->privdata, len + 1);
    if (!copy)
        return NULL;
    memcpy(copy, bytes, len);
    copy[len] = '\0';
    *x = (struct redis_reply){.type = types[t->type], .str = copy, .len = len};
    return x;
}

static void *create_array(const redisReadTask *t, array_size n)
{
    struct redis_reply *x = slot(t);
    struct redis_reply *item = take(t->privdata, (size_t)n * sizeof *item);
    if (!item)
        return NULL;
    *x = (struct redis_reply){.type = REDIS_ARRAY, .item = item, .n = (size_t)n};
    return x;
}

static void *create_integer(const redisReadTask *t, long long value)
{
    struct redis_reply *x = slot(t);
    *x = (struct redis_reply){.type = REDIS_INTEGER, .integer = value};
    return x;
}

static void *create_nil(const redisReadTask *t)
{
    struct redis_reply *x = slot(t);
    *x = (struct redis_reply){.type = REDIS_NIL};
    return x;
}

static void forget(void *x)
{
    (void)x; /* it lies in the arena */
}

/* The reader ---------------------------------------------------------------------------------- */

/* maxbuf 0: with another value the reader ends the process where no memory is left while it shrinks
 * its buffer. */
static bool parser_new(struct redis_reader *r)
{
    if (r->parser)
        redisReaderFree(r->parser);
    r->parser = redisReaderCreateWithFunctions(&r->functions);
    r->fed = 0;
    if (!r->parser)
        return false;
    r->parser->privdata = r;
    r->parser->maxbuf = 0;
    return true;
}

struct redis_reader *redis_reader_new(size_t max_bulk)
{
    struct redis_reader *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->functions.createString = create_text;
    r->functions.createArray = create_array;
    r->functions.createInteger = create_integer;
    r->functions.createNil = create_nil;
    r->functions.freeObject = forget;
    resp_init(&r->scan, max_bulk, max_bulk + REDIS_REPLY_EXTRA);
    if (!block_new(r, BLOCK_FIRST) || !parser_new(r))
        return redis_reader_free(r);
    return r;
}

struct redis_reader *redis_reader_free(struct redis_reader *r)
{
    if (!r)
        return NULL;
    if (r->parser)
        redisReaderFree(r->parser);
    empty(r);
    free(r->blocks);
    free(r);
    return NULL;
}

static int parser_error(const struct redis_reader *r, struct err *e)
{
    if (r->parser->err == REDIS_ERR_OOM)
        return err_set(e, -ENOMEM, "no memory for a reply");
    return err_set(e, -EPROTO, "%s", r->parser->errstr);
}

/* Gives the parser what the scan let pass; asks it for items only where one ended, so that nothing
 * is parsed twice. */
static int feed(struct redis_reader *r, const struct resp_part *part, void **ret_object,
                struct err *e)
{
    r->fed += part->feed_len;
    if (redisReaderFeed(r->parser, part->feed, part->feed_len) != REDIS_OK)
        return parser_error(r, e);
    if (part->item && redisReaderGetReply(r->parser, ret_object) != REDIS_OK)
        return parser_error(r, e);
    if (part->whole != (*ret_object != NULL))
        return err_set(e, -EPROTO, "the reply reader disagrees with the framing of a reply");
    return 0;
}

static int begin(struct redis_reader *r, struct err *e)
{
    if (!r->answer)
        return 0;
    r->answer = false;
    empty(r);
    if (r->fed > FED_MAX && !parser_new(r))
        return err_set(e, -ENOMEM, "no memory for a reply");
    return 0;
}

int redis_reader_read(struct redis_reader *r, const char *in, size_t len, size_t *ret_used,
                      const struct redis_reply **ret_reply, struct err *e)
{
    struct resp_part part;
    void *object = NULL;
    int err = begin(r, e);
    *ret_used = 0;
    *ret_reply = NULL;
    while (err == 0 && !object) {
        err = resp_scan(&r->scan, in + *ret_used, len - *ret_used, &part, e);
        if (err < 0 || !(part.used || part.feed_len))
            break;
        *ret_used += part.used;
        err = feed(r, &part, &object, e);
    }
    if (err < 0)
        return err;
    if (object) {
        r->answer = true;
        *ret_reply = object;
    }
    return 0;
}
