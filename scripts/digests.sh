#!/bin/sh
# build/SHA256SUMS: the digests of the product, the test image and the ROM, and the compiler and linker that made them,
# as comments, which `sha256sum -c` skips. Prints the digests when they have changed. The same source, compiler and
# linker give the same image in any folder (scripts/same-bytes.sh); different builds of one compiler version may not.
set -eu
cd "$(dirname "$0")/../build"
sha256sum --status -c SHA256SUMS 2>/dev/null && exit 0
{
    ../scripts/cargo --rustc -vV | awk -F': ' '
        NR == 1 { line = $0 }
        $1 == "commit-hash" || $1 == "host" || $1 == "LLVM version" { line = line ", " $1 " " $2 }
        END { print "# compiler: " line }'
    echo "# linker: $(ld.lld --version | head -n 1)"
    sha256sum postern.elf postern-test.elf rom.bin
} >SHA256SUMS.new
mv SHA256SUMS.new SHA256SUMS
sed 's/^/image: /' SHA256SUMS
