//! Finds the `sc 1` instructions of a kernel. QEMU serves hypercalls without going through a vector.

/// `sc 1`.
pub(crate) const SC_1: u32 = 0x4400_0022;
/// `li r3,N`, as addi r3,0,N.
const LI_R3: u32 = 0x3860_0000;
/// `ori r3,rX,0xf000`, which follows a zero in rX.
const ORI_R3_RTAS: u32 = 0x6003_f000;
/// Instructions before the call that are searched for its number.
const REACH: usize = 12;

/// One `sc 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Address of the instruction.
    pub at: u64,
    /// The call's number in r3, if the instructions before tell it.
    pub number: Option<u64>,
}

/// Finds the calls of a little-endian image that begins at `base`.
#[must_use]
pub fn find(base: u64, image: &[u8]) -> Vec<Site> {
    let words: Vec<u32> = image.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let calls = words.iter().enumerate().filter(|(_, word)| **word == SC_1);
    calls.map(|(index, _)| Site { at: base + 4 * index as u64, number: number(&words[..index]) }).collect()
}

/// The value that the last instruction with r3 puts into it.
fn number(before: &[u32]) -> Option<u64> {
    let concerns_r3 = |word: &&u32| (**word >> 21 & 31) == 3 || (**word >> 16 & 31) == 3;
    let word = *before.iter().rev().take(REACH).find(concerns_r3)?;
    if word & 0xffff_8000 == LI_R3 {
        Some(u64::from(word & 0x7fff))
    } else if word & 0xfc1f_ffff == ORI_R3_RTAS {
        Some(super::host::H_RTAS)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites(words: &[u32]) -> Vec<Site> {
        let image: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        find(0x40_0000, &image)
    }

    #[test]
    fn a_call_is_found_with_the_number_that_is_loaded_for_it() {
        // li r3,64; mr r4,r29; sc 1
        assert_eq!(sites(&[0x3860_0040, 0x7fa4_eb78, SC_1]), [Site { at: 0x40_0008, number: Some(0x40) }]);
        // ori r3,r23,0xf000
        assert_eq!(sites(&[0x62e3_f000, SC_1])[0].number, Some(0xf000));
    }

    #[test]
    fn a_number_from_elsewhere_is_not_guessed() {
        // li r3,64; mr r3,r29; sc 1, and one without anything before it, and one of another kind.
        assert_eq!(sites(&[0x3860_0040, 0x7fa3_eb78, SC_1])[0].number, None);
        assert_eq!(sites(&[SC_1])[0].number, None);
        assert_eq!(sites(&[0x3860_0040, 0x4400_0042]), []);
    }
}
