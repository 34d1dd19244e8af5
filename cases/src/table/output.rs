//! The guest's output and its end.

use super::row::{H, HQ, Q, tried};
use crate::Case;
use crate::Response::{Clamp, Fail, Halt, Work};

pub(super) const CASES: &[Case] = &[
    tried(
        H,
        "OUT-01",
        &[Work],
        "a text with control characters, or bytes that are no text",
        "shown escaped, as printable ASCII",
    ),
    tried(
        HQ,
        "OUT-02",
        &[Work],
        "a disk's name or a text of the tree with line ends and a line of the guest's own in it",
        "stays on its line: there is one EXIT line, and each fact is the guest's",
    ),
    tried(H, "OUT-03", &[Clamp], "a text of any length", "64 bytes are shown, and `...`"),
    tried(
        H,
        "OUT-04",
        &[Halt],
        "work that was asked for ends in any way, devices are left out, pages are exposed",
        "one table makes the status; 0 only when all of it was done and nothing is exposed",
    ),
    tried(
        HQ,
        "OUT-05",
        &[Fail],
        "all devices are gone, at the start or when their work begins",
        "each piece of work that nothing could do is a failure with a name: status 6",
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
        "the machine is not ended when the guest says so, and the guest is interrupted",
        "the EXIT line stays the last one, and the only one",
    ),
    tried(
        Q,
        "OUT-09",
        &[Work, Halt],
        "reads the console of a secure guest, and makes it crash",
        "each line is one of a list; no address and no content of private memory is in it",
    ),
    tried(
        HQ,
        "OUT-10",
        &[Work, Clamp, Fail],
        "types any bytes at a guest that runs the monitor",
        "a line has 72 printable characters at most; what is no command is named, escaped; a secure guest shows no block and logs no more",
    ),
];
