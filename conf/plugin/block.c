/* block.c - a plugin of plain, blocking code: the payload names a file below a directory, the
 * result is its size and a checksum. Each job has a thread, so the worker's other jobs go on.
 *
 * handler: { type = "plugin"; path = "/usr/lib/rpopd/block.so"; blocking = true;
 *            settings: { directory = "/var/spool/in"; }; }; */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <rpopd_plugin.h>

static int init(const struct rpopd_settings *settings, void **state, struct rpopd_error *e)
{
    const char *directory = rpopd_setting(settings, "directory");
    if (!directory)
        return rpopd_error(e, -EINVAL, "settings.directory: is missing, allowed is a path");
    *state = (void *)directory; /* borrowed until exit */
    return 0;
}

/* Nothing interrupts it: it looks by itself whether the job was cancelled. */
static int add_up(FILE *file, const struct rpopd_job *job, uint64_t *size, uint32_t *sum)
{
    unsigned char part[65536];
    size_t n;
    while ((n = fread(part, 1, sizeof part, file)) > 0) {
        for (size_t i = 0; i < n; i++)
            *sum = (*sum << 5 | *sum >> 27) ^ part[i];
        *size += n;
        if (rpopd_job_cancelled(job))
            return -ECANCELED;
    }
    return ferror(file) ? -EIO : 0;
}

static int run(struct rpopd_job *job, void *state, struct rpopd_error *e)
{
    char path[4096], text[64];
    size_t len;
    const char *name = rpopd_job_payload(job, &len);
    if (strlen(name) != len || name[0] == '\0' || strchr(name, '/') || len > 255)
        return rpopd_job_dead(job, "the payload is no name of a file");
    (void)snprintf(path, sizeof path, "%s/%s", (const char *)state, name);
    FILE *file = fopen(path, "re");
    if (!file)
        return rpopd_error(e, -errno, "%s: %s", name, strerror(errno)); /* tried again */
    uint64_t size = 0;
    uint32_t sum = 0;
    int r = add_up(file, job, &size, &sum);
    (void)fclose(file);
    if (r < 0)
        return r == -ECANCELED ? r : rpopd_error(e, r, "%s: cannot be read", name);
    rpopd_log(job, RPOPD_INFO, "%s: %" PRIu64 " bytes, sum %08" PRIx32, name, size, sum);
    (void)snprintf(text, sizeof text, "%" PRIu64 " %08" PRIx32, size, sum);
    return rpopd_job_result(job, text, strlen(text));
}

RPOPD_PLUGIN("block", init, run, NULL);
