#!/bin/sh
# Fetches the Linux that Postern is compared with, and builds its only program:
#   scripts/linux-guest.sh FOLDER
# leaves FOLDER/vmlinux, FOLDER/version, FOLDER/init and FOLDER/modules/NAME.ko. The packages are of another
# architecture: apt is given lists, caches and a state of its own in FOLDER, and nothing of them is installed.
# The cross compiler is, by name, when it is missing.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
[ $# = 1 ] || { echo "usage: scripts/linux-guest.sh FOLDER" >&2; exit 2; }
mkdir -p "$1"
to=$(cd "$1" && pwd)
say() { echo "linux-guest: $*" >&2; }
cc=powerpc64le-linux-gnu-gcc

fetch() {
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || { say "no apt-get: not a Debian"; return 1; }
    mkdir -p "$to/apt/lists/partial" "$to/apt/cache/archives/partial" "$to/apt/packages"
    : >"$to/apt/status"
    cat >"$to/apt/conf" <<END
APT::Architecture "ppc64el";
APT::Architectures { "ppc64el"; };
APT::Sandbox::User "";
Dir::State "$to/apt";
Dir::State::Lists "$to/apt/lists";
Dir::State::status "$to/apt/status";
Dir::Cache "$to/apt/cache";
END
    export APT_CONFIG="$to/apt/conf"
    # One suite's broken index does not matter when another has the package.
    apt-get -q update >"$to/apt/log" 2>&1 || say "apt-get update reported errors, going on"
    name=$(apt-cache search --names-only '^linux-image-6\.1\.0-[0-9]*-powerpc64le$' | cut -d' ' -f1 | sort -V | tail -n 1)
    [ -n "$name" ] || { say "no linux-image-6.1.0-*-powerpc64le"; return 1; }
    say "fetching $name"
    (cd "$to/apt/packages" && apt-get -q download "$name" >>"$to/apt/log" 2>&1) || { say "$name cannot be had"; return 1; }
    dpkg -x "$to/apt/packages/$name"_*.deb "$to/apt/root"
    mkdir -p "$to/modules"
    for m in virtio virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk failover net_failover virtio_net; do
        find "$to/apt/root/lib/modules" -name "$m.ko" -exec cp {} "$to/modules/" \;
        [ -e "$to/modules/$m.ko" ] || { say "$name has no module $m"; return 1; }
    done
    echo "${name#linux-image-}" >"$to/version"
    mv "$to/apt/root/boot/vmlinux-${name#linux-image-}" "$to/vmlinux"
    unset APT_CONFIG
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
