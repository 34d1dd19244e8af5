#!/bin/sh
# Makes the release a second time, from a copy of the source in another folder, with a cargo configuration that changes
# as much as possible: every file must have the same bytes as in build/release. The copy's build folder stays, so that
# only changes are built next time; a release that was found equal before is not built again.
set -eu
cd "$(dirname "$0")/.."
copy=build/elsewhere/a-folder-of-another-name
sums() { (cd "$1/build" && sha256sum postern.elf postern-test.elf && cat release/SHA256SUMS); }
wanted=$(sums .)
# The files that decide how the release is built are included.
agreed=$({ echo "$wanted"; cat Makefile kernel/profile.toml scripts/profile.sh scripts/release.sh scripts/same-bytes.sh; } | sha256sum)
if [ "$(cat build/elsewhere/agreed 2>/dev/null)" = "$agreed" ]; then
    printf 'same-bytes: found to agree before:\n%s\n' "$wanted"
    exit 0
fi
mkdir -p "$copy" build/elsewhere/.cargo
find "$copy" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
tar -c --exclude=./target --exclude=./build --exclude=./book --exclude=./.git . | tar -x -C "$copy"
# cargo reads the parent folders' configuration as it reads ~/.cargo/config.toml.
cat >build/elsewhere/.cargo/config.toml <<END
[build]
rustflags = ["-C", "target-cpu=pwr10"]
target-dir = "$PWD/build/elsewhere/theirs"
incremental = true
[profile.kernel]
opt-level = 0
debug = 0
lto = false
strip = true
overflow-checks = true
[profile.kernel.package.virtio-pci]
opt-level = 0
[profile.kernel.package.sha2]
opt-level = 0
[profile.release]
debug-assertions = true
codegen-units = 16
[profile.release.package.smoltcp]
opt-level = 0
[profile.release.package.core]
opt-level = 0
[target.powerpc64le-postern]
rustflags = ["-C", "opt-level=1"]
linker = "/nonexistent/linker"
END
# The user's own settings are removed from the environment.
env -u MAKEFLAGS -u MFLAGS -u CARGO_TARGET_DIR make -C "$copy" release
found=$(sums "$copy")
if [ "$found" != "$wanted" ]; then
    printf 'same-bytes: here\n%s\nand from %s\n%s\n' "$wanted" "$copy" "$found" >&2
    (cd build && find postern.elf postern-test.elf release -type f) | while read -r file; do
        cmp "build/$file" "$copy/build/$file" | head -n 1 >&2
    done
    exit 1
fi
echo "$agreed" >build/elsewhere/agreed
printf 'same-bytes: two folders and two cargo configurations, the same files:\n%s\n' "$wanted"
