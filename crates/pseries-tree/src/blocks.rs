//! Memory that was added by blocks, such as a `pc-dimm` that the machine was started with.
//!
//! Source: PAPR+ B.6.6.2; QEMU `hw/ppc/spapr.c` (`spapr_dt_dynamic_memory_v2`); Linux `arch/powerpc/mm/drmem.c`.

use super::read::{self, Node};
use super::warnings::Fault;

/// The node that describes such memory.
pub(super) const NODE: &str = "/ibm,dynamic-reconfiguration-memory";
const SIZE: &str = "ibm,lmb-size";
/// Runs of blocks: number, address of the first (two words), its DRC index, associativity index, flags.
const RUNS: &str = "ibm,dynamic-memory-v2";
/// Block by block: address (two words), DRC index, a reserved word, associativity index, flags.
const SINGLES: &str = "ibm,dynamic-memory";
/// Words of an entry of either list.
const WORDS: usize = 6;
/// Flags: the block is assigned to the guest; the block is reserved.
const ASSIGNED: u32 = 0x8;
const RESERVED: u32 = 0x80;

/// Passes address and size of each stretch of assigned memory to `give`, in the tree's order; adjacent blocks are one
/// stretch.
///
/// # Errors
/// The property that cannot be read; nothing was passed to `give`.
pub(super) fn assigned(node: Node<'_, '_>, mut give: impl FnMut(u64, u64)) -> Result<(), Fault> {
    let size = read::number(node, SIZE).filter(|size| *size > 0).ok_or(Fault::Malformed(SIZE))?;
    let (name, list) = match (read::bytes(node, RUNS), read::bytes(node, SINGLES)) {
        (Some(list), _) => (RUNS, list),
        (None, Some(list)) => (SINGLES, list),
        // A machine without hotpluggable memory.
        (None, None) => return Ok(()),
    };
    let (count, entries) = list.split_first_chunk::<4>().ok_or(Fault::Malformed(name))?;
    let (entries, rest) = entries.as_chunks::<4>().0.as_chunks::<WORDS>();
    if !rest.is_empty() || list.len() % 4 != 0 || u32::from_be_bytes(*count) as usize != entries.len() {
        return Err(Fault::Malformed(name));
    }
    let mut run: Option<(u64, u64)> = None;
    for entry in entries {
        let entry = entry.map(u32::from_be_bytes);
        let (blocks, high, low, flags) = if name == RUNS {
            let [blocks, high, low, _, _, flags] = entry;
            (blocks, high, low, flags)
        } else {
            let [high, low, _, _, _, flags] = entry;
            (1, high, low, flags)
        };
        if flags & ASSIGNED == 0 || flags & RESERVED != 0 {
            continue;
        }
        let start = u64::from(high) << 32 | u64::from(low);
        let len = size.saturating_mul(blocks.into());
        run = match run {
            Some((first, whole)) if first.checked_add(whole) == Some(start) => {
                Some((first, whole.saturating_add(len)))
            }
            before => {
                if let Some((first, whole)) = before {
                    give(first, whole);
                }
                Some((start, len))
            }
        };
    }
    if let Some((first, whole)) = run {
        give(first, whole);
    }
    Ok(())
}
