//! Disks that keep the protocol and are bad disks all the same: faults that only a test of what a disk does can find.

/// Bytes of the reads that [`DiskFault::OtherBytes`] is about, at most.
const SHORT: usize = 16 << 10;
/// Segments that [`DiskFault::FewSegments`] takes.
const FEW: usize = 8;
const BLOCK: usize = 512;

/// What is wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// Reads of several blocks, up to 16 KiB, bring other bytes than longer ones.
    OtherBytes,
    /// Each second read of a single block brings other bytes. The disk is read-only.
    ChangingBlocks,
    /// The second of its two queues brings other bytes.
    OtherQueue,
    /// It has another name each time.
    OtherName,
    /// It says that it is twice as large as it is.
    TwiceTheSize,
    /// It says that it takes many segments, and fails requests of more than 8.
    FewSegments,
    /// It says that the best request is shorter than the least.
    ShortBest,
    /// It forgets what is written to a single block.
    LostBlocks,
    /// A write takes the block behind it with it.
    WideWrites,
    /// It fails flushes.
    FailedFlushes,
    /// A discard takes the block behind it with it.
    WideDiscards,
    /// What is to become zeros stays as it is.
    KeptBytes,
}

impl DiskFault {
    /// Whether a read of so many bytes by a queue, the `nth` of all reads, brings other bytes.
    pub(crate) fn spoils_read(self, queue: usize, bytes: usize, nth: u64) -> bool {
        match self {
            Self::OtherBytes => (BLOCK + 1..=SHORT).contains(&bytes),
            Self::ChangingBlocks => bytes == BLOCK && nth.is_multiple_of(2),
            Self::OtherQueue => queue > 0,
            _ => false,
        }
    }

    /// Whether a request of so many data segments fails.
    pub(crate) fn refuses(self, segments: usize) -> bool {
        self == Self::FewSegments && segments > FEW
    }

    /// Whether a write of so many bytes is not done.
    pub(crate) fn loses(self, bytes: usize) -> bool {
        self == Self::LostBlocks && bytes == BLOCK
    }
}
