#!/bin/bash
# The demo as its first reader sees it: order of the trace, how it ends, and that nothing is left, whatever happens.
# TAP. $RPOPD: the daemon's binary. $DEMO: the script under test.
# shellcheck disable=SC2317,SC2016,SC2034,SC2062 # called, expanded and used through check
set -u
export RPOPD=${RPOPD:-build/rpopd}
demo=${DEMO:-conf/demo.sh}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/rpopd-demotest.XXXXXX") || exit 1
out=$tmp/out group=
finish() {
    [ -z "$group" ] || kill -KILL -- "-$group" 2>/dev/null
    # shellcheck disable=SC2046 # a word a process
    [ -z "$(ours)" ] || kill -KILL $(ours)
    rm -rf "$tmp"
}
trap finish EXIT
trap 'exit 130' INT TERM

n=0 bad=0
check() { # check SENTENCE COMMAND...
    local what=$1
    shift
    n=$((n + 1))
    if "$@"; then echo "ok $n - $what"; else
        echo "not ok $n - $what"
        sed 's/^/# /' "$out"
        bad=1
    fi
}

# Every process whose command line names our folder: the demo's Redis and daemon are among them.
ours() { grep -lF -f - /proc/[0-9]*/cmdline 2>/dev/null <<<"$tmp/work" | cut -d/ -f3; }
nothing_left() {
    [ -z "$(ours)" ] || { echo "# left: $(ours)"; return 1; }
    ! kill -0 -- "-$1" 2>/dev/null || { echo "# left: a process of group $1"; return 1; }
    [ -z "$(ls -A "$tmp/work")" ] || { echo "# left: $(ls -A "$tmp/work")"; return 1; }
}
await() { # until a line of the output matches, at most 20 s
    for _ in $(seq 400); do
        grep -q "$1" "$out" && return 0
        sleep 0.05
    done
    return 1
}
begin() { # begin MODE: the script leads a group of its own, as under a terminal
    mkdir -p "$tmp/work"
    set -m
    TMPDIR=$tmp/work sh "$demo" "$1" >"$out" 2>&1 </dev/null &
    group=$!
    set +m
}
end() { # waits for the script; $status, $gone (its group)
    wait "$group" 2>/dev/null
    status=$? gone=$group group=
}
interrupt() { kill -INT -- "-$group"; end; }

four_wait_first() { [ "$(sed '/^Done /,$d' "$out" | grep -c '^Waiting [1-5]$')" = 4 ]; }
done_in_order() { [ "$(grep '^Done ' "$out" | tr '\n' ,)" = 'Done 1,Done 1,Done 2,Done 5,' ]; }
pushes_shown() { [ "$(sed -n 's/^\$ redis-cli -s .* lpush queue //p' "$out" | tr '\n' ' ')" = '2 5 1 1 ' ]; }
is() { [ "$1" = "$2" ] || { echo "# '$1' is not '$2'"; return 1; }; }

begin demo
end
check 'the demo ends with status 0' is $status 0
check 'each push is shown as a command' pushes_shown
check 'all four jobs wait before the first is done' four_wait_first
check 'they are done in the order of their lengths' done_in_order
check 'it says what to try next' grep -q 'make run' "$out"
check 'no process and no file is left' nothing_left "$gone"

begin demo
await '^Waiting 5'
interrupt
check 'an interrupted demo ends with status 130' is $status 130
check 'it was in the midst of its jobs' eval '! sed "/event=signal/,\$d" "$out" | grep -q "^Done 5"'
check 'no process and no file is left of it' nothing_left "$gone"

begin run
await '^  redis-cli'
command=$(sed -n 's/^  \(redis-cli .*\) 2$/\1 0/p' "$out")
check 'run prints the command that pushes a job' eval 'timeout 20 $command >/dev/null'
check 'the job is done' await '^Done 0$'
interrupt
check 'Ctrl-C ends it with status 0' is $status 0
check 'no process and no file is left of that' nothing_left "$gone"

RPOPD=/bin/false
begin demo
end
check 'a daemon that ends at once fails the demo' is $status 1
check 'it is said in a sentence' grep -q '^demo: the daemon has ended' "$out"
check 'no process and no file is left of the failure' nothing_left "$gone"

mkdir "$tmp/bin"
for p in sh dirname; do ln -s "$(command -v $p)" "$tmp/bin/$p"; done
PATH=$tmp/bin sh "$demo" demo >"$out" 2>&1 || status=$?
check 'a missing program is named' grep -q 'there is no redis-server here; `make deps`' "$out"

echo "1..$n"
exit $bad
