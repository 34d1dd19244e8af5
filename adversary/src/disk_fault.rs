//! Disks that follow the protocol and have a fault that only a test of the disk's function can find.

/// Most bytes of a read that [`DiskFault::OtherBytes`] changes.
const SHORT: usize = 16 << 10;
/// Most segments of a request with [`DiskFault::FewSegments`].
const FEW: usize = 8;
const BLOCK: usize = 512;
/// The unit of discards with [`DiskFault::RoundedDiscards`].
const CLUSTER: u64 = 64 << 10;

/// A fault of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// Reads of several blocks, up to 16 KiB, return other bytes than longer reads.
    OtherBytes,
    /// Each second read of a single block returns other bytes. The disk is read-only.
    ChangingBlocks,
    /// The second of its two queues returns other bytes.
    OtherQueue,
    /// It returns another name for each request.
    OtherName,
    /// Its stated capacity is twice its size.
    TwiceTheSize,
    /// It offers many segments, and fails requests with more than 8.
    FewSegments,
    /// Its stated optimal request size is below its minimum.
    ShortBest,
    /// Writes of a single block are lost.
    LostBlocks,
    /// A write also overwrites the block behind it.
    WideWrites,
    /// It fails flushes.
    FailedFlushes,
    /// A discard also overwrites the block behind it.
    WideDiscards,
    /// It widens a discard to whole clusters of 64 KiB.
    RoundedDiscards,
    /// A request to write zeros changes nothing.
    KeptBytes,
}

impl DiskFault {
    /// Whether a read of `bytes` by `queue`, the `nth` of all reads, returns other bytes.
    pub(crate) fn spoils_read(self, queue: usize, bytes: usize, nth: u64) -> bool {
        match self {
            Self::OtherBytes => (BLOCK + 1..=SHORT).contains(&bytes),
            Self::ChangingBlocks => bytes == BLOCK && nth.is_multiple_of(2),
            Self::OtherQueue => queue > 0,
            _ => false,
        }
    }

    /// Whether a request with this number of data segments fails.
    pub(crate) fn refuses(self, segments: usize) -> bool {
        self == Self::FewSegments && segments > FEW
    }

    /// The bytes that a discard of `length` bytes at `at` overwrites, on a disk of `size` bytes.
    pub(crate) fn discards(self, at: u64, length: u64, size: u64) -> (u64, u64) {
        if self != Self::RoundedDiscards {
            return (at, length);
        }
        let start = at / CLUSTER * CLUSTER;
        (start, (at + length).next_multiple_of(CLUSTER).min(size) - start)
    }

    /// Whether a write of `bytes` is lost.
    pub(crate) fn loses(self, bytes: usize) -> bool {
        self == Self::LostBlocks && bytes == BLOCK
    }
}

#[cfg(test)]
mod tests {
    use super::DiskFault::{KeptBytes, RoundedDiscards};

    #[test]
    fn a_rounded_discard_grows_on_both_sides_and_stays_on_the_disk() {
        let size = 3 << 20;
        assert_eq!(RoundedDiscards.discards(0x1_0200, 0x200, size), (0x1_0000, 0x1_0000));
        assert_eq!(RoundedDiscards.discards(0x1_0000, 0x1_0000, size), (0x1_0000, 0x1_0000));
        assert_eq!(RoundedDiscards.discards(0x1_fe00, 0x400, size), (0x1_0000, 0x2_0000));
        assert_eq!(RoundedDiscards.discards(size - 512, 512, size), (size - 0x1_0000, 0x1_0000));
        assert_eq!(KeptBytes.discards(0x200, 0x200, size), (0x200, 0x200));
    }
}
