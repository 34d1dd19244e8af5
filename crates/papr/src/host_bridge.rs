//! What a host bridge's node of the tree says about addresses: which CPU addresses lead to its bus, and which bus
//! addresses its DMA window has.
//!
//! Source: IEEE 1275 PCI Bus Binding 2.1, `ranges`; LoPAPR B.6.1.1, `ibm,dma-window`.

use crate::addr::{Gpa, GpaRange};
use core::fmt;
use thiserror::Error;

/// A PCI address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// I/O ports.
    Io,
    /// Memory that a 32-bit BAR can hold.
    Memory32,
    /// Memory that needs a 64-bit BAR.
    Memory64,
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Io => "I/O",
            Self::Memory32 => "32-bit memory",
            Self::Memory64 => "64-bit memory",
        })
    }
}

/// One entry of the host bridge's `ranges`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The address space on the bus.
    pub space: Space,
    /// First address on the bus.
    pub bus: u64,
    /// The same address as the CPU sees it.
    pub gpa: Gpa,
    /// Length in bytes.
    pub len: u64,
}

/// Why a bridge's `ranges` cannot be used: no BAR is placed in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WindowError {
    /// A window of no bytes.
    Empty(Window),
    /// The end wraps, or a 32-bit window goes beyond 4 GiB on the bus.
    Wraps(Window),
    /// A window that lies over guest memory.
    OverMemory(Window),
    /// Two windows that overlap, to the CPU or on the bus.
    Overlap(Window, Window),
}

impl fmt::Display for WindowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (window, wrong) = match self {
            Self::Empty(window) => (window, "is empty"),
            Self::Wraps(window) => (window, "wraps"),
            Self::OverMemory(window) => (window, "lies over guest memory"),
            Self::Overlap(window, _) => (window, "overlaps another window"),
        };
        write!(f, "PCI {} window {:#x}+{:#x} {wrong}", window.space, window.gpa.0, window.len)
    }
}

/// Checks `ranges` against each other and against `memory`.
///
/// # Errors
/// The first bad window.
pub fn check(ranges: &[Window], memory: &[GpaRange]) -> Result<(), WindowError> {
    for (i, window) in ranges.iter().enumerate() {
        let cpu = span(window)?;
        if memory.iter().any(|ram| ram.overlaps(&cpu)) {
            return Err(WindowError::OverMemory(*window));
        }
        for other in ranges.iter().take(i) {
            if span(other)?.overlaps(&cpu) || bus_overlap(window, other) {
                return Err(WindowError::Overlap(*window, *other));
            }
        }
    }
    Ok(())
}

/// The window as the CPU sees it.
fn span(window: &Window) -> Result<GpaRange, WindowError> {
    if window.len == 0 {
        return Err(WindowError::Empty(*window));
    }
    let end = window.bus.checked_add(window.len).ok_or(WindowError::Wraps(*window))?;
    if window.space != Space::Memory64 && end > 1 << 32 {
        return Err(WindowError::Wraps(*window));
    }
    GpaRange::new(window.gpa, window.len).ok_or(WindowError::Wraps(*window))
}

/// Whether two windows claim the same bus addresses. I/O is a space of its own.
fn bus_overlap(a: &Window, b: &Window) -> bool {
    (a.space == Space::Io) == (b.space == Space::Io)
        && a.bus < b.bus.saturating_add(b.len)
        && b.bus < a.bus.saturating_add(a.len)
}

/// Log2 of the bytes that an entry of the default DMA window maps.
const DEFAULT_PAGE_SHIFT: u32 = 12;

/// Most pages of a DMA window: 64 GiB of 4 KiB pages. The host may claim any size, and the kernel clears each entry.
const MOST_PAGES: u64 = 1 << 24;

/// A DMA window that cannot be used: not a whole number of pages, not aligned to pages, wrapping, or of too many pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("TCE window {liobn:#x} at {base:#x}+{size:#x} is malformed")]
pub struct BadDmaWindow {
    /// Number of its table.
    pub liobn: u32,
    /// First bus address.
    pub base: u64,
    /// Length in bytes.
    pub size: u64,
}

/// A DMA window as the tree or an RTAS service describes it. The numbers are consistent; the hypervisor may still have
/// no such table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaWindowSpec {
    liobn: u32,
    base: u64,
    size: u64,
    page_shift: u32,
}

impl DmaWindowSpec {
    /// Checks `ibm,dma-window`: number of the table, first bus address, length in bytes.
    ///
    /// # Errors
    /// Not a whole number of pages, not aligned to pages, wrapping, or more than 64 GiB.
    pub fn new(liobn: u32, base: u64, size: u64) -> Result<Self, BadDmaWindow> {
        Self::with_pages(liobn, base, size, DEFAULT_PAGE_SHIFT)
    }

    /// As [`Self::new`], for pages of `2^page_shift` bytes.
    ///
    /// # Errors
    /// As for [`Self::new`], but larger pages may be as many as 64 GiB has of 4 KiB.
    pub fn with_pages(liobn: u32, base: u64, size: u64, page_shift: u32) -> Result<Self, BadDmaWindow> {
        let page = 1u64.wrapping_shl(page_shift);
        let whole = size >= page && size.is_multiple_of(page) && base.is_multiple_of(page);
        if !whole || base.checked_add(size).is_none() || size.wrapping_shr(page_shift) > MOST_PAGES {
            return Err(BadDmaWindow { liobn, base, size });
        }
        Ok(Self { liobn, base, size, page_shift })
    }

    /// The number of its table.
    #[must_use]
    pub const fn liobn(&self) -> u32 {
        self.liobn
    }

    /// The first bus address.
    #[must_use]
    pub const fn base(&self) -> u64 {
        self.base
    }

    /// The length in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Log2 of the bytes that an entry maps.
    #[must_use]
    pub const fn page_shift(&self) -> u32 {
        self.page_shift
    }

    /// Pages of the window, each of which has one TCE.
    #[must_use]
    pub const fn pages(&self) -> u64 {
        self.size.wrapping_shr(self.page_shift)
    }

    /// The window without its first page. It is empty if it has no other.
    #[must_use]
    pub const fn without_first_page(self) -> Self {
        let page = 1u64.wrapping_shl(self.page_shift);
        Self { base: self.base.wrapping_add(page), size: self.size.saturating_sub(page), ..self }
    }
}
