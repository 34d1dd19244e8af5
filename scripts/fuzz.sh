#!/bin/sh
# Fuzzes each target for a while, and fails when one finds a fault.
#   scripts/fuzz.sh [TARGET...]      TIME=20 seconds for each of them; all of them when none is named
# libFuzzer's corpus stays in build/fuzz/corpus, where the next run continues; seeds come from fuzz/seeds. An input that
# breaks a rule is kept in build/fuzz/found and printed with the command that runs it again.
set -u
cd "$(dirname "$0")/.." || exit 1
seconds=${TIME:-20}
case $seconds in '' | *[!0-9]*) echo "fuzz: TIME='$seconds': wanted a number of seconds" >&2; exit 2 ;; esac

host=$(scripts/cargo -vV | sed -n 's/^host: //p')
# Coverage with the stable compiler: the pass and the options that libFuzzer's runtime needs.
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
scripts/cargo build -q --locked --release --manifest-path fuzz/Cargo.toml --target "$host" --target-dir build/fuzz/cargo || exit 1

[ $# -gt 0 ] || set -- $(sed -n 's/^name = "\([a-z]*\)"$/\1/p' fuzz/Cargo.toml)
mkdir -p build/fuzz/found
passed=0 failed=0
for target; do
    corpus=build/fuzz/corpus/$target log=build/fuzz/$target.log
    seeds=fuzz/seeds/$target
    [ "$target" != tree ] || seeds=crates/testkit/testdata
    mkdir -p "$corpus"
    # Inputs are long enough for a device's lifetime or a tree; a run that takes 10 seconds is treated as endless.
    "build/fuzz/cargo/$host/release/$target" "$corpus" "$seeds" -max_total_time="$seconds" \
        -max_len=$(case $target in tree) echo 32768 ;; frames) echo 8192 ;; *) echo 2048 ;; esac) \
        -timeout=10 -rss_limit_mb=2048 -len_control=20 -artifact_prefix="build/fuzz/found/$target-" \
        -print_final_stats=1 >"$log" 2>&1
    status=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    inputs=$(ls "$corpus" | wc -l)
    if [ $status = 0 ]; then
        passed=$((passed + 1)); echo "fuzz: $target: ok, ${runs:-0} runs, $inputs inputs kept"
    else
        failed=$((failed + 1)); echo "fuzz: $target: FAILED"
        grep -E 'panicked at|^ERROR|^SUMMARY|Test unit written' -A1 "$log" | head -n 12
        echo "  again: build/fuzz/cargo/$host/release/$target build/fuzz/found/$target-..."
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
