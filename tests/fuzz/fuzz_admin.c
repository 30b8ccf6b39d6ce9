/* Requests to the admin socket, as a stranger may send them: refused with a sentence, or every
 * field is what the contract says. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "common/job.h"
#include "daemon/admin_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = {0};
    struct admin_request r;
    int code = admin_request_parse((const char *)data, size, &r, &e);
    if (code < 0) {
        assert(code == -EINVAL && *e.text && !strchr(e.text, '\n'));
        return 0;
    }
    assert((unsigned)r.command < ADMIN_COMMANDS && *admin_command_name(r.command));
    assert(r.limit >= 0 && r.limit <= ADMIN_LIMIT_MAX);
    assert(strlen(r.id) < JOB_ID_MAX && !strpbrk(r.id, "*?[]\\ \n"));
    admin_request_clear(&r);
    return 0;
}
