#!/bin/sh
# Checks that deny.toml allows the licence of each package in the build. Works without a network.
# Exit 1, and a line for each package that is not allowed.
set -u
cd "$(dirname "$0")/.." || exit 1
allowed=$(sed -n 's/^allow = \[\(.*\)\]$/\1/p' deny.toml | tr -d '",')
excepted=$(sed -n 's/^ *{ crate = "\(.*\)", allow = \["\(.*\)"\] },$/\1=\2/p' deny.toml | tr '\n' ' ')
[ -n "$allowed" ] && [ -n "$excepted" ] || { echo "check-licences: no list in deny.toml"; exit 1; }

# Packages whose licence has a name that is in neither list.
others() { # manifest
    scripts/cargo tree -q --locked --manifest-path "$1" -e all --workspace --prefix none -f '{p}|{l}' |
        sed 's/ (\*)$//' | sort -u | awk -F'|' -v allowed="$allowed" -v excepted="$excepted" '
        BEGIN {
            split(allowed, words, " "); for (i in words) ok[words[i]]
            split(excepted, words, " "); for (i in words) ok[words[i]]
        }
        NF < 2 { next }
        {
            split($1, name, " ")
            count = split($2, parts, /[ ()\/]+/)
            bad = $2 == ""
            for (i = 1; i <= count; i++)
                if (parts[i] !~ /^(OR|AND|WITH|)$/ && !(parts[i] in ok) && !(name[1] "=" parts[i] in ok)) bad = 1
            if (bad) print $1 ": " ($2 == "" ? "no licence" : $2)
        }'
}
found=$(for manifest in Cargo.toml fuzz/Cargo.toml; do others "$manifest"; done | sort -u)
[ -z "$found" ] || { echo "$found"; exit 1; }
echo "check-licences: every package may be used"
