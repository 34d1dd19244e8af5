//! TCE tables.

use super::{H, HQ, Q, tried};
use crate::Case;
use crate::Response::{Fallback, Ignore, Refuse};

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
        &[Ignore, Fallback],
        "a dynamic window with senseless answers",
        "never used by a secure guest; an ordinary one falls back to the default window",
    ),
];
