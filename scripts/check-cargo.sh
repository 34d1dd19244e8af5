#!/bin/sh
# cargo without the Makefile: each command works, or prints one sentence that says what to do instead. --all-features
# is one of the commands: the tests of svm-dma's rules for devices pass with every feature. Commands that the host tests
# run anyway are not repeated here.
#   scripts/check-cargo.sh [CARGO]
set -u
cd "$(dirname "$0")/.." || exit 1
# The caller's own cargo if it has the pinned version, as rustup's has in this folder.
want=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
cargo=scripts/cargo
case "$(RUSTUP_AUTO_INSTALL=0 cargo --version 2>/dev/null)" in "cargo $want "*) cargo=cargo ;; esac
cargo=${1:-$cargo}
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
failed=0
works() {
    "$cargo" "$@" >"$log" 2>&1 && return
    failed=1; echo "check-cargo: cargo $*:"; tail -n 20 "$log"
}
# The command must fail with one error that contains the sentence, and without a compiler error.
says() { # sentence, arguments...
    sentence=$1; shift
    if "$cargo" "$@" >"$log" 2>&1; then
        failed=1; echo "check-cargo: cargo $* succeeds, and was to say: $sentence"
    elif ! grep -q "^error: .*$sentence" "$log" || grep -qE '^error\[|^error: could not compile' "$log"; then
        failed=1; echo "check-cargo: cargo $* does not say: $sentence"; tail -n 20 "$log"
    fi
}

works build -q
works build -q --workspace
works check -q --workspace --all-targets
works clippy -q --all-features --all-targets -- -D warnings
works doc -q --no-deps --all-features
works doc -q --no-deps --workspace
works test -q -p svm-dma --all-features --test model dma::
says 'run `make image`' check -q --workspace --all-features
says 'run `make image`' build -q -p postern-kernel --features image

[ "$failed" = 0 ] && echo "check-cargo: plain cargo works, or says what does"
exit "$failed"
