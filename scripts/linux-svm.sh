#!/bin/sh
# Builds the small Linux that runs as a secure VM:
#   scripts/linux-svm.sh FOLDER [OPTION=VALUE]...
# leaves FOLDER/vmlinux, FOLDER/initramfs.gz, FOLDER/kexec and FOLDER/version. Source and busybox are Debian's newest
# packages. The build is kept until the configuration changes: ultravisor/linux/config, where each OPTION (NR_CPUS=8,
# PPC_4K_PAGES=y) replaces the file's line. With CPU_BIG_ENDIAN=y there is no busybox and no FOLDER/kexec, and
# FOLDER/init is the only program. Compiler and tools are installed, by name, if one is missing.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
[ $# -ge 1 ] || { echo "usage: scripts/linux-svm.sh FOLDER [OPTION=VALUE]..." >&2; exit 2; }
mkdir -p "$1"
to=$(cd "$1" && pwd)
shift
say() { echo "linux-svm: $*" >&2; }
config=$to/config.new
cp "$top/ultravisor/linux/config" "$config"
for option; do
    case $option in
        [A-Z0-9]*=?*) name=${option%%=*} ;;
        *) say "$option: wanted an option of Linux's configuration, as NR_CPUS=8"; exit 2 ;;
    esac
    sed -i "/^CONFIG_$name=/d" "$config"
    echo "CONFIG_$option" >>"$config"
done
init=$top/ultravisor/linux/init
big=''; grep -q '^CONFIG_CPU_BIG_ENDIAN=y$' "$config" && big=yes init=$to/init
kexec=$top/ultravisor/linux/kexec.c
cross=powerpc64le-linux-gnu-

tools() {
    wanted=''
    command -v ${cross}gcc >/dev/null || wanted="$wanted gcc-powerpc64le-linux-gnu"
    [ -e /usr/powerpc64le-linux-gnu/lib/libc.a ] || wanted="$wanted libc6-dev-ppc64el-cross"
    for program in make flex bison bc; do command -v $program >/dev/null || wanted="$wanted $program"; done
    command -v xz >/dev/null || wanted="$wanted xz-utils"
    [ -e /usr/include/libelf.h ] || wanted="$wanted libelf-dev"
    echo 'int main(void){return 0;}' | cc -xc -o /dev/null - 2>/dev/null || wanted="$wanted gcc libc6-dev"
    [ -z "$wanted" ] && return
    run=''; [ "$(id -u)" = 0 ] || run=sudo
    say "apt-get install$wanted"
    # The names have no spaces.
    # shellcheck disable=SC2086
    $run env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends $wanted >"$to/install.log" 2>&1 || {
        say "cannot install$wanted: $to/install.log"; return 1; }
}

# Prints the options of the list that the kernel's own rules dropped.
lost() {
    grep '^CONFIG.*[^n]$' "$config" | grep -vxFf "$1" >"$to/lost" || { rm "$to/lost"; return 0; }
    say "this kernel does not take: $(tr '\n' ' ' <"$to/lost")"
    ! grep -q PPC_SVM "$to/lost"
}

kernel() {
    package=$("$top/scripts/foreign-deb.sh" "$to/apt" '^linux-source-[0-9.]+$')
    say "unpacking $package"
    rm -rf "$to/source" && mkdir "$to/source"
    tar -xJf "$to/apt/root/usr/src/${package%% *}.tar.xz" -C "$to/source" --strip-components=1
    rm -rf "$to/apt/root"
    build() { make -s -C "$to/source" ARCH=powerpc CROSS_COMPILE=$cross KCFLAGS=-w "$@" >>"$to/build.log" 2>&1; }
    : >"$to/build.log"
    build KCONFIG_ALLCONFIG="$config" allnoconfig && lost "$to/source/.config" || { say "no configuration: $to/build.log"; return 1; }
    say "building vmlinux, ten minutes"
    build -j"${JOBS:-$(nproc)}" vmlinux || { say "not built: $to/build.log"; return 1; }
    cp "$to/source/usr/gen_init_cpio" "$to/gen_init_cpio"
    echo "$package" >"$to/version"
    cp "$config" "$to/config"
    mv "$to/source/vmlinux" "$to/vmlinux"
    rm -rf "$to/source"
}

initramfs() {
    [ "$big" ] || [ -e "$to/busybox" ] || {
        "$top/scripts/foreign-deb.sh" "$to/apt" '^busybox-static$' >>"$to/version"
        cp "$to"/apt/root/*bin/busybox "$to/busybox" 2>/dev/null || cp "$to"/apt/root/usr/bin/busybox "$to/busybox"
    }
    busybox="file /bin/busybox $to/busybox 755 0 0"; [ -z "$big" ] || busybox=''
    # The archive's list has the device nodes: none is made on this machine.
    "$to/gen_init_cpio" - <<END | gzip -9n >"$to/initramfs.new"
dir /dev 755 0 0
nod /dev/console 600 0 0 c 5 1
dir /proc 755 0 0
dir /sys 755 0 0
dir /bin 755 0 0
${busybox}
file /init $init 755 0 0
END
    mv "$to/initramfs.new" "$to/initramfs.gz"
}

# program FILE SOURCE [FLAG]...: a program for the guest.
program() {
    file=$1 source=$2; shift 2
    tools && ${cross}gcc -Wall -Wextra -Werror -O2 -static -s "$@" -o "$to/$file" "$source" >>"$to/build.log" 2>&1 || {
        say "no $file: $to/build.log"; return 1; }
}

[ -e "$to/vmlinux" ] && cmp -s "$config" "$to/config" || { tools && kernel; }
if [ "$big" ]; then
    source=$top/ultravisor/linux/init-big-endian.c
    [ "$init" -nt "$source" ] ||
        program init "$source" -mbig-endian -mabi=elfv2 -nostdlib -ffreestanding -fno-stack-protector
else
    # What starts another kernel.
    [ "$to/kexec" -nt "$kexec" ] || program kexec "$kexec"
fi
[ "$to/initramfs.gz" -nt "$init" ] || initramfs
rm -rf "$to/apt" "$config"
