#include "tests/e2e/fsck.h"

void fsck_finds(struct scene *s, bool repair, const char *queue, const char *kind, int n,
                bool repaired)
{
    json_t *json = repair ? CTL_JSON(s, 1, "fsck", "--repair") : CTL_JSON(s, 1, "fsck");
    const json_t *findings = json_object_get(json, "findings"), *f;
    bool ok = json_array_size(findings) == (size_t)n && ctl_number(json, "found") == n &&
              ctl_number(json, "repaired") == (repaired ? n : 0);
    size_t i;
    json_array_foreach(findings, i, f) ok =
        ok && strcmp(ctl_text(f, "kind"), kind) == 0 && strcmp(ctl_text(f, "queue"), queue) == 0 &&
        *ctl_text(f, "what") && *ctl_text(f, "repair") && *ctl_text(f, "key") &&
        json_is_true(json_object_get(f, "repaired")) == repaired;
    if (!ok) {
        json_dumpf(json, stderr, JSON_INDENT(1));
        scene_fail(s, kind, __FILE__, __LINE__);
    }
    json_decref(json);
}

void fsck_clean(struct scene *s)
{
    json_t *json = CTL_JSON(s, 0, "fsck");
    assert_int_equal(json_array_size(json_object_get(json, "findings")), 0);
    json_decref(json);
    const struct ctl_run *r = CTL(s, "fsck", "--repair");
    assert_int_equal(r->code, 0);
    assert_ptr_equal(strstr(r->out, "clean: "), r->out);
}

void fsck_repairs(struct scene *s, const char *kind, int n)
{
    char sum[64];
    fsck_finds(s, false, "queue", kind, n, false);
    const struct ctl_run *r = CTL(s, "fsck");
    (void)snprintf(sum, sizeof sum, "%d found, 0 repaired", n);
    assert_int_equal(r->code, 1);
    assert_non_null(strstr(r->out, kind));
    assert_non_null(strstr(r->out, sum));
    fsck_finds(s, true, "queue", kind, n, true);
    fsck_clean(s);
}

void fsck_leaves(struct scene *s, const char *queue, const char *kind, int n)
{
    fsck_finds(s, false, queue, kind, n, false);
    fsck_finds(s, true, queue, kind, n, false);
    fsck_finds(s, false, queue, kind, n, false);
}

void fsck_leave_batch(struct scene *s, const char *queue, const char *entry)
{
    for (int i = 0; i < 5; i++)
        (void)ask_int(s, "LPUSH rpopd:{%s}:inflight:%s 0.00%d", queue, FIELD, i);
    (void)ask_int(s, "SETBIT rpopd:{%s}:acked:%s 1 1", queue, FIELD);
    if (entry)
        (void)ask_int(s, "HSET rpopd:{%s}:batches %s %s", queue, FIELD, entry);
}
