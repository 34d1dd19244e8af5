#!/bin/sh
# Checks that a picture is well-formed XML with the root svg, that no text is cut off at a side, and that the source
# files that it names exist. A letter of the widest common fonts takes 0.62 of the font size, and 0.7 when bold.
#   scripts/check-svg.sh FILE...
set -u
cd "$(dirname "$0")/.."
failed=0
for file; do
    awk -v file="$file" '
    function bad(text) { print "check-svg: " file ": " text; wrong = 1; exit }
    function value(name,   at) {
        if (!match(attributes, "[ \n]" name "=\"[^\"]*\"")) return ""
        at = substr(attributes, RSTART, RLENGTH); sub(/^[^"]*"/, "", at); sub(/"$/, "", at)
        return at
    }
    function letters(text) { gsub(/&[a-z]+;/, "x", text); gsub(/^[ \n]+|[ \n]+$/, "", text); return length(text) }
    function fits(text,   x, wide, size) {
        size = value("font-size"); if (size == "") size = value("class") ~ /code/ ? 13 : 14
        bold = attributes ~ /font-weight="bold"/ || value("class") ~ /head/
        wide = letters(text) * size * (bold ? 0.7 : 0.62); x = value("x")
        if (value("text-anchor") == "middle") x -= wide / 2
        if (value("text-anchor") == "end") x -= wide
        if (x < 0 || x + wide > width) bad("cut off: " text)
    }
    BEGIN { RS = "<"; ORS = "\n" }
    NR == 1 { if ($0 !~ /^[ \n]*$/) bad("text before the first tag"); next }
    /^[?!]/ { next }
    {
        # In the text of these pictures > is written &gt;.
        end = index($0, ">"); if (!end) bad("a tag without an end: <" $0)
        tag = substr($0, 1, end - 1); text = substr($0, end + 1)
        if (text ~ />/) bad("a bare > in: " text)
        rest = text; gsub(/&(amp|lt|gt|quot|apos|#[0-9]+);/, "", rest)
        if (rest ~ /&/) bad("a bare & in: " text)
        if (tag ~ /^\//) {
            name = substr(tag, 2)
            if (!depth || open[depth] != name) bad("</" name "> closes " (depth ? open[depth] : "nothing"))
            depth--; next
        }
        empty = sub(/\/$/, "", tag)
        name = tag; sub(/[ \n].*/, "", name)
        attributes = substr(tag, length(name) + 1)
        rest = attributes; while (sub(/^[ \n]+[A-Za-z:-]+="[^"<&]*(&[a-z]+;[^"<&]*)*"/, "", rest)) ;
        if (rest !~ /^[ \n]*$/) bad("an attribute of " name ": " rest)
        if (!roots++) { if (name != "svg") bad("the root is " name); width = value("width") + 0; if (!width) bad("no width") }
        else if (!depth) bad("a second root: " name)
        if (name == "text") fits(text)
        if (!empty) open[++depth] = name
    }
    END { if (!wrong && depth) print "check-svg: " file ": " open[depth] " is not closed"; exit wrong || depth || !roots }
    ' "$file" || failed=1
    for path in $(grep -oE '(boot|kernel|harness|ultravisor|scripts)/[A-Za-z0-9_./-]*' "$file" | sort -u); do
        [ -e "$path" ] || { echo "check-svg: $file: no file $path"; failed=1; }
    done
done
exit "$failed"
