//! Why a block request, or the whole device, failed.

use crate::virtio::error::TransportError;
use crate::virtio::ring::QueueError;
use crate::virtio::violation::Violation;
use alloc::vec::Vec;
use papr::lock::Stuck;
use svm_dma::dma::DmaError;
use thiserror::Error;

/// Why a device is not used any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BreakReason {
    /// The device contradicted what this kernel recorded.
    #[error("{0}")]
    Violation(Violation),
    /// The device is gone, or wants a reset.
    #[error("{0}")]
    Transport(TransportError),
    /// A request was not answered in time.
    #[error("no answer in time")]
    Timeout,
    /// The driver itself stopped it.
    #[error("stopped")]
    Stopped,
    /// Another CPU does not release the lock that all queues of the device share.
    #[error(transparent)]
    Stuck(#[from] Stuck),
}

/// Why a block request failed, or why a device is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BlkError {
    /// Set-up of the device failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A capacity, in sectors, whose bytes do not fit 64 bits.
    #[error("capacity of {0} sectors")]
    Capacity(u64),
    /// A logical block size that is no power of two from 512 up.
    #[error("logical block size {0}")]
    BlockSize(u32),
    /// A logical block that is larger than this driver or one request of the device can carry.
    #[error("logical block size {block}, a request carries {most} bytes")]
    BlockTooLarge {
        /// Bytes in a logical block.
        block: u32,
        /// Bytes that can be carried.
        most: u64,
    },
    /// A disk without a byte.
    #[error("the disk holds no bytes")]
    Empty,
    /// The disk's last bytes are less than a logical block, so they cannot be read or written.
    #[error("the disk's last {bytes} bytes are no whole block of {block} and cannot be reached")]
    Tail {
        /// Number of them.
        bytes: u64,
        /// Bytes in a logical block.
        block: u32,
    },
    /// A size_max below one sector.
    #[error("size_max {0}")]
    SizeMax(u32),
    /// VIRTIO_BLK_F_MQ with no queues.
    #[error("num_queues 0")]
    NoQueues,
    /// Beyond the end of the disk.
    #[error("{bytes} bytes at sector {sector} of {capacity}")]
    OutOfRange {
        /// First sector.
        sector: u64,
        /// Bytes asked for.
        bytes: u64,
        /// Sectors of the disk.
        capacity: u64,
    },
    /// Not whole logical blocks, or none.
    #[error("{bytes} bytes at sector {sector} are not whole blocks of {block}")]
    Unaligned {
        /// First sector.
        sector: u64,
        /// Bytes asked for.
        bytes: u64,
        /// Bytes in a logical block.
        block: u32,
    },
    /// No range, or more ranges than a request may have.
    #[error("{count} ranges, a request takes 1 to {most}")]
    Ranges {
        /// Number of them.
        count: usize,
        /// Most that the device or this driver allows.
        most: u16,
    },
    /// A range that is longer than a request may ask for.
    #[error("a range of {sectors} sectors, the device takes {most}")]
    RangeTooLong {
        /// Sectors asked for.
        sectors: u64,
        /// Most that the device or this driver allows.
        most: u32,
    },
    /// The disk is read-only.
    #[error("read-only")]
    ReadOnly,
    /// The device does not offer this kind of request.
    #[error("kind of request not offered")]
    NotOffered,
    /// No free request slot until another request completes, or others are in flight where none may be.
    #[error("all request slots in use")]
    Busy,
    /// More pieces than the device takes in one request.
    #[error("{need} segments, device takes {most}")]
    Segments {
        /// Pieces needed.
        need: usize,
        /// Most that the device or this driver allows.
        most: u16,
    },
    /// The buffer could not be mapped for the device.
    #[error("{0}")]
    Dma(DmaError),
    /// The queue refused the chain.
    #[error("{0}")]
    Queue(QueueError),
    /// VIRTIO_BLK_S_IOERR: the device reports an I/O error.
    #[error("I/O error")]
    Io,
    /// VIRTIO_BLK_S_UNSUPP: the device does not support the request.
    #[error("request not supported by the device")]
    Unsupported,
    /// A status that virtio does not define.
    #[error("undefined status {0:#x}")]
    Status(u8),
    /// Another CPU does not release the queue's lock.
    #[error("{0}")]
    Stuck(Stuck),
    /// The device is latched broken.
    #[error("device broken: {0}")]
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

/// A request that was not submitted, with the buffer it came with.
#[derive(Debug)]
pub struct Rejected {
    /// Why it was not submitted.
    pub error: BlkError,
    /// The caller's buffer, unchanged.
    pub buffer: Vec<u8>,
}
