#!/bin/sh
# Fetches a package of Debian for ppc64el and unpacks it, without installing it:
#   scripts/foreign-deb.sh FOLDER PATTERN
# takes the newest package whose name matches PATTERN (of grep -E), unpacks it into FOLDER/root, and prints its name and
# version. apt's lists, caches and state are in FOLDER, separate from the system's, and are kept for the next package.
set -eu
[ $# = 2 ] || { echo "usage: scripts/foreign-deb.sh FOLDER PATTERN" >&2; exit 2; }
say() { echo "foreign-deb: $*" >&2; }
command -v apt-get >/dev/null && command -v dpkg >/dev/null || { say "no apt-get: not a Debian"; exit 1; }
mkdir -p "$1/lists/partial" "$1/cache/archives/partial" "$1/packages" "$1/root"
to=$(cd "$1" && pwd)
if [ ! -e "$to/conf" ]; then
    : >"$to/status"
    cat >"$to/conf.new" <<END
APT::Architecture "ppc64el";
APT::Architectures { "ppc64el"; };
APT::Sandbox::User "";
Dir::State "$to";
Dir::State::Lists "$to/lists";
Dir::State::status "$to/status";
Dir::Cache "$to/cache";
END
    # One suite's broken index does not matter when another has the package.
    APT_CONFIG="$to/conf.new" apt-get -q update >"$to/log" 2>&1 || say "apt-get update reported errors, going on"
    mv "$to/conf.new" "$to/conf"
fi
export APT_CONFIG="$to/conf"
name=$(apt-cache search --names-only "$2" | cut -d' ' -f1 | sort -V | tail -n 1)
[ -n "$name" ] || { say "no package $2"; exit 1; }
say "fetching $name"
(cd "$to/packages" && apt-get -q download "$name" >>"$to/log" 2>&1) || { say "$name cannot be had: $to/log"; exit 1; }
for deb in "$to/packages/${name}"_*.deb; do
    dpkg -x "$deb" "$to/root"
    dpkg-deb -W --showformat='${Package} ${Version}\n' "$deb"
    rm "$deb"
done
