#!/bin/sh
# Tries the steps of CPUs and devices in every order that the memory model allows: the tests called `loom_tests`, in
# builds of their own (`--cfg loom`), in which atomics are loom's.
#   scripts/loom.sh [ARGUMENTS OF THE TESTS]
set -eu
cd "$(dirname "$0")/.."
CARGO_ENCODED_RUSTFLAGS=--cfg$(printf '\037')loom exec scripts/cargo test --target-dir "${CARGO_TARGET_DIR:-target}/loom" \
    -p papr -p virtio-pci -p postern-core --lib --no-fail-fast -- loom_tests "$@"
