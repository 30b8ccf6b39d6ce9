#!/bin/bash
# run.sh [-j JOBS] [-a NAME]... [-t SECONDS] [-m FACTOR] [-x WRAPPER] NAME PROGRAM...
# Runs test programs (cmocka, or *.sh that prints TAP), JOBS at a time (1), each in a process group of its own under a
# time limit, and sums up; tests that were skipped are named. What a program printed is shown in one piece when it has
# ended. A program named by -a runs with nothing beside it, after the others. Fails when one fails, hangs, leaves a
# process behind, or runs no test.
set -u
limit=180 factor=1 wrapper='' jobs=1 alone=' '
while getopts j:a:t:m:x: o; do
    case $o in
    j) jobs=$OPTARG ;;
    a) alone="$alone$OPTARG " ;;
    t) limit=$OPTARG ;;
    m) factor=$OPTARG ;;
    x) wrapper=$OPTARG ;;
    *) exit 64 ;;
    esac
done
shift $((OPTIND - 1))
name=${1:?name} && shift
tmp=$(mktemp -d "${TMPDIR:-/tmp}/rpopd-run.XXXXXX") || exit 1
finish() {
    local pid
    for pid in "$tmp"/*.pid; do
        [ ! -e "$pid" ] || kill -TERM "$(cat "$pid")" 2>/dev/null
    done
    rm -rf "$tmp"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

# Tests that passed, in what a program printed: cmocka's closing lines, or TAP's.
passed() {
    awk '/^\[  PASSED  \] [0-9]+ test/ { n += $4 } /^ok [0-9]+/ { n++ } END { print n + 0 }' "$1"
}

# What was left out, by name: cmocka's lines, or TAP's reason for a whole program.
skipped() {
    sed -n 's/^\[  SKIPPED \] \([a-zA-Z0-9_]*\)$/\1/p; s/^1\.\.0 # SKIP \(.*\)/(\1)/p' "$1" | sort -u | sed "s,^,$2:,"
}

# The processor's seconds of a program and of what it started and waited for, by what `times` told of children.
computed() {
    awk -F '[ ms]+' 'NR == 2 { printf "%.0f", $1 * 60 + $2 + $3 * 60 + $4 }' "$1"
}

# Waits until nothing is left of process group $1; kills what is still there after ten seconds and fails.
gone() {
    local _
    for _ in $(seq 200); do
        kill -s 0 -- "-$1" 2>/dev/null || return 0
        sleep 0.05
    done
    kill -s KILL -- "-$1" 2>/dev/null
    return 1
}

# why STATUS OUTPUT LEFT: a sentence where the program has failed
why() {
    case $1 in
    0) if [ -n "$3" ]; then
        echo 'left a process behind'
    elif ! grep -q '^1\.\.0\|^ok \|^\[  PASSED  \]' "$2"; then
        echo 'ran no test'
    fi ;;
    124 | 137) echo "no end after $((limit * factor)) s" ;;
    *) echo "status $1" ;;
    esac
}

# play NUMBER PROGRAM: leaves <number>.passed, and <number>.failed with the reason
play() {
    local at=$tmp/$1 p=$2 began=$SECONDS status reason left='' run
    case $p in *.sh) run="bash $p" ;; */*) run="$wrapper $p" ;; *) run="$wrapper ./$p" ;; esac
    # timeout leads a group of its own, so a limit takes the program's children along.
    # shellcheck disable=SC2086 # the command is words on purpose
    timeout -k 5 $((limit * factor)) $run >"$at.out" 2>&1 </dev/null &
    echo $! >"$at.pid"
    wait $!
    status=$?
    gone "$(cat "$at.pid")" || left=yes
    rm -f "$at.pid"
    times >"$at.times"
    reason=$(why $status "$at.out" "$left")
    [ -z "$reason" ] || echo "$p ($reason)" >"$at.failed"
    passed "$at.out" >"$at.passed"
    skipped "$at.out" "${p##*/}" >"$at.skipped"
    (
        flock 9
        echo "-- $p"
        cat "$at.out"
        echo "-- $p: ${reason:-passed} ($((SECONDS - began)) s, $(computed "$at.times") s of processor)"
    ) 9>"$tmp/lock"
}

number=100 running=0
start() { # start LIMIT PROGRAM: in the background, once fewer than LIMIT run
    while [ $running -ge "$1" ]; do
        wait -n
        running=$((running - 1))
    done
    number=$((number + 1)) running=$((running + 1))
    play $number "$2" &
}
for p; do case $alone in *" ${p##*/} "*) ;; *) start "$jobs" "$p" ;; esac; done
for p; do case $alone in *" ${p##*/} "*) start 1 "$p" ;; esac; done
wait

if cat "$tmp"/*.failed >"$tmp/all" 2>/dev/null; then
    printf '%s: failed:\n%s\n' "$name" "$(cat "$tmp/all")"
    exit 1
fi
total=$(cat "$tmp"/*.passed | awk '{ n += $1 } END { print n + 0 }')
left_out=$(cat "$tmp"/*.skipped | paste -s -d , | sed 's/,/, /g')
echo "$name: $total tests in $((number - 100)) programs passed${left_out:+, skipped: $left_out}"
