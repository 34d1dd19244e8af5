#!/bin/sh
# The licence of each package that something here is built from. What becomes an image has permissive ones, and one with
# MPL-2.0, `fdt`: whoever passes an image on says where its unchanged source is (README, Licence). Tools on the host may
# have MPL-2.0, too. Works without a network. Exit 1, and a line for each package that is not allowed.
set -u
cd "$(dirname "$0")/.." || exit 1
permissive='MIT Apache-2.0 BSD-2-Clause BSD-3-Clause 0BSD Unicode-3.0 Unlicense LLVM-exception'

# Packages with a licence whose every word is not in the list; ours have the workspace's.
others() { # list, arguments of cargo tree...
    allowed=$1; shift
    scripts/cargo tree -q --locked --prefix none -f '{p}|{l}' "$@" | sed 's/ (\*)$//' | sort -u | awk -F'|' -v allowed="$allowed" '
        BEGIN { split(allowed, words, " "); for (i in words) ok[words[i]] }
        NF < 2 { next }
        {
            count = split($2, parts, /[ ()\/]+/)
            bad = $2 == ""
            for (i = 1; i <= count; i++)
                if (parts[i] !~ /^(OR|AND|WITH|)$/ && !(parts[i] in ok)) bad = 1
            if (bad) print $1 ": " ($2 == "" ? "no licence" : $2)
        }'
}
found=$(
    others "$permissive" -e normal -p postern-kernel -p postern-test -p postern-virtio-drivers |
        sed -e '/^fdt v[^ ]*: MPL-2.0$/d' -e 's/^/image: /'
    others "$permissive MPL-2.0" -e all --workspace | sed 's/^/host: /'
)
[ -z "$found" ] || { echo "$found"; exit 1; }
echo "check-licences: every package may be used"
