//! How far a guest is that leaves its kernel for another one.

/// How far the guest is on its way.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It stays.
    #[default]
    Not,
    /// It gave back what it shared; a store to address 0 says that the new kernel is in its place.
    Copies,
    /// The new kernel's first instruction is at one of these addresses.
    Enters(Vec<u64>),
}
