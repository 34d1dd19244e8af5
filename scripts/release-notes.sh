#!/bin/sh
# The notes of a release: its section of CHANGELOG.md, which must have a date. The tag must be the workspace's version.
#   scripts/release-notes.sh vX.Y.Z
set -eu
cd "$(dirname "$0")/.."
tag=${1:?usage: scripts/release-notes.sh vX.Y.Z}
version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
[ "$tag" = "v$version" ] || { echo "release: the tag is $tag, and Cargo.toml says $version" >&2; exit 1; }
heading=$(grep -E "^## $version(,|\$)" CHANGELOG.md) || { echo "release: CHANGELOG.md has no section of $version" >&2; exit 1; }
case $heading in
"## $version, "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]) ;;
*) echo "release: '$heading' in CHANGELOG.md has no date" >&2; exit 1 ;;
esac
awk -v heading="$heading" '$0 == heading { inside = 1; next } /^## / { inside = 0 } inside' CHANGELOG.md
cat <<'END'

`sha256sum -c SHA256SUMS` checks the files; its first lines name the compiler and the linker that make the same bytes.
The images hold the crate `fdt` (MPL-2.0), unchanged; README, Licence, says where its source is.
END
