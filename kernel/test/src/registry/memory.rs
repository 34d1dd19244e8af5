//! The private heap.

use super::not_ok::NotOk;
use alloc::vec::Vec;
use postern_core::disk::pattern::splitmix64;

/// Bytes that are marked, and of one block.
const BYTES: usize = 2 << 20;
const BLOCK: usize = 64 << 10;
const WORD: usize = size_of::<u64>();

/// Each doubleword of many blocks keeps a mark that no other has.
pub fn marks() -> Result<(), NotOk> {
    let mut blocks: Vec<Vec<u64>> = Vec::new();
    for number in 0..BYTES / BLOCK {
        let mut block = Vec::new();
        block.try_reserve_exact(BLOCK / WORD).map_err(|_| NotOk::NoMemory(BLOCK))?;
        block.extend((0..BLOCK / WORD).map(|word| mark(number, word)));
        blocks.push(block);
    }
    for (number, block) in core::hint::black_box(&blocks).iter().enumerate() {
        for (index, word) in block.iter().enumerate() {
            // SAFETY: a reference to an aligned word. Volatile, so that the memory is read.
            if unsafe { core::ptr::from_ref(word).read_volatile() } != mark(number, index) {
                return Err(NotOk::Memory(core::ptr::from_ref(word).addr() as u64));
            }
        }
    }
    Ok(())
}

fn mark(block: usize, word: usize) -> u64 {
    splitmix64((block.wrapping_mul(BLOCK / WORD).wrapping_add(word)) as u64)
}
