//! Finds the `sc 2` instructions of a kernel.

use std::collections::HashMap;
use std::fmt;

/// `sc 2`.
pub(crate) const SC_2: u32 = 0x4400_0042;
/// The linear mapping of a 64-bit Linux.
const LINEAR: u64 = 0xc000_0000_0000_0000;

/// A kernel that a secure guest left its own for, without an ultracall: nobody measured it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextKernel {
    /// Where it begins.
    pub base: u64,
    /// The flattened tree that it was given.
    pub tree: u64,
    /// It is the one that UV_ESM measured.
    pub same: bool,
    /// How often it tests MSR\[S\].
    pub tests: usize,
    /// Those tests that were changed, by function.
    pub patched: Vec<String>,
}

impl fmt::Display for NextKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "kexec: {} at {:#x}, device tree {:#x}, not measured; {} tests of MSR[S], {} changed to find it set",
            if self.same { "the same kernel" } else { "another kernel" },
            self.base,
            self.tree,
            self.tests,
            self.patched.len()
        )
    }
}

/// Whether an address is of that mapping, where no program runs.
pub(crate) const fn is_linear(address: u64) -> bool {
    address & LINEAR == LINEAR
}

/// Words of an image in the byte order of its kernel.
pub(crate) fn words(image: &[u8], little: bool) -> impl Iterator<Item = u32> + '_ {
    let word =
        move |bytes: &[u8; 4]| if little { u32::from_le_bytes(*bytes) } else { u32::from_be_bytes(*bytes) };
    image.as_chunks::<4>().0.iter().map(word)
}

/// Offsets of all instructions of this kind, `sc 1` or `sc 2`, in an image.
pub(crate) fn offsets(image: &[u8], little: bool, call: u32) -> Vec<u64> {
    (0..).step_by(4).zip(words(image, little)).filter(|(_, word)| *word == call).map(|(at, _)| at).collect()
}

/// Each effective address of an instruction of a kernel that was entered at `base`, and the kernel's address then: `base`,
/// or 0, where Linux copies itself; each in real mode and in the linear mapping.
pub(crate) fn addresses(base: u64, offset: u64) -> [(u64, u64); 4] {
    let moved = base + offset;
    [(moved, base), (offset, 0), (LINEAR | offset, 0), (LINEAR | moved, base)]
}

/// Places of [`addresses`] that can be forgotten after an ultracall at `pc`. A kernel that makes one in its linear mapping
/// stays where it is; at the other places there is other code of its own by now, which would be stopped for nothing.
pub(crate) fn forgotten(places: &HashMap<u64, u64>, pc: u64) -> Vec<u64> {
    match places.get(&pc) {
        Some(base) if is_linear(pc) => {
            places.iter().filter(|(_, other)| *other != base).map(|(at, _)| *at).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_a_kernel_that_has_moved_are_forgotten_and_no_others() {
        let places: HashMap<u64, u64> =
            [4, 0x104].into_iter().flat_map(|offset| addresses(0x40_0000, offset)).collect();
        let mut gone = forgotten(&places, LINEAR | 4);
        gone.sort_unstable();
        assert_eq!(gone, [0x40_0004, 0x40_0104, LINEAR | 0x40_0004, LINEAR | 0x40_0104]);
        // In real mode it may still move; a kernel that stays where it was loaded gives up the other places.
        assert_eq!(forgotten(&places, 4), [0; 0]);
        let mut gone = forgotten(&places, LINEAR | 0x40_0104);
        gone.sort_unstable();
        assert_eq!(gone, [4, 0x104, LINEAR | 4, LINEAR | 0x104]);
        assert_eq!(forgotten(&places, LINEAR | 8), [0; 0]);
    }

    #[test]
    fn calls_are_found_in_either_byte_order_and_in_no_other() {
        let image: Vec<u8> =
            [0x6000_0000, SC_2, 0x4400_0022, SC_2].into_iter().flat_map(u32::to_le_bytes).collect();
        assert_eq!(offsets(&image, true, SC_2), [4, 12]);
        assert_eq!(offsets(&image, true, 0x4400_0022), [8]);
        assert!(offsets(&image, false, SC_2).is_empty());
        assert_eq!(offsets(&SC_2.to_be_bytes(), false, SC_2), [0]);
        let expected = [(0x40_0004, 0x40_0000), (4, 0), (0xc000_0000_0000_0004, 0)];
        assert_eq!(addresses(0x40_0000, 4)[..3], expected);
    }
}
