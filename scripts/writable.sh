#!/bin/sh
# Checks that make's output folders can be written, and prints a clear message if not.
#   scripts/writable.sh build target
set -u
cd "$(dirname "$0")/.." || exit 1
for folder; do
    mkdir -p "$folder" 2>/dev/null
    [ -d "$folder" ] && [ -w "$folder" ] || {
        echo "postern: $folder: cannot be written. make writes to build and target (or CARGO_TARGET_DIR) in its own folder," \
            "and cargo to ~/.cargo (or CARGO_HOME): make these writable, or copy the source elsewhere" >&2
        exit 1
    }
done
