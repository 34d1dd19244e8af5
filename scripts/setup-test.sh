#!/bin/sh
# Tests the output of setup and make on other machines: apt in German, no network, no permission to execute. Nothing is
# installed: apt's programs and one tool are replaced.
set -u
cd "$(dirname "$0")/.." || exit 1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
failed=0
wrong() { failed=1; echo "setup-test: $1"; cat "$dir/said"; }

fake() { cat >"$dir/bin/$1"; chmod +x "$dir/bin/$1"; }
mkdir "$dir/bin" "$dir/tree" "$dir/tree/scripts"
echo 'echo "Version: DTC 1.0.0"' | fake dtc
# Like apt in a German locale, unless LC_ALL=C.
fake apt-cache <<'END'
[ "${LC_ALL:-}" = C ] && echo "  Candidate: 1.7" || echo "  Installationskandidat: 1.7"
END
fake apt-get <<'END'
echo "E: Failed to fetch http://archive/dtc.deb  Temporary failure resolving 'archive'"
exit 100
END
echo 'exec "$@"' | fake sudo
if grep -q '^ID="\{0,1\}debian' /etc/os-release 2>/dev/null && command -v apt-get >/dev/null 2>&1; then
    env -u LC_ALL LANG=de_DE.UTF-8 PATH="$dir/bin:$PATH" scripts/setup.sh >"$dir/said" 2>&1
    [ $? = 1 ] || wrong "without a network the status is not 1"
    grep -q '^setup: apt-get install failed .*Wanted: device-tree-compiler$' "$dir/said" || wrong "no sentence without a network"
    grep -q '^E: Failed to fetch' "$dir/said" || wrong "apt's reason is not shown"
fi

# Copied without modes, as on a mount without permission to execute.
cp Makefile "$dir/tree/"
cat scripts/setup.sh >"$dir/tree/scripts/setup.sh"
env -u MAKEFLAGS -u MAKELEVEL make -C "$dir/tree" image >"$dir/said" 2>&1
[ $? = 2 ] || wrong "make's status is not 2"
grep -q 'must not be executed' "$dir/said" || wrong "a folder without execution is not named"

[ $failed = 0 ] && echo "setup-test: setup and make say what is wrong"
exit $failed
