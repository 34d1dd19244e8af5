//! System reset and machine check through handlers that were registered by `ibm,nmi-register`.
//!
//! The handler finds in r3 the address of a place in the RTAS area: the interrupted r3 in eight big-endian bytes, then
//! the head of an error log, which for a system reset is 0 (PAPR+ 7.3.14; QEMU `hw/ppc/spapr_events.c` and `spapr.c`).
//! The published ultravisor makes that place for a machine check only; at a system reset r3 is the interrupted one
//! (`core/uvcall.c`). So r3 is untrusted, and is checked before it is used as a pointer.

use core::fmt;
use papr::addr::{Gpa, GpaRange};

/// Bytes that are read: the interrupted r3, and the head of the error log.
pub const SAVED_BYTES: usize = 16;

/// The address of the saved r3, if r3 points into the RTAS area. Any other pointer is ignored: reading it could print
/// private memory to the host.
#[must_use]
pub fn place(r3: u64, rtas: GpaRange) -> Option<Gpa> {
    let at = Gpa(r3);
    (r3.is_multiple_of(8) && rtas.contains(at, SAVED_BYTES as u64)).then_some(at)
}

/// What the hypervisor left in the RTAS area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The interrupted r3.
    pub r3: u64,
    /// The error log's head, if there is one.
    pub event: Option<Event>,
}

impl Saved {
    /// Reads the bytes of a [`place`].
    #[must_use]
    pub fn read(bytes: [u8; SAVED_BYTES]) -> Self {
        let [r3 @ .., a, b, c, d, _, _, _, _] = bytes;
        let event = Event { version: a, flags: b, kind: d };
        Self { r3: u64::from_be_bytes(r3), event: Some(event).filter(|_| [a, b, c, d] != [0; 4]) }
    }
}

/// The head of an error log (PAPR+ 10.3.2, table 140).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    version: u8,
    flags: u8,
    kind: u8,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.flags >> 5 {
            0 => "no error",
            1 => "event",
            2 => "warning",
            3 => "error, synchronous",
            4 => "error",
            5 => "fatal",
            _ => "already reported",
        };
        let recovered = match self.flags >> 3 & 3 {
            0 => "recovered",
            1 => "recovered in part",
            _ => "not recovered",
        };
        write!(f, "version {}, {severity}, {recovered}, type {:#04x}", self.version, self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    const RTAS: GpaRange = GpaRange { start: Gpa(0x7b_0000), len: 0x82c };

    #[test]
    fn a_place_in_the_rtas_area_is_followed() {
        assert_eq!(place(0x7b_0800, RTAS), Some(Gpa(0x7b_0800)));
        assert_eq!(place(0x7b_0818, RTAS), Some(Gpa(0x7b_0818)), "the last place");
    }

    #[test]
    fn a_pointer_to_anything_else_is_an_ordinary_r3() {
        for r3 in [0, 0x7a_fff8, 0x7b_0801, 0x7b_0820, 0x7b_082c, 0x40_0000, u64::MAX, u64::MAX - 7] {
            assert_eq!(place(r3, RTAS), None, "{r3:#x}");
        }
    }

    #[test]
    fn system_reset_leaves_r3_and_no_event() {
        let mut bytes = [0; SAVED_BYTES];
        bytes[..8].copy_from_slice(&0x0123_4567_89ab_cdef_u64.to_be_bytes());
        assert_eq!(Saved::read(bytes), Saved { r3: 0x0123_4567_89ab_cdef, event: None });
    }

    #[test]
    fn a_machine_check_is_described_in_words() {
        // As QEMU writes it for an error that was not recovered from.
        let bytes = [0, 0, 0, 0, 0, 0, 0, 7, 0x06, 0x74, 0x14, 0x09, 0, 0, 0, 0x30];
        let saved = Saved::read(bytes);
        assert_eq!(saved.r3, 7);
        let text = format!("{}", saved.event.unwrap());
        assert_eq!(text, "version 6, error, synchronous, not recovered, type 0x09");
    }
}
