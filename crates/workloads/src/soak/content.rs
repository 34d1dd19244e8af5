//! What each block of a disk must hold, by the requests that are over.

use alloc::vec::Vec;

/// Bytes per block.
pub(super) const BLOCK: usize = 4096;

/// The record of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// Nothing: it was never read or written, or a reset ended a request that changes it.
    Nothing,
    /// Its checksum.
    Sum(u64),
    /// It was discarded and not read since. Its content is undefined (virtio 1.2, 5.2.6): most disks answer zeros or what
    /// was there before, of which this is the checksum.
    Discarded(u64),
}

/// The records of all blocks.
pub(super) struct Content(Vec<Known>);

impl Content {
    /// Of this number of blocks nothing is known.
    pub(super) fn new(blocks: usize) -> Self {
        Self(alloc::vec![Known::Nothing; blocks])
    }

    /// The number of blocks.
    pub(super) fn blocks(&self) -> u64 {
        self.0.len() as u64
    }

    /// These blocks may hold anything.
    pub(super) fn forget(&mut self, first: u64, count: u64) {
        self.part(first, count).for_each(|known| *known = Known::Nothing);
    }

    /// Blocks with these checksums were written.
    pub(super) fn written(&mut self, first: u64, sums: &[u64]) {
        self.part(first, sums.len() as u64).zip(sums).for_each(|(known, sum)| *known = Known::Sum(*sum));
    }

    /// These blocks were made zeros.
    pub(super) fn zeroed(&mut self, first: u64, count: u64) {
        let zeros = sum(&[0; BLOCK]);
        self.part(first, count).for_each(|known| *known = Known::Sum(zeros));
    }

    /// These blocks were discarded.
    pub(super) fn discarded(&mut self, first: u64, count: u64) {
        for known in self.part(first, count) {
            if let Known::Sum(sum) = *known {
                *known = Known::Discarded(sum);
            }
        }
    }

    /// Compares blocks that were read with what is known of them, and records the others. Returns the first block with
    /// wrong content, and how many discarded ones held neither zeros nor what was there before.
    pub(super) fn seen(&mut self, first: u64, read: &[u8]) -> (Option<u64>, u64) {
        let zeros = sum(&[0; BLOCK]);
        let blocks = read.chunks_exact(BLOCK);
        let known = self.part(first, blocks.len() as u64);
        let mut undefined = 0u64;
        for ((block, bytes), known) in (first..).zip(blocks).zip(known) {
            let found = sum(bytes);
            match *known {
                Known::Sum(sum) if sum != found => return (Some(block), undefined),
                Known::Discarded(sum) if found != sum && found != zeros => {
                    undefined = undefined.saturating_add(1);
                }
                _ => {}
            }
            *known = Known::Sum(found);
        }
        (None, undefined)
    }

    fn part(&mut self, first: u64, count: u64) -> impl Iterator<Item = &mut Known> {
        let [first, count] = [first, count].map(|number| usize::try_from(number).unwrap_or(usize::MAX));
        self.0.iter_mut().skip(first).take(count)
    }
}

/// A checksum that depends on every bit and its position.
pub(super) fn sum(block: &[u8]) -> u64 {
    let words = block.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word));
    words.fold(0, |sum, word| (sum.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, Content, sum};
    use std::vec;
    use std::vec::Vec;

    /// Blocks that are filled with these bytes.
    fn filled(bytes: &[u8]) -> Vec<u8> {
        bytes.iter().flat_map(|byte| vec![*byte; BLOCK]).collect()
    }

    fn written(bytes: &[u8]) -> Content {
        let mut content = Content::new(bytes.len());
        let sums: Vec<u64> = filled(bytes).chunks(BLOCK).map(sum).collect();
        content.written(0, &sums);
        content
    }

    #[test]
    fn a_discarded_block_may_hold_anything_until_it_is_read() {
        for (found, undefined) in [(2, 0), (0, 0), (0xdd, 1)] {
            let mut content = written(&[1, 2, 3]);
            content.discarded(1, 1);
            assert_eq!(content.seen(0, &filled(&[1, found, 3])), (None, undefined));
            assert_eq!(content.seen(1, &filled(&[found])), (None, 0));
            assert_eq!(content.seen(1, &filled(&[found ^ 1])), (Some(1), 0));
        }
    }

    #[test]
    fn the_blocks_beside_a_discarded_range_must_keep_their_content() {
        for beside in [0, 3] {
            let mut content = written(&[1, 2, 3, 4]);
            content.discarded(1, 2);
            let mut read = [1, 0, 0, 4];
            read[beside] = 0;
            assert_eq!(content.seen(0, &filled(&read)), (Some(beside as u64), 0));
        }
    }

    #[test]
    fn a_block_that_was_made_zeros_must_hold_zeros() {
        let mut content = written(&[1, 2]);
        content.zeroed(0, 1);
        assert_eq!(content.seen(0, &filled(&[0, 2])), (None, 0));
        content.zeroed(1, 1);
        assert_eq!(content.seen(0, &filled(&[0, 2])), (Some(1), 0));
    }

    #[test]
    fn a_block_of_a_request_that_a_reset_ended_may_hold_anything_once() {
        let mut content = written(&[1, 2]);
        content.forget(1, 1);
        content.discarded(1, 1);
        assert_eq!(content.seen(0, &filled(&[1, 9])), (None, 0));
        assert_eq!(content.seen(0, &filled(&[1, 8])), (Some(1), 0));
    }
}
