// From QEMU's entry, at EL1 with translation off, to `guest_main` with a stack, cleared .bss and an identity map:
// devices in the first GiB, normal memory in the second. Without the map all memory would be device memory, in which
// atomic instructions and unaligned accesses have no defined result.
.section .text.start, "ax"
.globl _start
_start:
    adrp    x0, __stack_top
    add     x0, x0, :lo12:__stack_top
    mov     sp, x0
    adrp    x0, __bss_start
    add     x0, x0, :lo12:__bss_start
    adrp    x1, __bss_end
    add     x1, x1, :lo12:__bss_end
0:  cmp     x0, x1
    b.hs    1f
    stp     xzr, xzr, [x0], #16
    b       0b
1:
    mov     x0, #3 << 20            // CPACR_EL1.FPEN: no trap at floating-point registers
    msr     cpacr_el1, x0
    adrp    x0, vectors
    add     x0, x0, :lo12:vectors
    msr     vbar_el1, x0
    mov     x0, #0xff00             // attribute 0: device nGnRnE; 1: normal, write-back
    msr     mair_el1, x0
    ldr     x0, =0x80803519         // 39-bit addresses, 4 KiB granule, inner shareable, write-back; no TTBR1
    msr     tcr_el1, x0
    adrp    x0, table
    add     x0, x0, :lo12:table
    msr     ttbr0_el1, x0
    tlbi    vmalle1
    dsb     sy
    isb
    mrs     x0, sctlr_el1
    mov     x1, #0x1005             // M, C, I
    orr     x0, x0, x1
    msr     sctlr_el1, x0
    isb
    bl      guest_main
2:  wfe
    b       2b

// Any exception: none is expected. 16 entries of 128 bytes.
.balign 2048
vectors:
.rept 16
    .balign 128
    mrs     x0, esr_el1
    mrs     x1, elr_el1
    mrs     x2, far_el1
    b       unexpected_exception
.endr

.section .data.table, "aw"
.balign 4096
table:
    .quad 0x00000000 | 0x60000000000401     // block, attribute 0, accessed, never executed
    .quad 0x40000000 | 0x705                // block, attribute 1, inner shareable, accessed
    .fill 510, 8, 0
