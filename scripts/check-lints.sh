#!/bin/sh
# The crates of the image (boot, all below kernel, and the libraries in crates) have the same lints, stricter than the
# workspace's. Cargo does not merge tables, so each has a copy: this script compares the copies with crates/papr's.
# Libraries have more lints of Rust itself, as they deny unsafe code. Exit 1, and the lines that differ, if any do.
set -u
cd "${1:-$(dirname "$0")/..}" || exit 1

model=crates/papr/Cargo.toml
# The lines of a table of a manifest, each lint once.
table() { # table, manifest
    awk -v table="[$1]" '/^\[/ { inside = $0 == table; next } inside && /^[a-z_]+ *=/' "$2" | sort
}
# Lines of the first table that the second has not.
missing() { # what, table, manifest, other table, other manifest
    table "$2" "$3" | while read -r line; do
        table "$4" "$5" | grep -qxF -e "$line" || echo "$1: $line"
    done
}
libraries=$(ls -d crates/* | grep -v '^crates/testkit$')
found=$(
    for lint in arithmetic_side_effects cast_possible_truncation cast_possible_wrap cast_sign_loss expect_used \
        indexing_slicing panic string_slice unreachable unwrap_used; do
        table lints.clippy $model | grep -qx "$lint = \"deny\"" || echo "$model does not deny $lint"
    done
    for crate in $libraries; do
        table lints.rust "$crate/Cargo.toml" | grep -qx 'unsafe_code = "deny"' || echo "$crate does not deny unsafe code"
    done
    for crate in boot kernel kernel/arch kernel/test kernel/virtio-drivers $libraries; do
        for kind in rust clippy; do
            missing "$crate lacks the workspace's" "workspace.lints.$kind" Cargo.toml "lints.$kind" "$crate/Cargo.toml"
        done
        missing "$crate lacks papr's" lints.clippy $model lints.clippy "$crate/Cargo.toml"
        missing "papr lacks $crate's" lints.clippy "$crate/Cargo.toml" lints.clippy $model
    done
    for crate in adversary bench cases crates/testkit esm-blob harness ultravisor; do
        grep -A1 -x '\[lints\]' "$crate/Cargo.toml" | grep -qx 'workspace = true' || echo "$crate does not inherit the workspace's"
    done
)
[ -z "$found" ] || { echo "$found"; exit 1; }
