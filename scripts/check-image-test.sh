#!/bin/sh
# scripts/check-image.sh must find each fault that it looks for: one small object file for each.
set -eu
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
failed=0

object() { # the assembly
    printf '%s\n' .machine\ power9 .text "$1" | powerpc64le-linux-gnu-as -many -o "$dir/o" - || { echo "check-image-test: cannot assemble: $1"; exit 1; }
}
refused() { # instructions, reason
    object "$1"
    if scripts/check-image.sh "$dir/o" >"$dir/out" 2>&1 || ! grep -q "$2" "$dir/out"; then
        echo "check-image-test: '$1' was not refused as: $2"; failed=1
    fi
}

for i in 'fadd 1,2,3' 'fmr 1,2' 'lfd 1,0(3)' 'stfs 1,0(3)' 'mffs 1' 'mtfsf 255,1' 'dadd 1,2,3'; do refused "$i" "floating point"; done
for i in 'vadduwm 1,2,3' 'lvx 1,0,3' 'stvx 1,0,3' 'lxvd2x 1,0,3' 'stxvd2x 1,0,3' 'lxv 1,0(3)' 'xxlor 1,2,3' \
    'xsadddp 1,2,3' 'xvadddp 1,2,3' 'mtvsrd 1,3' 'mfvsrd 3,1' 'lxsd 1,0(3)' 'stxsd 1,0(3)'; do refused "$i" vector; done
# Vector registers are used only to copy a whole block of the pool, in order.
loads='lxv 0,0(4); lxv 1,16(4); lxv 2,32(4); lxv 3,48(4); lxv 4,64(4); lxv 5,80(4); lxv 6,96(4); lxv 7,112(4)'
stores='stxv 0,0(3); stxv 1,16(3); stxv 2,32(3); stxv 3,48(3); stxv 4,64(3); stxv 5,80(3); stxv 6,96(3); stxv 7,112(3)'
for i in "$stores" "$loads; bdnz .-32" "$loads; dcbz 0,3; $stores" "$loads; dcbz 0,4; dcbz 0,4; $stores" \
    "$loads; nop; $stores" "nop; lxv 1,16(4); $stores" "lxv 0,0(4); lxv 1,16(5)" "lxv 0,0(4); lxv 1,32(4)" "lxv 0,0(4); lxv 2,16(4)" \
    "lxv 32,0(4); $stores" "lxv 0,0(4); ld 5,0(4)" "$(echo "$loads" | sed 's/(4)/(1)/g'); $stores" "$loads; $loads; $stores"; do
    refused "$i" vector
done
# Four blocks per iteration: each follows the one before directly, with the same offsets for loads and stores.
behind() { # instructions, bytes
    echo "$1" | sed 's/,\([0-9]*\)(/,\1+'"$2"'(/g'
}
second="$(behind "$loads" 128); dcbz 9,4; $(behind "$stores" 128)"
for i in "$second" "$loads; $stores; nop; $second" "$loads; $stores; $(behind "$loads" 128); $stores" \
    "$loads; $stores; $(behind "$loads" 256); $(behind "$stores" 256)" "$loads; $stores; $(behind "$loads" 128); dcbz 0,4" \
    "$loads; $stores; $(behind "$loads" 128); dcbz 9,3" "$loads; $stores; $(echo "$second" | sed 's/(4)/(5)/g')"; do
    refused "$i" vector
done
for i in "lxv 0,0(4)" "$loads" "$loads; dcbz 0,4; stxv 0,0(3)"; do refused "$i" "never ends"; done
# The first access to memory that may not exist: one load and one store of 16 bytes, by vs0.
for i in "lxvd2x 0,0,4; nop; stxvd2x 0,0,3" "stxvd2x 0,0,3" "lxvd2x 0,0,4; stxvd2x 1,0,3" "lxvd2x 0,5,4; stxvd2x 0,0,3" \
    "lxvd2x 32,0,4; stxvd2x 32,0,3"; do refused "$i" vector; done
refused "lxvd2x 0,0,4" "not stored"
# The assembler accepts lmw, stmw, lswi and stswx for big-endian only: they are given as words.
for i in 'lq 4,0(3)' 'stq 4,0(3)' 'lqarx 4,0,3' '.long 0xbbc30000' '.long 0xbfc30000' '.long 0x7c8344aa' '.long 0x7c832d2a'; do
    refused "$i" "quad-word, multiple or string"
done
for i in tbegin. tend. 'tabort. 3'; do refused "$i" transactional; done
for i in hrfid stop 'scv 0' 'msgsnd 3'; do refused "$i" "not for a guest"; done
refused 'nop; .long 0' "no instruction"
refused 'bl .+4; .long 0; nop' "no instruction"
refused '.long 0x08000048; b .+12; .long 0xa600607d; nop; .long 0xa600607d' "1[04]: .*no instruction"
refused '.long 0x04000001' "no instruction"
for i in 'addi 13,3,1' 'ld 4,8(13)' 'mr 3,13' 'std 13,0(3)'; do refused "$i" "r13 is the vectors own"; done
slot='.long 0x08000048; b .+8; .byte 0x48,0,0x21,0xbc; mtsprg 2,13; li 13,0x300; b .+0x1000; trap; trap'
vectors() { printf '.section .rodata\n.globl vectors_start\nvectors_start:\n.rept %s\n%s\n.endr\n%s\n.space 0x2000\n.text\nnop' "$1" "$slot" "$2"; }
refused "$(vectors 255 'li 3,-2; rfid; .space 24')" "the slot at 0x1fe0 is no whole entry"
refused "$(vectors 3 '.space 0x1fa0')" "the slot at 0x60 is no whole entry"
# The CPU's version is checked before any instruction that old CPUs lack, in both byte orders; the code that reports an
# old CPU uses no such instruction either. Big-endian words are given as bytes.
big_check='.byte 0x7d,0x3f,0x42,0xa6, 0x55,0x29,0x84,0x3e, 0x28,9,0,0x4e, 0x41,0x80,0,0x44'
little_check='mfmsr 11; mfpvr 9; srwi 9,9,16; cmplwi 9,78; bge .+4'
early() { # big-endian from 8 on, little-endian, of an old CPU (big-endian)
    printf '.globl _start\n_start: .long 0x08000048; b 1f\n%s\n1: %s\n.org 0x58\npostern_old_processor: %s\npostern_old_processor_data: .long 0x1234' "$1" "$2" "$3"
}
ends='.byte 0x4e,0x80,0,0x20'
lacks="the CPU is not looked at first"
for i in '.byte 0x7c,0x61,0x05,0xe6;' '.byte 0x48,0,0,4;' '.byte 0x7d,0x3f,0x42,0xa6;'; do # darn, b .+4, mfpvr
    refused "$(early "$i $big_check" "$little_check" "$ends")" "big-endian: $lacks"
done
for i in 'darn 3,1;' 'ld 3,0(4); bl .+4;' 'mfpvr 9;' 'maddld 3,4,5,6;'; do
    refused "$(early "$big_check" "$i $little_check" "$ends")" "little-endian: $lacks"
done
refused "$(early "$big_check" 'mfpvr 9; srwi 9,9,16; cmplwi 9,75; bge .+4' "$ends")" "little-endian: $lacks"
refused "$(early "$(echo "$big_check" | sed 's/0x44$/0x40/')" "$little_check" "$ends")" "big-endian: $lacks"
refused "$(early 'nop' 'nop' "$ends")" "big-endian: $lacks"
for i in '0x7c,0x61,5,0xe6' '0x7c,0x60,0x24,0x28' '0x7c,0x83,4,0x74'; do # darn, ldbrx, cnttzd
    refused "$(early "$big_check" "$little_check" ".byte $i; $ends")" "for an old CPU, yet no instruction"
done
# VSR32 to VSR63, also in instructions that other rules allow by name.
for i in 'lxv 32,0(4)' 'stxv 63,16(3)' 'lxvd2x 33,0,4; stxvd2x 33,0,3' 'lxvx 32,0,4' 'stxvx 40,0,3' 'lxsdx 32,0,4' \
    'lxsd 0,0(4)' 'stxsd 1,8(3)' 'lxssp 2,0(4)' 'mtvsrd 33,3' 'mfvsrd 3,34' 'mtvsrws 32,3' 'lvx 0,0,3' 'stvx 0,0,3' \
    'vxor 0,0,0' 'lvsl 0,0,3' 'xxlor 32,1,1' 'xvadddp 32,1,2' 'lxvl 32,3,4' 'vpermr 1,2,3,4'; do
    refused "$i" "VSR32 to VSR63"
done
# A call that leaves a value in a register that is no argument of it.
zeros='li 0,0; li 4,0; li 5,0; li 6,0; li 7,0; li 8,0; li 9,0; li 10,0; li 11,0; li 12,0'
for i in "li 3,224; $(echo "$zeros" | sed 's/li 12,0/nop/'); sc 1" "li 3,224; $(echo "$zeros" | sed 's/li 4,0/nop/'); sc 1" \
    "li 3,116; $(echo "$zeros" | sed 's/li 0,0/cmpd 0,0/'); sc 1" "$zeros; sc 2" "li 3,28; $zeros; 1: sc 1; b 1b" \
    "li 3,28; $(echo "$zeros" | sed 's/li 6,0/nop/'); sc 1" "li 3,28; $zeros; bl .+4; sc 1" "li 3,28; $zeros; sc 1; li 3,28; sc 1"; do
    refused "$i" "leaves what was in"
done
refused 'bl elsewhere' "undefined symbols:.*elsewhere"
refused 'bl elsewhere' "relocations: R_PPC64_REL24"
refused '' "no instruction at all"

# And it must accept the code of a correct kernel.
for i in "li 3,28; ${zeros#*li 5,0;}; li 0,0; sc 1" "lis 3,0; ori 3,3,61744; $zeros; sc 2" "$loads; $stores; addi 4,4,128; bdnz .-68" "$loads; dcbz 0,4; $stores; $loads; $stores" "$loads; dcbz 0,4; $stores; $second" \
    "$(early "$big_check" "$little_check; darn 3,1" "$ends")"; do
    object "$i"
    if ! scripts/check-image.sh "$dir/o" >"$dir/out" 2>&1; then
        echo "check-image-test: refused what is allowed:"; cat "$dir/out"; failed=1
    fi
done
object '.long 0x08000048; b .+12; .long 0xa600607d; .long 0x2400004c; mfmsr 3; mtmsrd 3,1; rfid; '"li 3,224; $zeros; sc 1; li 3,-3824; $zeros; sc 2"'; trap; ld 3,0(4); std 3,8(4); lwbrx 3,0,4; dcbz 0,3; darn 3,1; divd 3,4,5
lwsync; ptesync; isync; tlbie 3,4; mtspr 26,3; mftb 3; xor 3,4,5; xnop; ldarx 3,0,4; stdcx. 3,0,4; popcntd 3,4; cnttzd 3,4
tdi 0,0,0x48; stb 3,0(4); std 3,0(1); lwa 3,0(4); lhbrx 3,0,4; b .+8; .long 0; slbia; dcbst 0,3; dcbf 0,3; stdbrx 3,0,4; subf 3,4,5'
if ! scripts/check-image.sh "$dir/o" >"$dir/out" 2>&1; then
    echo "check-image-test: refused what is allowed:"; cat "$dir/out"; failed=1
fi
[ "$failed" = 0 ] && echo "check-image-test: every kind is found"
exit "$failed"
