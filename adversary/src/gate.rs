//! Decides which memory a device may access.

/// The decision, made outside the guest.
pub trait Gate: Send + Sync {
    /// Whether a device may access every byte of `[address, address + length)`.
    fn allows(&self, address: u64, length: u64) -> bool;
}

/// The gate of a machine without an ultravisor: the host sees everything.
#[derive(Clone, Copy, Debug)]
pub struct Open;

impl Gate for Open {
    fn allows(&self, _: u64, _: u64) -> bool {
        true
    }
}
