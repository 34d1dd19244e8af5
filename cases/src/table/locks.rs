//! CPUs that the hypervisor stops while they hold a lock.

use super::row::{H, HQ, Q, tried};
use crate::Case;
use crate::Response::{Fail, Halt, Ignore};

pub(super) const CASES: &[Case] = &[
    tried(
        H,
        "LCK-01",
        &[Ignore],
        "a CPU goes on after its lock was stolen, or two CPUs steal at once",
        "one CPU has the lock; who has lost it frees nothing",
    ),
    tried(
        Q,
        "LCK-02",
        &[Halt],
        "a CPU is stopped in the middle of an RTAS call",
        "its argument block is its own: no other CPU's call changes; waiting for it ends",
    ),
    tried(
        HQ,
        "LCK-03",
        &[Fail, Halt],
        "a CPU is stopped for ever while it holds what others wait for: heap, pool, a disk's registers, ...",
        "waiting ends, once for each lock, with a named error; nobody uses what the CPU was at",
    ),
    tried(
        Q,
        "LCK-04",
        &[Halt],
        "a CPU is stopped for ever in its report of a failure, or while it ends the run",
        "the next one that fails or is done ends the run, by the status that the first one had decided on",
    ),
    tried(
        HQ,
        "LCK-05",
        &[Ignore],
        "a CPU that was started comes after it was counted as missing, or two come",
        "it is not let in: no stack, no work, no count",
    ),
    tried(
        HQ,
        "LCK-06",
        &[Halt],
        "the CPU that booted is stopped for ever, anywhere or with any lock",
        "a parked CPU ends the run once nobody has done anything for 20 s: status 13",
    ),
];
