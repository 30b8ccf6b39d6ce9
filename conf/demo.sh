#!/bin/sh
# demo.sh demo | run - rpopd beside a private redis-server: unix socket, no port, all files in one temporary folder.
# demo pushes four jobs, waits until they are done and ends; run stays for the user's own redis-cli, until Ctrl-C.
# Nothing is left behind, however it ends. $RPOPD: the daemon's binary.
set -u
mode=${1:-demo}
rpopd=${RPOPD:-build/rpopd}
conf=$(dirname "$0")/demo.conf
limit=60 # seconds, for the whole demo

say() { printf '%s\n' "$*"; }
fail() {
    say "$mode: $*" >&2
    exit 1
}

for p in redis-server redis-cli mkfifo setsid timeout; do
    command -v "$p" >/dev/null || fail "there is no $p here; \`make deps\` installs what is needed"
done
[ -x "$rpopd" ] || fail "there is no $rpopd; \`make\` builds it"

base=${TMPDIR:-/tmp}
[ ${#base} -le 80 ] || base=/tmp # the path of a unix socket has to fit into 108 bytes
dir=$(mktemp -d "$base/rpopd-demo.XXXXXX") || fail "cannot make a folder in $base"
redis='' daemon='' pusher='' limiter=''

# stop PID: TERM; what does not end within 3 s gets QUIT, and 3 s later KILL with all of its group. Returns its status.
stop() {
    for sig in TERM QUIT; do
        kill -s $sig "$1" 2>/dev/null
        n=0
        while [ $n -lt 60 ]; do # no $(seq): a trap inside `IFS= read` splits no words
            kill -s 0 "$1" 2>/dev/null || break 2
            sleep 0.05
            n=$((n + 1))
        done
    done
    kill -s KILL "-$1" 2>/dev/null
    wait "$1" 2>/dev/null
}

# The order matters: the daemon needs Redis until it has given back what it holds, and a reader for its last lines.
stop_all() {
    status=0
    trap '' HUP INT TERM PIPE
    if [ -n "$pusher" ]; then
        kill "$pusher" 2>/dev/null
        wait "$pusher" 2>/dev/null
    fi
    if [ -n "$daemon" ]; then
        cat <&3 2>/dev/null &
        reader=$!
        stop "$daemon" || status=$?
        wait "$reader"
    fi
    [ -z "$redis" ] || stop "$redis"
    rm -rf "$dir"
    pusher='' daemon='' redis=''
    return $status
}
trap stop_all EXIT
trap 'exit 129' HUP
trap '[ "$mode" = run ] && exit 0; exit 130' INT
trap 'exit 141' PIPE
trap 'exit 143' TERM

cli() { redis-cli -s "$dir/redis.sock" "$@"; }
await() { # await COMMAND...: until it succeeds, at most 10 s
    for _ in $(seq 200); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.05
    done
    return 1
}
answers() { [ "$(cli ping)" = PONG ]; }
registered() { [ "$(cli exists 'rpopd:{queue}:owners')" = 1 ]; }

# Both lead a session of their own: a Ctrl-C is for this script, which ends them in the right order.
setsid redis-server --port 0 --unixsocket "$dir/redis.sock" --save '' --appendonly no --dir "$dir" \
    --logfile "$dir/redis.log" --daemonize no </dev/null >/dev/null 2>&1 &
redis=$!
await answers || fail "redis-server does not answer: $(tail -n 3 "$dir/redis.log" 2>/dev/null)"

sed "s,@DIR@,$dir,g" "$conf" >"$dir/demo.conf" || fail "cannot write $dir/demo.conf"
mkfifo "$dir/output" || fail "cannot make a pipe in $dir"
mkdir -m 700 "$dir/run"
[ "$mode" = run ] || limiter="timeout --foreground -k 5 $limit"
# shellcheck disable=SC2086 # words on purpose
setsid $limiter "$rpopd" -c "$dir/demo.conf" </dev/null >"$dir/output" 2>&1 &
daemon=$!
exec 3<"$dir/output"

# Pushes 2 5 1 1, one by one, as one would type it.
push_all() {
    trap 'exit 1' TERM # after the command that runs, so that none is left
    await registered
    for n in 2 5 1 1; do
        say "\$ redis-cli -s $dir/redis.sock lpush queue $n"
        cli --no-raw lpush queue "$n"
    done
}

# Shows what the daemon prints until four jobs are done; fails when it ends before.
watch() {
    done=0
    while [ $done -lt 4 ]; do
        IFS= read -r line <&3 || return 1
        say "$line"
        case $line in "Done "*) done=$((done + 1)) ;; esac
    done
}

if [ "$mode" = run ]; then
    say "Push jobs from another terminal, each sleeps for as many seconds as it says; Ctrl-C ends all:"
    say "  redis-cli -s $dir/redis.sock lpush queue 2"
    cat <&3 &
    wait $!
    fail "the daemon has ended by itself"
fi

push_all &
pusher=$!
began=$(date +%s%N)
watch || fail "the daemon has ended, or four jobs were not done within $limit s"
tenths=$((($(date +%s%N) - began) / 100000000))
wait "$pusher"
pusher=''
stop_all || fail "the daemon ended with status $?"

say
say "Four jobs of 2 + 5 + 1 + 1 seconds took $((tenths / 10)).$((tenths % 10)) seconds: they ran together, on one thread."
say "Next: \`make run\` keeps daemon and Redis for your own jobs, \`make check\` runs the tests, README.md has the rest."
