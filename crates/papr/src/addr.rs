//! Kinds of address, one type each, so that none is taken for another.

/// Log2 of the ultravisor's page: a gfn counts 64 KiB frames whatever page size the guest's MMU uses
/// (ultravisor `include/svm_host.h`, `SVM_PAGESHIFT`).
pub const FRAME_SHIFT: u32 = 16;

/// Bytes in one frame that can be shared, 64 KiB.
pub const FRAME_SIZE: usize = 1 << FRAME_SHIFT;

/// A guest physical address, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gpa(pub u64);

impl Gpa {
    /// The address `bytes` further on; `None` when that wraps.
    #[must_use]
    pub fn checked_add(self, bytes: u64) -> Option<Self> {
        self.0.checked_add(bytes).map(Self)
    }
}

/// A guest frame number: a guest physical address in units of 64 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gfn(pub u64);

impl From<Gpa> for Gfn {
    /// The frame that holds `gpa`.
    fn from(gpa: Gpa) -> Self {
        Self(gpa.0 >> FRAME_SHIFT)
    }
}

/// A half-open range of guest physical addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpaRange {
    /// First byte.
    pub start: Gpa,
    /// Length in bytes; `start + len` does not wrap.
    pub len: u64,
}

impl GpaRange {
    /// A range of `len` bytes from `start`; `None` when its end wraps.
    #[must_use]
    pub fn new(start: Gpa, len: u64) -> Option<Self> {
        start.checked_add(len)?;
        Some(Self { start, len })
    }

    /// One past the last byte.
    #[must_use]
    pub fn end(&self) -> Gpa {
        Gpa(self.start.0.saturating_add(self.len))
    }

    /// Whether `[start, start+len)` lies inside this range.
    #[must_use]
    pub fn contains(&self, start: Gpa, len: u64) -> bool {
        start.checked_add(len).is_some_and(|end| start >= self.start && end <= self.end())
    }

    /// Whether the two ranges have a byte in common.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.len > 0 && other.len > 0 && self.start < other.end() && other.start < self.end()
    }
}
