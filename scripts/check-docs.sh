#!/bin/sh
# The lists that people and scripts rely on name everything there is: each step of `run=`, each option of the
# command line and each exit status. Facts are in generated lists, which postern-tables checks.
set -eu
cd "$(dirname "$0")/.."
core=crates/postern-core/src
failed=0
named() { # word, what it is, file...
    word=$1 what=$2; shift 2
    for file in "$@"; do
        grep -qE -e "(^|[^a-z0-9_.-])$word([^a-z0-9_-]|\$)" "$file" || { echo "check-docs: $file does not name the $what $word"; failed=1; }
    done
}

steps=$(sed -n 's/^    ("\([a-z-]*\)", Step::.*/\1/p' $core/cmdline.rs
    sed -n '/^pub const TEST_STEPS: /,/;/s/^    "\(.*\)",$/\1/p' $core/cmdline/extra.rs | sed 's/^breach-//')
options=$(sed -n '/^pub const OPTIONS: /,/;/p' $core/cmdline.rs | grep -o 'b"[a-z]*"' | sed 's/^b//; s/"//g' | sort -u
    sed -n 's/^pub const TEST_OPTIONS: .* = \[\(.*\)\];/\1/p' $core/cmdline/extra.rs | tr -d '",')
statuses=$(sed -n 's/^    [A-Z][A-Za-z]* = \([0-9]*\),$/\1/p' $core/exit.rs)
for list in "$steps" "$options" "$statuses"; do
    [ -n "$list" ] || { echo "check-docs: a list was not found in the sources"; exit 1; }
done
for s in $steps; do named "$s" step docs/help.txt; done
for o in $options; do named "$o=[^ ]*" option docs/help.txt; done
# The statuses are those of the table, and of the two sentences that begin with EXIT: STATUS: each number there that a
# punctuation mark precedes and a word follows. Others, as in Debian 13, are none.
same_statuses() { # file, numbers
    wanted=$(echo "$statuses" | sort -n | tr '\n' ' ') found=$(echo "$2" | sort -n | tr '\n' ' ')
    [ "$wanted" = "$found" ] || { echo "check-docs: $1 has the exit statuses $found, and the kernel $wanted"; failed=1; }
}
listed() { # file, first words of the sentence
    sed -n "/$2/,/^\$/p" "$1" | tr '\n' ' ' | sed 's/after anything else//' | grep -oE '[.,:] [0-9]+ [a-z]' | tr -dc '0-9\n'
}
same_statuses docs/help.txt "$(listed docs/help.txt '^A run ends with `EXIT: STATUS=n`')"
same_statuses README.md "$(listed README.md '^`EXIT: STATUS=n` is the last line')"
same_statuses docs/exit-codes.md "$(sed -n 's/^| \([0-9]*\) |.*/\1/p' docs/exit-codes.md)"
# A row for each group of boot tests, and a cell for each version.
if ! scripts/cargo -q run -p postern-harness -- table | diff docs/qemu-versions.md - >/dev/null; then
    echo "check-docs: docs/qemu-versions.md is not the table of today's groups of boot tests; run 'make versions'"; failed=1
fi
[ "$failed" = 0 ] && echo "check-docs: $(echo "$steps $options $statuses" | wc -w) names, all there"
exit "$failed"
