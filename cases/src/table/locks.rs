//! CPUs that the hypervisor stops while they hold a lock.

use super::row::{H, HQ, Q, tried};
use crate::Case;
use crate::Response::{Fail, Halt, Ignore};

pub(super) const CASES: &[Case] = &[
    tried(
        H,
        "LCK-01",
        &[Ignore],
        "a CPU continues after its lock was stolen, or two CPUs steal it at the same time",
        "one CPU has the lock; a CPU that has lost it does not release it",
    ),
    tried(
        Q,
        "LCK-02",
        &[Halt],
        "a CPU is stopped in the middle of an RTAS call",
        "each CPU has its own argument block, so no other CPU's call changes; the wait for the stopped CPU ends",
    ),
    tried(
        HQ,
        "LCK-03",
        &[Fail, Halt],
        "a CPU is stopped for ever while it holds a lock that others wait for: heap, pool, a disk's registers, ...",
        "the wait ends with a named error, and the next CPU does not wait for the same lock again; no CPU uses the data behind it",
    ),
    tried(
        Q,
        "LCK-04",
        &[Halt],
        "a CPU is stopped for ever while it reports a failure or ends the run",
        "the next CPU that fails or finishes ends the run, with the status that the first one chose",
    ),
    tried(
        HQ,
        "LCK-05",
        &[Ignore],
        "a started CPU arrives after it was counted as missing, or two arrive",
        "the CPU gets no stack and no work, and is not counted",
    ),
    tried(
        HQ,
        "LCK-06",
        &[Halt],
        "the boot CPU is stopped for ever, anywhere or with any lock",
        "a parked CPU ends the run when no CPU has made progress for 20 s: status 13",
    ),
];
