# A CPU older than POWER9: one line that names it, status 12, and ibm,os-term.
#
# In: any entry state of the image, big-endian; any CPU that firmware runs on
# Out: does not return
# Big-endian, because the oldest CPUs of QEMU's pseries have no little-endian mode, and Power ISA 2.01 only
# (`scripts/check-image.sh` decodes it). Writes no memory but its own RTAS block, because firmware may still be there.

# Instructions as a big-endian CPU reads them.
.macro big_addi rt, ra, value
    big (0x38000000 | ((\rt) << 21) | ((\ra) << 16) | ((\value) & 0xffff))
.endm
.macro big_li rt, value
    big_addi \rt, 0, \value
.endm
.macro big_lbz rt, offset, ra
    big (0x88000000 | ((\rt) << 21) | ((\ra) << 16) | (\offset))
.endm
.macro big_lhz rt, offset, ra
    big (0xa0000000 | ((\rt) << 21) | ((\ra) << 16) | (\offset))
.endm
.macro big_stw rs, offset, ra
    big (0x90000000 | ((\rs) << 21) | ((\ra) << 16) | (\offset))
.endm
.macro big_cmplwi ra, value
    big (0x28000000 | ((\ra) << 16) | (\value))
.endm
.macro big_cmplw ra, rb
    big (0x7c000040 | ((\ra) << 16) | ((\rb) << 11))
.endm
.macro big_rlwinm ra, rs, shift, first, last
    big (0x54000000 | ((\rs) << 21) | ((\ra) << 16) | ((\shift) << 11) | ((\first) << 6) | ((\last) << 1))
.endm
.macro big_b target
88888:
    big (0x48000000 | (((\target) - 88888b) & 0x03fffffc))
.endm
.macro big_bl target
88888:
    big (0x48000001 | (((\target) - 88888b) & 0x03fffffc))
.endm
.macro big_blt target
88888:
    big (0x41800000 | (((\target) - 88888b) & 0xfffc))
.endm
.macro big_beq target
88888:
    big (0x41820000 | (((\target) - 88888b) & 0xfffc))
.endm
.macro big_bne target
88888:
    big (0x40820000 | (((\target) - 88888b) & 0xfffc))
.endm
.macro big_blr
    big 0x4e800020
.endm
.macro big_sc1
    big 0x44000022
.endm

# r31 = .Lold_here, r20 = PVR, r16 = text, r22 = a byte
.globl postern_old_processor
postern_old_processor:
    big 0x7e9f42a6                          # mfpvr r20
    big 0x429f0005                          # bcl 20, 31, .+4
.Lold_here:
    big 0x7fe802a6                          # mflr r31
    big_addi 16, 31, .Lold_cpu - .Lold_here
    big_bl .Lold_text
    big_rlwinm 21, 20, 16, 16, 31           # the version
    big_addi 16, 31, .Lold_names - .Lold_here
0:  big_lhz 22, 0, 16
    big_cmplw 22, 21
    big_beq 1f
    big_cmplwi 22, 0
    big_beq 1f
    big_addi 16, 16, 16
    big_b 0b
1:  big_addi 16, 16, 2
    big_bl .Lold_text
    big_addi 16, 31, .Lold_pvr - .Lold_here
    big_bl .Lold_text
    big_li 23, 8
2:  big_rlwinm 20, 20, 4, 0, 31             # its highest digit becomes the lowest
    big_rlwinm 22, 20, 0, 28, 31
    big_cmplwi 22, 10
    big_blt 3f
    big_addi 22, 22, 39                     # 'a' - '0' - 10
3:  big_addi 22, 22, 48
    big_bl .Lold_byte
    big_addi 23, 23, -1
    big_cmplwi 23, 0
    big_bne 2b
    big_addi 16, 31, .Lold_wanted - .Lold_here
    big_bl .Lold_text

    big_addi 5, 31, .Lold_reason - .Lold_here
    big_addi 4, 31, .Lold_block - .Lold_here
    big_stw 5, 12, 4
    big_li 3, 0
    big 0x6063f000                          # ori r3, r3, H_RTAS
    big_sc1
    # Reached only if the machine goes on after ibm,os-term.
4:  big_b 4b

# Prints the text at r16, up to its NUL. Changes r16, r22, r24 and what .Lold_byte changes.
.Lold_text:
    big 0x7f0802a6                          # mflr r24
5:  big_lbz 22, 0, 16
    big_addi 16, 16, 1
    big_cmplwi 22, 0
    big_beq 6f
    big_bl .Lold_byte
    big_b 5b
6:  big 0x7f0803a6                          # mtlr r24
    big_blr

# Prints the byte in r22 on the first terminal; drops it if the terminal stays full. Changes r3 to r12, r25, CR, XER,
# CTR.
.Lold_byte:
    big_li 25, 0x7fff
7:  big_li 3, 0x58                          # H_PUT_TERM_CHAR
    big_li 4, 0
    big_li 5, 1
    big 0x7ac6c1c6                          # sldi r6, r22, 56
    big_sc1
    big_cmplwi 3, 1                         # H_BUSY
    big 0x4c820020                          # bnelr
    big_addi 25, 25, -1
    big_cmplwi 25, 0
    big_bne 7b
    big_blr

.globl postern_old_processor_data
postern_old_processor_data:
    .balign 64
# token, arguments, results, the text, the answer. The token is QEMU's (`include/hw/ppc/spapr.h`).
.Lold_block:
    big 0x201f
    big 1
    big 1
    big 0
    big 0
# Upper half of the PVR and name, 16 bytes a row. The last row stands for every other version.
.macro old_processor version, name
77777:
    .byte (\version) >> 8, (\version) & 0xff
    .asciz "\name"
    .org 77777b + 16
.endm
.Lold_names:
    old_processor 0x0035, "POWER4"
    old_processor 0x0038, "POWER4+"
    old_processor 0x0039, "970"
    old_processor 0x003a, "POWER5"
    old_processor 0x003b, "POWER5+"
    old_processor 0x003c, "970FX"
    old_processor 0x003e, "POWER6"
    old_processor 0x003f, "POWER7"
    old_processor 0x0044, "970MP"
    old_processor 0x0045, "970GX"
    old_processor 0x004a, "POWER7+"
    old_processor 0x004b, "POWER8E"
    old_processor 0x004c, "POWER8NVL"
    old_processor 0x004d, "POWER8"
    old_processor 0x0000, "unknown model"
.Lold_cpu:
    .asciz "boot: CPU "
.Lold_pvr:
    .asciz " (PVR 0x"
.Lold_wanted:
    .asciz "): wanted POWER9 or later, with radix translation\r\nEXIT: STATUS={platform_refused}\r\n"
.Lold_reason:
    .asciz "Postern could not boot"
    .balign 4
