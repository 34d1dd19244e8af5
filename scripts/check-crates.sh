#!/bin/sh
# Checks which library uses which, as docs/design.md draws it, and what a kernel compiles that uses the ring and the
# pool. No library has a feature, so that none can be weakened by one. Exit 1, and a line for each difference.
set -u
cd "$(dirname "$0")/.." || exit 1
failed=0
says() { failed=1; echo "check-crates: $1"; }

# The packages that a package's build compiles, without its tests.
compiles() { scripts/cargo tree -q --locked -e normal --prefix none -f '{p}' -p "$1" 2>&1 | cut -d' ' -f1 | sort -u; }
ours='netstack papr postern-core pseries-tree status-page svm-dma testkit virtio-pci workloads'
below() { # library, the libraries that it may use
    used=$(compiles "$1")
    case $used in *error:*) says "$1: $used"; return ;; esac
    for name in $ours; do
        [ "$name" = "$1" ] && continue
        case " $2 " in *" $name "*) continue ;; esac
        echo "$used" | grep -qx "$name" && says "$1 uses $name, which stands above it"
    done
}
below papr ''
below svm-dma 'papr'
below virtio-pci 'papr svm-dma'
below pseries-tree 'papr'
below netstack 'papr svm-dma virtio-pci'
below status-page ''
below postern-core 'papr svm-dma virtio-pci pseries-tree netstack'
below workloads 'papr svm-dma virtio-pci pseries-tree netstack postern-core'

for name in fdt sha2 smoltcp; do
    compiles virtio-pci | grep -qx "$name" && says "who wants the ring and the pool compiles $name"
done
# A second kernel needs three of the libraries. It uses sha2 itself.
second=$(compiles example-aarch64-virt)
for name in pseries-tree netstack postern-core workloads testkit fdt smoltcp; do
    echo "$second" | grep -qx "$name" && says "examples/aarch64-virt compiles $name"
done
echo "$second" | grep -qx virtio-pci || says "examples/aarch64-virt does not use virtio-pci: $second"
# Code that makes a `BusAddr` contains the name of its constructor.
minted=$(grep -rlE '\bBusAddr\(' crates kernel boot examples --include='*.rs' | grep -v '^crates/svm-dma/src/dma/')
[ -z "$minted" ] || says "a BusAddr is made outside of svm-dma: $minted"
for manifest in crates/*/Cargo.toml; do
    grep -q '^\[features\]' "$manifest" && says "$manifest has features"
done
# `cargo package` requires of each: a description, a licence, and a version of every library that it uses.
for name in papr svm-dma virtio-pci pseries-tree netstack status-page postern-core workloads; do
    packed=$(scripts/cargo package -q --list --offline --allow-dirty -p "$name" 2>&1) || says "$name: $packed"
    echo "$packed" | grep -qx src/lib.rs || says "$name is packed without its source"
    grep -q "^$name = { path = \"crates/$name\", version = \"" Cargo.toml || says "$name has no version for those that use it"
done
[ "$failed" = 0 ] && echo "check-crates: 9 crates, arrows in one direction, no features"
exit "$failed"
