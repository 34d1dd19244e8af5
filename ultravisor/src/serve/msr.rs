//! Bits of the machine state register (Power ISA 3.0B, book III 4.2.1).

/// Little-endian.
pub(super) const LE: u64 = 1;
/// Instruction addresses are translated.
pub(super) const IR: u64 = 1 << 5;
/// A program runs.
pub(super) const PR: u64 = 1 << 14;
/// External interrupts and the decrementer interrupt.
pub(super) const EE: u64 = 1 << 15;
