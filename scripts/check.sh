#!/bin/sh
# All checks that do not run the kernel, with one line for each; every check runs even after a failure. Last line:
# `N passed, N failed`; exit 1 if one failed. `make image` must have been run.
set -u
cd "$(dirname "$0")/.." || exit 1
# Programs started here cannot use the job server of the make that runs this script.
MAKEFLAGS=$(echo "${MAKEFLAGS:-}" | sed 's/ *--jobserver-[a-z]*=[^ ]*//g')
export MAKEFLAGS
passed=0 failed=0
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

check() { # name, command...
    name=$1; shift
    if "$@" >"$log" 2>&1; then
        passed=$((passed + 1)); echo "check: $name: ok"
    else
        failed=$((failed + 1)); echo "check: $name: FAILED"; tail -n 40 "$log"
    fi
}

# Words that must not be in the project's text.
no_words() {
    ! grep -rnIE '\b(todo|unimplemented|dbg)!\(|#\[ignore|\b(TODO|FIXME|XXX)\b' . \
        --exclude-dir=.git --exclude-dir=target --exclude-dir=build --exclude-dir=.github --exclude=check.sh
}
# The image is measured: its bytes must not depend on where it was built.
no_paths() { ! grep -aoF -e "$PWD/" -e "${CARGO_HOME:-$HOME/.cargo}/" build/postern.elf build/postern-test.elf; }
# The user's flags, and profiles in the environment, must not reach the image: then its bytes stay the same.
no_flags() {
    sum=$(sha256sum build/postern.elf build/postern-test.elf)
    for setting in RUSTFLAGS='-C target-cpu=pwr10 -C opt-level=1' CARGO_BUILD_RUSTFLAGS='-C target-cpu=pwr10' \
        CARGO_TARGET_POWERPC64LE_POSTERN_RUSTFLAGS='-C opt-level=1' CARGO_INCREMENTAL=1 CARGO_BUILD_TARGET=i686-unknown-linux-gnu \
        CARGO_PROFILE_KERNEL_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true CARGO_PROFILE_RELEASE_STRIP=true; do
        env "$setting" make image && [ "$(sha256sum build/postern.elf build/postern-test.elf)" = "$sum" ] || { echo "by $setting"; return 1; }
    done
}
# make and cargo with many jobs, with other build folders, and in a source folder that cannot be written to.
their_ways() {
    for goal in image clippy; do
        make -j3 $goal 2>&1 | grep -i jobserver && { echo "make -j3 $goal speaks of it"; return 1; }
    done
    [ "$(MAKEFLAGS=' -j3 --jobserver-auth=3,4' scripts/cargo -q run -p postern-cases -- gaps 2>&1)" = "" ] || return 1
    ! grep -nE '(^|[ "=])target/(debug|release)' Makefile scripts/* .ci/run || return 1
    scripts/writable.sh build && ! scripts/writable.sh README.md/target || return 1
    CARGO_HOME=/dev/null/cargo make tools 2>&1 | grep -q '^postern: /dev/null/cargo: cannot be written'
}
locked() {
    scripts/cargo metadata --locked --format-version 1 >/dev/null &&
        scripts/cargo metadata --locked --manifest-path fuzz/Cargo.toml --format-version 1 >/dev/null
}
# The workflow keeps the paths where the tests write their results.
workflow_keeps() {
    for path in $(sed -n 's/^results=\${RESULTS:-\(.*\)}/\1/p' scripts/test.sh) \
        $(sed -n 's/^const LOGS: &str = "\(.*\)";/\1/p' harness/src/matrix/runner.rs) build/SHA256SUMS; do
        grep -qE "^ +$path\$" .github/workflows/ci.yml || { echo "$path is not kept"; return 1; }
    done
    for n in 12 13; do grep -q "debian: \[.*\b$n\b.*\]" .github/workflows/ci.yml || { echo "no Debian $n"; return 1; }; done
    (cd build && sha256sum --quiet -c SHA256SUMS)
}
# A shell does not run its EXIT trap when a signal ends it: without traps for signals Ctrl-C would leave temporary files.
ends_clean() {
    for f in $(grep -l 'mktemp' scripts/*); do
        for signal in HUP INT TERM; do
            grep -qE "^trap .*\\b$signal\$" "$f" || { echo "$f: no trap for $signal"; return 1; }
        done
    done
}
shell_syntax() { for f in scripts/* .ci/run; do sh -n "$f" || return 1; done; }

check "no unfinished business" no_words
check "shell syntax" shell_syntax
check "scripts leave nothing after a signal" ends_clean
check "the docs' lists are complete" scripts/check-docs.sh
check "no word of make's is taken in silence" scripts/check-words.sh
check "results of tests are JUnit's" scripts/junit-test.sh
check "the docs are a book that holds together" scripts/check-book.sh
check "the check of pictures finds what it looks for" scripts/check-svg-test.sh
check "the workflow keeps what a run leaves" workflow_keeps
check "workflows call what there is" scripts/check-workflows.sh
check "libraries use those below them alone" scripts/check-crates.sh
check "every package may be used, by its licence" scripts/check-licences.sh
check "the crates of the image have the same lints" scripts/check-lints.sh
check "formatting" scripts/cargo fmt --all --check
check "formatting of the fuzz targets" scripts/cargo fmt --manifest-path fuzz/Cargo.toml --check
check "Cargo.lock is up to date" locked
check "docs/hostile-cases.md is what the tests say" scripts/cargo -q run -p postern-cases -- check
check "lists in docs/ are the tables of the code" scripts/cargo -q run -p postern-tables -- check
check "clippy, every crate" make clippy
check "documentation without warnings" make doc
check "the image check finds what it looks for" scripts/check-image-test.sh
check "instructions of the product" scripts/check-image.sh build/postern.elf
check "instructions of the test image" scripts/check-image.sh build/postern-test.elf
check "nothing of the test image in the product" scripts/check-product.sh build/postern.elf build/postern-test.elf
check "no path of this machine in the images" no_paths
check "no compiler flag of the user's in the images" no_flags
check "the same release from another folder, whatever cargo is told there" scripts/same-bytes.sh
check "cargo and editors, without make" scripts/check-cargo.sh
check "make gdb stops at kernel_main, with its source" scripts/gdb.sh --check
check "a QEMU that cannot be used is named" scripts/check-qemu.sh
check "what tells of a long step leaves nothing" scripts/waiting-test.sh
check "setup and make say what a machine lacks" scripts/setup-test.sh
check "make and cargo as others call them" their_ways

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
