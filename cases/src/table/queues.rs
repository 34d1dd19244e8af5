//! Devices with several queues.

use super::row::{H, HQ, tried};
use crate::Case;
use crate::Response::{Break, Clamp, Quarantine, Refuse};

pub(super) const CASES: &[Case] = &[
    tried(
        H,
        "MQ-01",
        &[Refuse, Clamp],
        "num_queues is 0 or 65535",
        "0: refused; otherwise at most one queue for each CPU, and only as many as the pool has room for",
    ),
    tried(
        H,
        "MQ-02",
        &[Refuse, Quarantine],
        "num_queues is larger than the number of queues that exist",
        "the device is refused; the memory of the queues set up before is freed after a confirmed reset, and is otherwise never used again",
    ),
    tried(
        H,
        "MQ-03",
        &[Break],
        "a request is answered on another queue than its own",
        "each queue knows its own requests only; an answer without a request breaks the device",
    ),
    tried(
        HQ,
        "MQ-04",
        &[Break, Quarantine],
        "a protocol violation, or a time-out, on one queue while others hold requests",
        "one reset for all queues; each queue then fails its requests at its next poll, and keeps their memory from use without a confirmed reset",
    ),
];
