#!/bin/bash
# boot.sh STAGE SECONDS - boots systemd as PID 1 over a throw-away overlay of this machine's root, in namespaces of its
# own, runs one script in it as root, powers off and exits with the script's status.
#
#   STAGE/root/   laid over the container's / (units, binaries, configuration)
#   STAGE/run.sh  run inside after basic.target
#   STAGE/out/    outside: log (what run.sh printed), journal.txt, console
#
# Exit: run.sh's status; 124 no end within SECONDS; 125 such a container cannot be made on this machine.
# Needs root. Touches nothing outside STAGE/out, one temporary folder and a control group of its own.
set -u
stage=$(readlink -e "${1:?stage}") limit=${2:?seconds}
work=$(mktemp -d "${TMPDIR:-/tmp}/rpopd-boot.XXXXXX") || exit 125
mkdir -p "$stage/out" && rm -f "$stage/out/"*

# A group of our own in every hierarchy that systemd could use, so that nothing is left behind.
groups=()
for h in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
    [ -e "$h/cgroup.procs" ] && mkdir "$h/rpopd-boot-$$" 2>/dev/null && groups+=("$h/rpopd-boot-$$")
done
# shellcheck disable=SC2317 # called by trap
cleanup() {
    local g
    for _ in $(seq 40); do
        for g in "${groups[@]}"; do
            [ ! -d "$g" ] || find "$g" -depth -type d -exec rmdir {} + 2>/dev/null
        done
        for g in "${groups[@]}"; do [ ! -d "$g" ] || continue 2; done
        break
    done
    rm -rf "$work"
}
trap cleanup EXIT

cat >"$work/inner.sh" <<'IN'
set -e
stage=$1 work=$2
mount -t tmpfs -o mode=755 tmpfs "$work"
mkdir "$work/up" "$work/wk" "$work/root"
mount -t overlay -o "lowerdir=/,upperdir=$work/up,workdir=$work/wk" overlay "$work/root"
R=$work/root
mkdir -p "$R/stage/out" "$R/etc/systemd/system"
# The machine's own mounts, identity and journal have no meaning inside.
: >"$R/etc/fstab"
rm -rf "$R/var/log/journal" "$R/run" "$R/etc/machine-id"
mkdir -p "$R/run"
echo uninitialized >"$R/etc/machine-id"
for u in systemd-networkd.service systemd-networkd.socket systemd-timesyncd.service systemd-sysctl.service \
    systemd-modules-load.service systemd-remount-fs.service dev-hugepages.mount systemd-udevd.service \
    systemd-udev-trigger.service systemd-pstore.service systemd-firstboot.service redis-server.service; do
    ln -sf /dev/null "$R/etc/systemd/system/$u"
done
cp -a "$stage/root/." "$R/"
cp "$stage/run.sh" "$R/stage/run.sh"
cat >"$R/etc/systemd/system/stage-run.service" <<U
[Unit]
DefaultDependencies=no
After=basic.target
SuccessAction=exit
FailureAction=exit
[Service]
Type=oneshot
ExecStart=/bin/bash -c '/bin/bash /stage/run.sh >/stage/out/log 2>&1; echo \$\$? >/stage/out/status; journalctl --no-pager -o short-precise >/stage/out/journal.txt 2>&1; true'
U
printf '[Unit]\nRequires=basic.target\nWants=stage-run.service\nAfter=basic.target\nAllowIsolate=yes\n' \
    >"$R/etc/systemd/system/stage.target"
mount --bind "$stage/out" "$R/stage/out"
mount -t proc proc "$R/proc"
mount -t sysfs -o ro sysfs "$R/sys"
mount -t cgroup2 cgroup2 "$R/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$R/dev"
mkdir "$R/dev/pts" "$R/dev/shm" "$R/dev/mqueue"
for d in null zero full random urandom tty; do
    : >"$R/dev/$d"
    mount --bind "/dev/$d" "$R/dev/$d"
done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$R/dev/pts"
ln -s pts/ptmx "$R/dev/ptmx"
ln -s /proc/self/fd "$R/dev/fd"
mount -t tmpfs -o mode=1777 tmpfs "$R/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$R/run"
mount -t tmpfs -o mode=1777 tmpfs "$R/tmp"
cd "$R"
mkdir -p .old
pivot_root . .old
: >stage/out/made
umount -l /.old
exec env -i container=stage PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb \
    setpriv --bounding-set=-sys_time,-sys_module,-sys_rawio,-syslog,-mac_admin,-mac_override -- \
    /lib/systemd/systemd --system --unit=stage.target --log-target=journal --show-status=no </dev/null
IN

(
    for g in "${groups[@]}"; do echo "$BASHPID" >"$g/cgroup.procs"; done
    exec timeout -k 2 "$limit" \
        unshare --fork --pid --kill-child --mount --propagation private --uts --ipc --net --cgroup \
        bash "$work/inner.sh" "$stage" "$work"
) >"$stage/out/console" 2>&1 &
pid=$!
trap 'kill -TERM $pid 2>/dev/null' TERM INT HUP
wait $pid
rc=$?
while kill -0 $pid 2>/dev/null; do # a trapped signal ends wait early
    wait $pid
    rc=$?
done
[ ! -s "$stage/out/status" ] || exit "$(cat "$stage/out/status")"
[ -e "$stage/out/made" ] || exit 125
[ $rc != 124 ] && [ $rc != 137 ] || exit 124
exit 1
