#!/bin/sh
# Checks the built book: it opens at the start page; each page of the table of contents is a file and is in the search
# index; each link leads to a file and, with `#`, to an anchor in it; and no page loads anything from the network.
#   scripts/check-built-book.sh FOLDER
set -eu
cd "$(dirname "$0")/.."
book=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
: >"$work/bad"
bad() { echo "check-built-book: $*" >>"$work/bad"; }

grep -q '<h1 id="postern">' "$book/index.html" || bad "$book/index.html is not the start page"
grep -q 'id="searchbar"' "$book/index.html" || bad "$book/index.html has no search"
index=$(ls "$book"/searchindex*.js 2>/dev/null | head -n 1)
[ -n "$index" ] || { bad "no index to search"; index=/dev/null; }

pages=$(sed -n 's/.*](\([a-z0-9-]*\)\.md).*/\1.html/p; s/.*](README\.md).*/index.html/p' docs/SUMMARY.md)
[ -n "$pages" ] || bad "no page in docs/SUMMARY.md"
for page in $pages; do
    [ -s "$book/$page" ] || { bad "no $page"; continue; }
    # mdBook names the first page in its index after its source.
    name=$page; [ "$page" != index.html ] || name='\(index\|README\)\.html'
    grep -q "\"$name#" "$index" || bad "$page is not in the index"
    ! grep -oE '<(script|link|img|iframe)[^>]*(src|href)="(https?:)?//[^"]*"' "$book/$page" >"$work/far" ||
        bad "$page fetches $(head -n 1 "$work/far")"
    grep -oE '(src|href)="[^"]*"' "$book/$page" | sed 's/^[a-z]*="//; s/"$//' | sort -u >"$work/links"
    while read -r link; do
        case "$link" in http://* | https://* | mailto:* | data:* | javascript:* | '') continue ;; esac
        file=${link%%#*} anchor=${link#"$file"} target=$book/$page
        [ -z "$file" ] || target=$book/$file
        if [ ! -e "$target" ]; then
            bad "$page: no $link"
        elif [ -n "${anchor#\#}" ] && [ "${target%.html}" != "$target" ]; then
            grep -qF "id=\"${anchor#\#}\"" "$target" || bad "$page: $link: no such place"
        fi
    done <"$work/links"
done

if [ -s "$work/bad" ]; then cat "$work/bad"; exit 1; fi
echo "check-built-book: $(echo "$pages" | wc -l) pages, all in the index"
