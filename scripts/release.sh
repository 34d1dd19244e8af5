#!/bin/sh
# build/release: the files for another project's CI. The images without symbols, their symbols, the ROM, the images'
# components (CycloneDX), the licences, and the digests of all files. `make image` must have been run.
set -eu
cd "$(dirname "$0")/.."
out=build/release
rm -rf "$out.new"
mkdir -p "$out.new"
trap 'rm -rf "$out.new"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

objcopy=powerpc64le-linux-gnu-objcopy
for image in postern:postern-kernel postern-test:postern-test; do
    name=${image%:*} crate=${image#*:}
    $objcopy --strip-all "build/$name.elf" "$out.new/$name.elf"
    # gdb finds it by the build id, which both have.
    $objcopy --only-keep-debug "build/$name.elf" "$out.new/$name.debug"
    # The target of the image has no operating system; none of these packages asks for one.
    scripts/cargo tree -q --locked -p "$crate" --features "$crate/image" --target powerpc64le-unknown-linux-gnu \
        -e normal --prefix depth --no-dedupe -f '{p}|{l}' >"$out.new/tree"
    # The user's flags may be for another target and would break this program, which runs on this machine.
    CARGO_ENCODED_RUSTFLAGS='' scripts/cargo -q run -p postern-release -- "$out.new/$name.elf" <"$out.new/tree" >"$out.new/$name.cdx.json"
    rm "$out.new/tree"
done
cp build/rom.bin LICENSE-MIT LICENSE-APACHE "$out.new"
(
    cd "$out.new"
    {
        grep '^#' ../SHA256SUMS
        echo "# stripped by: $($objcopy --version | head -n 1)"
        sha256sum -- *.elf *.debug *.json rom.bin LICENSE-*
    } >SHA256SUMS
)
rm -rf "$out"
mv "$out.new" "$out"
sed 's/^/release: /' "$out/SHA256SUMS"
