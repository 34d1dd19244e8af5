//! The external interrupt request register, as H_XIRR returns it.

use papr::parts::low_u32;

/// The source number of interrupts between processors.
const IPI: u32 = 2;
const SOURCE_BITS: u32 = 0x00ff_ffff;

/// An XIRR word. The top byte, the earlier priority, is ignored: this kernel knows its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xirr(u32);

/// What an XIRR says has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Nothing (source 0).
    Nothing,
    /// An interrupt from another CPU.
    Ipi,
    /// The source of this number.
    Source(u32),
}

impl Xirr {
    /// From H_XIRR's first output, of which the lower half counts.
    #[must_use]
    pub const fn new(output: u64) -> Self {
        Self(low_u32(output))
    }

    /// What has arrived.
    #[must_use]
    pub const fn arrival(self) -> Arrival {
        match self.0 & SOURCE_BITS {
            0 => Arrival::Nothing,
            IPI => Arrival::Ipi,
            source => Arrival::Source(source),
        }
    }

    /// The argument of H_EOI: ends this source's interrupt and sets the CPU's priority.
    #[must_use]
    pub const fn end(self, priority: u8) -> u32 {
        (priority as u32) << 24 | self.0 & SOURCE_BITS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reset_value_means_nothing_arrived() {
        assert_eq!(Xirr::new(0xff00_0000).arrival(), Arrival::Nothing);
        assert_eq!(Xirr::new(0).arrival(), Arrival::Nothing);
    }

    #[test]
    fn source_2_is_another_cpu() {
        assert_eq!(Xirr::new(0xff00_0002).arrival(), Arrival::Ipi);
    }

    #[test]
    fn the_source_is_the_low_24_bits() {
        assert_eq!(Xirr::new(0xdead_beef_0500_1300).arrival(), Arrival::Source(0x1300));
    }

    #[test]
    fn priority_after_the_interrupt_is_ours_whatever_the_host_said_it_was() {
        assert_eq!(Xirr::new(0x0000_1300).end(0xff), 0xff00_1300);
        assert_eq!(Xirr::new(0xff00_1300).end(0), 0x0000_1300);
    }
}
