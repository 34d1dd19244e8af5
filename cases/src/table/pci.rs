//! Configuration space, capabilities, BARs.

use super::{F, H, HF, HQ, tried};
use crate::Case;
use crate::Response::{Break, Fallback, Ignore, Refuse, Work};

pub(super) const CASES: &[Case] = &[
    tried(
        HF,
        "CAP-01",
        &[Refuse],
        "the capability list points back into itself",
        "the walk ends after 48 steps",
    ),
    tried(
        H,
        "CAP-02",
        &[Ignore],
        "`next` below 0x40, misaligned or beyond 0xfc",
        "the list ends there; what came before counts",
    ),
    tried(
        H,
        "CAP-03",
        &[Ignore, Refuse],
        "a second capability of a type; one that overlaps the first",
        "the first one counts; an overlap refuses the device",
    ),
    tried(
        HF,
        "CAP-04",
        &[Refuse],
        "offset plus length wraps 32 bits",
        "added in 64 bits, so it lies outside its BAR",
    ),
    tried(HF, "CAP-05", &[Refuse], "a structure that ends beyond its BAR", "named with offset and length"),
    tried(H, "CAP-06", &[Refuse], "a structure shorter than its fields", "named with its length"),
    tried(HF, "CAP-07", &[Refuse], "a BAR number from 6 to 255", "looked up, never multiplied"),
    tried(H, "CAP-08", &[Refuse], "a structure in an I/O BAR", "named"),
    tried(
        HF,
        "CAP-09",
        &[Ignore],
        "types nobody knows, PCI_CFG, shared memory",
        "skipped, whatever they contain",
    ),
    tried(
        HF,
        "CAP-11",
        &[Ignore, Refuse],
        "a capability shorter than its own header",
        "skipped; without a usable one the device is refused",
    ),
    tried(
        H,
        "CAP-13",
        &[Work, Ignore],
        "every function of every slot answers, bridges and odd header types among them",
        "256 functions at most, each on its own; nothing is looked for behind a bridge",
    ),
    tried(
        HQ,
        "CAP-14",
        &[Refuse, Break],
        "configuration space reads as ones in the middle of probing",
        "taken as removal",
    ),
    tried(HQ, "BAR-01", &[Refuse], "sizing a BAR answers 0", "never replaced by what firmware had put there"),
    tried(
        HF,
        "BAR-03",
        &[Refuse],
        "a 64-bit BAR in the last place, or over a BAR of its own",
        "a second half is never a BAR",
    ),
    tried(
        H,
        "BAR-04",
        &[Ignore],
        "firmware placed a BAR over memory or over another device",
        "the kernel places every BAR itself",
    ),
    tried(
        HF,
        "BAR-05",
        &[Refuse],
        "a bridge window over memory, wrapping, empty, overlapping",
        "the bridge is refused",
    ),
    tried(HQ, "BAR-06", &[Refuse], "a BAR does not keep what was written", "read back and compared"),
    tried(H, "BAR-07", &[Refuse], "reserved type bits in a BAR", "named"),
    tried(
        F,
        "HC-08",
        &[Refuse],
        "configuration reads succeed with random data",
        "each value passes the checks above or refuses the device",
    ),
    tried(
        HQ,
        "MSX-02",
        &[Fallback],
        "an MSI-X vector, or its mask, that does not read back",
        "the device's level interrupt is used, else it is polled",
    ),
];
