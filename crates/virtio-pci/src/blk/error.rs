//! Why a block request, or the whole device, failed.

use crate::virtio::error::TransportError;
use crate::virtio::ring::QueueError;
use crate::virtio::violation::Violation;
use alloc::vec::Vec;
use core::fmt;
use papr::lock::Stuck;
use svm_dma::dma::DmaError;

/// Why a device is not used any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakReason {
    /// It contradicted what this kernel recorded.
    Violation(Violation),
    /// It is gone, or wants a reset.
    Transport(TransportError),
    /// A request was not answered in time.
    Timeout,
    /// The driver itself stopped it.
    Stopped,
    /// Another CPU stands still with what all queues of the device share.
    Stuck(Stuck),
}

impl From<Stuck> for BreakReason {
    fn from(stuck: Stuck) -> Self {
        Self::Stuck(stuck)
    }
}

impl fmt::Display for BreakReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Violation(violation) => violation.fmt(f),
            Self::Transport(error) => error.fmt(f),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Stopped => f.write_str("stopped"),
            Self::Stuck(stuck) => stuck.fmt(f),
        }
    }
}

/// A block request that did not succeed, or a device that is not bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlkError {
    /// Set-up of the device failed.
    Transport(TransportError),
    /// A capacity, in sectors, whose bytes do not fit 64 bits.
    Capacity(u64),
    /// A logical block size that is no power of two from 512 up.
    BlockSize(u32),
    /// A logical block that is larger than this driver or one request of the device can carry.
    BlockTooLarge {
        /// Bytes in a logical block.
        block: u32,
        /// Bytes that can be carried.
        most: u64,
    },
    /// A disk without a byte.
    Empty,
    /// The disk's last bytes are no whole logical block, so that they cannot be read or written.
    Tail {
        /// How many.
        bytes: u64,
        /// Bytes in a logical block.
        block: u32,
    },
    /// A size_max below one sector.
    SizeMax(u32),
    /// VIRTIO_BLK_F_MQ, and no queues.
    NoQueues,
    /// Beyond the end of the disk.
    OutOfRange {
        /// First sector.
        sector: u64,
        /// Bytes asked for.
        bytes: u64,
        /// Sectors of the disk.
        capacity: u64,
    },
    /// Not whole logical blocks, or none.
    Unaligned {
        /// First sector.
        sector: u64,
        /// Bytes asked for.
        bytes: u64,
        /// Bytes in a logical block.
        block: u32,
    },
    /// The disk is read-only.
    ReadOnly,
    /// The device does not offer this kind of request.
    NotOffered,
    /// No room for a request before another one completes.
    Busy,
    /// More pieces than the device takes in one request.
    Segments {
        /// Pieces needed.
        need: usize,
        /// Most that are taken.
        most: u16,
    },
    /// The buffer could not be made reachable.
    Dma(DmaError),
    /// The queue refused the chain.
    Queue(QueueError),
    /// VIRTIO_BLK_S_IOERR
    Io,
    /// VIRTIO_BLK_S_UNSUPP
    Unsupported,
    /// A status that is none.
    Status(u8),
    /// Another CPU stands still with the queue.
    Stuck(Stuck),
    /// The device is latched broken.
    Broken(BreakReason),
}

impl BlkError {
    /// Whether the same request may succeed after others have completed.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Busy | Self::Queue(QueueError::Full { .. }) => true,
            Self::Dma(error) => error.is_exhausted(),
            _ => false,
        }
    }

    /// Whether a smaller request may succeed.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        match self {
            Self::Segments { .. } | Self::Queue(QueueError::Full { .. }) => true,
            Self::Dma(error) => error.is_exhausted() || matches!(error, DmaError::TooLong { .. }),
            _ => false,
        }
    }
}

impl From<TransportError> for BlkError {
    fn from(error: TransportError) -> Self {
        Self::Transport(error)
    }
}

impl fmt::Display for BlkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => error.fmt(f),
            Self::Capacity(sectors) => write!(f, "capacity of {sectors} sectors"),
            Self::BlockSize(bytes) => write!(f, "logical block size {bytes}"),
            Self::BlockTooLarge { block, most } => {
                write!(f, "logical block size {block}, a request carries {most} bytes")
            }
            Self::Empty => f.write_str("the disk holds no bytes"),
            Self::Tail { bytes, block } => {
                write!(f, "the disk's last {bytes} bytes are no whole block of {block} and cannot be reached")
            }
            Self::NoQueues => f.write_str("num_queues 0"),
            Self::SizeMax(bytes) => write!(f, "size_max {bytes}"),
            Self::OutOfRange { sector, bytes, capacity } => {
                write!(f, "{bytes} bytes at sector {sector} of {capacity}")
            }
            Self::Unaligned { sector, bytes, block } => {
                write!(f, "{bytes} bytes at sector {sector} are not whole blocks of {block}")
            }
            Self::ReadOnly => f.write_str("read-only"),
            Self::NotOffered => f.write_str("kind of request not offered"),
            Self::Busy => f.write_str("all request slots in use"),
            Self::Segments { need, most } => write!(f, "{need} segments, device takes {most}"),
            Self::Dma(error) => error.fmt(f),
            Self::Queue(error) => error.fmt(f),
            Self::Io => f.write_str("I/O error"),
            Self::Unsupported => f.write_str("request not supported by the device"),
            Self::Status(status) => write!(f, "undefined status {status:#x}"),
            Self::Stuck(stuck) => stuck.fmt(f),
            Self::Broken(reason) => write!(f, "device broken: {reason}"),
        }
    }
}

/// A request that was not submitted, with the buffer it came with.
#[derive(Debug)]
pub struct Rejected {
    /// Why.
    pub error: BlkError,
    /// As it was given.
    pub buffer: Vec<u8>,
}
