//! Reset, removal, order.

use super::row::{H, HQ, Q, tried};
use crate::Case;
use crate::Response::{Break, Ignore, Quarantine, Work};

pub(super) const CASES: &[Case] = &[
    tried(
        H,
        "LIF-01",
        &[Break],
        "the device needs a reset while requests are under way",
        "memory comes back only with a confirmed reset",
    ),
    tried(
        HQ,
        "LIF-03",
        &[Ignore],
        "a device appears at run time",
        "it is named by its config space, once, and not touched",
    ),
    tried(
        Q,
        "LIF-07",
        &[Ignore],
        "the host asks for a device to go (`device_del`), which on pseries waits for the guest",
        "nobody answers hot-plug events: the device stays and works until the machine is reset",
    ),
    tried(
        Q,
        "LIF-08",
        &[Break],
        "the process behind a device goes, in the middle of a request or between two",
        "the request's time runs out: broken, reset, and everything else goes on",
    ),
    tried(
        Q,
        "LIF-04",
        &[Work],
        "the kernel panics while devices may access memory",
        "bus mastering goes off first; then reason and status",
    ),
    tried(
        H,
        "LIF-05",
        &[Work],
        "a slot is freed and taken by two devices at once",
        "a slot has one owner in the private record",
    ),
    tried(
        H,
        "LIF-06",
        &[Ignore, Quarantine],
        "a driver goes away, and its device completes",
        "the device was reset first; else its memory stays in quarantine",
    ),
];
