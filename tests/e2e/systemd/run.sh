# Runs inside the booted container, as root: the service through its whole life. TAP.
# shellcheck shell=bash disable=SC2317,SC2016,SC2034 # called and expanded through ok
U=rpopd.service socket=/run/redis-test/redis.sock
n=0 bad=0
ok() { # ok SENTENCE CONDITION
    n=$((n + 1))
    if eval "$2"; then echo "ok $n - $1"; else
        echo "not ok $n - $1"
        bad=1
    fi
}
prop() { systemctl show -P "$1" "${2:-$U}"; }
cli() { redis-cli -s $socket "$@"; }
await() { # await CONDITION: at most 20 s
    local _
    for _ in $(seq 400); do
        eval "$1" && return 0
        sleep 0.05
    done
    echo "# not within 20 s: $1"
    return 1
}
lines() { journalctl -u "${2:-$U}" -o cat --no-pager | grep -cx "$1"; }
logged() { journalctl --sync && [ "$(lines "$1")" = "$2" ]; }
field() { [ "$(journalctl --no-pager -o cat _SYSTEMD_UNIT="$U" "$@" | wc -l)" -gt 0 ]; }
count() { cli lrange queue 0 -1 | grep -cx "$1"; }
status() { tr '\t' ' ' <"/proc/$pid/status" | grep -qx "$1"; }

systemd-sysusers && systemd-tmpfiles --create
systemd-run -q --unit=redis-test --property=RuntimeDirectory=redis-test \
    redis-server --port 0 --unixsocket $socket --unixsocketperm 777 --save '' --dir /tmp
await '[ "$(cli ping 2>/dev/null)" = PONG ]'

ok 'start returns once the daemon is ready' 'systemctl start $U && [ "$(prop ActiveState)" = active ]'
pid=$(prop MainPID)
ok 'systemctl status shows what it does' '[[ $(prop StatusText) == "1 queue, 0 running, 0 done"* ]]'
ok 'it runs as the user rpopd' '[ "$(stat -c %U "/proc/$pid")" = rpopd ]'
ok 'it has no capability' 'status "CapBnd: 0000000000000000" && status "CapPrm: 0000000000000000"'
ok 'it cannot gain any, and its system calls are filtered' 'status "NoNewPrivs: 1" && status "Seccomp: 2"'
ok 'it sees the file system read-only' 'nsenter -t "$pid" -m true && ! nsenter -t "$pid" -m touch /etc/probe 2>/dev/null && ! nsenter -t "$pid" -m touch /usr/probe 2>/dev/null'
ok 'it may have many files open' '[ "$(prop LimitNOFILE)" = 65536 ]'

cli lpush queue 0 >/dev/null
ok 'a job runs' 'await "logged \"Done 0\" 1"'
ok 'STATUS counts it' 'await "[[ \$(prop StatusText) == *\" 1 done\"* ]]"'

cli lpush queue 5 >/dev/null
await 'logged "Waiting 5" 1'
kill -KILL "$pid"
ok 'kill -9 is followed by a restart' 'await "[ \"\$(prop NRestarts)\" = 1 ] && [ \"\$(prop ActiveState)\" = active ]"'
ok 'as a new process' '[ "$(prop MainPID)" != "$pid" ] && [ "$(prop MainPID)" != 0 ]'
ok 'the job that ran is taken back and done' 'await "logged \"Done 5\" 1" && logged "Waiting 5" 2'

restarts=$(prop NRestarts)
fed=0 last=
ok 'an idle daemon feeds the watchdog' 'await "now=\$(prop WatchdogTimestampMonotonic); [ \"\$now\" = \"\$last\" ] || fed=\$((fed + 1)); last=\$now; [ \$fed -gt 3 ]"'
ok 'and is left alone' '[ "$(prop NRestarts)" = "$restarts" ]'
pid=$(prop MainPID)
[ "$pid" = 0 ] || kill -STOP "$pid"
ok 'a frozen daemon is started again by the watchdog' 'await "[ \"\$(prop NRestarts)\" -gt $restarts ] && [ \"\$(prop ActiveState)\" = active ]"'

cli lpush queue 600 >/dev/null
await 'logged "Waiting 600" 1'
ok 'stop ends in time' 'timeout 20 systemctl stop $U'
ok 'it ends by itself, with status 0' '[ "$(prop Result)" = success ] && [ "$(prop ExecMainCode)" = 1 ] && [ "$(prop ExecMainStatus)" = 0 ]'
ok 'what was not done is back in the list' '[ "$(count 600)" = 1 ] && [ "$(cli llen queue)" = 1 ]'
ok 'its runtime directory is kept, for it alone' '[ "$(stat -c "%U %a" /run/rpopd)" = "rpopd 750" ] && [ -n "$(ls /run/rpopd)" ]'
journalctl --sync
ok 'the journal has priority and event as fields' 'field PRIORITY=6 RPOPD_EVENT=started SYSLOG_IDENTIFIER=rpopd'
ok 'and its values' 'field RPOPD_EVENT=started RPOPD_WORKERS=1'
cli del queue >/dev/null

printf 'queues: ( { name = "q"; handler: { type = "nothing"; }; } );\n' >/etc/rpopd/bad.conf
ok 'a wrong configuration is not started again' '! systemctl start rpopd@bad 2>/dev/null && await "[ \"\$(prop ActiveState rpopd@bad)\" = failed ]" && [ "$(prop ExecMainStatus rpopd@bad)" = 78 ] && [ "$(prop NRestarts rpopd@bad)" = 0 ]'
ok 'the journal says what is wrong with it' 'journalctl --sync; journalctl -u rpopd@bad -o cat --no-pager | grep -q "bad.conf:1: .*nothing"'

sed 's/name = "queue"/name = "other"/' /etc/rpopd/rpopd.conf >/etc/rpopd/two.conf
ok 'an instance has a file and a name of its own' 'systemctl start rpopd@two && await "[ \"\$(cli exists \"rpopd:{other}:owner:two\")\" = 1 ]"'
cli lpush other 0.5 >/dev/null
ok 'and runs jobs beside others' 'await "journalctl --sync; [ \"\$(lines \"Done 0.5\" rpopd@two)\" = 1 ]"'
ok 'it stops cleanly' 'systemctl stop rpopd@two && [ "$(prop Result rpopd@two)" = success ] && [ "$(cli exists "rpopd:{other}:owner:two")" = 0 ]'

sed -e '/^queues/d' /etc/rpopd/rpopd.conf >/etc/rpopd/three.conf
cat >>/etc/rpopd/three.conf <<'C'
queues: ( { name = "shell"; attempts = 1; handler: { type = "exec"; command = [ "/bin/sh" ]; kill_grace = 0.5; }; } );
log: { level = "debug"; };
C
U=rpopd@three.service
ok 'programs get a cgroup of their own' 'systemctl start $U && await "journalctl --sync; field RPOPD_EVENT=program-ready && ! field RPOPD_EVENT=program-ready RPOPD_CGROUP=none"'
cli lpush shell '(env -i setsid sh -c "trap \"\" TERM; while :; do sleep 1000; done" outlives &); until pgrep -f outlive[s]; do :; done; touch /tmp/ran' >/dev/null
ok 'what wipes its environment and leaves its session ends with its job' 'await "[ \"\$(cli hget \"rpopd:{shell}:stats\" done)\" = 1 ]" && ! pgrep -f outlive[s]'
cli lpush shell 'touch /usr/probe && exit 0; exit 65' >/dev/null
ok 'the sandbox is the programs too' 'await "[ \"\$(cli zcard \"rpopd:{shell}:dead\")\" = 1 ]" && [ ! -e /usr/probe ]'
ok 'they leave no cgroup behind' 'systemctl stop $U && [ "$(prop Result)" = success ]'
echo "1..$n"
exit $bad
