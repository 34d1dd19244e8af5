//! The pattern that `run=blk-pattern` writes to a disk, implemented independently of the guest: 64-bit little-endian
//! words, word i = splitmix64(seed + i), i counted from the disk's start.

use std::fmt;
use std::io::{self, Read};

pub use postern_ultravisor::random::splitmix64;

/// Fills `out` with the pattern from the disk's first byte on.
pub fn fill(seed: u64, out: &mut [u8]) {
    for (i, word) in (0..).zip(out.chunks_mut(8)) {
        let bytes = splitmix64(seed.wrapping_add(i)).to_le_bytes();
        word.copy_from_slice(&bytes[..word.len()]);
    }
}

/// A difference between a disk and the pattern.
#[derive(Debug)]
pub enum Mismatch {
    /// The word at this byte offset is not the pattern's.
    Word {
        /// Byte offset of the word.
        offset: u64,
        /// The pattern's word.
        expected: u64,
        /// The disk's word.
        found: u64,
    },
    /// The disk ended inside a word.
    Length(u64),
    /// The disk could not be read.
    Io(io::Error),
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word { offset, expected, found } => {
                write!(f, "byte {offset:#x} of the disk: {found:#018x}, the pattern has {expected:#018x}")
            }
            Self::Length(bytes) => write!(f, "the disk has {bytes} bytes, not whole words"),
            Self::Io(error) => write!(f, "the disk cannot be read: {error}"),
        }
    }
}

/// Reads a disk to its end and compares each word; returns the number of bytes compared.
///
/// # Errors
/// The first difference.
pub fn verify(seed: u64, mut disk: impl Read) -> Result<u64, Mismatch> {
    let mut block = vec![0; 1 << 16];
    let mut offset = 0;
    loop {
        let mut filled = 0;
        while filled < block.len() {
            match disk.read(&mut block[filled..]).map_err(Mismatch::Io)? {
                0 => break,
                n => filled += n,
            }
        }
        for word in block[..filled].chunks(8) {
            let found: [u8; 8] = word.try_into().map_err(|_| Mismatch::Length(offset + word.len() as u64))?;
            let found = u64::from_le_bytes(found);
            let expected = splitmix64(seed.wrapping_add(offset / 8));
            if found != expected {
                return Err(Mismatch::Word { offset, expected, found });
            }
            offset += 8;
        }
        if filled < block.len() {
            return Ok(offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_words_are_the_published_ones() {
        // The generator's outputs for state 0 and 1.
        assert_eq!(splitmix64(0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(splitmix64(1), 0x910A_2DEC_8902_5CC1);
    }

    #[test]
    fn the_pattern_verifies_and_one_changed_bit_does_not() {
        let mut disk = vec![0; 3 * 65536 + 512];
        fill(7, &mut disk);
        assert_eq!(verify(7, &disk[..]).unwrap(), disk.len() as u64);
        disk[70_000] ^= 1;
        assert!(matches!(verify(7, &disk[..]), Err(Mismatch::Word { offset: 70_000, .. })));
        assert!(matches!(verify(8, &disk[..]), Err(Mismatch::Word { offset: 0, .. })));
    }

    #[test]
    fn a_disk_that_ends_inside_a_word_is_an_error() {
        let mut disk = vec![0; 12];
        fill(1, &mut disk);
        assert!(matches!(verify(1, &disk[..]), Err(Mismatch::Length(12))));
    }
}
