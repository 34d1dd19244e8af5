//! The seeded pattern that the disk job writes and the host verifies independently.
//!
//! A stream of little-endian 64-bit words: word i, counted from byte 0 of the disk, is splitmix64(seed + i).

/// The finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014),
/// applied to `x` plus its increment.
#[must_use]
pub const fn splitmix64(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The pattern of one seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// The seed.
    pub seed: u64,
}

impl Pattern {
    /// The eight bytes at byte offset `8 * index`.
    #[must_use]
    pub fn word(self, index: u64) -> [u8; 8] {
        splitmix64(self.seed.wrapping_add(index)).to_le_bytes()
    }

    /// Fills `chunk`, which starts at byte `offset` of the disk (divisible by 8), with the pattern.
    pub fn fill(self, offset: u64, chunk: &mut [u8]) {
        for (index, word) in (offset / 8..).zip(chunk.chunks_mut(8)) {
            let bytes = self.word(index);
            if let Some(bytes) = bytes.get(..word.len()) {
                word.copy_from_slice(bytes);
            }
        }
    }

    /// Byte offset on the disk of the first 8-byte word of `chunk` that differs from the pattern.
    #[must_use]
    pub fn first_difference(self, offset: u64, chunk: &[u8]) -> Option<u64> {
        (offset / 8..)
            .zip(chunk.chunks(8))
            .find(|(index, word)| self.word(*index).get(..word.len()) != Some(*word))
            .map(|(index, _)| index.saturating_mul(8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn splitmix64_is_the_published_one() {
        // The first outputs of the reference generator with state 0 and state 1234567.
        assert_eq!(splitmix64(0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(splitmix64(1_234_567), 6_457_827_717_110_365_317);
    }

    #[test]
    fn pattern_depends_on_the_place_not_on_the_chunks() {
        let pattern = Pattern { seed: 7 };
        let mut whole = vec![0; 4096];
        pattern.fill(512, &mut whole);
        let mut parts = vec![0; 4096];
        for (i, chunk) in parts.chunks_mut(512).enumerate() {
            pattern.fill(512 + 512 * i as u64, chunk);
        }
        assert_eq!(whole, parts);
        assert_eq!(whole[..8], splitmix64(7 + 64).to_le_bytes());
    }

    #[test]
    fn first_difference_is_found() {
        let pattern = Pattern { seed: 7 };
        let mut chunk = vec![0; 1024];
        pattern.fill(2048, &mut chunk);
        assert_eq!(pattern.first_difference(2048, &chunk), None);
        chunk[1001] ^= 1;
        assert_eq!(pattern.first_difference(2048, &chunk), Some(2048 + 1000));
        assert_eq!(Pattern { seed: 8 }.first_difference(2048, &chunk), Some(2048));
    }
}
