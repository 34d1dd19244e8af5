//! Where the ultravisor places the memory that it reserves for itself.

/// The real mode area never reaches above this.
pub(super) const RMO_LIMIT: u64 = 768 << 20;

/// The ESM blob's working frame, then its files.
pub(super) const ESMB: [u64; 2] = [0x1_0000, 0x1_0000];
/// RTAS: arguments, four frames of buffers, arguments of stop-self.
pub(super) const RTAS: u64 = 0x6_0000;
/// TSS: a buffer shared with the host, then the transfer frame.
pub(super) const TSS: u64 = 0x2_0000;

/// The highest address below `top` with `size` bytes that no entry reserves, by the source's rule: an overlap moves
/// the candidate to just below the entry, and the search begins again with the last entry. The result is then aligned
/// *up*, so it covers the first bytes of an entry above it that does not start on 64 KiB. `None` if the search reaches 0.
///
/// The arithmetic wraps as in the source: a candidate below 0 becomes one far above RAM, which the caller refuses.
pub(super) fn place(reserved: &[(u64, u64)], top: u64, size: u64) -> Option<u64> {
    let mut candidate = top.wrapping_sub(size);
    let overlaps = |candidate: u64, start: u64, length: u64| {
        candidate.wrapping_add(size) > start && candidate < start.wrapping_add(length)
    };
    // Each move goes below another entry, so there are no more moves than entries.
    for _ in 0..=reserved.len() {
        match reserved.iter().rev().find(|(start, length)| overlaps(candidate, *start, *length)) {
            Some((start, _)) => candidate = start.wrapping_sub(size),
            None => return (candidate != 0).then_some(candidate),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOP: u64 = 0x2000_0000;

    #[test]
    fn without_entries_it_lies_under_the_top() {
        assert_eq!(place(&[], TOP, 0x1_0000), Some(0x1fff_0000));
        assert_eq!(place(&[(0x40_0000, 0x15_0000)], TOP, 0x6_0000), Some(0x1ffa_0000));
    }

    #[test]
    fn an_overlap_moves_it_just_below_the_entry_whatever_its_alignment() {
        assert_eq!(place(&[(0x1fff_8123, 0x10)], TOP, 0x1_0000), Some(0x1ffe_8123));
        // Entries are checked from the last one on; after a move all are checked again.
        let two = [(0x1ffe_0000, 0x1_0000), (0x1fff_0000, 0x1_0000)];
        assert_eq!(place(&two, TOP, 0x2_0000), Some(0x1ffc_0000));
    }

    #[test]
    fn touching_is_no_overlap_and_an_empty_entry_inside_is_one() {
        assert_eq!(place(&[(0x1ffe_0000, 0x1_0000)], TOP, 0x1_0000), Some(0x1fff_0000));
        assert_eq!(place(&[(0x1fff_4000, 0)], TOP, 0x1_0000), Some(0x1ffe_4000));
        assert_eq!(place(&[(0x1fff_0000, 0)], TOP, 0x1_0000), Some(0x1fff_0000));
    }

    #[test]
    fn without_room_there_is_nothing_or_an_address_outside_ram() {
        assert_eq!(place(&[(0x1_0000, TOP - 0x1_0000)], TOP, 0x1_0000), None);
        assert_eq!(place(&[(0x1000, TOP - 0x1000)], TOP, 0x1_0000), Some(0u64.wrapping_sub(0xf000)));
    }
}
