//! Parts of a wider word, by explicit truncation: a register of a few bytes, the two halves of a BUID.
//!
//! `as` truncates silently, so the lints deny it; a number that must fit goes through `try_from`.

/// Bits 7 to 0.
#[must_use]
pub const fn low_u8(word: u64) -> u8 {
    let [byte, ..] = word.to_le_bytes();
    byte
}

/// Bits 15 to 0.
#[must_use]
pub const fn low_u16(word: u64) -> u16 {
    let [a, b, ..] = word.to_le_bytes();
    u16::from_le_bytes([a, b])
}

/// Bits 31 to 0.
#[must_use]
pub const fn low_u32(word: u64) -> u32 {
    let [a, b, c, d, ..] = word.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Bits 63 to 32.
#[must_use]
pub const fn high_u32(word: u64) -> u32 {
    let [.., a, b, c, d] = word.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Both 32-bit halves, the upper one first: RTAS and Open Firmware take a 64-bit number as two cells.
#[must_use]
pub const fn cells(word: u64) -> [u32; 2] {
    [high_u32(word), low_u32(word)]
}

/// The word as an index or a length. Where a pointer has 32 bits (tests run there, too), a larger number becomes
/// `usize::MAX`, which is outside of every slice.
#[must_use]
pub fn index(word: u64) -> usize {
    usize::try_from(word).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::{cells, high_u32, index, low_u8, low_u16, low_u32};

    const WORD: u64 = 0x0123_4567_89ab_cdef;

    #[test]
    fn a_word_is_cut_where_its_name_says() {
        assert_eq!((low_u8(WORD), low_u16(WORD)), (0xef, 0xcdef));
        assert_eq!((high_u32(WORD), low_u32(WORD)), (0x0123_4567, 0x89ab_cdef));
        assert_eq!(cells(WORD), [0x0123_4567, 0x89ab_cdef]);
    }

    #[test]
    fn an_index_too_large_for_the_platform_is_in_no_slice() {
        assert_eq!(index(7), 7);
        assert!([0u8; 8].get(index(u64::MAX)).is_none());
        assert!([0u8; 8].get(index(1 << 32)).is_none(), "cut to 32 bits it would be 0");
    }
}
