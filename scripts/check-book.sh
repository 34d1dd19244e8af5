#!/bin/sh
# Checks the docs as a book: every page is in docs/SUMMARY.md and every entry there is a page; every relative link
# leads to a file and, with `#`, to a heading in it; the source files that a page names in backticks exist, and so do
# the tests that the tables of the threat model and of porting name. A name with slashes is a boot test:
# `{a,b}` means both a and b, and `…` means any text. Another name is a function with #[test], or a case such as
# `TCE-08`.
#   scripts/check-book.sh [LIST]    LIST: names of the boot tests; without it the harness is asked
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
bad() { echo "check-book: $*" >>"$work/bad"; }
: >"$work/bad"
# The page without code blocks, which have neither links nor names.
prose() { awk '/^ *```/ { code = !code; next } !code' "$1"; }
# Headings as anchors: lower case, letters, digits and hyphens, spaces become hyphens.
anchors() {
    prose "$1" | sed -n 's/^##* *//p' | tr 'A-Z ' 'a-z-' | sed 's/[^a-z0-9_-]//g'
}

for page in docs/*.md; do
    name=${page#docs/}
    [ "$name" = SUMMARY.md ] || grep -qF "]($name)" docs/SUMMARY.md || bad "$page is not in docs/SUMMARY.md"
done

for page in docs/*.md README.md; do
    prose "$page" | sed 's/`[^`]*`//g' | grep -oE '\]\([^)[:space:]]+\)' | sed 's/^](//; s/)$//' | sort -u >"$work/links" || true
    while read -r link; do
        case "$link" in http://* | https://*) continue ;; esac
        file=${link%%#*} anchor=${link#"$file"} target=$page
        [ -z "$file" ] || target=$(dirname "$page")/$file
        if [ ! -e "$target" ]; then
            bad "$page: no $link"
        elif [ -n "$anchor" ] && ! anchors "$target" | grep -qxF "${anchor#\#}"; then
            bad "$page: $link: no such heading"
        fi
        # mdBook changes each link to a page into .html, even where the page is not in the book.
        case "$page $file" in docs/*..*.md) bad "$page: $link leads out of the book" ;; esac
    done <"$work/links"
    prose "$page" | grep -oE '`(boot|crates|kernel|harness|ultravisor|scripts|docs)/[A-Za-z0-9_./-]*`' | tr -d '`' | sort -u >"$work/files" || true
    while read -r file; do
        [ -e "$file" ] || bad "$page: no file $file"
    done <"$work/files"
done

# A page shows or links each picture.
for picture in docs/*.svg; do
    grep -qF "](${picture#docs/})" docs/*.md || bad "$picture is in no page"
done
scripts/check-svg.sh docs/*.svg >>"$work/bad" || true

if [ $# -gt 0 ]; then cat "$1" >"$work/list"; else scripts/cargo -q run -p postern-harness -- list >"$work/list"; fi
find adversary bench boot cases crates examples harness kernel ultravisor -name '*.rs' -exec cat {} + | awk '
    /#\[test\]/ { test = 1 }
    test && match($0, /fn [a-z0-9_]+\(/) { print substr($0, RSTART + 3, RLENGTH - 4); test = 0 }' | sort -u >"$work/functions"
# One line for each choice in braces.
choices() {
    awk '{ queue[n++] = $0 } END {
        for (i = 0; i < n; i++) {
            if (!match(queue[i], /\{[^}]*\}/)) { print queue[i]; continue }
            before = substr(queue[i], 1, RSTART - 1); after = substr(queue[i], RSTART + RLENGTH)
            parts = split(substr(queue[i], RSTART + 1, RLENGTH - 2), part, ",")
            for (j = 1; j <= parts; j++) queue[n++] = before part[j] after
        }
    }'
}
for page in docs/conformance.md docs/porting-hardware.md docs/threat-model.md; do
    grep '^|' "$page" | grep -oE '`[]A-Za-z0-9_:=/.…{},+[-]+`' | tr -d '`' | sort -u | choices >"$work/names"
    while read -r name; do
        case "$name" in
        boot/* | crates/* | kernel/* | harness/* | ultravisor/* | scripts/* | docs/*) ;;
        /*) ;; # a node of the device tree
        */*) grep -qE "^$(printf '%s' "$name" | sed 's/[].[*^$+]/\\&/g; s/…/.*/g')" "$work/list" || bad "$page: no boot test $name" ;;
        *_*_*) grep -qx "$name" "$work/functions" || bad "$page: no test $name" ;;
        [A-Z][A-Z]*-[0-9][0-9]) grep -q "^| $name |" docs/hostile-cases.md || bad "$page: no case $name" ;;
        esac
    done <"$work/names"
done

if [ -s "$work/bad" ]; then
    cat "$work/bad"
    exit 1
fi
echo "check-book: $(ls docs/*.md | wc -l) pages hold together"
