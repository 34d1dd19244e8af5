//! Finds the tests of MSR\[S\] in a kernel's code. TCG reads the bit as 0; a `lis` in the place of the `mfmsr` makes the
//! guest read 1.
//!
//! Source: Power ISA 3.1, Book I 3.3 (encodings) and Book III 4.2.1 (MSR bit 41).

use super::ultracalls::words;

/// Words after `mfmsr` among which the bit is tested.
const REACH: usize = 8;

/// What was found in a kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecureBit {
    /// All `mfmsr`.
    pub reads: usize,
    /// Those whose result is tested for MSR\[S\]: offset in the image, and the word that finds it set.
    pub tests: Vec<(u64, u32)>,
}

/// Looks for them in an image.
#[must_use]
pub fn find(image: &[u8], little: bool) -> SecureBit {
    let words: Vec<u32> = words(image, little).collect();
    let mut found = SecureBit::default();
    for (index, word) in words.iter().enumerate() {
        if word & 0xfc1f_ffff != 0x7c00_00a6 {
            continue;
        }
        found.reads += 1;
        let register = word >> 21 & 31;
        if words[index + 1..].iter().take(REACH).any(|word| tests(*word, register)) {
            // lis rX,0x40
            found.tests.push((4 * index as u64, 0x3c00_0040 | register << 21));
        }
    }
    found
}

/// Whether an instruction takes bit 41 out of this register.
fn tests(word: u32, register: u32) -> bool {
    let source = word >> 21 & 31;
    source == register
        && (word & 0xfc00_ffff == 0x7400_0040 // andis. rA,rX,0x40
            || word & 0xfc00_fffe == 0x7800_57e2 // rldicl rA,rX,42,63
            || word & 0xfc00_fffe == 0x5400_57fe // rlwinm rA,rX,10,31,31
            || word & 0xfc00_fffe == 0x5400_0252 // rlwinm rA,rX,0,9,9
            || word & 0xfc00_fffe == 0x5400_55be // srwi rA,rX,22, and only then the lowest bit
            || word & 0xfc00_fffe == 0x7800_5582) // srdi rA,rX,22
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What GNU as makes of the instructions.
    const MFMSR_R9: u32 = 0x7d20_00a6;
    const ANDIS_R10_R9: u32 = 0x752a_0040;
    const RLDICL_R3_R9: u32 = 0x7923_57e2;
    const RLWINM_BIT: u32 = 0x5523_57fe;
    const RLWINM_MASK: u32 = 0x5523_0252;
    const SRWI_R5_R9: u32 = 0x5525_55be;
    const SRDI_R5_R9: u32 = 0x7925_5582;
    const NOP: u32 = 0x6000_0000;

    fn found(words: &[u32]) -> SecureBit {
        find(&words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>(), true)
    }

    #[test]
    fn each_test_of_the_bit_is_found_and_reads_as_set() {
        for test in [ANDIS_R10_R9, RLDICL_R3_R9, RLWINM_BIT, RLWINM_MASK, SRWI_R5_R9, SRDI_R5_R9] {
            let found = found(&[NOP, MFMSR_R9, NOP, test]);
            assert_eq!((found.reads, found.tests), (1, vec![(4, 0x3d20_0040)]), "{test:#x}");
        }
    }

    #[test]
    fn other_uses_of_the_register_are_left_alone() {
        // Of another register, of another bit (MSR[EE]), and too far away.
        let other = ANDIS_R10_R9 & !(31 << 21) | 8 << 21;
        assert!(found(&[MFMSR_R9, other, 0x752a_8000]).tests.is_empty());
        assert!(found(&[[MFMSR_R9].as_slice(), &[NOP; 8], &[ANDIS_R10_R9]].concat()).tests.is_empty());
    }
}
