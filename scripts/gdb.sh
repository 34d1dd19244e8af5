#!/bin/sh
# `make gdb`: an ordinary guest that stops at the kernel's first function, `kernel_main`, in a gdb that knows powerpc.
# (A secure run's gdb port belongs to the emulated ultravisor.) FIRMWARE, CPU, MEM, QEMU, APPEND and PORT as in make.
#   scripts/gdb.sh            a session; without a terminal, QEMU waits for one
#   scripts/gdb.sh --which    the gdb that is used; status 1 when there is none
#   scripts/gdb.sh --check    whether it stops there, with file, line and source
set -eu
cd "$(dirname "$0")/.."

which_gdb() {
    for gdb in gdb-multiarch powerpc64le-linux-gnu-gdb gdb; do
        "$gdb" -nx -batch -ex 'set architecture powerpc:common64' 2>/dev/null | grep -q 'is set to' && { echo "$gdb"; return; }
    done
    return 1
}
if [ "${1:-}" = --which ]; then which_gdb; exit; fi

work=$(mktemp -d)
qemu=''
trap '[ -z "$qemu" ] || kill "$qemu" 2>/dev/null || true; rm -rf "$work"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
port=${PORT:-1234} firmware=${FIRMWARE:-slof}
server="tcp:127.0.0.1:$port" remote="localhost:$port"
if [ "${1:-}" = --check ]; then
    firmware=vof server="chardev:gdb" remote="$work/gdb"
fi

# The image is linked at 0 and loaded at 0x400000; firmware jumps to its first byte in big-endian state, and gdb is used
# after the entry has switched to little-endian. The breakpoint is at the local entry of the function, before any inlined
# code.
base=0x400000
entry=$(powerpc64le-linux-gnu-readelf -sW build/postern.elf |
    sed -n 's/^ *[0-9]*: \([0-9a-f]*\) .*<localentry>: \([0-9]*\)\].* kernel_main$/0x\1+\2/p; t
            s/^ *[0-9]*: \([0-9a-f]*\) .* kernel_main$/0x\1+0/p')
[ -n "$entry" ] || { echo "gdb: build/postern.elf has no kernel_main" >&2; exit 1; }
# The image names its sources by paths that are the same on every machine.
compiler=$(scripts/cargo --rustc -vV | sed -n 's/^commit-hash: //p')
library=$(scripts/cargo --rustc --print sysroot)/lib/rustlib/src/rust
cat >build/gdbinit <<END
set endian little
set confirm off
directory $PWD
directory ${CARGO_HOME:-$HOME/.cargo}/registry/src
set substitute-path /rustc/$compiler $library
target remote $remote
add-symbol-file build/postern.elf -o $base
hbreak *($base+$entry)
continue
list kernel_main
END

machine=pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off
[ "$firmware" != vof ] || machine=$machine,x-vof=on
set -- "${1:-}" "${QEMU:-qemu-system-ppc64}" -machine "$machine" -cpu "${CPU:-power9}" -m "${MEM:-1G}" -nodefaults \
    -nographic -vga none -serial mon:stdio -action panic=exit-failure -kernel build/postern.elf \
    -append "${APPEND:-svm=off}" -S -gdb "$server"
[ "$firmware" != bios ] || set -- "$@" -bios ./build/rom.bin
mode=$1
shift

gdb=$(which_gdb) || { scripts/setup.sh --quiet --gdb && gdb=$(which_gdb); } || gdb=''
if [ "$mode" = --check ]; then
    [ -n "$gdb" ] || { echo "gdb: none that knows powerpc (Debian package gdb-multiarch)"; exit 1; }
    "$@" -chardev "socket,id=gdb,server=on,wait=off,path=$work/gdb" >"$work/console" 2>&1 </dev/null &
    qemu=$!
    until [ -S "$work/gdb" ] || ! kill -0 "$qemu" 2>/dev/null; do sleep 0.1; done
    # A limit only for a gdb that never ends: a busy machine is slow.
    timeout 600 "$gdb" -nx -q -batch -x build/gdbinit -ex 'printf "pc is %#lx\n", $pc - '"$base" >"$work/gdb.log" 2>&1 || true
    line=$(grep -n 'fn kernel_main' kernel/src/main.rs | cut -d : -f 1)
    for said in "kernel_main (.*) at .*kernel/src/main.rs:$line$" "^$line	.*fn kernel_main(" \
        "^pc is $(printf '%#x' $(($entry)))\$"; do
        grep -q "$said" "$work/gdb.log" || { echo "gdb: never said: $said"; cat "$work/gdb.log" "$work/console"; exit 1; }
    done
    echo "gdb: stops at kernel_main, kernel/src/main.rs:$line"
    exit 0
fi
if [ -z "$gdb" ] || [ ! -t 0 ]; then
    echo "gdb: QEMU waits; in another terminal, in this folder: ${gdb:-gdb-multiarch} -x build/gdbinit"
    [ -n "$gdb" ] || echo "gdb: it must know powerpc: Debian package gdb-multiarch"
    rm -rf "$work"
    exec "$@"
fi
echo "gdb: the guest's console goes to build/gdb-console.log"
# In a session of its own, so that Ctrl-C reaches gdb alone.
setsid "$@" >build/gdb-console.log 2>&1 </dev/null &
qemu=$!
# Ctrl-C must not end this script either, which waits for gdb.
trap : INT
"$gdb" -q -x build/gdbinit
