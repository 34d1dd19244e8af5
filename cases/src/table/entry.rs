//! Entry into the image, exception vectors and crash reports.

use super::row::{C, Q, tried};
use crate::Case;
use crate::Response::{Halt, Refuse};

pub(super) const CASES: &[Case] = &[
    tried(Q, "VEC-01", &[Halt], "an interrupt at 0xc00 without an `sc 2`", "fatal: a report, status 8"),
    tried(
        Q,
        "VEC-02",
        &[Halt],
        "an interrupt at a slot below 0x2000 that no exception has",
        "a whole entry like any other: a report with its address, status 8",
    ),
    tried(
        Q,
        "VEC-03",
        &[Halt],
        "an interrupt while MSR[RI] is off: inside a handler, a report or the entry",
        "`halt: vector` and status 8 by registers alone: no stack, no report",
    ),
    tried(
        Q,
        "VEC-04",
        &[Halt],
        "a system reset of a secure guest at a moment of the host's choice",
        "the report holds vector, offset in the image and status: no register, stack word or log line",
    ),
    tried(
        C,
        "VEC-05",
        &[Refuse],
        "a slot below 0x2000 that is no whole entry, or r13 in code that an interrupt may interrupt",
        "the build refuses the image",
    ),
    tried(
        Q,
        "VEC-06",
        &[Halt],
        "the image lies above 4 GiB, where RTAS cannot reach it",
        "its address is named; status 8",
    ),
    tried(
        Q,
        "VEC-07",
        &[Halt],
        "the image lies over the exception vectors",
        "its address is named; in a secure VM, which makes no call without vectors, they are written over it and end \
         the run: `halt: vector`, status 8",
    ),
];
