#!/bin/bash
# A machine of its own (qemu, which emulates the processor) whose power goes, again and again, while Redis and the daemon
# work in it: its process is killed. From outside it is seen what Redis had confirmed and what was done; in the end each
# job that was confirmed has been done, or it fails. Where Redis syncs each second it only says what was lost.
#
#   POWER_CUTS    so often (5)       POWER_FSYNC   Redis' appendfsync (always)       POWER_KEEP=1   keeps the folder
#
# Takes the packages qemu-system-x86 cpio e2fsprogs redis-server, and apt-get, which fetches a kernel and busybox.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
rpopd=$(realpath "${RPOPD:-build/rpopd}") cuts=${POWER_CUTS:-5} fsync=${POWER_FSYNC:-always}
dir=$(mktemp -d "${TMPDIR:-/tmp}/rpopd-power.XXXXXX")
machine=
finish() {
    [ -z "$machine" ] || kill -KILL "$machine" 2>/dev/null || :
    if [ -n "${POWER_KEEP:-}" ]; then echo "kept: $dir"; else rm -rf "$dir"; fi
}
trap finish EXIT
trap 'exit 130' INT TERM
for program in qemu-system-x86_64 cpio mke2fs redis-server apt-get; do
    command -v $program >/dev/null || { echo "power: there is no $program here" && exit 77; }
done
cd "$dir"

# A kernel with the modules for its disk, and a system of nothing but what runs in it.
kernel() {
    local image
    image=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/{ print $2; exit }')
    apt-get -q download "$image" busybox-static >fetched 2>&1 || { cat fetched && exit 77; }
    dpkg-deb -x linux-image-*.deb kernel
    dpkg-deb -x busybox-static_*.deb busybox
}
system() {
    local program library
    mkdir -p root/bin root/modules root/proc root/sys root/dev root/run root/tmp
    cp busybox/bin/busybox root/bin/
    cp "$here/init" root/init
    for m in virtio virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk crc16 crc32c_generic \
        libcrc32c mbcache jbd2 ext4; do
        find kernel/lib/modules -name "$m.ko*" -exec cp {} root/modules/ \;
    done
    for program in "$rpopd" "$(dirname "$rpopd")/rpopd-exec" "$(command -v redis-server)" "$(command -v redis-cli)"; do
        cp -L "$program" root/bin/
        for library in $(ldd "$program" | grep -o '/[^ ]*'); do
            mkdir -p "root$(dirname "$library")"
            cp -Ln "$library" "root$library"
        done
    done
    cat >root/rpopd.conf <<'C'
instance = "e2e"; runtime_dir = "/run/rpopd"; lease = 1.5; concurrency = 20;
redis: { url = "unix:///run/redis.sock"; };
queues: ( { name = "queue"; max_recoveries = 1000000; handler: { type = "sleep"; }; } );
C
    (cd root && find . | cpio --quiet -o -H newc) | gzip -1 >system
}

boot() { # FIRST: the console goes to `console`
    qemu-system-x86_64 -accel tcg,thread=multi -m 512 -smp 2 -kernel kernel/boot/vmlinuz-* -initrd system -nodefaults \
        -append "console=ttyS0 quiet panic=-1 mitigations=off fsync=$fsync first=$1" -serial stdio -display none \
        -drive file=disk,format=raw,if=virtio,cache=writeback -no-reboot -net none </dev/null >>console 2>errors &
    machine=$!
}
lines() { grep -c "^$1" console || :; }
await() { # PATTERN N: until there are so many lines of it
    local _
    for _ in $(seq 1200); do
        [ "$(lines "$1")" -lt "$2" ] || return 0
        kill -s 0 $machine 2>/dev/null || break
        sleep 0.1
    done
    echo "power: no '$1' after two minutes; the console ends so:"
    tail -n 20 console errors
    exit 1
}

kernel
system
truncate -s 256M disk
mke2fs -q -F -t ext4 disk
: >console
began=$SECONDS
for cut in $(seq "$cuts"); do
    seen=$(lines Done)
    boot $((cut * 20000))
    await Done $((seen + 200 + RANDOM % 300))
    kill -KILL $machine
    wait $machine 2>/dev/null || :
    echo >>console # the last line may be a part of one
    echo "power: cut $cut after $((SECONDS - began)) s, $(lines PUSHED)00 jobs confirmed, $(lines Done) done"
done
boot none
await END 1
wait $machine || :
machine=

tr -d '\r' <console | awk -v fsync="$fsync" '
    /^KNOWN|^REWRITE/ { print "power: " $0 }
    /^PUSHED [0-9]+$/ { for (i = 0; i < 100; i++) pushed[$2 + i] = 1 }
    /^Done 0\.01[0-9]+$/ { n = substr($2, 5) + 0; done[n]++; runs++ }
    /^LEFT / && NF > 1 { print "power: " $0; bad = 1 }
    /level=(error|warning)/ { print "power: " $0 }
    /^Done 0\.001$/ { on = 1 }
    END {
        for (n in pushed) { all++; if (!(n in done)) lost++ }
        for (n in done) again += done[n] - 1
        printf "power: %d jobs confirmed, %d lost, %d done again\n", all, lost, again
        exit bad || !on || all == 0 || (lost && fsync == "always")
    }'
