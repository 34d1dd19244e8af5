//! Entry into the image, exception vectors and crash reports.

use super::row::{C, Q, tried};
use crate::Case;
use crate::Response::{Halt, Refuse};

pub(super) const CASES: &[Case] = &[
    tried(Q, "VEC-01", &[Halt], "an interrupt at 0xc00 that no `sc 2` caused", "a report and status 8"),
    tried(
        Q,
        "VEC-02",
        &[Halt],
        "an interrupt at a slot below 0x2000 that belongs to no exception",
        "the slot has a complete entry, like all others: a report with its address, and status 8",
    ),
    tried(
        Q,
        "VEC-03",
        &[Halt],
        "an interrupt while MSR[RI] is 0: in a handler, in a report or in the entry code",
        "`halt: vector` and status 8; this path uses registers only, no stack, and prints no report",
    ),
    tried(
        Q,
        "VEC-04",
        &[Halt],
        "a system reset of a secure guest at a time that the host chooses",
        "the report has the vector, the offset in the image and the status; it has no register, stack word or log line",
    ),
    tried(
        C,
        "VEC-05",
        &[Refuse],
        "a slot below 0x2000 without a complete entry, or a use of r13 in code that can be interrupted",
        "the build refuses the image",
    ),
    tried(
        Q,
        "VEC-06",
        &[Halt],
        "the image lies above 4 GiB, where RTAS cannot reach it",
        "the guest prints the image's address and ends with status 8",
    ),
    tried(
        Q,
        "VEC-07",
        &[Halt],
        "the image lies over the exception vectors",
        "the guest prints the image's address and ends with status 8; a secure VM copies the vectors before it makes any call, so they overwrite the image, and it ends with `halt: vector` and status 8",
    ),
];
