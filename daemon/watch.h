/* watch.h - who stands still: names that every look sees again, each in some form, and since when
 * that form has not changed. Runs on: master. Never awaits. Errors: -ENOMEM. Units: milliseconds of
 * the boot clock, given by the caller. A wait begins anew with another form, with an answer that
 * was long on the way, on another connection, and behind a gap between two looks: what a looker did
 * not see move, while nobody could move it or it could not see, proves nothing. */
#ifndef DAEMON_WATCH_H
#define DAEMON_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct watched;

struct watch {
    int64_t lease_ms;
    uint64_t link; /* cuts of the link when it answered last */
    struct watched *at;
    size_t n, room;
};

void watch_init(struct watch *w, int64_t lease_ms);
void watch_deinit(struct watch *w);
/* An answer came, over the link that was cut `cuts` times, to what was sent then. False: it proves
 * nothing, and every wait begins anew. */
bool watch_answered(struct watch *w, uint64_t cuts, int64_t sent_ms, int64_t now_ms);
/* In that answer `name` had the form `how`. 1: for a whole lease now; 0: not yet. */
int watch_see(struct watch *w, const char *name, const char *how, int64_t sent_ms, int64_t now_ms);
/* Its wait begins anew, with the next look. */
void watch_forget(struct watch *w, const char *name);
/* Every wait begins anew. */
void watch_anew(struct watch *w);
/* Names that no look has seen for a while leave memory; true: some did. */
bool watch_tidy(struct watch *w, int64_t now_ms);

#endif
