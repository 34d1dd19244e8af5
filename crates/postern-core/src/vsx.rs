//! Whether memory may be copied by vector registers: only if the processor has the instructions that the loops use.

use thiserror::Error;

/// Processors that have `lxv` and `stxv` (Power ISA 3.0 and later), by the upper half of their version: POWER9, 10
/// and 11.
const KNOWN: [u32; 3] = [0x004e, 0x0080, 0x0082];
/// `ibm,vmx` of a processor with vector-scalar instructions (LoPAPR, properties of a CPU node).
const VSX: u32 = 2;

/// Why memory is copied by doublewords.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Without {
    /// The tree does not state `ibm,vmx`.
    #[error("the tree does not say that there are vector registers")]
    Unsaid,
    /// The tree states this value of `ibm,vmx`.
    #[error("ibm,vmx is {0}, not {VSX}")]
    Said(u32),
    /// This processor version is not known to have the instructions.
    #[error("processor version {0:#010x} is not known to have lxv")]
    Unknown(u32),
}

/// Checks the processor's own version, and `ibm,vmx`, by which the hypervisor states what a guest may use. If the tree
/// claims too much, the guest ends with an exception.
///
/// # Errors
/// Why memory must be copied by doublewords.
pub fn copies_by_vectors(version: u32, said: Option<u32>) -> Result<(), Without> {
    match said {
        _ if !KNOWN.contains(&version.wrapping_shr(16)) => Err(Without::Unknown(version)),
        None => Err(Without::Unsaid),
        Some(VSX..) => Ok(()),
        Some(level) => Err(Without::Said(level)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POWER9: u32 = 0x004e_1200;

    #[test]
    fn power9_and_later_copy_by_vectors_where_the_tree_says_so() {
        for version in [POWER9, 0x0080_0200, 0x0082_0200] {
            assert_eq!(copies_by_vectors(version, Some(2)), Ok(()));
        }
    }

    #[test]
    fn vectors_are_off_if_the_hypervisor_withholds_them() {
        assert_eq!(copies_by_vectors(POWER9, None), Err(Without::Unsaid));
        for level in [0, 1] {
            assert_eq!(copies_by_vectors(POWER9, Some(level)), Err(Without::Said(level)));
        }
    }

    #[test]
    fn a_cpu_without_the_instructions_uses_no_vectors_whatever_the_tree_offers() {
        // POWER7, 8E, 8NVL, 8; and none.
        for version in [0x003f_0201, 0x004b_0201, 0x004c_0100, 0x004d_0200, 0] {
            assert_eq!(copies_by_vectors(version, Some(2)), Err(Without::Unknown(version)));
        }
    }
}
