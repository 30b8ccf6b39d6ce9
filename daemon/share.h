/* share.h - who gets the next free slots: a higher priority first, weights within one.
 * Pure logic. Runs on: any thread. Never awaits. Errors: share_join, -ENOMEM. Units: slots. Each
 * queue has a meter: slots it claimed, divided by its weight. The next slot goes to the lowest
 * meter of the highest priority that wants one, so over time the slots are as the weights, and none
 * starves in its priority. Who comes back after it wanted nothing joins the others where they are:
 * nothing is saved up while idle. Source: start-time fair queueing (Goyal, Vin, Cheng, 1996). */
#ifndef DAEMON_SHARE_H
#define DAEMON_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct share_class { /* the queues of one priority */
    struct share_class *next;
    int priority;
    double now; /* the lowest meter of those that wanted slots last */
};

struct share { /* of one queue */
    struct share_class *class;
    unsigned weight;
    double meter;
    bool idle; /* it wanted nothing when slots were dealt last */
};

struct share_want {
    struct share *share;
    uint32_t want; /* slots it could use now */
    bool busy;     /* its last claim is not answered: what it gets is kept for it */
    uint32_t got;  /* answer */
};

/* A queue of this priority and weight joins those in *classes. 0 or -ENOMEM. */
int share_join(struct share_class **classes, struct share *s, int priority, int weight);
void share_free(struct share_class **classes);
/* It wants nothing: called by who leaves it out of a deal. */
void share_rest(struct share *s);
/* Deals `slots`: w[i].got of them each. Nothing is charged. */
void share_deal(struct share_want *w, size_t n, uint32_t slots);
/* It claimed n slots; negative: n of those it was charged for came to nothing. */
void share_charge(struct share *s, int64_t n);

#endif
