# The contents of low memory, guest physical 0 to 0xffff: exception vectors and their code. All branches stay inside
# this block, which `postern_own_low_memory` (low_memory.S) copies to 0.
#
# 0 to 0x1fff: 256 slots of 32 bytes. The published ultravisor can enter any of them at any time, whatever MSR[EE]
# is, so each slot is a complete entry with its own number. NMI_RESET and NMI_CHECK are the handlers for
# `ibm,nmi-register`: bit 0 of their number is set. From 0x2000 on: the code that the slots share.
#
# A slot works in both byte orders. Its first word is `tdi 0,r0,72` to a little-endian CPU, which never traps, and
# `b .+8` to a big-endian one: interrupts stay big-endian until H_SET_MODE is answered, truthfully or not.
#
# MSR[RI] says whether an interrupt is recoverable. It is set while SPRG0 is the top of this CPU's exception stack and
# SRR0 and SRR1 hold nothing that is needed. It is clear in every handler (the interrupt clears it), in a report and
# around each rfid. An interrupt with RI clear ends in `halt`, which uses no stack and no memory but this page. r13 is
# used here and nowhere else in the image (`scripts/check-image.sh`).
#
# SPRG1 and SPRG2 are scratch for these handlers: r1 or CR, and r13.
# SPRG3: 1 means that the decrementer ended a wait; SC_EXPECTED means that this image's next `sc` is an `sc 2`.
#
# Three handlers return.
# 0x500, 0x900: return with MSR[EE] off, which ends a wait. They change SPRG2, SPRG3 and the decrementer. One that
#   interrupts another handler has lost its return address: it traps to 0x700.
# 0xc00: answers U_FUNCTION (-2) to an `sc 2` that no ultravisor took. In a secure VM the ultravisor takes every
#   `sc 2`, so there it is fatal.

    .equ LAST_LINE_WORD, 0x27e8
    .equ TOC_WORD, 0x27f0
    .equ ENTRY_WORD, 0x27f8
    .equ LOW_CODE_SIZE, 0x2800
    .equ FRAME_SIZE, 512
    .equ NMI_RESET, 0x1c00
    .equ NMI_CHECK, 0x1c20
    .equ SC_EXPECTED, 0x5c02

    # `b target` as a big-endian CPU reads it.
    .macro big_branch target
77777:
    .byte   0x48, (((\target) - 77777b) >> 16) & 0xff, (((\target) - 77777b) >> 8) & 0xff, ((\target) - 77777b) & 0xfc
    .endm

    # A word as a big-endian CPU reads it.
    .macro big_word insn
    .byte   ((\insn) >> 24) & 0xff, ((\insn) >> 16) & 0xff, ((\insn) >> 8) & 0xff, (\insn) & 0xff
    .endm

    .macro SLOT_HEAD
    .long   0x08000048
    b       .+8
    big_branch halt_big
    mtsprg  2, 13
    .endm

    .macro FATAL number
    SLOT_HEAD
    li      13, \number
    b       common
    trap
    trap
    .endm

    .macro HANDLED_AT label
    SLOT_HEAD
    b       \label
    trap
    trap
    trap
    .endm

    .section .rodata.vectors, "a"
    .balign 256
    .globl vectors_start
vectors_start:
    .set slot, 0
    .rept 256
    .if slot == 0x500
    HANDLED_AT external
    .elseif slot == 0x900
    HANDLED_AT decrementer
    .elseif slot == 0xc00
    HANDLED_AT system_call
    .elseif slot == NMI_RESET
    FATAL 0x101
    .elseif slot == NMI_CHECK
    FATAL 0x201
    .else
    FATAL slot
    .endif
    .set slot, slot + 32
    .endr

    # Returns with MSR[EE] off. Traps if MSR[RI] was off. r13 is in SPRG2.
    .macro RETURN_WITH_INTERRUPTS_OFF
    mfsrr1  13
    rldicl  13, 13, 63, 63              # MSR[RI]
    tdeqi   13, 0
    mfsrr1  13
    rldicl  13, 13, 48, 1
    rotldi  13, 13, 16
    mtsrr1  13
    mfsprg  13, 2
    rfid
    .endm

external:
    RETURN_WITH_INTERRUPTS_OFF

decrementer:
    # Set far ahead: the interrupt stays pending while the decrementer is negative.
    lis     13, 0x7fff
    ori     13, 13, 0xffff
    mtdec   13
    li      13, 1
    mtsprg  3, 13
    RETURN_WITH_INTERRUPTS_OFF

system_call:
    mfcr    13
    mtsprg  1, 13
    mfmsr   13
    rldicl. 13, 13, 42, 63              # MSR[S]
    bne     0f
    mfsprg  13, 3
    cmpldi  13, SC_EXPECTED
    bne     0f
    # SPRG3 says that this image was about to run `sc 2`, so the word before SRR0 is one of its instructions.
    mfsrr0  13
    lwz     13, -4(13)
    xoris   13, 13, 0x4400
    cmplwi  13, 0x0042
    bne     0f
    li      13, 0
    mtsprg  3, 13
    mfsprg  13, 1
    mtcr    13
    mfsprg  13, 2
    li      3, -2
    rfid
0:  mfsprg  13, 1
    mtcr    13
    li      13, 0xc00

# A fatal interrupt: stores an `ExceptionFrame` on the exception stack, then calls postern_exception(r3 = &frame).
# r13 = number, SPRG2 = r13 as interrupted. This code never returns, so SPRG3 is free.
common:
    mtsprg  1, 1
    mfcr    1
    mtsprg  3, 1
    mfsrr1  1
    andi.   1, 1, 2                     # MSR[RI]
    beq     halt
    mfsprg  1, 0
    addi    1, 1, -FRAME_SIZE
    std     0, 128(1)
    mfsprg  0, 1
    std     0, 136(1)
    .irp r, 2,3,4,5,6,7,8,9,10,11,12
    std     \r, 128 + 8 * \r(1)
    .endr
    mfsprg  0, 2
    std     0, 232(1)
    .irp r, 14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    std     \r, 128 + 8 * \r(1)
    .endr
    mfsrr0  0
    std     0, 384(1)
    mfsrr1  0
    std     0, 392(1)
    mflr    0
    std     0, 400(1)
    mfctr   0
    std     0, 408(1)
    mfsprg  0, 3
    std     0, 416(1)
    mfxer   0
    std     0, 424(1)
    mfdar   0
    std     0, 432(1)
    mfdsisr 0
    std     0, 440(1)
    std     13, 448(1)
    li      0, 0
    std     0, 0(1)
    ld      2, TOC_WORD(0)
    ld      12, ENTRY_WORD(0)
    mtctr   12
    addi    3, 1, 128
    bctrl
    b       halt

# A big-endian interrupt: before H_SET_MODE, or after one that the host answered and did not do. Continues at `halt`,
# little-endian.
halt_big:
    big_word 0x7d6000a6                 # mfmsr r11
    big_word 0x616b0001                 # ori r11, r11, MSR[LE]
    big_word 0x7d7b03a6                 # mtsrr1 r11
    big_word (0x39600000 | (halt - vectors_start)) # li r11, halt
    big_word 0x7d7a03a6                 # mtsrr0 r11
    big_word 0x4c000024                 # rfid

# The end without a report: two lines on the first terminal and ibm,os-term, by registers and one word of this page.
# The code that changes that word from 0 prints the last line of the run, so that there is only one
# (`postern_arch::claim_last_line`).
halt:
    li      9, LAST_LINE_WORD
    li      1, 1
4:  ldarx   8, 0, 9
    cmpdi   8, 0
    bne     3f
    stdcx.  1, 0, 9
    bne-    4b
    li      9, halt_text - vectors_start
0:  li      3, 0x58                     # H_PUT_TERM_CHAR
    li      4, 0
    li      5, 16
    ldbrx   6, 0, 9
    addi    8, 9, 8
    ldbrx   7, 0, 8
    .irp r, 0,2,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    li      \r, 0
    .endr
    mtctr   0
    mtxer   0
    mtlr    0
    mtcr    0
    cmpdi   1, 0                        # r1 = 0 says that the second line is written
    beq     1f
    li      1, 0
    sc      1
    li      9, halt_text + 16 - vectors_start
    b       0b
1:  sc      1
3:  li      3, 0
    ori     3, 3, 0xf000                # H_RTAS
    li      4, halt_block - vectors_start
    .irp r, 0,1,2,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    li      \r, 0
    .endr
    mtctr   0
    mtxer   0
    mtlr    0
    mtcr    0
    sc      1
    # If the host lets the guest go on, call again after 2^29 ticks, about a second.
    mftb    8
    li      9, 1
    sldi    9, 9, 29
    add     9, 9, 8
2:  mftb    8
    cmpld   8, 9
    blt     2b
    b       3b

    .balign 64
halt_text:
    .ascii  "\r\nhalt: vector\r\nEXIT: STATUS=8\r\n"
# token, arguments, results, the text, the answer: big-endian. The token is QEMU's (`include/hw/ppc/spapr.h`); the
# published ultravisor relies on the same number (`svm/svm-rtas.c`).
halt_block:
    .byte   0, 0, 0x20, 0x1f, 0, 0, 0, 1, 0, 0, 0, 1
    .byte   0, 0, (halt_reason - vectors_start) >> 8, (halt_reason - vectors_start) & 0xff
    .long   0
halt_reason:
    .asciz  "Postern: an interrupt that cannot be handled"

    . = vectors_start + LAST_LINE_WORD
    .quad   0, 0, 0
    .globl vectors_end
vectors_end:
