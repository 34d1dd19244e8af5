#!/bin/sh
# rom.sh FILE: writes the smallest firmware for `-bios`. QEMU enters it at 0x100 with the flattened device
# tree in r3, and it branches to 0x400000, where QEMU put the `-kernel` image.
set -eu
{ head -c 256 /dev/zero; printf '\110\077\377\000'; } >"$1"
