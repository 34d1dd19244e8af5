#!/bin/sh
# `make test`: the checks, the tests on the host, loom's tests, the boot matrix; then one last line with the sum. A part
# that prints no result of its tests, or fails without a failed test, counts as one failure.
# In RESULTS (build/test) each part leaves PART.log and PART.xml (JUnit), and the boot tests boot.tsv.
set -u
cd "$(dirname "$0")/.." || exit 1
results=${RESULTS:-build/test}
# Errors that a part would report only at its end are checked first.
case ${JOBS:-2} in *[!0-9]* | 0* | ???*) echo "test: JOBS=$JOBS: expected a number of jobs from 1 to 64" >&2; exit 2 ;; esac
mkdir -p "$results" && : >"$results/status" || { echo "test: RESULTS=$results: cannot be written" >&2; exit 2; }
rm -f "$results"/checks.* "$results"/host.* "$results"/loom.* "$results"/boot.*
passed=0 failed=0

# Runs a part, shows its output, keeps it in NAME.log, and adds up its closing lines: cargo's
# `test result: ... N passed; N failed` or a plain `N passed, N failed`.
part() { # name, command...
    name=$1; shift
    echo "== $name"
    { "$@" 2>&1; echo $? >"$results/status"; } | tee "$results/$name.log"
    status=$(cat "$results/status")
    counts=$(sed -n 's/^test result: [a-zA-Z]*\. \([0-9]*\) passed; \([0-9]*\) failed;.*/\1 \2/p
                     s/^\([0-9]*\) passed, \([0-9]*\) failed\(, [0-9]* skipped\)*$/\1 \2/p' "$results/$name.log" |
        awk '{ p += $1; f += $2 } END { print p + 0, f + 0 }')
    p=${counts% *} f=${counts#* }
    if [ "$f" = 0 ] && { [ "$status" != 0 ] || [ "$p" = 0 ]; }; then
        echo "$name: ended with status $status after $p tests"; f=1
    fi
    passed=$((passed + p)) failed=$((failed + f))
    [ "$name" = boot ] || scripts/junit.sh "$name" "$f" <"$results/$name.log" >"$results/$name.xml"
}

part checks scripts/check.sh
part host scripts/cargo test --workspace --exclude postern-kernel --exclude postern-test --exclude postern-virtio-drivers --no-fail-fast
part loom scripts/loom.sh
part boot scripts/cargo -q run -p postern-harness -- test \
    ${QEMU:+"QEMU=$QEMU"} ${JOBS:+"JOBS=$JOBS"} ${EXCLUDE:+"EXCLUDE=$EXCLUDE"} ${REPEAT:+"REPEAT=$REPEAT"} \
    ${LIMIT:+"LIMIT=$LIMIT"} "RESULTS=$results"

rm -f "$results/status"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
