#!/bin/sh
# docs/qemu-versions.md has a row for each group of boot tests. postern-tables checks the generated lists of words,
# statuses and facts.
set -eu
cd "$(dirname "$0")/.."
failed=0
# A row for each group of boot tests, and a cell for each version.
if ! scripts/cargo -q run -p postern-harness -- table | diff docs/qemu-versions.md - >/dev/null; then
    echo "check-docs: docs/qemu-versions.md is not the table of today's groups of boot tests; run 'make versions'"; failed=1
fi
[ "$failed" = 0 ] && echo "check-docs: every group of boot tests has its row"
exit "$failed"
