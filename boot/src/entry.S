# Where firmware, a kexec-style loader, the `-bios` ROM and UV_ESM jump to: the image's first byte.
#
# In:  r5 = 0: r3 = flattened device tree
#      r5 != 0: r5 = Open Firmware client interface, r3, r4 = initrd start and length
#      either byte order, 32-bit or 64-bit mode, translation off
# Out: little-endian, 64-bit, real mode, EE off, .bss zeroed, relocated, own stack and TOC;
#      boot_main(r3, r4, r5, base, MSR at entry)
#
# r5 = 0: there is no firmware, or UV_ESM has succeeded. Nobody uses low memory, and nothing written before may be
# relied on. So the vectors and all registers are written before .bss, relocation, the stack and the first hcall.
# r5 != 0: low memory is firmware's until the last call into it. A secure VM has no firmware.

# Upper half of POWER9's PVR; later processors have greater numbers.
.set POWER9, 0x4e

# One instruction as a big-endian CPU reads it.
.macro big insn
    .long (((\insn) & 0xff) << 24) | (((\insn) & 0xff00) << 8) | (((\insn) >> 8) & 0xff00) | (((\insn) >> 24) & 0xff)
.endm

.section .text.entry, "ax", @progbits
.balign 4
.globl _start
_start:
    # Little-endian this is `tdi 0, r0, 0x48`, which never traps; big-endian the same bytes are `b .+8`.
    .long 0x08000048
    b .Lentered_little

    # Old CPUs lack instructions of the image, and the oldest lack little-endian mode.
    big 0x7d3f42a6                          # mfpvr r9
    big 0x5529843e                          # srwi r9, r9, 16
    big (0x28090000 | POWER9)               # cmplwi r9, POWER9
1:  big (0x41800000 | ((postern_old_processor - 1b) & 0xfffc)) # blt postern_old_processor
    big 0x7d6000a6                          # mfmsr r11
    big 0x429f0005                          # bcl 20, 31, .+4
.Lbig_here:
    big 0x7d4802a6                          # mflr r10
    big (0x394a0000 + (.Lturned - .Lbig_here))  # addi r10, r10, .Lturned - .Lbig_here
    big 0x616c0001                          # ori r12, r11, MSR[LE]
    big 0x7d5a03a6                          # mtsrr0 r10
    big 0x7d9b03a6                          # mtsrr1 r12
    big 0x4c000024                          # rfid

    # The big-endian part of client_call.S: all big-endian code of the image is between here and _start, and in
    # processor.S.
.Lclient_big:
    big 0x4e800421                          # bctrl
    big 0x429f0005                          # bcl 20, 31, .+4
.Lclient_returned:
    big 0x7ce802a6                          # mflr r7
    big (0x38e70000 + (.Lclient_little - .Lclient_returned)) # addi r7, r7, ...
    big 0x7cc000a6                          # mfmsr r6
    big 0x60c60001                          # ori r6, r6, MSR[LE]
    big 0x7cfa03a6                          # mtsrr0 r7
    big 0x7cdb03a6                          # mtsrr1 r6
    big 0x4c000024                          # rfid

    # RTAS start-cpu starts another CPU here: big-endian, 64-bit (PAPR+ 7.3.8.5); r3 as .Lsecondary_turned reads it.
.globl postern_secondary_entry
postern_secondary_entry:
    big 0x7d6000a6                          # mfmsr r11
    big 0x429f0005                          # bcl 20, 31, .+4
.Lsecondary_here:
    big 0x7d4802a6                          # mflr r10
    big (0x394a0000 + (.Lsecondary_turned - .Lsecondary_here)) # addi r10, r10, ...
    big 0x616c0001                          # ori r12, r11, MSR[LE]
    big 0x7d5a03a6                          # mtsrr0 r10
    big 0x7d9b03a6                          # mtsrr1 r12
    big 0x4c000024                          # rfid

.Lentered_little:
    mfmsr 11
    mfpvr 9
    srwi 9, 9, 16
    cmplwi 9, POWER9
    bge .Lturned
    bcl 20, 31, 1f
1:  mflr 10
    addi 10, 10, postern_old_processor - 1b
    clrrdi 12, 11, 1                        # MSR[LE] off
    mtsrr0 10
    mtsrr1 12
    rfid
.Lturned:
    # r11 = MSR at entry. In 32-bit mode the upper halves of the arguments mean nothing.
    rldicl. 12, 11, 1, 63
    bne 0f
    clrldi 3, 3, 32
    clrldi 4, 4, 32
    clrldi 5, 5, 32
0:
    # SF | ME | LE; EE, FP, IR and DR off. HV and S are not ours to change and rfid leaves them.
    li 12, 1
    sldi 12, 12, 63
    clrrdi 9, 11, 16
    or 12, 12, 9
    ori 12, 12, 0x1001
    bcl 20, 31, 1f
1:  mflr 10
    addi 9, 10, .Lwide - 1b
    mtsrr0 9
    mtsrr1 12
    rfid
.Lwide:
    addi 31, 10, _start - 1b                # where the image is; it is linked at 0
    mr 27, 3
    mr 28, 4
    mr 29, 5
    mr 30, 11
    mfmsr 6
    andis. 6, 6, 0x40                       # MSR[S]
    cmpldi 1, 5, 0
    crandc 2, 2, 6                          # CR0[EQ] = MSR[S] clear and r5 != 0: firmware is there
    beq 3f
    srdi. 6, 31, 16
    beq 2f
    mr 3, 31
    bl postern_own_low_memory
    b 3f
2:  # The image lies over the vectors. In an ordinary VM Rust code reports it. A secure VM must not make a call without
    # vectors of its own, so it ends here.
    mfmsr 6
    andis. 6, 6, 0x40
    beq 3f
    b postern_low_image
3:  li 0, 0
    mtctr 0
    mtxer 0
    mtlr 0
    mtcr 0
    .irp r, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26
    li \r, 0
    .endr

    addis 3, 31, (__bss_start - _start)@ha
    addi 3, 3, (__bss_start - _start)@l
    addis 4, 31, (__bss_end - _start)@ha
    addi 4, 4, (__bss_end - _start)@l
    li 5, 0
4:  cmpld 3, 4
    bge 5f
    std 5, 0(3)
    addi 3, 3, 8
    b 4b
5:
    addis 2, 31, (.TOC. - _start)@ha
    addi 2, 2, (.TOC. - _start)@l
    addis 1, 31, (__boot_stack_top - _start)@ha
    addi 1, 1, (__boot_stack_top - _start)@l
    li 0, 0
    stdu 0, -32(1)

    mr 3, 31
    mr 4, 31
    bl postern_relocate

    mr 3, 27
    mr 4, 28
    mr 5, 29
    mr 6, 31
    mr 7, 30
    bl {boot_main}
    nop
6:  b 6b

# The other CPUs, little-endian. r3 is the boot CPU's argument of start-cpu, if it made that call; the host chose all
# other registers.
# r3 must be the address of one of the SECONDARIES slots of `postern_secondary_slots`, SLOT_SIZE bytes each:
#   +0 stack, +8 TOC, +16 function, +24 exception stack, +32 SLOT_ARMED while a start is due
# The CPU that clears SLOT_ARMED owns the slot's stacks. A CPU that nobody asked for loops at 9 and uses no memory.
.set SECONDARIES, 15
.set SLOT_SHIFT, 7
.set SLOT_ARMED, 0x41
.Lsecondary_turned:
    # MSR as at .Lwide; RI is off until SPRG0 is ours.
    li 12, 1
    sldi 12, 12, 63
    clrrdi 11, 11, 16
    or 12, 12, 11
    ori 12, 12, 0x1001
    bcl 20, 31, 7f
7:  mflr 10
    addi 9, 10, .Lsecondary_wide - 7b
    mtsrr0 9
    mtsrr1 12
    rfid
.Lsecondary_wide:
    addi 31, 10, _start - 7b
    addis 4, 31, (postern_secondary_slots - _start)@ha
    addi 4, 4, (postern_secondary_slots - _start)@l
    subf 5, 4, 3
    cmpldi 5, SECONDARIES << SLOT_SHIFT
    bge 9f
    clrldi. 6, 5, 64 - SLOT_SHIFT
    bne 9f
    add 30, 4, 5
    addi 6, 30, 32
    li 7, 0
8:  ldarx 8, 0, 6
    cmpldi 8, SLOT_ARMED
    bne 9f
    stdcx. 7, 0, 6
    bne 8b
    isync
    ld 8, 24(30)
    bl postern_own_registers
    li 0, 0
    mtctr 0
    mtxer 0
    mtlr 0
    mtcr 0
    .irp r, 2,3,4,5,6,7,8,9,10,11,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,31
    li \r, 0
    .endr
    mr 3, 30
    ld 1, 0(30)
    ld 2, 8(30)
    ld 12, 16(30)
    li 30, 0
    mtctr 12
    stdu 0, -32(1)
    bctrl
9:  b 9b

# Writes every word that depends on where the image is.
# In: r3 = where the image is, r4 = the address it is to be valid for: its own, or 0 for the file's bytes.
# Changes r5..r10, CR0. Every entry of .rela.dyn is R_PPC64_RELATIVE (the build checks it).
.globl postern_relocate
postern_relocate:
    addis 5, 3, (__rela_start - _start)@ha
    addi 5, 5, (__rela_start - _start)@l
    addis 6, 3, (__rela_end - _start)@ha
    addi 6, 6, (__rela_end - _start)@l
0:  cmpld 5, 6
    bgelr
    ld 7, 0(5)                              # r_offset
    ld 8, 16(5)                             # r_addend, the word's value for an image at 0
    add 8, 8, 4
    stdx 8, 3, 7
    addi 5, 5, 24
    b 0b
