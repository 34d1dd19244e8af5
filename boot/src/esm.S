# UV_ESM, with the image's memory equal to the file.
#
# In:  r3 = where the image is, r4 = flattened device tree
# Out: r3 after a call that failed. After success the ultravisor enters the image at its first byte.

.globl postern_enter_esm
postern_enter_esm:
    mflr 0
    std 0, 16(1)
    std 30, -16(1)
    std 31, -8(1)
    stdu 1, -64(1)
    mr 31, 3
    mr 30, 4

    li 4, 0
    bl postern_relocate
    sync
    # The next entry must start with MSR[RI] off: it has not set up the handlers' registers yet.
    li 0, 0
    mtmsrd 0, 1
    li 0, SC_EXPECTED
    mtsprg 3, 0
    mr 4, 31                                # kernel base
    mr 5, 30                                # device tree
    li 3, 0
    ori 3, 3, 0xf110                        # UV_ESM
    .irp r, 0,6,7,8,9,10,11,12,13
    li \r, 0
    .endr
    mtctr 0
    mtxer 0
    sc 2
    mr 30, 3
    li 0, 0
    mtsprg 3, 0
    li 0, 2
    mtmsrd 0, 1

    mr 3, 31
    mr 4, 31
    bl postern_relocate
    mr 3, 30
    addi 1, 1, 64
    ld 30, -16(1)
    ld 31, -8(1)
    ld 0, 16(1)
    mtlr 0
    blr
