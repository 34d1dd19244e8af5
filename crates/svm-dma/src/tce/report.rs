//! What a window maps, for the boot summary and the facts.

use core::fmt;

/// How a window is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowKind {
    /// The window maps the shared pool, page by page, and nothing else.
    Pool,
    /// A dynamic window that maps all memory.
    Direct,
    /// The window maps a buffer while a device uses it.
    OnDemand,
}

impl fmt::Display for WindowKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pool => "pool",
            Self::Direct => "direct",
            Self::OnDemand => "on-demand",
        })
    }
}

/// One window after it was set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowReport {
    /// Number of the window's table.
    pub liobn: u32,
    /// First bus address.
    pub base: u64,
    /// Size of the window in bytes.
    pub size: u64,
    /// Log2 of the bytes one entry maps.
    pub page_shift: u32,
    /// Entries mapped when it was set up.
    pub pages_mapped: u64,
    /// What the window maps.
    pub kind: WindowKind,
}

impl fmt::Display for WindowReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { liobn, base, size, page_shift, pages_mapped, kind } = self;
        let page = 1u64.wrapping_shl(*page_shift) >> 10;
        write!(
            f,
            "liobn {liobn:#x} at {base:#x}+{size:#x}, {kind}, {pages_mapped} pages of {page} KiB mapped"
        )
    }
}
