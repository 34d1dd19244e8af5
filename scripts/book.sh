#!/bin/sh
# Checks the docs and builds them as a book with search, book/index.html, with mdBook: the one that is installed, or
# the one that `--install` builds below target/ (some minutes, once). Without either the book is checked only.
#   scripts/book.sh [--install]
set -eu
cd "$(dirname "$0")/.."
version=0.4.52
own=target/mdbook-search/bin/mdbook
scripts/check-book.sh
if ! mdbook=$(command -v mdbook); then
    mdbook=$own
    if [ ! -x "$own" ]; then
        if [ "${1:-}" != --install ]; then
            echo "book: no mdbook, so not built; 'make book' gets one"
            exit 0
        fi
        mkdir -p target
        scripts/waiting "building mdBook, some minutes the first time" target/mdbook-install.log \
            scripts/cargo install mdbook --version "$version" --locked --no-default-features --features search \
            --root target/mdbook-search || { tail -n 20 target/mdbook-install.log >&2; exit 1; }
    fi
fi
# A warning is a failure, too. What an earlier build left is not part of this one.
rm -rf book
mkdir -p target
if ! "$mdbook" build docs >target/mdbook.log 2>&1 || grep -E '\[?(WARN|ERROR)' target/mdbook.log; then
    cat target/mdbook.log
    exit 1
fi
scripts/check-built-book.sh book
echo "book: book/index.html"
