#!/bin/sh
# Installs, by package name, the tools for building and running that are missing.
#   scripts/setup.sh            install what is missing, and say so
#   scripts/setup.sh --check    only report; exit 1 when something is missing
#   scripts/setup.sh --quiet    as without options, but silent when nothing is missing
#   ... --gdb                   also the tools for `make gdb`
#   ... --fuzz                  also the tools for `make fuzz`
#   ... --second-kernel         also the tools for the boot tests of examples/aarch64-virt
#   ... --targets               also the tools for `make test-targets`
# Exit 0 if nothing is missing in the end, else 1 and a sentence; make then exits 2, as after any failure.
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
rust=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$top/rust-toolchain.toml")
rust_packages="rustc-web cargo-web rust-web-src rust-web-clippy rustfmt-web"

mode=install fuzz=no targets=no gdb=no second=no
for option; do
    case "$option" in
    --check) mode=check ;;
    --quiet) mode=quiet ;;
    --fuzz) fuzz=yes ;;
    --gdb) gdb=yes ;;
    --targets) targets=yes ;;
    --second-kernel) second=yes ;;
    *) echo "usage: scripts/setup.sh [--check|--quiet] [--gdb] [--fuzz] [--targets] [--second-kernel]" >&2; exit 2 ;;
    esac
done

say() { echo "setup: $*"; }
die() { echo "setup: $*" >&2; exit 1; }

# The first dotted number that a program's --version prints; nothing if there is no such program.
version() { "$1" --version 2>/dev/null | sed -n 's/[^0-9]*\([0-9][0-9]*\.[0-9][0-9.]*\).*/\1/p' | head -n 1; }

# Whether dotted number $1 is at least $2.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# One line per tool; missing tools are collected in $packages (Debian's names) and $missing (the tools' names).
packages='' missing='' report=''
found() { report="$report
  $1: $2"; }
lacks() { # tool, what was found, wanted, package...
    report="$report
  $1: $2, wanted: $3"
    missing="$missing${missing:+, }$1"; shift 3
    packages="$packages${1:+ $*}"
}
program() { # program, least version, package...
    have=$(version "$1")
    if [ -z "$have" ]; then name=$1 least=$2; shift 2; lacks "$name" missing "$least or later" "$@"
    elif at_least "$have" "$2"; then found "$1" "$have"
    else name=$1 least=$2; shift 2; lacks "$name" "$have" "$least or later" "$@"; fi
}
have_rust() { "$top/scripts/cargo" --version >/dev/null 2>&1; }

look() {
    packages='' missing='' report=''
    program "$qemu" 7.2 qemu-system-ppc
    program ld.lld 14 lld
    program powerpc64le-linux-gnu-objdump 2.35 binutils-powerpc64le-linux-gnu
    program dtc 1.6 device-tree-compiler
    if command -v cc >/dev/null 2>&1 && echo 'int main(void){return 0;}' | cc -xc -o /dev/null - 2>/dev/null; then
        found "cc (links the host's programs)" "$(command -v cc)"
    else
        lacks cc missing "a C compiler that links" gcc libc6-dev
    fi
    if [ $gdb = yes ]; then
        if with=$("$top/scripts/gdb.sh" --which); then found "gdb that knows powerpc" "$with"
        else lacks gdb "none that knows powerpc" "gdb-multiarch" gdb-multiarch; fi
    fi
    if [ $fuzz = yes ]; then
        if echo 'int main(){return 0;}' | c++ -xc++ -o /dev/null - 2>/dev/null; then
            found "c++ (builds libFuzzer)" "$(command -v c++)"
        else
            lacks c++ missing "a C++ compiler that links" g++
        fi
    fi
    if [ $second = yes ]; then program qemu-system-aarch64 7.2 qemu-system-arm; fi
    if [ $targets = yes ]; then
        for machine in i686 s390x; do
            # To link for this machine, the compiler also needs the C library.
            if echo 'int main(void){return 0;}' | $machine-linux-gnu-gcc -xc -o /dev/null - 2>/dev/null; then
                found "$machine-linux-gnu-gcc (links programs for it)" "$(command -v $machine-linux-gnu-gcc)"
            else
                case $machine in i686) library=libc6-dev-i386-cross ;; *) library=libc6-dev-$machine-cross ;; esac
                lacks $machine-linux-gnu-gcc missing "a C compiler that links" gcc-$machine-linux-gnu $library
            fi
        done
        for emulator in qemu-i386 qemu-s390x; do
            if command -v $emulator >/dev/null 2>&1; then found $emulator "$(command -v $emulator)"
            else lacks $emulator missing "QEMU's user mode" qemu-user; fi
        done
    fi
    if [ -n "${SSL_CERT_FILE:-}" ] || [ -e /etc/ssl/certs/ca-certificates.crt ] ||
        [ -e /etc/pki/tls/certs/ca-bundle.crt ] || [ -e /etc/ssl/cert.pem ]; then
        found "TLS certificates" present
    else
        lacks "TLS certificates" missing "for cargo's downloads" ca-certificates
    fi
    if have_rust; then
        found Rust "$("$top/scripts/cargo" --version)"
    else
        lacks Rust missing "exactly $rust with clippy, rustfmt and the library's source" # packages: see below
    fi
}

# A QEMU that the user names is not installed by this script.
qemu=${QEMU:-qemu-system-ppc64}
if [ "$qemu" != qemu-system-ppc64 ]; then
    have=$(version "$qemu")
    [ -n "$have" ] || die "QEMU=$qemu: no program that runs and answers --version with a number"
    "$qemu" --version | grep -q '^QEMU emulator version ' || die "QEMU=$qemu: no QEMU, by its --version"
    at_least "$have" 7.2 || die "QEMU=$qemu: version $have, wanted 7.2 or later"
    "$qemu" -machine help 2>/dev/null | grep -q '^pseries ' ||
        die "QEMU=$qemu: has no machine pseries; wanted a qemu-system-ppc64"
fi
look
if [ -z "$missing" ]; then
    [ "$mode" = quiet ] || say "nothing is missing$report"
    exit 0
fi
[ "$mode" = check ] && { say "missing: $missing$report" >&2; exit 1; }
say "missing: $missing"

log=$(mktemp) || die "no temporary file"
trap 'rm -f "$log"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# Rust from rustup, where there is one that can download; it needs no root.
if ! have_rust && command -v rustup >/dev/null 2>&1; then
    say "rustup: installing Rust $rust"
    if "$top/scripts/waiting" "rustup toolchain install" "$log" timeout 900 rustup toolchain install "$rust" \
        --no-self-update --profile minimal -c rust-src -c clippy -c rustfmt && have_rust; then
        say "rustup: Rust $rust installed"
    else
        say "rustup could not install Rust $rust"
    fi
    look
    [ -z "$missing" ] && exit 0
fi

distribution=$(sed -n 's/^ID="\{0,1\}\([a-z]*\)"\{0,1\}$/\1/p' /etc/os-release 2>/dev/null)
if [ "$distribution" != debian ] || ! command -v apt-get >/dev/null 2>&1; then
    cat >&2 <<END
setup: this is not Debian, so nothing is installed by itself. What was looked for, and what is there:$report
setup: install what is missing with your system's tools (Rust: 'rustup toolchain install $rust -c rust-src -c clippy -c rustfmt'), then run make again
END
    exit 1
fi
have_rust || packages="$packages $rust_packages"

run=''
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 || die "not root and no sudo; as root run: apt-get install --no-install-recommends$packages"
    run=sudo
fi
# The output goes to $log; meanwhile the step and its duration are printed.
apt() { "$top/scripts/waiting" "apt-get $1" "$log" $run env DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@"; }
# In English, whatever the user's language is.
candidate() { LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: //p'; }
# Whether apt's lists have every wanted package, and Rust in exactly the pinned version.
known() {
    for p in $packages; do
        case "$p $(candidate "$p")" in
        *" " | *" (none)") return 1 ;;
        rustc-web\ "$rust"+*) ;;
        rustc-web\ *) return 1 ;;
        esac
    done
}
refresh() { say "apt-get update"; apt update || { tail -n 5 "$log" >&2; say "apt-get update reported errors, going on" >&2; }; }
fresh=no
known || { refresh; fresh=yes; }
for p in $packages; do
    case "$(candidate "$p")" in "" | "(none)") die "apt knows no package $p; are the main and security suites of Debian 12 or 13 enabled?" ;; esac
done
case " $packages " in *" rustc-web "*)
    case "$(candidate rustc-web)" in "$rust"+*) ;;
    *) die "apt offers rustc-web $(candidate rustc-web), wanted $rust: enable the security suite of Debian 12 or 13, or use rustup" ;;
    esac ;;
esac
say "apt-get install --no-install-recommends$packages"
# shellcheck disable=SC2086 # a list of words
install() { apt install --no-install-recommends $packages; }
if ! install; then
    # The lists may be older than the archive.
    if [ "$fresh" = no ]; then refresh; install; else false; fi ||
        {
            grep -E '^(E|W): ' "$log" | tail -n 5 >&2 || tail -n 5 "$log" >&2
            die "apt-get install failed (above is why; without a network nothing can be installed). Wanted:$packages"
        }
fi
look
[ -z "$missing" ] || { say "installed, yet still missing: $missing$report" >&2; exit 1; }
say "done$report"
