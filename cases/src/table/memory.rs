//! Memory: the owners of ranges, and the check that a frame is the guest's.

use super::row::{H, HM, tried};
use crate::Case;
use crate::Response::{Halt, Quarantine, Work};

pub(super) const CASES: &[Case] = &[
    tried(
        HM,
        "MEM-01",
        &[Halt],
        "a reservation over the image, as the ultravisor makes them where the tree lets it",
        "status 2 with both ranges; only a note of exactly the image is accepted in secure mode",
    ),
    tried(HM, "MEM-02", &[Halt], "a reservation, RTAS, initrd or tree over the first frame", "status 2"),
    tried(HM, "MEM-03", &[Halt], "RTAS, initrd or tree over the image", "status 2"),
    tried(H, "MEM-04", &[Halt], "a bridge's window over memory or over what the tree reserves", "status 2"),
    tried(H, "MEM-05", &[Halt], "an image above 4 GiB", "status 2"),
    tried(
        H,
        "MEM-06",
        &[Halt],
        "memory, reservations, RTAS, initrd, tree and windows at any addresses",
        "all owners' frames are disjoint, or status 2 or 10",
    ),
    tried(
        HM,
        "MEM-07",
        &[Quarantine, Work],
        "memory in the tree that is not the VM's, or a share that is answered and not made",
        "no frame is used before a public word in it was zeroed by a share; another run is taken, then status 10",
    ),
    tried(
        HM,
        "MEM-08",
        &[Quarantine],
        "the ultravisor does not take memory back that was shared to be proved",
        "a public word is still there: the run is never used",
    ),
];
