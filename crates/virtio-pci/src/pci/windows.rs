//! The host bridge's windows onto the bus, and which part of each is taken.

use papr::addr::GpaRange;
use papr::host_bridge::check;
pub use papr::host_bridge::{Space, Window, WindowError};
use papr::registers::Registers;
use svm_dma::memory_map::MemoryMap;

/// A window and its next free bus address.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    window: Window,
    next: u64,
}

/// A piece of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The value for the BAR.
    pub bus: u64,
    /// The registers, as the CPU reaches them.
    pub registers: Registers,
}

/// First and last bus address that a bridge forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First address.
    pub first: u64,
    /// Last address.
    pub last: u64,
}

/// What a bridge forwards of each space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spans {
    /// I/O.
    pub io: Option<Span>,
    /// Memory below 4 GiB, of any kind.
    pub memory32: Option<Span>,
    /// Prefetchable memory.
    pub memory64: Option<Span>,
}

/// What a bridge can forward besides memory below 4 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwards {
    /// I/O.
    pub io: bool,
    /// Prefetchable memory at addresses of 64 bits.
    pub memory64: bool,
}

/// The windows onto one bus: a host bridge's, or their free part behind a bridge. Gives out aligned pieces, each once,
/// and takes none back.
#[derive(Clone, Debug)]
pub struct Windows {
    cursors: [Option<Cursor>; 3],
    behind_bridge: bool,
}

/// Granularity of a bridge's windows, in bytes.
const fn granule(space: Space) -> u64 {
    match space {
        Space::Io => 0x1000,
        Space::Memory32 | Space::Memory64 => 0x10_0000,
    }
}

/// End of the I/O addresses that a bridge with 16 address bits forwards.
const IO_END: u64 = 0x1_0000;

/// Bus address 0 means "unmapped" to QEMU and to some devices; the first page stays free in every window
/// that begins there.
const NEVER_BELOW: u64 = 0x1000;

impl Windows {
    /// Checks `ranges` against each other and against all memory of the guest, from its map. Uses the first window of
    /// each space.
    ///
    /// # Errors
    /// One bad window refuses the whole bridge.
    pub fn new(ranges: &[Window], map: &MemoryMap) -> Result<Self, WindowError> {
        Self::checked(ranges, map.memory())
    }

    /// As [`Self::new`], for a machine without a [`MemoryMap`].
    ///
    /// # Errors
    /// As [`Self::new`].
    ///
    /// # Safety
    /// `memory` is all memory of this guest: drivers store to what the windows give out.
    #[allow(unsafe_code, reason = "only the caller knows all memory")]
    pub unsafe fn outside(ranges: &[Window], memory: &[GpaRange]) -> Result<Self, WindowError> {
        Self::checked(ranges, memory)
    }

    fn checked(ranges: &[Window], memory: &[GpaRange]) -> Result<Self, WindowError> {
        check(ranges, memory)?;
        let mut windows = Self { cursors: [None; 3], behind_bridge: false };
        for window in ranges {
            let cursor = windows.cursor(window.space);
            if cursor.is_none() {
                *cursor = Some(Cursor { window: *window, next: window.bus.max(NEVER_BELOW) });
            }
        }
        Ok(windows)
    }

    /// A piece of `len` bytes (a power of two), aligned to its own length, and to at least 4 KiB in memory; `None` if
    /// there is no such window, or no room left in it.
    pub fn take(&mut self, space: Space, len: u64) -> Option<Placement> {
        let align = if space == Space::Io { len } else { len.max(0x1000) };
        let cursor = self.cursor(space).as_mut()?;
        let bus = cursor.next.checked_next_multiple_of(align)?;
        let end = bus.checked_add(len)?;
        let offset = bus.checked_sub(cursor.window.bus)?;
        if end.checked_sub(cursor.window.bus)? > cursor.window.len {
            return None;
        }
        cursor.next = end;
        let gpa = cursor.window.gpa.checked_add(offset)?;
        // SAFETY: the piece lies inside a window that was compared with all memory.
        #[allow(unsafe_code, reason = "the windows are checked before they give out anything")]
        let registers = unsafe { Registers::new(gpa, len) };
        Some(Placement { bus, registers })
    }

    /// Whether these windows are behind a PCI-to-PCI bridge.
    #[must_use]
    pub const fn are_behind_bridge(&self) -> bool {
        self.behind_bridge
    }

    /// The windows for the bus behind a bridge: all that is free on this bus, in the bridge's granularity.
    #[must_use]
    pub fn behind_bridge(&self, forwards: Forwards) -> Self {
        let [io, memory32, memory64] = self.cursors;
        let io = io.filter(|_| forwards.io).and_then(rest);
        let memory64 = memory64.filter(|_| forwards.memory64).and_then(rest);
        Self { cursors: [io, memory32.and_then(rest), memory64], behind_bridge: true }
    }

    /// What the bridge has to forward after the bus behind it took its pieces from `inner`. Marks these addresses as
    /// taken on this bus.
    pub fn come_back_from(&mut self, inner: &Self) -> Spans {
        let mut taken = |space: Space| {
            let inner = (*inner).clone().cursor(space).filter(|inner| inner.next > inner.window.bus)?;
            let end = inner.next.checked_next_multiple_of(granule(space))?;
            let own = self.cursor(space).as_mut()?;
            own.next = own.next.max(end);
            Some(Span { first: inner.window.bus, last: end.checked_sub(1)? })
        };
        Spans { io: taken(Space::Io), memory32: taken(Space::Memory32), memory64: taken(Space::Memory64) }
    }

    fn cursor(&mut self, space: Space) -> &mut Option<Cursor> {
        let [io, memory32, memory64] = &mut self.cursors;
        match space {
            Space::Io => io,
            Space::Memory32 => memory32,
            Space::Memory64 => memory64,
        }
    }
}

/// The part of a window that is free, in whole granules.
fn rest(cursor: Cursor) -> Option<Cursor> {
    let Cursor { window, next } = cursor;
    let granule = granule(window.space);
    let bus = next.checked_next_multiple_of(granule)?;
    let end = window.bus.checked_add(window.len)?;
    let end = if window.space == Space::Io { end.min(IO_END) } else { end };
    let end = end.checked_sub(end.checked_rem(granule)?)?;
    let len = end.checked_sub(bus).filter(|len| *len > 0)?;
    let gpa = window.gpa.checked_add(bus.checked_sub(window.bus)?)?;
    Some(Cursor { window: Window { bus, gpa, len, ..window }, next: bus })
}
