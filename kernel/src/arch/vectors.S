# Exception vectors, copied as one block to guest physical address 0 (so `vectors_start` is linked at any
# address, and every branch inside is relative). Interrupts are little-endian by then (H_SET_MODE).
#
# Contract of the two words at LOWCORE, filled in by `exceptions::install` before the block is used:
#   +0  TOC pointer (r2)        +8  address of `exception_entry`
# SPRG0 of each CPU is the top of its exception stack.
#
# A vector saves r13 in SPRG2, r1 in SPRG1, loads its own number into r13 and joins `common`, which builds
# an `ExceptionFrame` on the exception stack and calls exception_entry(r3 = &frame). That never returns.
# System reset and machine check have a second way in each, at NMI_RESET and NMI_CHECK, for `ibm,nmi-register`: bit 0
# of the number says so. NMI_RESET is below 0x2000 and a multiple of 32, since the published ultravisor delivers
# nothing else anywhere but there; for a machine check it compares with what was registered (core/uvcall.c).
#
# Three return. 0xc00: `sc 2` that no ultravisor took answers U_FUNCTION (-2) in r3, all else untouched. 0x500
# and 0x900, external interrupt and decrementer, are let in only while a CPU waits (`postern_arch::cede`). They
# end the wait with MSR[EE] off again, touch no memory, and change SPRG2, SPRG3 and the decrementer only:
# SPRG3 = 1 says that it was the timer. What arrived is asked for where it is safe to, after the wait.

    .equ LOWCORE, 0x1f00
    .equ FRAME_SIZE, 512
    .equ NMI_RESET, 0x1c00
    .equ NMI_CHECK, 0x1c20

    .macro VECTOR_AT address, number
    . = vectors_start + \address
    mtsprg  2, 13
    li      13, \number
    b       common
    .endm

    .macro VECTOR number
    VECTOR_AT \number, \number
    .endm

# Ends an interrupt without a trace but for MSR[EE], which is off after it; r13 is in SPRG2.
    .macro RETURN_WITH_INTERRUPTS_OFF
    mfsrr1  13
    rldicl  13, 13, 48, 1
    rotldi  13, 13, 16
    mtsrr1  13
    mfsprg  13, 2
    rfid
    .endm

    .section .rodata.vectors, "a"
    .balign 256
    .globl vectors_start
vectors_start:
    VECTOR 0x100
    VECTOR 0x200
    VECTOR 0x300
    VECTOR 0x380
    VECTOR 0x400
    VECTOR 0x480
    . = vectors_start + 0x500
    mtsprg  2, 13
    RETURN_WITH_INTERRUPTS_OFF
    VECTOR 0x600
    VECTOR 0x700
    VECTOR 0x800
    . = vectors_start + 0x900
    mtsprg  2, 13
    # Far away: the interrupt is pending for as long as the decrementer is negative.
    lis     13, 0x7fff
    ori     13, 13, 0xffff
    mtdec   13
    li      13, 1
    mtsprg  3, 13
    RETURN_WITH_INTERRUPTS_OFF
    VECTOR 0x980
    VECTOR 0xa00
    . = vectors_start + 0xc00
    li      3, -2
    rfid
    VECTOR 0xd00
    VECTOR 0xe00
    VECTOR 0xe20
    VECTOR 0xe40
    VECTOR 0xe60
    VECTOR 0xe80
    VECTOR 0xf00
    VECTOR 0xf20
    VECTOR 0xf40
    VECTOR 0xf60
    VECTOR 0xf80

    . = vectors_start + 0x1000
common:
    mtsprg  1, 1
    mfsprg  1, 0
    addi    1, 1, -FRAME_SIZE
    std     0, 128(1)
    mfsprg  0, 1
    std     0, 136(1)
    std     2, 144(1)
    std     3, 152(1)
    std     4, 160(1)
    std     5, 168(1)
    std     6, 176(1)
    std     7, 184(1)
    std     8, 192(1)
    std     9, 200(1)
    std     10, 208(1)
    std     11, 216(1)
    std     12, 224(1)
    mfsprg  0, 2
    std     0, 232(1)
    std     14, 240(1)
    std     15, 248(1)
    std     16, 256(1)
    std     17, 264(1)
    std     18, 272(1)
    std     19, 280(1)
    std     20, 288(1)
    std     21, 296(1)
    std     22, 304(1)
    std     23, 312(1)
    std     24, 320(1)
    std     25, 328(1)
    std     26, 336(1)
    std     27, 344(1)
    std     28, 352(1)
    std     29, 360(1)
    std     30, 368(1)
    std     31, 376(1)
    mfsrr0  0
    std     0, 384(1)
    mfsrr1  0
    std     0, 392(1)
    mflr    0
    std     0, 400(1)
    mfctr   0
    std     0, 408(1)
    mfcr    0
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
    ld      2, LOWCORE(0)
    ld      12, LOWCORE+8(0)
    mtctr   12
    addi    3, 1, 128
    bctrl
    b       .

    VECTOR_AT NMI_RESET, 0x101
    VECTOR_AT NMI_CHECK, 0x201

    . = vectors_start + 0x2000
    .globl vectors_end
vectors_end:
