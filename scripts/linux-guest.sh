#!/bin/sh
# Fetches the Linux for the comparison with Postern, and builds its only program:
#   scripts/linux-guest.sh FOLDER
# leaves FOLDER/vmlinux, FOLDER/version, FOLDER/init and FOLDER/modules/NAME.ko. The packages are of another
# architecture: apt's lists, caches and state are in FOLDER, and none of them is installed. The cross compiler is
# installed, by name, if it is missing.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
[ $# = 1 ] || { echo "usage: scripts/linux-guest.sh FOLDER" >&2; exit 2; }
mkdir -p "$1"
to=$(cd "$1" && pwd)
say() { echo "linux-guest: $*" >&2; }
cc=powerpc64le-linux-gnu-gcc

fetch() {
    package=$("$top/scripts/foreign-deb.sh" "$to/apt" '^linux-image-6\.1\.0-[0-9]*-powerpc64le$') || return 1
    name=${package%% *}
    mkdir -p "$to/modules"
    for m in virtio virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk failover net_failover virtio_net; do
        find "$to/apt/root/lib/modules" -name "$m.ko" -exec cp {} "$to/modules/" \;
        [ -e "$to/modules/$m.ko" ] || { say "$name has no module $m"; return 1; }
    done
    echo "${name#linux-image-}" >"$to/version"
    mv "$to/apt/root/boot/vmlinux-${name#linux-image-}" "$to/vmlinux"
    rm -rf "$to/apt"
}

build() {
    if ! command -v $cc >/dev/null; then
        run=''; [ "$(id -u)" = 0 ] || run=sudo
        say "apt-get install gcc-powerpc64le-linux-gnu libc6-dev-ppc64el-cross"
        $run env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends \
            gcc-powerpc64le-linux-gnu libc6-dev-ppc64el-cross >"$to/install.log" 2>&1 || { say "no cross compiler"; return 1; }
    fi
    $cc -Wall -Wextra -Werror -O2 -static -o "$to/init" "$top/bench/guest/init.c"
}

[ -e "$to/vmlinux" ] || fetch
[ "$to/init" -nt "$top/bench/guest/init.c" ] || build
