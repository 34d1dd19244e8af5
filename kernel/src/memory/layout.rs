//! Where the image lies, from the linker script.

use postern_core::addr::{Gpa, GpaRange};

unsafe extern "C" {
    static __image_start: u8;
    static __image_end: u8;
}

/// The whole image in memory: text, data, bss, stacks.
pub fn image() -> GpaRange {
    let start = &raw const __image_start as u64;
    let end = &raw const __image_end as u64;
    GpaRange { start: Gpa(start), len: end - start }
}
