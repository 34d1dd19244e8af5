#!/bin/sh
# scripts/check-svg.sh must find each fault that it looks for, in a picture that is otherwise correct.
set -eu
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
failed=0
cat >"$dir/right.svg" <<END
<svg xmlns="http://www.w3.org/2000/svg" width="200" height="50">
<rect x="0" y="0" width="200" height="50"/>
<text x="10" y="20" class="code">scripts/check-svg.sh</text>
<text x="190" y="40" text-anchor="end">a &lt; b &amp; c</text>
</svg>
END
scripts/check-svg.sh "$dir/right.svg" || { echo "check-svg-test: refused what is right"; failed=1; }
refused() { # sed's words, reason
    sed "$1" "$dir/right.svg" >"$dir/wrong.svg"
    if scripts/check-svg.sh "$dir/wrong.svg" >"$dir/out" 2>&1 || ! grep -q "$2" "$dir/out"; then
        echo "check-svg-test: '$1' was not refused as: $2"; cat "$dir/out"; failed=1
    fi
}
refused 's,</text>,</txt>,' 'closes text'
refused 's,</svg>,,' 'svg is not closed'
refused 's,<rect\(.*\)/>,<rect\1>,' 'closes rect'
refused 's,&lt;,<,' 'a tag without an end'
refused 's,&amp;,\&,' 'a bare &'
refused 's,class="code",class=code,' 'an attribute of text'
refused 's,x="10",x="100",' 'cut off'
refused 's,x="190",x="30",' 'cut off'
refused 's,check-svg.sh,no-such.sh,' 'no file scripts/no-such.sh'
refused 's,<svg,<svgs,; s,/svg,/svgs,' 'the root is svgs'
exit "$failed"
