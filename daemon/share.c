#include "daemon/share.h"

#include <errno.h>
#include <stdlib.h>

#define STEPS 64 /* slots are dealt in so many steps, or one by one */

int share_join(struct share_class **classes, struct share *s, int priority, int weight)
{
    struct share_class *c = *classes;
    while (c && c->priority != priority)
        c = c->next;
    if (!c) {
        c = malloc(sizeof *c);
        if (!c)
            return -ENOMEM;
        *c = (struct share_class){.priority = priority, .next = *classes};
        *classes = c;
    }
    *s = (struct share){.class = c, .weight = (unsigned)weight, .idle = true};
    return 0;
}

void share_free(struct share_class **classes)
{
    for (struct share_class *next; *classes; *classes = next) {
        next = (*classes)->next;
        free(*classes);
    }
}

void share_rest(struct share *s)
{
    s->idle = true;
}

void share_charge(struct share *s, int64_t n)
{
    s->meter += (double)n / s->weight;
}

static bool lacks(const struct share_want *w)
{
    return w->got < w->want;
}

/* The class of the highest priority in which somebody lacks something. */
static struct share_class *first_class(const struct share_want *w, size_t n)
{
    struct share_class *best = NULL;
    for (size_t i = 0; i < n; i++)
        if (lacks(&w[i]) && (!best || w[i].share->class->priority > best->priority))
            best = w[i].share->class;
    return best;
}

/* With what it got in this deal. */
static double meter(const struct share_want *w)
{
    return w->share->meter + (double)w->got / w->share->weight;
}

static struct share_want *lowest(struct share_want *w, size_t n, const struct share_class *c)
{
    struct share_want *best = NULL;
    for (size_t i = 0; i < n; i++)
        if (w[i].share->class == c && lacks(&w[i]) && (!best || meter(&w[i]) < meter(best)))
            best = &w[i];
    return best;
}

static void deal_class(struct share_want *w, size_t n, struct share_class *c, uint32_t *slots)
{
    uint32_t step = *slots / STEPS + 1;
    struct share_want *next = lowest(w, n, c);
    if (next->share->meter > c->now)
        c->now = next->share->meter;
    for (; *slots && next; next = lowest(w, n, c)) {
        uint32_t part = step < *slots ? step : *slots, lack = next->want - next->got;
        part = part < lack ? part : lack;
        next->got += part;
        *slots -= part;
    }
}

/* Who wanted nothing until now begins where its class is. */
static void join_again(struct share_want *w)
{
    struct share *s = w->share;
    w->got = 0;
    if (!w->want) {
        s->idle = s->idle || !w->busy;
        return;
    }
    if (s->idle && s->meter < s->class->now)
        s->meter = s->class->now;
    s->idle = false;
}

void share_deal(struct share_want *w, size_t n, uint32_t slots)
{
    struct share_class *c;
    for (size_t i = 0; i < n; i++)
        join_again(&w[i]);
    while (slots && (c = first_class(w, n)))
        deal_class(w, n, c, &slots);
}
