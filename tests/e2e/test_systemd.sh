#!/bin/bash
# The installed service under a real systemd, booted as PID 1 over a throw-away overlay of this machine. TAP.
# Needs root and the right to mount; without them it says so and skips. RPOPD is built by `make install`.
set -u
skip() {
    echo "1..0 # SKIP $*"
    exit 0
}
[ "$(id -u)" = 0 ] || skip 'booting systemd needs root'
[ -x /lib/systemd/systemd ] || skip 'there is no systemd'
here=$(cd "$(dirname "$0")" && pwd)
stage=$(mktemp -d "${TMPDIR:-/tmp}/rpopd-stage.XXXXXX") || exit 1
child=
# shellcheck disable=SC2317 # called by trap
finish() {
    [ -z "$child" ] || { kill -TERM "$child" && wait "$child"; }
    rm -rf "$stage"
}
trap finish EXIT
trap 'exit 130' INT TERM

make --no-print-directory install DESTDIR="$stage/root" >"$stage/install" 2>&1 || {
    cat "$stage/install"
    echo 'not ok 1 - install'
    exit 1
}
cat >"$stage/root/etc/rpopd/rpopd.conf" <<'C'
redis: { url = "unix:///run/redis-test/redis.sock"; };
lease = 3.0; shutdown_timeout = 1.0;
queues: ( { name = "queue"; handler: { type = "sleep"; }; } );
C
# Only what would make the test slow is changed: the watchdog's time.
mkdir -p "$stage/root/etc/systemd/system/rpopd.service.d"
printf '[Service]\nWatchdogSec=4\n' >"$stage/root/etc/systemd/system/rpopd.service.d/test.conf"
cp "${RUN:-$here/systemd/run.sh}" "$stage/run.sh"

"$here/systemd/boot.sh" "$stage" 120 &
child=$!
wait "$child"
status=$?
child=
[ $status != 125 ] || skip "such a container cannot be made here: $(tail -n 1 "$stage/out/console")"
cat "$stage/out/log"
[ $status = 0 ] || sed 's/^/# /' "$stage/out/console" "$stage/out/journal.txt"
[ $status != 124 ] || echo 'not ok - systemd did not end in time'
exit $status
