#!/bin/bash
# The README's first job and its Redis user, as written there: the configuration against a Redis with that user. TAP.
# $RPOPD: the daemon's binary.
# shellcheck disable=SC2317,SC2016 # called and expanded through check
set -u
rpopd=${RPOPD:-build/rpopd}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/rpopd-readme.XXXXXX") || exit 1
daemon='' redis=''
finish() {
    [ -z "$daemon" ] || kill -KILL "$daemon" 2>/dev/null
    [ -z "$redis" ] || kill -KILL "$redis" 2>/dev/null
    wait
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
        sed 's/^/# /' "$tmp/out" "$tmp/acl"
        bad=1
    fi
}
cli() { redis-cli -s "$tmp/redis.sock" "$@"; }
await() { # await CONDITION: at most 20 s
    for _ in $(seq 400); do
        eval "$1" && return 0
        sleep 0.05
    done
    return 1
}
block() { awk -v from="$1" '$0 ~ "^```" { inside = 0 } $0 ~ from { inside = 1 } inside' README.md; }
stop() {
    kill -TERM "$daemon"
    wait "$daemon"
    status=$?
    daemon=
    [ "$status" = 0 ]
}
# start SETTINGS: the README's first configuration with another address, and a user where SETTINGS say so.
start() {
    block '^redis: . url = "redis:' | sed "s,url = \"[^\"]*\";,url = \"unix://$tmp/redis.sock\"; $1," >"$tmp/my.conf"
    echo "runtime_dir = \"$tmp/run\"; lease = 3.0;" >>"$tmp/my.conf"
    "$rpopd" -c "$tmp/my.conf" >>"$tmp/out" 2>&1 &
    daemon=$!
}
said() { grep -q "$1" "$tmp/out"; }

: >"$tmp/out"
: >"$tmp/acl"
redis-server --port 0 --unixsocket "$tmp/redis.sock" --save '' --dir "$tmp" >/dev/null 2>&1 &
redis=$!
await '[ "$(cli ping 2>/dev/null)" = PONG ]' || exit 1

start ''
cli lpush queue 0.25 >/dev/null
check 'the first configuration runs the first job' await 'said "^Done 0.25$"'
check 'the daemon ends with 0' stop

block '^ACL SETUSER rpopd on' | tr '\n' ' ' >"$tmp/command"
(umask 077 && echo secret >"$tmp/password")
user="username = \"rpopd\"; password_file = \"$tmp/password\";"
# shellcheck disable=SC2046 # a word an argument
cli $(cat "$tmp/command") >"$tmp/acl"
check 'the command for the user is accepted' grep -qx OK "$tmp/acl"
block '^ACL SETUSER rpopd &' | tr '\n' ' ' >"$tmp/command"
# shellcheck disable=SC2046 # a word an argument
cli $(sed 's/ rpopd / many /' "$tmp/command") >"$tmp/acl"
check 'so are the rights for many queues' grep -qx OK "$tmp/acl"

start "$user"
cli lpush queue 0.5 junk >/dev/null
check 'a job runs with these rights' await 'said "^Done 0.5$"'
check 'a dead letter can be kept' await '[ "$(cli zcard "rpopd:{queue}:dead")" = 1 ]'
cli lpush queue 600 >/dev/null
await 'said "^Waiting 600$"'
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null
start "$user"
check 'a job is taken back with these rights' await '[ "$(grep -c "^Waiting 600$" "$tmp/out")" = 2 ]'
kill -QUIT "$daemon"
check 'and given back' eval 'stop; [ "$(cli lrange queue 0 -1)" = 600 ]'
cli acl log >"$tmp/acl"
refused() { awk '/^object$/ { getline; if ($0 != "info") print }' "$tmp/acl"; } # INFO may be refused
check 'nothing was refused' eval '! said "refused\|NOPERM" && grep -q "^object$" "$tmp/acl" && [ -z "$(refused)" ]'

for right in evalsha lmove blmove zadd rename; do
    cli acl setuser rpopd "-$right" >/dev/null
    start "$user"
    check "without $right the daemon says so and ends with 78" eval \
        'wait "$daemon"; [ $? = 78 ] && daemon= && grep -i "$right" "$tmp/out" | grep -q "ACL SETUSER"'
    [ -z "$daemon" ] || kill -KILL "$daemon" 2>/dev/null
    cli acl setuser rpopd "+$right" >/dev/null
done
echo "1..$n"
exit $bad
