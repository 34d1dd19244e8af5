//! The guest's output and its end.

use super::row::{H, HQ, Q, tried};
use crate::Case;
use crate::Response::{Clamp, Fail, Halt, Work};

pub(super) const CASES: &[Case] = &[
    tried(
        H,
        "OUT-01",
        &[Work],
        "a string with control characters, or bytes that are not text",
        "the guest prints it escaped, as printable ASCII",
    ),
    tried(
        HQ,
        "OUT-02",
        &[Work],
        "a disk's name or a string of the tree contains line ends and a copy of one of the guest's own lines",
        "the string stays on its line: there is one EXIT line, and each fact is the guest's",
    ),
    tried(H, "OUT-03", &[Clamp], "a string of any length", "the guest prints 64 bytes and `...`"),
    tried(
        H,
        "OUT-04",
        &[Halt],
        "every combination: steps end in any way, devices are left out, pages are exposed",
        "one function derives the status; it is 0 only if all the work was done and nothing is exposed",
    ),
    tried(
        HQ,
        "OUT-05",
        &[Fail],
        "all devices are gone, at the start or when their step begins",
        "each piece of work without a device is a named failure: status 6",
    ),
    tried(
        Q,
        "OUT-06",
        &[Fail],
        "the first of several devices fails",
        "the others do their work, and the error names the device: status 6",
    ),
    tried(
        Q,
        "OUT-08",
        &[Halt],
        "the host does not end the machine when the guest asks for it, and interrupts the guest",
        "the EXIT line stays the last one, and the only one",
    ),
    tried(
        Q,
        "OUT-09",
        &[Work, Halt],
        "the host reads the console of a secure guest, and makes the guest crash",
        "each line has one of the listed forms; no line has an address or a content of private memory",
    ),
    tried(
        HQ,
        "OUT-10",
        &[Work, Clamp, Fail],
        "any bytes typed at a guest that runs the monitor",
        "a line has at most 72 printable characters; an unknown command is named, escaped; a secure guest shows no block of a disk and does not log more",
    ),
];
