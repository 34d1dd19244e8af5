//! Common configuration, features, queue set-up.

use super::row::{H, HF, HQ, tried};
use crate::Case;
use crate::Response::{Break, Clamp, Ignore, Refuse, Retry, Work};

pub(super) const CASES: &[Case] = &[
    tried(
        HQ,
        "NEG-01",
        &[Refuse],
        "the status never becomes 0 after a reset",
        "the wait has a time limit and a limit on its number of polls",
    ),
    tried(
        HQ,
        "NEG-02",
        &[Refuse],
        "VERSION_1 is not offered",
        "the driver does not use the legacy interface",
    ),
    tried(
        HQ,
        "NEG-03",
        &[Work],
        "ACCESS_PLATFORM is not offered to a secure guest",
        "the driver bounces all data as usual; the device gets guest physical addresses of the pool",
    ),
    tried(
        HQ,
        "NEG-03b",
        &[Refuse, Work],
        "ACCESS_PLATFORM is offered, and dropped after the driver accepted it",
        "the driver always accepts it, and refuses the device if FEATURES_OK fails",
    ),
    tried(HQ, "NEG-04", &[Refuse], "FEATURES_OK reads back as 0", "the driver writes FAILED"),
    tried(
        HF,
        "NEG-05",
        &[Clamp],
        "every feature bit is offered",
        "the driver accepts only the features that it wants",
    ),
    tried(
        H,
        "NEG-06",
        &[Ignore],
        "the features differ when they are read again",
        "the driver reads them once and uses its private copy",
    ),
    tried(
        H,
        "NEG-07",
        &[Ignore],
        "the device behaves as if the driver had accepted a feature that it refused",
        "the driver does not read the fields of a feature that it did not accept",
    ),
    tried(
        HF,
        "NEG-08",
        &[Refuse, Clamp],
        "the queue size is 0, not a power of two, or larger than the driver's maximum",
        "0: there is no queue; not a power of two: refused; too large: the driver writes its own maximum and reads it back",
    ),
    tried(
        HQ,
        "NEG-10",
        &[Refuse],
        "a queue is enabled before the driver has set it up",
        "the driver refuses the device if a reset does not disable the queue",
    ),
    tried(HQ, "NEG-11", &[Break], "DEVICE_NEEDS_RESET at any time", "the driver latches the device broken"),
    tried(
        HF,
        "NEG-12",
        &[Retry],
        "the configuration generation changes at every read",
        "16 attempts; then the device is refused, or the old value stays",
    ),
    tried(
        H,
        "NEG-14",
        &[Break, Ignore],
        "used entries or interrupts before DRIVER_OK",
        "the driver zeroes the queue memory first; as long as it has posted nothing, no entry is valid",
    ),
    tried(HQ, "NEG-15", &[Break], "the status reads as 0xff", "the driver treats the device as removed"),
];
