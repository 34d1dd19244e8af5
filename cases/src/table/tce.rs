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
        "the guest clears the entries that it has made; the bridge's devices are refused",
    ),
    tried(H, "TCE-03", &[Refuse], "the window is smaller than the pool", "the error contains both sizes"),
    tried(
        Q,
        "TCE-04",
        &[Refuse],
        "a device uses a bus address that is not mapped",
        "the host's IOMMU stops the access; every entry that a secure guest ever makes points to a shared frame",
    ),
    tried(
        HQ,
        "TCE-05",
        &[Ignore],
        "the firmware leaves bus mastering on",
        "the guest turns it off in every function before anything else, and turns it on after mapping",
    ),
    tried(
        H,
        "TCE-06",
        &[Ignore],
        "H_PUT_TCE_INDIRECT would need a shared page for its list",
        "the guest passes entries in registers: it calls H_PUT_TCE and H_STUFF_TCE only",
    ),
    tried(
        H,
        "TCE-07",
        &[Refuse, Fallback],
        "a dynamic window with invalid properties",
        "the guest uses the default window; if that is already removed, the bridge's devices are refused",
    ),
    tried(
        HQ,
        "TCE-08",
        &[Ignore, Refuse],
        "H_STUFF_TCE reports success and clears nothing",
        "a removed window maps nothing; if the window stays, the guest reads each entry back and does not map the pool",
    ),
    tried(
        HQ,
        "TCE-09",
        &[Fallback, Halt],
        "ibm,remove-pe-dma-window reports success and removes nothing, or the window comes back",
        "the guest reads the window's first and last entry: it uses a window that is still there as if it had never been removed; at the end of the run, status 11",
    ),
    tried(
        Q,
        "TCE-10",
        &[Halt],
        "an entry outside the pool is mapped when the run ends, or the window cannot be read",
        "the guest reads every entry once more: status 11, with the number of pages",
    ),
];
