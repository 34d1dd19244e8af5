//! What a server saw, was refused, and did wrong on purpose.

use crate::ring::Ring;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Refusals that are kept word for word; the others are counted.
const KEPT: usize = 32;

/// What an access was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The descriptor table.
    Descriptor(u16),
    /// The available ring.
    Available,
    /// The used ring.
    Used,
    /// What a descriptor points to.
    Data {
        /// The first descriptor of the chain.
        head: u16,
        /// The descriptor.
        descriptor: u16,
    },
}

/// An access to memory that the guest did not share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Number of the queue.
    pub queue: usize,
    /// What it was for.
    pub part: Part,
    /// Guest physical address.
    pub address: u64,
    /// Bytes.
    pub length: u64,
    /// Whether the device wanted to write.
    pub write: bool,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.write { "write" } else { "read" };
        write!(f, "queue {}: {verb} of {:#x}+{:#x} refused, ", self.queue, self.address, self.length)?;
        match self.part {
            Part::Descriptor(index) => write!(f, "descriptor {index} itself"),
            Part::Available => f.write_str("the available ring"),
            Part::Used => f.write_str("the used ring"),
            Part::Data { head, descriptor } => write!(f, "descriptor {descriptor} of chain {head}"),
        }
    }
}

/// One server's account, filled while it runs.
#[derive(Debug, Default)]
pub struct Ledger {
    accesses: AtomicU64,
    bytes: AtomicU64,
    refused: AtomicU64,
    requests: AtomicU64,
    violations: AtomicU64,
    refusals: Mutex<Vec<Refusal>>,
    skipped: Mutex<Vec<(u64, u64)>>,
    asked: AtomicU64,
    rings: Mutex<BTreeMap<usize, Ring>>,
}

impl Ledger {
    pub(crate) fn allow(&self, length: u64) {
        self.accesses.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(length, Ordering::Relaxed);
    }

    pub(crate) fn refuse(&self, refusal: Refusal) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let mut kept = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(refusal);
        }
    }

    pub(crate) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn violation(&self) {
        self.violations.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn skip(&self, at: u64, bytes: u64) {
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner).push((at, bytes));
    }

    pub(crate) fn ring(&self, queue: usize, ring: Ring) {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner).insert(queue, ring);
    }

    /// Where the queues are, as the driver last set them up, by their numbers.
    #[must_use]
    pub fn rings(&self) -> Vec<(usize, Ring)> {
        let rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        rings.iter().map(|(queue, ring)| (*queue, *ring)).collect()
    }

    pub(crate) fn ask(&self, at: u64) {
        self.asked.fetch_max(at, Ordering::Relaxed);
    }

    /// The highest byte of a disk that a read has begun at.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Parts of a disk, as start and length, that were read without anybody writing data for it.
    #[must_use]
    pub fn skipped(&self) -> Vec<(u64, u64)> {
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Accesses that the gate allowed.
    #[must_use]
    pub fn accesses(&self) -> u64 {
        self.accesses.load(Ordering::Relaxed)
    }

    /// Bytes read and written.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Accesses that the gate refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Chains that were served.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Violations that happened.
    #[must_use]
    pub fn violations(&self) -> u64 {
        self.violations.load(Ordering::Relaxed)
    }

    /// The first refusals.
    #[must_use]
    pub fn refusals(&self) -> Vec<Refusal> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
