#include "daemon/ids.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SLOTS 1024

struct slot {
    uint64_t hash;
    double at;
    uint32_t where;
    bool taken;
};

struct ids {
    struct slot *slot;
    size_t slots, n, max_slots;
    uint64_t from, to; /* hashes of this round */
};

/* FNV-1a, its bits mixed: the lower half of the hashes is half of the ids. */
static uint64_t hash_of(const char *id, size_t len)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)id[i]) * 0x100000001b3u;
    h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
    h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 33;
}

struct ids *ids_new(size_t max_slots)
{
    struct ids *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    *s = (struct ids){.max_slots = max_slots, .slots = FIRST_SLOTS, .to = UINT64_MAX};
    s->slot = calloc(s->slots, sizeof *s->slot);
    return s->slot ? s : ids_free(s);
}

struct ids *ids_free(struct ids *s)
{
    if (s)
        free(s->slot);
    free(s);
    return NULL;
}

/* Its own, or the free one that it would get. */
static struct slot *find(struct slot *slot, size_t slots, uint64_t hash)
{
    size_t i = hash & (slots - 1);
    while (slot[i].taken && slot[i].hash != hash)
        i = (i + 1) & (slots - 1);
    return &slot[i];
}

/* False: no memory. */
static bool move(struct ids *s, size_t slots)
{
    struct slot *more = calloc(slots, sizeof *more);
    if (!more)
        return false;
    s->n = 0;
    for (size_t i = 0; i < s->slots; i++)
        if (s->slot[i].taken && s->slot[i].hash <= s->to) {
            *find(more, slots, s->slot[i].hash) = s->slot[i];
            s->n++;
        }
    free(s->slot);
    s->slot = more;
    s->slots = slots;
    return true;
}

static bool make_room(struct ids *s)
{
    if (s->n < s->slots / 4 * 3)
        return true;
    if (s->slots < s->max_slots && move(s, s->slots * 2))
        return true;
    s->to = s->from + (s->to - s->from) / 2;
    return move(s, s->slots);
}

int ids_put(struct ids *s, const char *id, size_t len, struct id_place place,
            struct id_place *ret_first)
{
    uint64_t hash = hash_of(id, len);
    if (hash < s->from || hash > s->to)
        return 0;
    const struct slot *at = find(s->slot, s->slots, hash);
    if (at->taken) {
        *ret_first = (struct id_place){at->where, at->at};
        return 1;
    }
    if (!make_room(s))
        return -ENOMEM;
    if (hash > s->to)
        return 0;
    *find(s->slot, s->slots, hash) = (struct slot){hash, place.at, place.where, true};
    s->n++;
    return 0;
}

bool ids_next_round(struct ids *s)
{
    bool more = s->to != UINT64_MAX;
    s->from = more ? s->to + 1 : 0;
    s->to = UINT64_MAX;
    s->n = 0;
    memset(s->slot, 0, s->slots * sizeof *s->slot);
    return more;
}
