#!/bin/sh
# Boots the small Linux of scripts/linux-svm.sh as a secure VM, with work for three disks and a network card, and checks
# its results and the devices' accesses:
#   scripts/linux.sh [FOLDER]
# FOLDER, build/linux by default, has the kernel and its initramfs. From the environment: QEMU; SMP; APPEND, the kernel's
# command line; KERNEL, another vmlinux; MACHINE, more properties of QEMU's pseries, such as ic-mode=xics or x-vof=on;
# TOOL, more options of `postern-ultravisor run`; KEXEC, an ELF file that Linux starts by kexec when its work is done,
# with the command line KEXEC_APPEND and, for another Linux, the initramfs KEXEC_INITRD; KEXEC_OPTIONS=-f makes Linux load
# the files itself, with a kernel that has KEXEC_FILE.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
from=${1:-$top/build/linux}
qemu=${QEMU:-qemu-system-ppc64}
append=${APPEND-svm=on swiotlb=force}
kernel=${KERNEL:-$from/vmlinux}
tool=${CARGO_TARGET_DIR:-$top/target}/debug/postern-ultravisor
[ -e "$from/initramfs.gz" ] && [ -e "$from/vmlinux" ] || { echo "linux: no kernel in $from; \`make linux\` builds it" >&2; exit 1; }
[ -e "$kernel" ] || { echo "linux: no kernel $kernel" >&2; exit 1; }
(cd "$top" && scripts/cargo -q build -p postern-ultravisor)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
mkdir "$work/tftp"
head -c 8388608 /dev/urandom >"$work/data"
head -c 8388608 /dev/zero >"$work/scratch"
head -c 16777216 /dev/zero >"$work/ext4"
head -c 65536 /dev/urandom >"$work/tftp/pattern"
initrd=$from/initramfs.gz
if [ -n "${KEXEC-}" ]; then
    [ ! -e "$from/init" ] || { echo "linux: KEXEC needs a little-endian Linux" >&2; exit 1; }
    [ -e "$from/kexec" ] || { echo "linux: no $from/kexec; \`make linux\` builds it" >&2; exit 1; }
    powerpc64le-linux-gnu-objcopy -S "$KEXEC" "$work/next" || { echo "linux: no kernel $KEXEC" >&2; exit 1; }
    echo "${KEXEC_APPEND-}" >"$work/next.words"
    echo "${KEXEC_OPTIONS-}" >"$work/next.options"
    "$from/gen_init_cpio" - <<END | gzip -1n | cat "$from/initramfs.gz" - >"$work/initrd"
file /kexec $from/kexec 755 0 0
file /next $work/next 644 0 0
file /next.words $work/next.words 644 0 0
file /next.options $work/next.options 644 0 0
${KEXEC_INITRD:+file /next.initrd $KEXEC_INITRD 644 0 0}
END
    initrd=$work/initrd
fi
PATH=$PATH:/usr/sbin:/sbin mkfs.ext4 -q -F "$work/ext4"
disk() { echo "-drive if=none,id=$1,format=raw,file=$work/$1 -device virtio-blk-pci,drive=$1,iommu_platform=on,disable-legacy=on"; }
# Lists of words without spaces: the folder is mktemp's.
# shellcheck disable=SC2046,SC2086
{
    code=0
    "$tool" run --check --json "$work/calls" ${TOOL-} -- "$qemu" \
        -M "pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off${MACHINE:+,$MACHINE}" -cpu power9 \
        -smp "${SMP:-2}" -m 1G -nodefaults -nographic -vga none -no-reboot -serial stdio \
        -kernel "$kernel" -initrd "$initrd" -append "console=hvc0 panic=-1 $append" \
        $(disk data) $(disk scratch) $(disk ext4) \
        -netdev "user,id=net,tftp=$work/tftp,guestfwd=tcp:10.0.2.100:7-cmd:cat" \
        -device virtio-net-pci,netdev=net,romfile=,iommu_platform=on,disable-legacy=on </dev/null 2>&1 || code=$?
    echo "$code" >"$work/status"
} | tr -d '\r' | tee "$work/console"

bad=$(cat "$work/status")
# check KEY EXPECTED: compares a value that Linux printed with the host's.
check() {
    said=$(sed -n "s/^linux: $1=//p" "$work/console" | head -n 1)
    [ "$said" = "$2" ] || { echo "linux: $1 is '$said', not $2"; [ "$bad" != 0 ] || bad=1; }
}
sum() { sha256sum | cut -d' ' -f1; }
# Of each Linux, where one starts another.
[ "$(sed -n "s/^linux: svm=//p" "$work/console" | sort -u)" = 1 ] || { echo "linux: not secure"; [ "$bad" != 0 ] || bad=1; }
as="disks, file system, UDP and TCP"
if [ -e "$from/init" ]; then
    # The only program of a big-endian Linux copies from one disk to another.
    as=disks
    check order big-endian
    check copied 1048576
    cmp -s -n 1048576 "$work/data" "$work/scratch" || { echo "linux: vdb has not what vda has"; [ "$bad" != 0 ] || bad=1; }
elif grep -q '^linux: vda.sha256=' "$work/console"; then
    check vda.sha256 "$(sum <"$work/data")"
    check vdb.read "$(head -c 1048576 "$work/scratch" | sum)"
    check ext4 "$(head -c 1048576 "$work/scratch" | sum)"
    check udp "$(sum <"$work/tftp/pattern")"
    check tcp.back "$(head -c 262144 "$work/scratch" | sum)"
else
    # Drivers that are modules are not in the initramfs.
    echo "linux: the kernel has no virtio driver built in, so its devices had no work"
    [ "$bad" != 0 ] || bad=1
fi
check done 1
if [ -n "${KEXEC-}" ] && ! grep -q ': kexec: .* kernel at 0x' "$work/console"; then
    echo "linux: the other kernel was not entered"
    [ "$bad" != 0 ] || bad=1
fi
if grep -q '^postern: ' "$work/console"; then
    said=$(sed -n "s/^postern: blk0.sha256_1m=//p" "$work/console")
    [ "$said" = "$(head -c 1048576 "$work/data" | sum)" ] || { echo "linux: blk0.sha256_1m is '$said'"; [ "$bad" != 0 ] || bad=1; }
fi
[ "$bad" = 0 ] && echo "linux: $as as the host has them"
exit "$bad"
