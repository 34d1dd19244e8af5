//! Tests of the private heap.

use super::not_ok::NotOk;
use alloc::vec::Vec;
use workloads::registry::marks::{fill, first_wrong};

/// Bytes that are marked, and bytes of one block.
const BYTES: usize = 2 << 20;
const BLOCK: usize = 64 << 10;
/// Doublewords of a block.
const WORDS: usize = BLOCK / size_of::<u64>();

/// Each doubleword of many blocks keeps a mark that no other has.
pub fn marks() -> Result<(), NotOk> {
    let mut blocks: Vec<Vec<u64>> = Vec::new();
    for _ in 0..BYTES / BLOCK {
        let mut block = Vec::new();
        block.try_reserve_exact(WORDS).map_err(|_| NotOk::NoMemory(BLOCK))?;
        block.resize(WORDS, 0);
        blocks.push(block);
    }
    fill(&mut blocks);
    // The compiler must not assume that the bytes are unchanged.
    match first_wrong(core::hint::black_box(&blocks)) {
        None => Ok(()),
        Some(word) => Err(NotOk::Memory(core::ptr::from_ref(word).addr() as u64)),
    }
}
