#!/bin/sh
# Checks the docs and builds them as a book, book/index.html, with mdBook: the one that is installed, or the one
# that `--install` builds below target/ (some minutes, once). Without either the book is checked only.
#   scripts/book.sh [--install]
set -eu
cd "$(dirname "$0")/.."
version=0.4.52
own=target/mdbook/bin/mdbook
scripts/check-book.sh
if ! mdbook=$(command -v mdbook); then
    mdbook=$own
    if [ ! -x "$own" ]; then
        if [ "${1:-}" != --install ]; then
            echo "book: no mdbook, so not built; 'make book' gets one"
            exit 0
        fi
        scripts/cargo install mdbook --version "$version" --locked --no-default-features --root target/mdbook
    fi
fi
# A warning is a failure, too.
if ! "$mdbook" build docs >target/mdbook.log 2>&1 || grep -E '\[?(WARN|ERROR)' target/mdbook.log; then
    cat target/mdbook.log
    exit 1
fi
echo "book: book/index.html"
