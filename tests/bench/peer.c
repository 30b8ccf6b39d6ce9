#include "tests/bench/peer.h"

#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *name, *command; /* with the place of what is measured */
} peers[PEERS] = {
    [PEER_ASYNCIO] = {"CPython asyncio", "python3 tests/bench/peers.py asyncio %s 2>/dev/null"},
    /* Debian's module belongs to Debian's Python. */
    [PEER_UVLOOP] = {"uvloop", "for p in python3 /usr/bin/python3; do $p -c 'import uvloop' && "
                               "exec $p tests/bench/peers.py uvloop %s; done 2>/dev/null"},
    [PEER_GO] = {"Go", "command -v go >/dev/null && GO111MODULE=off go run tests/bench/peers.go "
                       "%s 2>/dev/null"},
};

const char *peer_name(enum peer p)
{
    return peers[p].name;
}

size_t peer_measure(enum peer p, const char *what, double *ret_figures, size_t room)
{
    char command[256], line[64];
    size_t n = 0;
    (void)snprintf(command, sizeof command, peers[p].command, what);
    FILE *out = popen(command, "re"); // NOLINT: fixed words
    while (out && n < room && fgets(line, sizeof line, out)) {
        ret_figures[n] = strtod(line, NULL);
        n += ret_figures[n] > 0;
    }
    if (out)
        (void)pclose(out);
    return n;
}
