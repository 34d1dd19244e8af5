//! Common configuration, features, queue set-up.

use super::row::{H, HF, HQ, tried};
use crate::Case;
use crate::Response::{Break, Clamp, Ignore, Refuse, Retry, Work};

pub(super) const CASES: &[Case] = &[
    tried(HQ, "NEG-01", &[Refuse], "the status never goes to 0", "the wait ends by time and by a count"),
    tried(HQ, "NEG-02", &[Refuse], "VERSION_1 is not offered", "no legacy interface"),
    tried(
        HQ,
        "NEG-03",
        &[Work],
        "ACCESS_PLATFORM is not offered to a secure guest",
        "bounced all the same; the device gets guest physical addresses of the pool",
    ),
    tried(
        HQ,
        "NEG-03b",
        &[Refuse, Work],
        "ACCESS_PLATFORM is offered and does not stay",
        "always accepted; refused when FEATURES_OK fails",
    ),
    tried(HQ, "NEG-04", &[Refuse], "FEATURES_OK reads back as 0", "FAILED is written"),
    tried(HF, "NEG-05", &[Clamp], "every feature bit is offered", "only those wanted are accepted"),
    tried(H, "NEG-06", &[Ignore], "features differ when read again", "read once; the private copy decides"),
    tried(
        H,
        "NEG-07",
        &[Ignore],
        "the device acts as if a refused feature had been accepted",
        "nothing reads the fields of a feature that was not accepted",
    ),
    tried(
        HF,
        "NEG-08",
        &[Refuse, Clamp],
        "queue size 0, odd, or larger than any",
        "0: no queue; no power of two: refused; large: the own maximum, read back",
    ),
    tried(
        HQ,
        "NEG-10",
        &[Refuse],
        "a queue is on before it was set up",
        "refused after a reset that did not help",
    ),
    tried(HQ, "NEG-11", &[Break], "DEVICE_NEEDS_RESET at any time", "broken"),
    tried(
        HF,
        "NEG-12",
        &[Retry],
        "the configuration generation never stands still",
        "16 tries; then refused, or the old value stays",
    ),
    tried(
        H,
        "NEG-14",
        &[Break, Ignore],
        "used entries or interrupts before DRIVER_OK",
        "queue memory starts from zeros; nothing posted means nothing can be used",
    ),
    tried(HQ, "NEG-15", &[Break], "the status reads as 0xff", "taken as removal"),
];
