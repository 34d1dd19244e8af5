//! What the guest prints, and how it ends.

use super::{H, HQ, tried};
use crate::Case;
use crate::Response::{Clamp, Work};

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
];
