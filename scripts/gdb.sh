#!/bin/sh
# `make gdb`: an ordinary guest stopped at the kernel's first instruction, with gdb attached when there is one.
# (A secure run's gdb port belongs to the emulated ultravisor.) FIRMWARE, CPU, MEM, QEMU and APPEND as in make.
set -eu
cd "$(dirname "$0")/.."
port=${PORT:-1234}
machine=pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off
[ "${FIRMWARE:-slof}" != vof ] || machine=$machine,x-vof=on
# The image is linked at 0 and loaded at 0x400000; firmware jumps to its first byte in big-endian state, and
# gdb follows from where the entry has turned to little-endian.
base=0x400000
cat >build/gdbinit <<END
set endian little
set confirm off
target remote localhost:$port
add-symbol-file build/postern.elf -o $base
hbreak kernel_main
continue
END

set -- "${QEMU:-qemu-system-ppc64}" -machine "$machine" -cpu "${CPU:-power9}" -m "${MEM:-1G}" -nodefaults \
    -nographic -vga none -serial mon:stdio -action panic=exit-failure -kernel build/postern.elf \
    -append "${APPEND:-svm=off}" -S -gdb "tcp:127.0.0.1:$port"
[ "${FIRMWARE:-slof}" != bios ] || set -- "$@" -bios ./build/rom.bin

gdb=$(command -v gdb-multiarch || true)
if [ -z "$gdb" ] || [ ! -t 0 ]; then
    echo "gdb: QEMU waits; in another terminal: gdb-multiarch -x build/gdbinit (Debian package gdb-multiarch)"
    exec "$@"
fi
echo "gdb: the guest's console goes to build/gdb-console.log"
# In a session of its own, so that Ctrl-C reaches gdb alone.
setsid "$@" >build/gdb-console.log 2>&1 </dev/null &
qemu=$!
trap 'kill $qemu 2>/dev/null || true' EXIT
"$gdb" -q -x build/gdbinit
