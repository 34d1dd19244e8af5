#!/bin/sh
# Runs contrib/qemu-functional on the built test image as QEMU's runner does, with a stand-in for QEMU's Python package.
set -eu
cd "$(dirname "$0")/.."
image=$PWD/build/postern-test.elf
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=harness/tests POSTERN_IMAGE=$image POSTERN_SHA256=$(sha256sum "$image" | cut -d' ' -f1) \
    QEMU_TEST_QEMU_BINARY=${QEMU:-qemu-system-ppc64} exec python3 contrib/qemu-functional/test_ppc64_postern.py "$@"
