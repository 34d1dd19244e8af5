//! The account of a server: its accesses, those that were refused, and its violations.

use crate::ring_state::Ring;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Refusals that are kept word for word; the others are counted.
const KEPT: usize = 32;

/// The purpose of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The descriptor table.
    Descriptor(u16),
    /// The available ring.
    Available,
    /// The used ring.
    Used,
    /// The memory of a descriptor.
    Data {
        /// The first descriptor of the chain.
        head: u16,
        /// The descriptor.
        descriptor: u16,
    },
}

/// An access that was refused: to memory that the guest did not share, or by an I/O address that leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Number of the queue.
    pub queue: usize,
    /// Its purpose.
    pub part: Part,
    /// Guest physical address; the I/O address if that leads nowhere.
    pub address: u64,
    /// Bytes.
    pub length: u64,
    /// Whether the device wanted to write.
    pub write: bool,
    /// Whether the address is an I/O address without a translation in this direction.
    pub unmapped: bool,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.write { "write" } else { "read" };
        let kind = if self.unmapped { "I/O address " } else { "" };
        write!(f, "queue {}: {verb} of {kind}{:#x}+{:#x} refused, ", self.queue, self.address, self.length)?;
        match self.part {
            Part::Descriptor(index) => write!(f, "descriptor {index} itself"),
            Part::Available => f.write_str("the available ring"),
            Part::Used => f.write_str("the used ring"),
            Part::Data { head, descriptor } => write!(f, "descriptor {descriptor} of chain {head}"),
        }
    }
}

/// A driver's reaction to a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reaction {
    /// Violations.
    pub violations: u64,
    /// Requests from the first violation on, including the one that it was about.
    pub requests: u64,
    /// Queues that the driver gave up: at a reset of the device, or at the end.
    pub given_up: u64,
}

impl fmt::Display for Reaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.violations == 0 {
            return f.write_str("not committed, the guest did not get that far");
        }
        let Self { violations, requests, given_up } = self;
        write!(f, "committed {violations} times; then {requests} requests, {given_up} queues given up")
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
    /// Requests before the first violation.
    before: OnceLock<u64>,
    /// Queues that the driver gave up after it.
    given_up: AtomicU64,
    refusals: Mutex<Vec<Refusal>>,
    skipped: Mutex<Vec<(u64, u64)>>,
    asked: AtomicU64,
    ranges: AtomicU64,
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
        self.before.get_or_init(|| self.requests());
        self.violations.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn give_up(&self) {
        if self.before.get().is_some() {
            self.given_up.fetch_add(1, Ordering::Relaxed);
        }
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

    /// The highest offset in a disk at which a read began.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    pub(crate) fn ranges(&self, count: u64) {
        self.ranges.fetch_max(count, Ordering::Relaxed);
    }

    /// The most ranges in a discard or write zeroes request.
    #[must_use]
    pub fn most_ranges(&self) -> u64 {
        self.ranges.load(Ordering::Relaxed)
    }

    /// Parts of a disk, as start and length, whose reads completed without data being written.
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

    /// The driver's reaction to the violation.
    #[must_use]
    pub fn reaction(&self) -> Reaction {
        let since = |before: &u64| self.requests().saturating_sub(*before);
        Reaction {
            violations: self.violations(),
            requests: self.before.get().map_or(0, since),
            given_up: self.given_up.load(Ordering::Relaxed),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_queues_given_up_are_counted_from_the_first_violation_on() {
        let ledger = Ledger::default();
        ledger.request();
        ledger.give_up();
        assert!(ledger.reaction().to_string().starts_with("not committed"));
        ledger.violation();
        ledger.request();
        ledger.violation();
        ledger.request();
        ledger.give_up();
        assert_eq!(ledger.reaction(), Reaction { violations: 2, requests: 2, given_up: 1 });
    }
}
