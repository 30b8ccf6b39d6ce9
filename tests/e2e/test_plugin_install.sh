#!/bin/bash
# A plugin as its author builds it: against what `make install` has put there, and nothing of the source. TAP.
# shellcheck disable=SC2317,SC2016 # called and expanded through check
set -u
tmp=$(mktemp -d "${TMPDIR:-/tmp}/rpopd-plugin.XXXXXX") || exit 1
root=$tmp/root redis='' daemon=''
finish() {
    [ -z "$daemon" ] || kill -KILL "$daemon" 2>/dev/null
    [ -z "$redis" ] || kill -KILL "$redis" 2>/dev/null
    wait 2>/dev/null
    rm -rf "$tmp"
}
trap finish EXIT
trap 'exit 130' INT TERM

n=0 bad=0
check() { # check SENTENCE COMMAND...
    local what=$1
    shift
    n=$((n + 1))
    if "$@" >"$tmp/why" 2>&1; then echo "ok $n - $what"; else
        echo "not ok $n - $what"
        sed 's/^/# /' "$tmp/why"
        bad=1
    fi
}
await() { # await COMMAND...: within 30 s
    for _ in $(seq 600); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.05
    done
    echo "not within 30 s: $*"
    cat "$tmp/log"
    return 1
}
cli() { redis-cli -s "$tmp/redis.sock" "$@"; }

check 'install succeeds' make --no-print-directory install DESTDIR="$root"
include=$root/usr/include
alone() { # alone COMPILER LANGUAGE STANDARD: the header by itself
    "$1" -x "$2" -std="$3" -Wall -Wextra -pedantic -Werror -fsyntax-only "$include/rpopd_plugin.h"
}
check 'the header stands alone in C' alone cc c c11
check 'and in C++' alone clang c++ c++11
cp -r "$root/usr/share/doc/rpopd/examples/plugin" "$tmp/mine"
check 'the Makefile of the examples has five lines' eval '[ "$(wc -l <"$tmp/mine/Makefile")" = 5 ]'
check 'the examples are built from there' make -C "$tmp/mine" CPPFLAGS="-I$include" CFLAGS="-Wall -Wextra -pedantic -Werror"

cat >"$tmp/rpopd.conf" <<L
runtime_dir = "$tmp/run";
redis: { url = "unix://$tmp/redis.sock"; };
queues: (
    { name = "gather"; handler: { type = "plugin"; path = "$tmp/mine/gather.so"; settings: { nap = 10; }; }; },
    { name = "block"; handler: { type = "plugin"; path = "$tmp/mine/block.so"; blocking = true;
                                 settings: { directory = "$tmp/mine"; }; }; } );
L
mkdir "$tmp/run" && chmod 700 "$tmp/run"
check 'the installed daemon takes them' "$root/usr/sbin/rpopd" -t -c "$tmp/rpopd.conf"

redis-server --port 0 --unixsocket "$tmp/redis.sock" --save '' --dir "$tmp" >"$tmp/redis.log" 2>&1 &
redis=$!
"$root/usr/sbin/rpopd" -c "$tmp/rpopd.conf" >"$tmp/log" 2>&1 &
daemon=$!
check 'Redis runs' await cli ping
cli lpush gather 'a b' >/dev/null
cli lpush block Makefile >/dev/null
check 'the one that gathers has done its job' await grep -q "what='slept, found, a b'" "$tmp/log"
check 'the one that blocks too' await grep -q "what='Makefile: $(wc -c <"$tmp/mine/Makefile") bytes, sum " "$tmp/log"
kill -TERM "$daemon"
wait "$daemon"
check 'the daemon ends in order' [ $? = 0 ]
daemon=''

echo "1..$n"
exit $bad
