//! Devices with several queues.

use super::row::{H, HQ, tried};
use crate::Case;
use crate::Response::{Break, Clamp, Quarantine, Refuse};

pub(super) const CASES: &[Case] = &[
    tried(
        H,
        "MQ-01",
        &[Refuse, Clamp],
        "num_queues 0, or 65535",
        "0: refused; never more are set up than there are CPUs, and than have enough of the pool each",
    ),
    tried(
        H,
        "MQ-02",
        &[Refuse, Quarantine],
        "num_queues says more queues than there are",
        "refused; the queues set up before are given back when the reset is confirmed, else never used again",
    ),
    tried(
        H,
        "MQ-03",
        &[Break],
        "a request is answered on another queue than its own",
        "each queue knows its own requests only: an answer that it has no request for breaks the device",
    ),
    tried(
        HQ,
        "MQ-04",
        &[Break, Quarantine],
        "a lie, or no answer in time, on one queue while others hold requests",
        "one reset for all; each queue fails its requests and keeps or gives back its memory when it next looks",
    ),
];
