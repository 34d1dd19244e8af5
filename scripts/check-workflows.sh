#!/bin/sh
# The make goals, scripts and kept files that the workflows name exist; and release notes are made only if the tag, the
# version and the section of the changelog agree.
set -u
cd "$(dirname "$0")/.." || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
failed=0
bad() { failed=1; echo "check-workflows: $*"; }

goals=" $(sed -n 's/^\.PHONY: //p' Makefile) "
for file in .github/workflows/*.yml; do
    for goal in $(sed -n 's/.*run: make \(.*\)/\1/p' "$file"); do
        case $goal in *=*) continue ;; esac
        case $goals in *" $goal "*) ;; *) bad "$file: make has no goal $goal" ;; esac
    done
    for script in $(grep -oE '(scripts|\.ci)/[a-z-]+(\.sh)?' "$file"); do
        [ -x "$script" ] || bad "$file: $script cannot be run"
    done
    grep -q '^permissions:' "$file" || bad "$file does not say which permissions it needs"
    grep -q 'timeout-minutes:' "$file" || bad "$file has no limit of time"
    # YAML does not allow tabs as indentation.
    ! grep -nP '\t' "$file" || bad "$file has tabs"
done

# A copy of the script and of the files that it reads, with a date in the changelog.
mkdir "$work/scripts" && cp scripts/release-notes.sh "$work/scripts" && cp Cargo.toml "$work"
version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
notes() { "$work/scripts/release-notes.sh" "$1" 2>"$work/error"; }
refused() { # tag, words of the error
    if notes "$1" >/dev/null || ! grep -q "$2" "$work/error"; then bad "a release $1 is not refused because of: $2"; fi
}
printf '# Changes\n\n## %s, 2026-01-02\n- new\n\n## 0.0.1, 2025-01-02\n- old\n' "$version" >"$work/CHANGELOG.md"
found=$(notes "v$version")
case $found in *'- new'*) ;; *) bad "the notes of $version lack its section" ;; esac
case $found in *'- old'*) bad "the notes of $version have another section" ;; esac
refused v9.9.9 'Cargo.toml says'
printf '# Changes\n\n## %s, not released\n- new\n' "$version" >"$work/CHANGELOG.md"
refused "v$version" 'has no date'
printf '# Changes\n' >"$work/CHANGELOG.md"
refused "v$version" 'has no section'

[ "$failed" = 0 ] && echo "check-workflows: $(ls .github/workflows/*.yml | wc -l) workflows call what there is"
exit "$failed"
