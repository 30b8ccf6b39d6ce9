#include "daemon/record.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

static char *evidence(const struct job *j, const char *instance)
{
    json_t *reason = json_string(j->reason ? j->reason : "");
    if (!reason)
        reason = json_string("(the reason is not valid UTF-8)");
    json_t *o = json_pack("{s:o, s:s}", "reason", reason, "instance", instance);
    char *line = o ? json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    json_decref(o);
    return line;
}

static char *make_head(const struct job *j, const char *instance)
{
    char id[JOB_ID_MAX], *head, *line = evidence(j, instance);
    if (!line)
        return NULL;
    if (asprintf(&head, "%s 1 %" PRIu32 " %" PRIu32 " %" PRId64 " %" PRId64 " %s\n", job_id(j, id),
                 j->attempt, j->strikes, j->first_ms, clock_wall_ms(), line) < 0)
        head = NULL;
    free(line);
    return head;
}

char *record_of(struct job *j, const char *instance, size_t *ret_len)
{
    if (!j->record)
        j->record = make_head(j, instance);
    if (!j->record)
        return NULL;
    size_t head = strlen(j->record), payload = j->large ? 0 : j->len;
    char *record = malloc(head + payload + 1);
    if (!record)
        return NULL;
    memcpy(record, j->record, head);
    memcpy(record + head, j->payload, payload);
    *ret_len = head + payload;
    return record;
}
