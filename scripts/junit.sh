#!/bin/sh
# Converts the log of a part of `make test` (standard input) to JUnit's XML (standard output): `check: NAME: ok` of the
# checks, `test NAME ... ok` of cargo. A failure without a test of its own, such as a compiler error, is a case, too.
#   scripts/junit.sh PART FAILURES <LOG >XML
set -eu
exec awk -v part="$1" -v failures="$2" '
function escaped(text) {
    gsub(/&/, "\\&amp;", text); gsub(/</, "\\&lt;", text); gsub(/>/, "\\&gt;", text); gsub(/"/, "\\&quot;", text)
    gsub(/[[:cntrl:]]/, " ", text)
    return text
}
function found(name, ended) {
    count++
    line = "<testcase classname=\"" part (crate == "" ? "" : "." escaped(crate)) "\" name=\"" escaped(name) "\""
    if (ended == "ok") cases = cases line "/>\n"
    else { failed++; cases = cases line "><failure message=\"see " part ".log\"/></testcase>\n" }
}
/^ *Running .*\(.*\)$/ { crate = $NF; sub(/.*\//, "", crate); sub(/-[0-9a-f]*\)$/, "", crate) }
/^ *Doc-tests / { crate = $2 }
/^check: .*: (ok|FAILED)$/ { name = $0; sub(/^check: /, "", name); sub(/: (ok|FAILED)$/, "", name); found(name, $NF) }
/^test .* \.\.\. (ok|FAILED)$/ { name = $0; sub(/^test /, "", name); sub(/ \.\.\. (ok|FAILED)$/, "", name); found(name, $NF) }
END {
    if (failures > failed + 0) { crate = ""; found("the whole part", "FAILED") }
    print "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"
    printf "<testsuite name=\"%s\" tests=\"%d\" failures=\"%d\">\n%s</testsuite>\n", part, count, failed, cases
}'
