#!/bin/sh
# cargo as somebody calls it who has never heard of the Makefile: each command works, or says in one sentence what to do
# instead. No feature of a library weakens it, since --all-features is one of the commands: those tests of svm-dma of what a device
# reaches hold with all of them. Nothing is run that the host tests run anyway.
#   scripts/check-cargo.sh [CARGO]
set -u
cd "$(dirname "$0")/.." || exit 1
# The caller's own cargo where it is of the pinned version, as rustup's is in this folder.
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
# One error of cargo's with a sentence, and no error of the compiler's.
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
