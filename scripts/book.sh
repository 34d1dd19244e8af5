#!/bin/sh
# Checks the docs and builds them as a book with search, book/index.html, with mdBook: the installed one, or one that
# `--install` builds below build/ (some minutes, once). Without mdBook the docs are only checked.
#   scripts/book.sh [--install]
set -eu
cd "$(dirname "$0")/.."
version=0.4.52
own=build/mdbook-search/bin/mdbook
scripts/check-book.sh
if ! mdbook=$(command -v mdbook); then
    mdbook=$own
    if [ ! -x "$own" ]; then
        if [ "${1:-}" != --install ]; then
            echo "book: no mdbook, so not built; 'make book' gets one"
            exit 0
        fi
        mkdir -p build
        scripts/waiting "building mdBook, some minutes the first time" build/mdbook-install.log \
            scripts/cargo install mdbook --version "$version" --locked --no-default-features --features search \
            --root build/mdbook-search || { tail -n 20 build/mdbook-install.log >&2; exit 1; }
    fi
fi
# A warning is a failure, too. Files of an earlier build are removed.
rm -rf book
mkdir -p build
if ! "$mdbook" build docs >build/mdbook.log 2>&1 || grep -E '\[?(WARN|ERROR)' build/mdbook.log; then
    cat build/mdbook.log
    exit 1
fi
scripts/check-built-book.sh book
echo "book: book/index.html"
