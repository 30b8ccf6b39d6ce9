#include <string.h>

#include "daemon/admin_fsck.h"

static const struct kind {
    const char *name, *what, *repair;
    bool repairs;
} kinds[] = {
    {"no-entry", "a batch without its entry: nobody would ever take it over",
     "the entry is written again: its owner goes on with it, or it is taken over after a lease",
     true},
    {"no-list", "an entry without its batch: somebody deleted the list, and its jobs with it",
     "the entry is removed", true},
    {"bits", "what was settled of a batch that is gone", "it is removed", true},
    {"bad-entry", "a batch whose entry cannot be read: nobody can take it over",
     "the entry is written anew: its recoveries count from 0", true},
    {"bad-field", "an entry whose name is not that of a batch", "nothing: HDEL it yourself", false},
    {"stray", "a batch of a run that neither lives nor was given up",
     "nothing: once it has stood so for a lease, a daemon of its queue takes it over", false},
    {"no-owner", "an instance that beats without an owner key",
     "it leaves the list of owners: an instance that lives registers again by itself", true},
    {"no-beat", "an owner key without a beat: nobody would notice that its instance has died",
     "it is given a beat: without a further one it counts as gone after a lease", true},
    {"gone", "an instance that has not beaten for an hour, and was not given up",
     "nothing: once it has stood so for a lease, a daemon of its queue gives it up and takes over "
     "what it left",
     false},
    {"twice", "a job that lies in two places: it would be run twice",
     "one copy goes: a dead letter before a retry, a retry before what is in flight", true},
    {"differs", "two jobs of one id: their payloads are not the same",
     "nothing: both are jobs; look at them, and delete the one that is not wanted", false},
    {"expires", "a key that would expire, and the jobs in it or what is known of them with it",
     "it stays: its time is taken off", true},
    {"yours-expires", "a list or a set of yours that will expire, and the jobs that wait in it",
     "nothing: PERSIST it, unless that is meant", false},
    {"no-queue", "keys of a queue that is not in this configuration and that no daemon serves",
     "nothing: a daemon with that queue in its configuration goes on with it; else look what the "
     "keys hold, and delete them",
     false},
    {"popped", "jobs that lie in passage: who popped them has gone",
     "they go back to the end of the list that is popped next", true},
    {"unreadable", "a record that cannot be read: it is never tried again",
     "nothing: look at it with ZRANGE, push what it holds, and ZREM it", false},
    {"newer", "a newer version of rpopd wrote it", "nothing: it is left to that version", false},
    {"wrong-type", "a key of another type than rpopd gives it",
     "nothing: look what it holds, and rename or delete it", false},
    {"unknown", "a key that this version of rpopd does not know",
     "nothing: look what it holds, and rename or delete it", false},
    {"no-scan", "the Redis user may not SCAN: keys that nothing names any more are not found",
     "nothing: grant +scan", false},
};

static const struct kind *find(const char *name)
{
    size_t i = 0;
    while (i + 1 < sizeof kinds / sizeof *kinds && strcmp(kinds[i].name, name) != 0)
        i++;
    return &kinds[i];
}

json_t *finding_json(const char *name, const char *queue, const char *key, const char *detail,
                     bool repair, bool *ret_repaired)
{
    const struct kind *k = find(name);
    *ret_repaired = repair && k->repairs;
    json_t *o = json_pack("{s:s, s:o, s:o, s:s, s:s, s:b}", "kind", k->name, "queue",
                          admin_text(queue, strlen(queue)), "key", admin_text(key, strlen(key)),
                          "what", k->what, "repair", k->repair, "repaired", *ret_repaired);
    if (o && *detail)
        (void)json_object_set_new(o, "detail", admin_text(detail, strlen(detail)));
    return o;
}
