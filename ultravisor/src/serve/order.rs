//! Byte order of registers in the gdb protocol.

use super::msr;

/// Byte order of register values, which is the guest's at the moment of each access.
#[derive(Clone, Copy)]
pub(super) enum Order {
    Big,
    Little,
}

impl Order {
    /// Found from the bytes of MSR itself: they are little-endian exactly if MSR\[LE\], then the lowest bit of
    /// the first byte, is set. In a big-endian MSR that bit is bit 56, which no CPU has.
    pub(super) fn of_msr(bytes: &[u8]) -> Self {
        if bytes.first().is_some_and(|first| u64::from(*first) & msr::LE != 0) {
            Self::Little
        } else {
            Self::Big
        }
    }

    pub(super) fn decode(self, bytes: &[u8]) -> u64 {
        let shift = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        match self {
            Self::Big => bytes.iter().fold(0, shift),
            Self::Little => bytes.iter().rev().fold(0, shift),
        }
    }

    pub(super) fn encode(self, value: u64) -> [u8; 8] {
        match self {
            Self::Big => value.to_be_bytes(),
            Self::Little => value.to_le_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_byte_order_is_read_off_the_msr() {
        let sf_me_le = 0x8000_0000_0000_1001_u64;
        assert!(matches!(Order::of_msr(&sf_me_le.to_le_bytes()), Order::Little));
        let sf_hv_me = 0x9000_0000_0000_1000_u64;
        assert!(matches!(Order::of_msr(&sf_hv_me.to_be_bytes()), Order::Big));
        assert!(matches!(Order::of_msr(&[0; 8]), Order::Big));
        for order in [Order::Big, Order::Little] {
            assert_eq!(order.decode(&order.encode(0x0123_4567_89ab_cdef)), 0x0123_4567_89ab_cdef);
        }
    }
}
