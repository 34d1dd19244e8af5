//! Checks the rings, read from guest memory while the guest runs: which memory the host could access through them.

use crate::observe::exposure::{Shared, Violation};
use crate::qemu::monitor::Ring;
use postern_ultravisor::trace::{Event, Trace};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// Bytes of a descriptor: address, length, flags, next.
const DESCRIPTOR: u64 = 16;

/// From a device's addresses to guest physical ones.
#[derive(Clone, Debug)]
pub enum Translation {
    /// Devices use guest physical addresses.
    None,
    /// By the TCEs in the trace, each with its page size.
    Tces(BTreeMap<u64, (u64, u64)>),
}

impl Translation {
    /// The translation at the end of a trace.
    #[must_use]
    pub fn of(trace: &Trace) -> Self {
        let entry = |event| match event {
            Event::Install { ioba, tce, page, .. } => Some((ioba, (tce & !(page - 1), page))),
            _ => None,
        };
        Self::Tces(trace.live().into_iter().filter_map(entry).collect())
    }

    /// The guest physical address, and the bytes to the end of its page.
    fn at(&self, bus: u64) -> Option<(u64, u64)> {
        match self {
            Self::None => Some((bus, u64::MAX - bus)),
            Self::Tces(entries) => {
                let (start, &(address, page)) = entries.range(..=bus).next_back()?;
                let offset = bus - start;
                (offset < page).then(|| (address + offset, page - offset))
            }
        }
    }

    /// The guest physical pieces of a range; `None` if a part of it has no translation.
    fn pieces(&self, mut bus: u64, mut bytes: u64) -> Option<Vec<(u64, u64)>> {
        let mut pieces = Vec::new();
        while bytes > 0 {
            let (address, most) = self.at(bus).filter(|&(_, most)| most > 0)?;
            let take = bytes.min(most);
            pieces.push((address, take));
            bus = bus.checked_add(take)?;
            bytes -= take;
        }
        Some(pieces)
    }
}

/// Guest physical ranges of the available and used rings, which hold descriptors' numbers and lengths, never addresses.
#[must_use]
pub fn numbers(rings: &[Ring], translation: &Translation) -> Vec<Range<u64>> {
    let parts = rings.iter().flat_map(|ring| {
        let [_, available, used] = parts(ring);
        [available, used]
    });
    let pieces = parts.filter_map(|(bus, bytes)| translation.pieces(bus, bytes)).flatten();
    pieces.map(|(address, bytes)| address..address + bytes).collect()
}

/// The descriptor table, the available and the used ring of a queue: address and bytes of each.
fn parts(ring: &Ring) -> [(u64, u64); 3] {
    [
        (ring.descriptors, ring.size * DESCRIPTOR),
        (ring.available, 4 + ring.size * 2),
        (ring.used, 4 + ring.size * 8),
    ]
}

/// Reads every ring and checks with the ultravisor's account that the ring itself, and the memory of each descriptor in its
/// table, is shared.
///
/// # Errors
/// Guest memory cannot be read.
pub fn violations(
    rings: &[Ring],
    translation: &Translation,
    memory: &File,
    shared: &Shared,
) -> io::Result<Vec<Violation>> {
    let mut found = Vec::new();
    for ring in rings {
        let reach =
            |bus, bytes| Violation::Ring { device: ring.device.clone(), queue: ring.queue, bus, bytes };
        let allowed = |bus, bytes| {
            let pieces = translation.pieces(bus, bytes);
            pieces.is_some_and(|pieces| pieces.iter().all(|&(address, len)| shared.allows(address, len)))
        };
        found.extend(
            parts(ring).iter().filter(|&&(bus, bytes)| !allowed(bus, bytes)).map(|&(b, n)| reach(b, n)),
        );
        let mut used = 0;
        for index in 0..ring.size {
            let Some(&[(address, DESCRIPTOR)]) =
                translation.pieces(ring.descriptors + index * DESCRIPTOR, DESCRIPTOR).as_deref()
            else {
                continue;
            };
            let mut bytes = [0; DESCRIPTOR as usize];
            memory.read_exact_at(&mut bytes, address)?;
            let word = |from: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[from + i]));
            let (bus, length) = (word(0), word(8) & 0xffff_ffff);
            if length > 0 {
                used += 1;
                if !allowed(bus, length) {
                    found.push(reach(bus, length));
                }
            }
        }
        if used == 0 {
            found.push(Violation::NothingInRing { device: ring.device.clone(), queue: ring.queue });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const POOL: u64 = 0x2_0000;

    fn shared() -> Shared {
        Shared { now: std::iter::once(2..4).collect(), ever: Vec::new() }
    }

    fn ring(at: u64) -> Ring {
        let device = "virtio-blk".to_owned();
        Ring { device, queue: 0, size: 4, descriptors: at, available: at + 0x100, used: at + 0x200 }
    }

    /// Memory with a descriptor table of four entries at the pool's start.
    fn memory(entries: [(u64, u32); 4]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        let mut bytes = vec![0; 0x5_0000];
        for (i, (bus, length)) in entries.into_iter().enumerate() {
            let at = usize::try_from(POOL).unwrap() + i * 16;
            bytes[at..at + 8].copy_from_slice(&bus.to_le_bytes());
            bytes[at + 8..at + 12].copy_from_slice(&length.to_le_bytes());
        }
        file.write_all(&bytes).unwrap();
        file
    }

    #[test]
    fn descriptors_in_the_pool_pass_and_others_do_not() {
        let good = memory([(POOL + 0x1000, 512), (0x3_fff0, 16), (0, 0), (0x1_0000, 0)]);
        assert_eq!(violations(&[ring(POOL)], &Translation::None, &good, &shared()).unwrap(), []);
        for (bus, length) in [(0x1_0000, 1), (0x3_fff0, 17), (u64::MAX, 2), (0x4_0000, 1)] {
            let bad = memory([(POOL, 1), (bus, length), (0, 0), (0, 0)]);
            let found = violations(&[ring(POOL)], &Translation::None, &bad, &shared()).unwrap();
            let expected =
                Violation::Ring { device: "virtio-blk".to_owned(), queue: 0, bus, bytes: length.into() };
            assert_eq!(found, [expected]);
        }
    }

    #[test]
    fn numbers_are_the_available_and_the_used_ring_byte_for_byte() {
        let found = numbers(&[ring(POOL)], &Translation::None);
        assert_eq!(found, [POOL + 0x100..POOL + 0x100 + 12, POOL + 0x200..POOL + 0x200 + 36]);
        // Through the entries of two pages that are not adjacent.
        let log = "spapr_iommu_pci_put liobn=0x80000000 ioba=0x1000 tce=0x20003 ret=0\n\
                   spapr_iommu_pci_put liobn=0x80000000 ioba=0x2000 tce=0x28003 ret=0\n";
        let across = Ring { available: 0x1ffc, ..ring(0x1000) };
        let found = numbers(&[across], &Translation::of(&Trace::parse(log)));
        assert_eq!(found, [0x2_0ffc..0x2_1000, 0x2_8000..0x2_8008, 0x2_0200..0x2_0224]);
    }

    #[test]
    fn a_ring_outside_the_pool_or_without_descriptors_is_found() {
        let empty = memory([(0, 0); 4]);
        let found = violations(&[ring(0x1_0000)], &Translation::None, &empty, &shared()).unwrap();
        assert_eq!(found.iter().filter(|v| matches!(v, Violation::Ring { .. })).count(), 3);
        assert!(matches!(found.last(), Some(Violation::NothingInRing { .. })));
    }

    #[test]
    fn addresses_go_through_the_entries_of_the_trace() {
        let log = "spapr_iommu_pci_put liobn=0x80000000 ioba=0x1000 tce=0x20003 ret=0\n\
                   spapr_iommu_pci_put liobn=0x80000000 ioba=0x2000 tce=0x21003 ret=0\n\
                   spapr_iommu_pci_put liobn=0x80000000 ioba=0x3000 tce=0x10003 ret=0\n";
        let translation = Translation::of(&Trace::parse(log));
        let good = memory([(0x1ff0, 0x20), (0, 0), (0, 0), (0, 0)]);
        assert_eq!(violations(&[ring(0x1000)], &translation, &good, &shared()).unwrap(), []);
        for bad in [(0x2ff0, 0x20), (0x3000, 1), (0x4000, 1), (POOL, 1)] {
            let bad = memory([bad, (0, 0), (0, 0), (0, 0)]);
            assert_eq!(violations(&[ring(0x1000)], &translation, &bad, &shared()).unwrap().len(), 1);
        }
    }
}
