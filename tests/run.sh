#!/bin/sh
# run.sh [-t SECONDS] [-m FACTOR] [-x WRAPPER] NAME PROGRAM...
# Runs test programs (cmocka, or *.sh that prints TAP) one after the other, each in a process group of its own under
# a time limit, shows what they print and sums up. Fails when one fails, hangs, or runs no test at all.
set -u
limit=180 factor=1 wrapper=
while getopts t:m:x: o; do
    case $o in t) limit=$OPTARG ;; m) factor=$OPTARG ;; x) wrapper=$OPTARG ;; *) exit 64 ;; esac
done
shift $((OPTIND - 1))
name=${1:?name} && shift
tmp=$(mktemp -d "${TMPDIR:-/tmp}/rpopd-run.XXXXXX") || exit 1
group=
finish() {
    [ -z "$group" ] || kill -TERM "$group" 2>/dev/null
    rm -rf "$tmp"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

# Tests that passed, in what a program printed: cmocka's closing lines, or TAP's.
passed() {
    awk '/^\[  PASSED  \] [0-9]+ test/ { n += $4 } /^ok [0-9]+/ { n++ } END { print n + 0 }' "$1"
}

# Waits until nothing is left of process group $1; kills what is still there after two seconds and fails.
gone() {
    for _ in $(seq 40); do
        kill -s 0 -- "-$1" 2>/dev/null || return 0
        sleep 0.05
    done
    kill -s KILL -- "-$1" 2>/dev/null
    return 1
}

total=0 programs=0 failed=
for p; do
    programs=$((programs + 1))
    case $p in *.sh) run="bash $p" ;; */*) run="$wrapper $p" ;; *) run="$wrapper ./$p" ;; esac
    printf '%s\n' "-- $p"
    began=$(date +%s)
    # timeout leads a group of its own, so a limit takes the program's children along.
    { # shellcheck disable=SC2086 # the command is words on purpose
        timeout -k 5 $((limit * factor)) $run 2>&1 </dev/null &
        echo $! >"$tmp/pid"
        wait $!
        echo $? 2>/dev/null >"$tmp/status"
        gone "$(cat "$tmp/pid" 2>/dev/null)" || : >"$tmp/left"
    } | tee "$tmp/out" &
    pipe=$!
    while [ ! -s "$tmp/pid" ]; do kill -0 $pipe 2>/dev/null || break; sleep 0.01; done
    group=$(cat "$tmp/pid" 2>/dev/null)
    wait $pipe
    group=
    status=$(cat "$tmp/status" 2>/dev/null || echo 1)
    n=$(passed "$tmp/out")
    total=$((total + n))
    why=
    case $status in
    0) [ ! -e "$tmp/left" ] || why="left a process behind"
        grep -q '^1\.\.0\|^ok \|^\[  PASSED  \]' "$tmp/out" || why="ran no test" ;;
    124 | 137) why="no end after $((limit * factor)) s" ;;
    *) why="status $status" ;;
    esac
    printf '%s\n' "-- $p: ${why:-passed} ($(($(date +%s) - began)) s)"
    [ -z "$why" ] || failed="$failed
$p ($why)"
    rm -f "$tmp/pid" "$tmp/status" "$tmp/left"
done
[ -z "$failed" ] || {
    printf '%s: failed:%s\n' "$name" "$failed"
    exit 1
}
echo "$name: $total tests in $programs programs passed"
