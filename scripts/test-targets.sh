#!/bin/sh
# The libraries' tests on other machines: a 32-bit one, where a `usize` cannot hold a guest's address, and a big-endian
# one, where reading bytes in the machine's own order gives wrong values. These tests do not check `unsafe` code as Miri
# does; the libraries have little of it.
#   scripts/test-targets.sh [TARGET...] [-- ARGUMENTS OF THE TESTS]
# Both programs run under QEMU's user mode; the standard library is built from its source.
set -eu
cd "$(dirname "$0")/.."
targets=''
while [ $# -gt 0 ] && [ "$1" != -- ]; do targets="$targets $1"; shift; done
[ "${1:-}" = -- ] && shift
for target in ${targets:-i686 s390x}; do
    case "$target" in
    i686) qemu=qemu-i386 ;;
    s390x) qemu=qemu-s390x ;;
    *) echo "test-targets: $target: wanted one of: i686 s390x" >&2; exit 2 ;;
    esac
    upper=$(echo "${target}_UNKNOWN_LINUX_GNU" | tr a-z A-Z)
    export "CARGO_TARGET_${upper}_LINKER=$target-linux-gnu-gcc"
    export "CARGO_TARGET_${upper}_RUNNER=$qemu -L /usr/$target-linux-gnu"
    echo "== libraries on $target"
    # Optimised, since an emulator makes it slow enough; overflow checks and assertions stay.
    RUSTC_BOOTSTRAP=1 CARGO_PROFILE_TEST_OPT_LEVEL=1 CARGO_PROFILE_TEST_DEBUG=0 \
        scripts/cargo test -p papr -p svm-dma -p virtio-pci -p pseries-tree -p netstack -p status-page -p postern-core -p workloads -Zbuild-std --target "$target-unknown-linux-gnu" \
        --target-dir build/targets -- "$@"
done
