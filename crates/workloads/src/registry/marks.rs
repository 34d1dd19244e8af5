//! Marks in memory: a different word in each place.

use alloc::vec::Vec;
use postern_core::disk::pattern::splitmix64;

/// Marks every word of the blocks.
pub fn fill(blocks: &mut [Vec<u64>]) {
    for (word, mark) in blocks.iter_mut().flatten().zip(0..) {
        *word = splitmix64(mark);
    }
}

/// The first word that does not hold its mark.
#[must_use]
pub fn first_wrong(blocks: &[Vec<u64>]) -> Option<&u64> {
    let mut words = blocks.iter().flatten().zip(0..);
    words.find(|(word, mark)| **word != splitmix64(*mark)).map(|(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::{fill, first_wrong};
    use std::vec;

    #[test]
    fn a_word_that_changed_or_that_two_blocks_share_is_found() {
        let mut blocks = vec![vec![0u64; 64]; 8];
        assert!(first_wrong(&blocks).is_some());
        fill(&mut blocks);
        assert_eq!(first_wrong(&blocks), None);
        for (block, word) in [(0, 0), (3, 17), (7, 63)] {
            let mut changed = blocks.clone();
            changed[block][word] ^= 1 << 40;
            assert_eq!(first_wrong(&changed), Some(&changed[block][word]));
        }
        // As if both blocks were the same memory.
        let mut shared = blocks.clone();
        shared[2] = shared[5].clone();
        assert_eq!(first_wrong(&shared), Some(&shared[2][0]));
    }
}
