# From little-endian 64-bit code into Open Firmware, which runs big-endian in 32-bit mode, and back.
#
# In:  r3 = argument cells, r4 = client interface entry (both below 4 GiB), r5 = MSR that firmware runs with
# Out: r3 = what firmware left there, sign-extended from 32 bits
# Assembled together with entry.S, which has the big-endian part.
#
# Firmware may store its link register and condition register into the 112 bytes at the stack pointer, in
# either of its ABIs, and may keep only 32 bits of the registers it preserves: all of ours are above those
# bytes.

.set FRAME, 288
.set SAVED, 112

.globl postern_client_call
postern_client_call:
    mflr 0
    std 0, 16(1)
    mfcr 0
    std 0, 8(1)
    stdu 1, -FRAME(1)
    std 2, SAVED(1)
    .irp r, 13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    std \r, SAVED + 8 * (\r - 12)(1)
    .endr
    mfmsr 0
    std 0, SAVED + 160(1)
    mtctr 4
    bcl 20, 31, 0f
0:  mflr 6
    addi 6, 6, .Lclient_big - 0b
    mtsrr0 6
    mtsrr1 5
    rfid

.Lclient_little:
    # Still in 32-bit mode.
    clrldi 1, 1, 32
    ld 6, SAVED + 160(1)
    bcl 20, 31, 0f
0:  mflr 7
    clrldi 7, 7, 32
    addi 7, 7, .Lclient_wide - 0b
    mtsrr0 7
    mtsrr1 6
    rfid
.Lclient_wide:
    extsw 3, 3
    ld 2, SAVED(1)
    .irp r, 13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    ld \r, SAVED + 8 * (\r - 12)(1)
    .endr
    addi 1, 1, FRAME
    ld 0, 8(1)
    mtcr 0
    ld 0, 16(1)
    mtlr 0
    blr
