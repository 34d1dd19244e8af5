//! Numbers that nobody outside can predict: a generator and keyed functions, both HMAC-SHA-256 (RFC 2104).
//!
//! They keep peers from guessing sequence numbers and identifiers. Do not use them as keys for data: their quality is
//! that of the seed. No type here prints its secrets.

use core::fmt;
use sha2::{Digest, Sha256};

/// Bytes of a key, and of a MAC.
pub const KEY: usize = 32;
/// Bytes of a block of SHA-256.
const BLOCK: usize = 64;

/// A secret key.
#[derive(Clone)]
pub struct Key([u8; KEY]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// HMAC-SHA-256 of the concatenated `parts`. Callers use a different first part for each purpose, and parts of
    /// fixed lengths.
    #[must_use]
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; KEY] {
        let padded = |pad: u8| {
            let mut block = [pad; BLOCK];
            for (byte, key) in block.iter_mut().zip(self.0) {
                *byte ^= key;
            }
            let mut hash = Sha256::new();
            hash.update(block);
            hash
        };
        let mut inner = padded(0x36);
        parts.iter().for_each(|part| inner.update(part));
        let mut outer = padded(0x5c);
        outer.update(inner.finalize());
        outer.finalize().into()
    }
}

/// A generator with backtracking resistance: after each number its key is replaced by one from which the earlier
/// numbers do not follow. The numbers do not reveal the key.
#[derive(Clone)]
pub struct Generator {
    key: Key,
}

impl fmt::Debug for Generator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Generator(..)")
    }
}

impl Generator {
    /// A generator seeded with `entropy`.
    #[must_use]
    pub fn new(entropy: &[u64]) -> Self {
        let mut generator = Self { key: Key([0; KEY]) };
        generator.stir(entropy);
        generator
    }

    /// Mixes more entropy in. Earlier entropy is not lost, whatever `entropy` is.
    pub fn stir(&mut self, entropy: &[u64]) {
        let mut words = Sha256::new();
        entropy.iter().for_each(|word| words.update(word.to_be_bytes()));
        self.key = Key(self.key.mac(&[b"stir", &words.finalize()]));
    }

    /// A secret key that follows from the state.
    pub fn key(&mut self) -> Key {
        let key = Key(self.key.mac(&[b"key"]));
        self.key = Key(self.key.mac(&[b"next"]));
        key
    }

    /// The next number.
    pub fn word(&mut self) -> u64 {
        let Key(key) = self.key();
        key.first_chunk().map_or(0, |word| u64::from_be_bytes(*word))
    }

    /// A generator whose numbers do not follow from this one's later state.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self { key: self.key() }
    }
}

#[cfg(test)]
mod tests {
    use super::{Generator, KEY, Key};
    use postern_cases::case;
    use std::collections::BTreeSet;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    fn key(bytes: &[u8]) -> Key {
        let mut key = [0; KEY];
        key[..bytes.len()].copy_from_slice(bytes);
        Key(key)
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_function_is_that_of_the_standard() {
        // RFC 4231, test cases 1, 2 and 3: a shorter key is one with zeros after it (RFC 2104, section 2).
        let hi = key(&[0x0b; 20]).mac(&[b"Hi ", b"There"]);
        assert_eq!(hex(&hi), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
        let jefe = key(b"Jefe").mac(&[b"what do ya want for nothing?"]);
        assert_eq!(hex(&jefe), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let third = key(&[0xaa; 20]).mac(&[&[0xdd; 50]]);
        assert_eq!(hex(&third), "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
    }

    #[test]
    fn numbers_do_not_repeat_and_depend_on_every_bit_of_the_seed() {
        case!("RND-01", Work);
        let numbers = |seed: &[u64]| {
            let mut generator = Generator::new(seed);
            (0..1000).map(|_| generator.word()).collect::<Vec<_>>()
        };
        let mut seen: BTreeSet<u64> = numbers(&[7, 0]).into_iter().collect();
        assert_eq!(seen.len(), 1000);
        for bit in 0..64 {
            seen.extend(numbers(&[7 ^ 1 << bit, 0]).into_iter().take(10));
        }
        assert_eq!(seen.len(), 1000 + 64 * 10);
        assert_ne!(numbers(&[7]), numbers(&[7, 0]));
        assert_eq!(numbers(&[7, 0]), numbers(&[7, 0]));
    }

    #[test]
    fn bytes_mixed_in_by_the_host_do_not_weaken_the_generator() {
        case!("RND-01", Work);
        let stirred = |seed: u64| {
            let mut generator = Generator::new(&[seed]);
            (0..4).for_each(|_| generator.stir(&[u64::MAX]));
            generator.word()
        };
        let all: BTreeSet<u64> = (0..1000).map(stirred).collect();
        assert_eq!(all.len(), 1000);
    }

    #[test]
    fn secrets_are_not_printed() {
        case!("RND-05", Work);
        let mut generator = Generator::new(&[0x1234_5678_9abc_def0]);
        let shown = format!("{generator:?} {:?}", generator.key());
        assert_eq!(shown, "Generator(..) Key(..)");
    }
}
