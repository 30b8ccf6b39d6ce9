/* Fuzzes what is read from `batches` and `fenced`: fields, entries, open epochs. The input is cut
 * at its line ends: lines in turn are fields and values, so any bytes may stand in either. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/batch.h"
#include "daemon/entries.h"
#include "daemon/queue.h"

#define PAIRS_MAX 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Replies of the input's lines, each with a NUL of its own behind it, as the door gives them. */
static struct redis_reply lines_of(const uint8_t *data, size_t size, char *copy,
                                   struct redis_reply items[PAIRS_MAX])
{
    struct redis_reply r = {.type = REDIS_ARRAY, .item = items};
    memcpy(copy, data, size);
    copy[size] = '\n';
    for (char *p = copy, *end = copy + size + 1; p < end && r.n < PAIRS_MAX; r.n++) {
        char *stop = memchr(p, '\n', (size_t)(end - p));
        *stop = '\0';
        items[r.n] =
            (struct redis_reply){.type = REDIS_STRING, .str = p, .len = (size_t)(stop - p)};
        p = stop + 1;
    }
    return r;
}

static void check_entries(const struct redis_reply *lines)
{
    struct entries e = {0};
    assert(entries_add(&e, lines) == 0 && entries_add(&e, lines) == 0);
    entries_sort(&e);
    for (size_t i = 0; i < e.n; i++) {
        const struct entry *x = &e.at[i];
        assert(x->number > 0 && strlen(x->epoch) < EPOCH_NAME_MAX &&
               strlen(x->name) < BATCH_NAME_MAX);
        assert(entries_find(&e, x->field) == x);
        if (i)
            assert(strcmp(e.at[i - 1].epoch, x->epoch) < 0 ||
                   (strcmp(e.at[i - 1].epoch, x->epoch) == 0 && e.at[i - 1].number <= x->number));
    }
    entries_clear(&e);
}

/* What is read is what would be written: but for zeros in front of a number. */
static void check_parsed(struct batch *b, const char *text, size_t len)
{
    char *written;
    if (batch_parse_entry(b, text, len) < 0)
        return;
    char *first = batch_entry(b);
    assert(first && batch_parse_entry(b, first, strlen(first)) == 0);
    written = batch_entry(b);
    assert(written && strcmp(first, written) == 0 && strlen(first) <= len);
    free(first);
    free(written);
}

static void check_values(const struct redis_reply *lines)
{
    struct queue q = {.instance = "host", .epoch = epoch_new("0123456789abcdef", 1)};
    assert(q.epoch && keys_init(&q.key, "q", "host") == 0);
    struct batch *b = batch_new(&q, "", 1);
    assert(b != NULL);
    for (size_t i = 0; i < lines->n; i++)
        check_parsed(b, lines->item[i].str, lines->item[i].len);
    (void)batch_free(b);
    keys_deinit(&q.key);
    (void)epoch_unref(q.epoch);
}

static void check_epochs(const struct redis_reply *lines)
{
    struct epochs e = {0};
    assert(epochs_open(&e, lines) == 0 && e.n <= lines->n);
    for (size_t i = 0; i < e.n; i++)
        assert(epochs_have(&e, e.at[i]));
    epochs_clear(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct redis_reply items[PAIRS_MAX];
    char *copy = malloc(size + 1);
    assert(copy != NULL);
    struct redis_reply lines = lines_of(data, size, copy, items);
    check_entries(&lines);
    check_values(&lines);
    check_epochs(&lines);
    free(copy);
    return 0;
}
