#!/bin/sh
# make must refuse unknown variables: each variable of any goal is misspelt in several ways, or given to a goal that
# does not know it, and make must refuse it by name before it does anything. The lists are read from the Makefile, so
# new goals and variables are tested without a change here. docs/help.txt has every variable of a goal, and every
# variable in capitals that a script reads is in a list.
#   scripts/check-words.sh [MAKEFILE]
set -eu
cd "$(dirname "$0")/.."
makefile=${1:-Makefile}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
: >"$work/bad"
bad() { echo "check-words: $*" >>"$work/bad"; }

goals=$(sed -n 's/^\.PHONY: //p' "$makefile")
run=$(sed -n 's/^VARIABLES := //p' "$makefile")
# The variables of a goal.
known() { sed -n "s/^knows_$1 := //p" "$makefile" | sed "s/\$(VARIABLES)/$run/"; }
all=$(for goal in $goals; do known "$goal"; done | tr ' ' '\n' | sort -u)
[ -n "$goals" ] && [ -n "$run" ] && [ -n "$all" ] || { echo "check-words: no list in $makefile"; exit 1; }

# In lower case, with one letter too many, without the last, with the first two exchanged, with one doubled.
slips() {
    echo "$1" | tr 'A-Z' 'a-z'
    echo "$1" | sed 's/$/S/p; s/S$//; s/.$//p; d'
    echo "$1" | sed 's/^\(.\)\(.\)/\2\1/; s/$/_/'
    echo "$1" | sed 's/\(.\)$/\1\1/'
}
for name in $all; do slips "$name"; done | sort -u >"$work/slips"
echo "$all" >"$work/all"
tried=0
for goal in $goals; do
    mine=$(known "$goal" | tr ' ' '\n')
    echo "$mine" | sort -u >"$work/mine"
    sort -u "$work/slips" "$work/all" | comm -23 - "$work/mine" >"$work/strays"
    words=$(sed 's/$/=1/' "$work/strays" | tr '\n' ' ')
    # shellcheck disable=SC2086 # a list of words
    if MAKELEVEL=0 make -n -f "$makefile" "$goal" $words >"$work/out" 2>&1; then
        bad "make $goal $words is taken"
    fi
    sed -n 's/: no variable of .*//; s/.*\*\*\* //p' "$work/out" | tr ' ' '\n' | sort -u >"$work/named"
    for name in $(comm -23 "$work/strays" "$work/named"); do bad "make $goal $name=1: not named"; done
    tried=$((tried + $(wc -l <"$work/strays")))
    # Its own variables are not refused by name, even if the value is refused.
    for name in $mine; do
        if MAKELEVEL=0 make -n -f "$makefile" "$goal" "$name=1" 2>&1 | grep -q "no variable of"; then
            bad "make $goal $name=1 is refused"
        fi
        grep -qE "(^|[^A-Z_])$name=" docs/help.txt || bad "docs/help.txt does not name $name= of make $goal"
    done
done
for name in $(grep -hoE '\$\{[A-Z_]+:[-+]' scripts/* | sed 's/[${:+-]//g' | sort -u); do
    case $name in
    HOME | LC_ALL | CARGO_HOME | CARGO_BUILD_JOBS | CARGO_TARGET_DIR | MAKEFLAGS | SSL_CERT_FILE) ;; # other programs'
    *) echo "$all" | grep -qxF "$name" || bad "a script reads $name, and no goal knows it" ;;
    esac
done

if [ -s "$work/bad" ]; then cat "$work/bad"; exit 1; fi
echo "check-words: $tried words refused by name"
