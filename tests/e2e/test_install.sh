#!/bin/bash
# What `make install` puts where, and that `make uninstall` takes it away again. TAP.
# shellcheck disable=SC2317,SC2016 # called and expanded through check
set -u
tmp=$(mktemp -d "${TMPDIR:-/tmp}/rpopd-install.XXXXXX") || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM
root=$tmp/root

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
target() { make --no-print-directory "$@"; }
files() { (cd "$1" && find . -type f -printf '%m %P\n' | LC_ALL=C sort -k2); }
same() { diff "$tmp/want" "$1"; }

cat >"$tmp/want" <<'L'
644 etc/rpopd/rpopd.conf
755 usr/bin/rpopctl
644 usr/include/rpopd_plugin.h
755 usr/lib/rpopd/rpopd-exec
644 usr/lib/systemd/system/rpopd.service
644 usr/lib/systemd/system/rpopd@.service
644 usr/lib/sysusers.d/rpopd.conf
644 usr/lib/tmpfiles.d/rpopd.conf
755 usr/sbin/rpopd
644 usr/share/doc/rpopd/examples/plugin/Makefile
644 usr/share/doc/rpopd/examples/plugin/block.c
644 usr/share/doc/rpopd/examples/plugin/gather.c
755 usr/share/doc/rpopd/examples/pool/worker.js
755 usr/share/doc/rpopd/examples/pool/worker.pl
755 usr/share/doc/rpopd/examples/pool/worker.py
755 usr/share/doc/rpopd/examples/pool/worker.rb
755 usr/share/doc/rpopd/examples/pool/worker.sh
644 usr/share/man/man1/rpopctl.1
644 usr/share/man/man3/rpopd_plugin.3
644 usr/share/man/man5/rpopd.conf.5
644 usr/share/man/man8/rpopd.8
L
umask 077
check 'install succeeds, with a narrow umask too' target install DESTDIR="$root"
files "$root" >"$tmp/have"
check 'every file is where Debian expects it, with its mode' same "$tmp/have"
check 'every folder may be entered' eval '! find "$root" -mindepth 1 -type d ! -perm 755 | grep .'
check 'the daemon starts from there' eval '"$root/usr/sbin/rpopd" -V | grep -q "^rpopd [0-9]"'
check 'so does rpopctl' eval '"$root/usr/bin/rpopctl" -V | grep -q "^rpopctl [0-9]"'
check 'no placeholder is left in a unit' eval '! grep -n "@[A-Z]*@" "$root"/usr/lib/systemd/system/rpopd*'
check 'the units name what is installed' eval \
    'grep -qx "ExecStart=/usr/sbin/rpopd -c /etc/rpopd/rpopd.conf" "$root/usr/lib/systemd/system/rpopd.service" &&
     grep -qx "ExecStart=/usr/sbin/rpopd -c /etc/rpopd/%i.conf" "$root/usr/lib/systemd/system/rpopd@.service"'
check 'the two units differ in the instance alone' eval \
    '[ "$(diff "$root/usr/lib/systemd/system/rpopd.service" "$root/usr/lib/systemd/system/rpopd@.service" | grep "^[<>]" |
       grep -vc "Description\|ExecStart\|RPOPD_INSTANCE\|RuntimeDirectory")" = 0 ]'
check 'the configuration is the sample, which wants a queue of the operator' eval \
    'cmp conf/rpopd.conf "$root/etc/rpopd/rpopd.conf" && "$root/usr/sbin/rpopd" -t -c "$root/etc/rpopd/rpopd.conf" 2>&1 | grep -q queue'

if command -v systemd-analyze >/dev/null; then
    # systemd looks for the binary below /, so a copy names the one that is installed.
    mkdir "$tmp/units"
    for u in rpopd.service rpopd@.service; do
        sed -e "s,/usr/sbin/rpopd,$root/usr/sbin/rpopd," -e '/^Documentation=/d' \
            "$root/usr/lib/systemd/system/$u" >"$tmp/units/$u"
    done
    check 'systemd finds nothing wrong with the service' eval \
        'systemd-analyze verify --man=no "$tmp/units/rpopd.service" && [ ! -s "$tmp/why" ]'
    check 'nor with an instance of it' eval \
        'systemd-analyze verify --man=no "$tmp/units/rpopd@.service" && [ ! -s "$tmp/why" ]'
    check 'its exposure is low' eval \
        'systemd-analyze security --offline=true --threshold=15 "$tmp/units/rpopd.service"'
fi

echo '# mine' >>"$root/etc/rpopd/rpopd.conf"
check 'a second install succeeds' target install DESTDIR="$root"
check 'and leaves the configuration alone' eval 'tail -n 1 "$root/etc/rpopd/rpopd.conf" | grep -qx "# mine"'

check 'uninstall succeeds' target uninstall DESTDIR="$root"
files "$root" >"$tmp/have"
grep rpopd/rpopd.conf "$tmp/want" >"$tmp/config" && mv "$tmp/config" "$tmp/want"
check 'only the configuration is left' same "$tmp/have"
check 'uninstall may be repeated' target uninstall DESTDIR="$root"

echo "1..$n"
exit $bad
