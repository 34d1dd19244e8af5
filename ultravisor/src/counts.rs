//! How many registers of each hypercall the published ultravisor passes to the hypervisor, and how many it returns.
//!
//! Source: open-power/ultravisor `core/hcall-regs.c`, without calls that no small kernel makes.

/// Registers of a call, counted from r3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// r3 and the arguments.
    pub passed: usize,
    /// r3 and the results.
    pub returned: usize,
}

/// Number, registers in, registers out.
const COUNTS: [(u64, usize, usize); 30] = [
    (0x1c, 3, 2),
    (0x20, 4, 1),
    (0x3c, 3, 2),
    (0x40, 4, 1),
    (0x54, 2, 4),
    (0x58, 5, 1),
    (0x64, 2, 1),
    (0x68, 2, 1),
    (0x6c, 3, 1),
    (0x70, 2, 3),
    (0x74, 1, 2),
    (0xdc, 4, 1),
    (0xe0, 1, 1),
    (0xe4, 3, 1),
    (0xe8, 2, 1),
    (0x138, 5, 1),
    (0x13c, 5, 1),
    (0x1c8, 2, 3),
    (0x298, 1, 1),
    (0x2ec, 3, 7),
    (0x2fc, 2, 3),
    (0x300, 2, 2),
    (0x31c, 5, 1),
    (0x37c, 5, 1),
    (0x380, 2, 1),
    (0x3a8, 3, 5),
    (0x3ac, 6, 1),
    (0x3c8, 5, 2),
    (0x3d0, 2, 1),
    (0xf000, 2, 2),
];

/// The registers of a call; `None` for one that is not here.
#[must_use]
pub fn counts(number: u64) -> Option<Counts> {
    let index = COUNTS.binary_search_by_key(&number, |(number, ..)| *number).ok()?;
    let (_, passed, returned) = COUNTS[index];
    Some(Counts { passed, returned })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hcalls::listed;

    #[test]
    fn numbers_ascend_and_are_the_ultravisors() {
        assert!(COUNTS.is_sorted_by(|a, b| a.0 < b.0));
        assert!(COUNTS.iter().all(|(number, ..)| listed(*number).is_some()));
    }

    #[test]
    fn a_call_has_the_registers_of_its_definition() {
        // PAPR+: H_PUT_TCE(liobn, ioba, tce), H_XIRR() -> xirr, H_GET_TERM_CHAR(unit) -> length and two words.
        assert_eq!(counts(0x20), Some(Counts { passed: 4, returned: 1 }));
        assert_eq!(counts(0x74), Some(Counts { passed: 1, returned: 2 }));
        assert_eq!(counts(0x54), Some(Counts { passed: 2, returned: 4 }));
        assert_eq!(counts(0xf130), None);
    }
}
