//! One request: the descriptors of a chain, and its bytes.

use crate::ledger::Part;
use crate::memory::Guarded;

/// One descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its place in the table.
    pub descriptor: u16,
    /// Guest physical address.
    pub address: u64,
    /// Bytes.
    pub length: u32,
    /// Whether the device writes it.
    pub device_writes: bool,
}

/// Most bytes of a request that a device reads: more than any sensible driver sends.
const MOST: usize = 4 << 20;

/// A chain as it was read, once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Its first descriptor.
    pub head: u16,
    /// All of them, in order.
    pub segments: Vec<Segment>,
}

impl Chain {
    /// Bytes on one side.
    #[must_use]
    pub fn bytes(&self, device_writes: bool) -> u64 {
        self.side(device_writes).map(|segment| u64::from(segment.length)).sum()
    }

    fn side(&self, device_writes: bool) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(move |segment| segment.device_writes == device_writes)
    }

    /// Everything that the driver wrote for the device.
    #[must_use]
    pub fn read(&self, memory: &Guarded<'_>) -> Vec<u8> {
        let mut all = Vec::new();
        for segment in self.side(false) {
            if all.len() > MOST {
                break;
            }
            let part = Part::Data { head: self.head, descriptor: segment.descriptor };
            all.append(&mut memory.take(segment.address, segment.length, part));
        }
        all
    }

    /// Writes `bytes` into what the device may write, from byte `skip` of it on; what does not fit is lost.
    pub fn write(&self, memory: &Guarded<'_>, skip: u64, bytes: &[u8]) {
        let mut skip = skip;
        let mut bytes = bytes;
        for segment in self.side(true) {
            let length = u64::from(segment.length);
            if skip >= length {
                skip -= length;
                continue;
            }
            let room = usize::try_from(length - skip).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            let part = Part::Data { head: self.head, descriptor: segment.descriptor };
            memory.write(segment.address.wrapping_add(skip), now, part);
            (skip, bytes) = (0, later);
        }
    }
}
