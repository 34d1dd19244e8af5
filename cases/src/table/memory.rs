//! Memory: the owners of ranges, and the check that a frame is the guest's.

use super::row::{H, HM, tried};
use crate::Case;
use crate::Response::{Halt, Quarantine, Work};

pub(super) const CASES: &[Case] = &[
    tried(
        HM,
        "MEM-01",
        &[Halt],
        "a reservation over the image, as an ultravisor makes it when the tree allows it",
        "status 2 with both ranges; a secure guest accepts only a reservation of exactly the image",
    ),
    tried(
        HM,
        "MEM-02",
        &[Halt],
        "a reservation, RTAS, the initrd or the tree lies over the first frame",
        "status 2",
    ),
    tried(HM, "MEM-03", &[Halt], "RTAS, the initrd or the tree lies over the image", "status 2"),
    tried(
        H,
        "MEM-04",
        &[Halt],
        "a bridge's window lies over a reservation, or over memory and BAR-05 did not find it",
        "status 2",
    ),
    tried(H, "MEM-05", &[Halt], "part of the image lies above 4 GiB", "status 2"),
    tried(
        H,
        "MEM-06",
        &[Halt],
        "memory, reservations, RTAS, initrd, tree and windows at any addresses",
        "no frame has two owners, or the run ends with status 2 or 10",
    ),
    tried(
        HM,
        "MEM-07",
        &[Quarantine, Work],
        "the tree has memory that is not the VM's, or a share reports success and has no effect",
        "the guest uses a frame only after a share has zeroed a known word in it; otherwise it tries another run of frames, then ends with status 10",
    ),
    tried(
        HM,
        "MEM-08",
        &[Quarantine],
        "the ultravisor does not take back memory that was shared for this proof",
        "the known word is still there, and the guest never uses the run of frames",
    ),
];
