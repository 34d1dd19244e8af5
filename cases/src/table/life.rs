//! Reset, removal, order.

use super::row::{H, HQ, Q, tried};
use crate::Case;
use crate::Response::{Break, Ignore, Quarantine, Work};

pub(super) const CASES: &[Case] = &[
    tried(
        H,
        "LIF-01",
        &[Break],
        "the device needs a reset while requests are in flight",
        "the requests' memory is used again only after a confirmed reset",
    ),
    tried(
        HQ,
        "LIF-03",
        &[Ignore],
        "a device appears at run time",
        "the guest names it once, from its configuration space, and does not use it",
    ),
    tried(
        Q,
        "LIF-07",
        &[Ignore],
        "the host asks for the removal of a device (`device_del`); on pseries this needs the guest's consent",
        "the guest does not handle hot-plug events: the device stays and works until the machine is reset",
    ),
    tried(
        Q,
        "LIF-08",
        &[Break],
        "the process that serves a device ends, during a request or between two",
        "the request times out: the device is latched broken and reset, and everything else continues",
    ),
    tried(
        Q,
        "LIF-04",
        &[Work],
        "the kernel panics while devices may access memory",
        "the kernel turns bus mastering off, then prints the reason and the status",
    ),
    tried(
        H,
        "LIF-05",
        &[Work],
        "a slot is freed, and two devices take one at the same time",
        "the private record gives each slot one owner",
    ),
    tried(
        H,
        "LIF-06",
        &[Ignore, Quarantine],
        "a device completes a request after its driver has gone away",
        "the device was reset first; otherwise the request's memory stays in quarantine",
    ),
];
