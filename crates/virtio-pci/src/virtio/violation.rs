//! Protocol violations of a used ring. The first one latches its queue broken.

use thiserror::Error;

/// A statement of the device that contradicts what this kernel itself recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Violation {
    /// A used id beyond the queue's descriptors; all 32 bits are compared.
    #[error("used id {id:#x} in a queue of {size}")]
    IdOutOfRange {
        /// As read.
        id: u32,
        /// Descriptors in the queue.
        size: u16,
    },
    /// A used id of a descriptor that is free, completed already, or staged and not published yet.
    #[error("used id {id} was not posted")]
    NotPosted {
        /// As read.
        id: u16,
    },
    /// A used id from the middle of a chain.
    #[error("used id {id} is not the head of a chain")]
    NotHead {
        /// As read.
        id: u16,
    },
    /// More bytes written than the chain allowed the device to write.
    #[error("chain {id}: {written} bytes written where {allowed} were allowed")]
    TooLong {
        /// Head of the chain.
        id: u16,
        /// As read.
        written: u32,
        /// Sum of the device-writable descriptors.
        allowed: u32,
    },
    /// Fewer bytes written than a request that was answered with success needs.
    #[error("chain {id}: {written} bytes written where {needed} were needed")]
    TooShort {
        /// Head of the chain.
        id: u16,
        /// As read.
        written: u32,
        /// Bytes that the request needs.
        needed: u32,
    },
    /// used.idx moved backwards, or further than the posted chains allow.
    #[error("used index went from {last} to {index} with {posted} chains posted")]
    IndexJump {
        /// As read.
        index: u16,
        /// used.idx as last accepted.
        last: u16,
        /// Chains that the device held.
        posted: u16,
    },
}
