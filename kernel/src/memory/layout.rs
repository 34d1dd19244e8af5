//! Where the image and its parts lie, from the linker script.

use papr::addr::{Gpa, GpaRange};
use postern_core::radix::Kind;

unsafe extern "C" {
    static __image_start: u8;
    static __file_end: u8;
    static __early_heap_start: u8;
    static __early_heap_end: u8;
    static __fdt_buffer: u8;
    static __text_end: u8;
    static __rodata_end: u8;
    static __boot_stack_bottom: u8;
    static __boot_stack_top: u8;
    static __exception_stack_bottom: u8;
    static __exception_stack_top: u8;
    static __stacks_start: u8;
    static __secondary_stacks_start: u8;
    static __image_end: u8;
    static __build_id: [u8; 20];
}

/// The linker's build id: a digest of the whole file.
pub fn build_id() -> [u8; 20] {
    // SAFETY: the linker script puts the symbol at the 20 bytes after the header of the note, and asserts the note's
    // size; they are constants of the image.
    unsafe { __build_id }
}

fn between(start: *const u8, end: *const u8) -> GpaRange {
    GpaRange { start: Gpa(start as u64), len: (end as u64).saturating_sub(start as u64) }
}

/// The whole image in memory: text, data, bss, stacks.
pub fn image() -> GpaRange {
    between(&raw const __image_start, &raw const __image_end)
}

/// The part of the image that is not in the file and was not measured: .bss, the tree's buffer, stacks.
pub fn unmeasured() -> GpaRange {
    between(&raw const __file_end, &raw const __image_end)
}

/// Start and bytes of the early heap: whole frames that nothing else uses and that no entry clears.
pub fn early_heap() -> (*mut u8, usize) {
    let start = (&raw const __early_heap_start).expose_provenance();
    let len = (&raw const __early_heap_end as usize).wrapping_sub(start);
    (core::ptr::with_exposed_provenance_mut(start), len)
}

/// The buffer for a tree that the boot stage flattens or hands to UV_ESM.
pub fn tree_buffer() -> GpaRange {
    between(&raw const __fdt_buffer, &raw const __stacks_start)
}

/// The boot CPU's stack for exceptions.
pub fn exception_stack() -> GpaRange {
    between(&raw const __exception_stack_bottom, &raw const __exception_stack_top)
}

/// The boot CPU's stack for everything else.
pub fn stack() -> GpaRange {
    between(&raw const __boot_stack_bottom, &raw const __boot_stack_top)
}

/// Number of CPUs besides the boot CPU that have stacks.
pub const SECONDARIES: usize = 15;
const FRAME: u64 = 0x1_0000;

/// The stacks of another CPU than the boot CPU: for exceptions, and for everything else.
pub fn secondary_stacks(index: usize) -> [GpaRange; 2] {
    let start =
        (&raw const __secondary_stacks_start as u64).saturating_add((index as u64).saturating_mul(4 * FRAME));
    [FRAME, 3 * FRAME].map(|at| GpaRange { start: Gpa(start.saturating_add(at)), len: FRAME })
}

/// The image's parts, each with its kind of mapping. The guard frames between the stacks are in none.
pub fn sections() -> impl Iterator<Item = (GpaRange, Kind)> {
    let parts = [
        (between(&raw const __image_start, &raw const __text_end), Kind::Text),
        (between(&raw const __text_end, &raw const __rodata_end), Kind::ReadOnly),
        (between(&raw const __rodata_end, &raw const __stacks_start), Kind::Data),
        (stack(), Kind::Data),
        (exception_stack(), Kind::Data),
    ];
    let stacks = (0..SECONDARIES).flat_map(secondary_stacks).map(|stack| (stack, Kind::Data));
    parts.into_iter().chain(stacks)
}
