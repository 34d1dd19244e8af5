#!/bin/sh
# The image's profile as a file for cargo's --config: kernel/profile.toml, with its table for every package repeated for
# each package by name. Otherwise a user's `[profile.release.package.sha2]` would override the table for all packages.
# Exit 1 if the profile names an unknown package.
#   scripts/profile.sh >build/profile.toml
set -eu
cd "$(dirname "$0")/.."
# The standard library's crates are in no lock file.
names=$(sed -n 's/^name = "\(.*\)"$/\1/p' Cargo.lock; echo alloc; echo compiler_builtins; echo core)
echo "$names" | sort -u | awk '
    function key(line) { sub(/ *=.*/, "", line); return line }
    FNR == NR {
        if (/^\[/) { table = $0; one = table ~ /^\[profile\.kernel\.package\.[a-z]/ }
        if (one && /^\[/) named[table]
        if (one && / = /) own[table, key($0)] = $0
        if (table == "[profile.kernel.package.\"*\"]" && / = /) every[++count] = $0
        if (!one) print
        next
    }
    {
        table = "[profile.kernel.package." $0 "]"
        delete named[table]
        print table
        for (i = 1; i <= count; i++) print ((table, key(every[i])) in own) ? own[table, key(every[i])] : every[i]
    }
    END {
        for (table in named) { print "kernel/profile.toml: " table ": no such package" >"/dev/stderr"; bad = 1 }
        exit bad
    }' kernel/profile.toml -
