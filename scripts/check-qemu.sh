#!/bin/sh
# An unusable QEMU= is refused by name before anything is built; for a usable one nothing is printed.
set -eu
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
failed=0

stub() { # name, what --version says, what -machine help says
    printf '#!/bin/sh\ncase $1 in --version) echo "%s" ;; -machine) echo "%s" ;; esac\n' "$2" "$3" >"$dir/$1"
    chmod +x "$dir/$1"
}
answers() { # QEMU, what is said
    said=$(QEMU=$1 scripts/setup.sh --quiet 2>&1) && status=0 || status=$?
    case "$said" in *"$2"*) ;; *) echo "check-qemu: QEMU=$1 is answered '$said', not '$2'"; failed=1 ;; esac
    [ -n "$2" ] || { [ "$said$status" = 0 ] || { echo "check-qemu: QEMU=$1 is refused: $said"; failed=1; }; return; }
    [ $status != 0 ] || { echo "check-qemu: QEMU=$1 passes"; failed=1; }
}

stub old 'QEMU emulator version 6.2.0' 'pseries  pSeries Logical Partition'
stub pc 'QEMU emulator version 10.0.2' 'pc  Standard PC'
stub other 'true (GNU coreutils) 9.1' ''
stub good 'QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)' 'pseries  pSeries Logical Partition (alias of pseries-7.2)'
answers "$dir/missing" "QEMU=$dir/missing: no program that runs"
answers /etc/passwd "QEMU=/etc/passwd: no program that runs"
answers "$dir/other" "QEMU=$dir/other: no QEMU, by its --version"
answers "$dir/old" "QEMU=$dir/old: version 6.2.0, wanted 7.2 or later"
answers "$dir/pc" "QEMU=$dir/pc: has no machine pseries; wanted a qemu-system-ppc64"
answers "$dir/good" ""
[ "$failed" = 0 ] && echo "check-qemu: each is answered"
exit "$failed"
