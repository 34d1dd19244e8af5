# Writes guest physical 0 to 0xffff (the vectors, then zeros) and the registers that the exception handlers read.
#
# In: r3 = where the image is (64 KiB or above), MSR[EE] = 0, little-endian, translation off
# Changes r5 to r8, CTR, CR0. Uses no stack, and no memory but the image's file bytes and frame 0. Sets MSR[RI].
.section .text.entry, "ax", @progbits
.globl postern_own_low_memory
postern_own_low_memory:
    addis 5, 3, (vectors_start - _start)@ha
    addi 5, 5, (vectors_start - _start)@l
    li 6, 0
    li 7, LOW_CODE_SIZE / 8
    mtctr 7
0:  ldx 8, 5, 6
    stdx 8, 0, 6
    addi 6, 6, 8
    bdnz 0b
    # The handlers' addresses are computed, not read: .got and .data are not relocated yet.
    addis 8, 3, (.TOC. - _start)@ha
    addi 8, 8, (.TOC. - _start)@l
    std 8, TOC_WORD(0)
    addis 8, 3, (postern_exception - _start)@ha
    addi 8, 8, (postern_exception - _start)@l
    std 8, ENTRY_WORD(0)
    # A word of zeros is an illegal instruction.
    li 8, 0
    li 7, (0x10000 - LOW_CODE_SIZE) / 8
    mtctr 7
1:  stdx 8, 0, 6
    addi 6, 6, 8
    bdnz 1b
    # No 64-bit processor has shorter cache blocks than 32 bytes.
    li 6, 0
    li 7, 0x10000 / 32
    mtctr 7
2:  dcbst 0, 6
    addi 6, 6, 32
    bdnz 2b
    sync
    li 6, 0
    mtctr 7
3:  icbi 0, 6
    addi 6, 6, 32
    bdnz 3b
    sync
    isync

    addis 8, 3, (__exception_stack_top - _start)@ha
    addi 8, 8, (__exception_stack_top - _start)@l
    b postern_own_registers

# In: r8 = top of this CPU's exception stack, MSR[EE] = 0. Changes r8, CR0. MSR[RI] is on afterwards.
# Not written, because nothing here reads them or depends on them: TAR, the event-based branch and performance monitor
# registers (behind facility bits, or absent under TCG), FPSCR and VSR0-31 (MSR keeps them off; the copies of the pool
# load each before they store it), VSR32-63, VSCR and VRSAVE, which no instruction uses.
postern_own_registers:
    mtsprg 0, 8
    li 8, 0
    mtsprg 1, 8
    mtsprg 2, 8
    mtsprg 3, 8
    mtsrr0 8
    mtsrr1 8
    mtdar 8
    mtdsisr 8
    mtxer 8
    mtspr 17, 8                             # DSCR
    mtspr 29, 8                             # AMR: no key denies anything
    mtspr 61, 8                             # IAMR
    mtspr 157, 8                            # UAMOR
    mtspr 48, 8                             # PIDR
    isync
    li 8, 2                                 # MSR[RI]; EE stays off
    mtmsrd 8, 1
    li 8, 0
    blr

# A secure VM whose image lies over the vectors ends here. The vectors are copied over the image's start, which runs
# no more, and `halt` reports the end by registers alone.
#
# In: MSR[EE] = MSR[RI] = 0, little-endian, translation off
# linker.ld places this code behind everything that is overwritten.
.pushsection .low_image, "ax", @progbits
.globl postern_low_image
postern_low_image:
    bcl 20, 31, 0f
0:  mflr 5
    addis 5, 5, (vectors_start - 0b)@ha
    addi 5, 5, (vectors_start - 0b)@l
    li 6, 0
    li 7, LOW_CODE_SIZE / 8
    mtctr 7
3:  ldx 8, 5, 6
    stdx 8, 0, 6
    addi 6, 6, 8
    bdnz 3b
    li 6, 0
    li 7, LOW_CODE_SIZE / 32
    mtctr 7
1:  dcbst 0, 6
    addi 6, 6, 32
    bdnz 1b
    sync
    li 6, 0
    mtctr 7
2:  icbi 0, 6
    addi 6, 6, 32
    bdnz 2b
    sync
    isync
    li 6, halt - vectors_start
    mtctr 6
    bctr
.popsection
