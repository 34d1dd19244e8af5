//! TCE tables.

use super::row::{H, HQ, Q, tried};
use crate::Case;
use crate::Response::{Fallback, Halt, Ignore, Refuse};

pub(super) const CASES: &[Case] = &[
    tried(
        HQ,
        "TCE-01",
        &[Refuse],
        "H_PUT_TCE fails in the middle of the pool",
        "what was mapped is cleared; the bridge's devices are refused",
    ),
    tried(H, "TCE-03", &[Refuse], "the window is smaller than the pool", "refused, with both sizes"),
    tried(
        Q,
        "TCE-04",
        &[Refuse],
        "a device uses a bus address that is not mapped",
        "the host's IOMMU stops it; every entry ever put lies in a shared frame",
    ),
    tried(
        HQ,
        "TCE-05",
        &[Ignore],
        "firmware leaves bus mastering on",
        "off in every function before anything else, on after mapping",
    ),
    tried(
        H,
        "TCE-06",
        &[Ignore],
        "a list page for H_PUT_TCE_INDIRECT would have to be shared",
        "entries go in registers: H_PUT_TCE and H_STUFF_TCE only",
    ),
    tried(
        H,
        "TCE-07",
        &[Refuse, Fallback],
        "a dynamic window with senseless answers",
        "the default window is used; if that was removed already: the bridge's devices are refused",
    ),
    tried(
        HQ,
        "TCE-08",
        &[Ignore, Refuse],
        "H_STUFF_TCE says success and clears nothing",
        "a window that was removed maps nothing; of one that stays each entry is read back, the pool is not mapped",
    ),
    tried(
        HQ,
        "TCE-09",
        &[Fallback, Halt],
        "ibm,remove-pe-dma-window says success and removes nothing, or the window comes back",
        "its first and last entry are read: it is used as if it had never been removed; at the end: status 11",
    ),
    tried(
        Q,
        "TCE-10",
        &[Halt],
        "an entry besides the pool's is mapped when the run ends, or the window cannot be read",
        "every entry is read once more: status 11, and the number of pages",
    ),
];
