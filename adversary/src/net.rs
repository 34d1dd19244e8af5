//! virtio-net on a cable (virtio 1.2, 5.1), one pair of queues, no offload.

use crate::blk::F_VERSION_1;
use crate::cable::Cable;
use crate::chain::Chain;
use crate::memory::Guarded;
use crate::noise::Noise;
use crate::ring::Ring;
use crate::server::{Device, Interrupts};
use crate::violation::{ProtocolViolation, Violator};
use std::collections::VecDeque;
use std::sync::Arc;

const RECEIVE: usize = 0;
const HEADER: usize = 12;
/// The longest frame without its checksum.
const LONGEST: usize = 1514;
/// Completions before a violation: the guest has an ARP answer by then.
const HONEST: u32 = 4;
/// Frames of a flood for each honest one.
const FLOOD: usize = 6;
/// Feature bits that do not change the driver's requests.
const HARMLESS: u64 = F_VERSION_1 | 1 << 0 | 1 << 1 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11 | 1 << 15;

/// A network card.
#[derive(Debug)]
pub struct Net {
    cable: Arc<Cable>,
    receive: Violator,
    transmit: Violator,
    posted: VecDeque<Chain>,
}

impl Net {
    /// A card on a cable.
    #[must_use]
    pub fn new(cable: Arc<Cable>, violation: Option<ProtocolViolation>) -> Self {
        // These violations are committed on the transmit queue, all others on the receive queue.
        let transmits = matches!(violation, Some(ProtocolViolation::Net12 | ProtocolViolation::Rng03));
        let [receive, transmit] = if transmits { [None, violation] } else { [violation, None] };
        Self {
            cable,
            receive: Violator::new(receive, HONEST),
            transmit: Violator::new(transmit, HONEST),
            posted: VecDeque::new(),
        }
    }

    fn deliver(&mut self, ring: &mut Ring, memory: &Guarded<'_>, frame: &[u8]) -> bool {
        let Some(chain) = self.posted.pop_front() else { return false };
        let mut bytes = self.header(memory);
        bytes.extend_from_slice(frame);
        let split = match (self.receive.now(), self.posted.front()) {
            (Some(ProtocolViolation::Neg07), Some(_)) if frame.len() > 40 => {
                Some(bytes.split_off(HEADER + 30))
            }
            _ => None,
        };
        if bytes.len() as u64 > chain.bytes(true) {
            self.posted.push_front(chain);
            return false;
        }
        self.finish(ring, memory, &chain, &bytes);
        if memory.interrupted() {
            self.posted.push_front(chain);
            return false;
        }
        if let Some(rest) = split
            && let Some(chain) = self.posted.pop_front()
        {
            memory.ledger().violation();
            self.finish(ring, memory, &chain, &rest);
        }
        true
    }

    fn finish(&mut self, ring: &mut Ring, memory: &Guarded<'_>, chain: &Chain, bytes: &[u8]) {
        chain.write(memory, 0, bytes);
        let busy: Vec<u16> = self.posted.iter().flat_map(|c| &c.segments).map(|s| s.descriptor).collect();
        let written = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let rewrite = self.receive.now() == Some(ProtocolViolation::Net14);
        if !memory.interrupted() {
            self.receive.complete(ring, memory, chain, written, &busy);
        }
        if rewrite {
            let mut noise = vec![0; bytes.len()];
            Noise::new(7).fill(&mut noise);
            chain.write(memory, 0, &noise);
            memory.ledger().violation();
        }
    }

    fn header(&self, memory: &Guarded<'_>) -> Vec<u8> {
        let (flags, gso, lengths, buffers): (u8, u8, [u16; 4], u16) = match self.receive.now() {
            Some(ProtocolViolation::Neg07) => (0, 0, [0; 4], 2),
            Some(ProtocolViolation::Net05) => (0, 0, [0; 4], u16::MAX),
            Some(ProtocolViolation::Net06) => (1, 0, [0, 0, 0xfff0, 0xfff0], 1),
            Some(ProtocolViolation::Net07) => (0, 0x81, [0xffff, 0, 0, 0], 1),
            _ => (0, 0, [0; 4], 1),
        };
        if flags | gso != 0 || buffers == u16::MAX {
            memory.ledger().violation();
        }
        let mut header = vec![flags, gso];
        header.extend(lengths.into_iter().chain([buffers]).flat_map(u16::to_le_bytes));
        header
    }

    fn receive(&mut self, ring: &mut Ring, memory: &Guarded<'_>) -> bool {
        // The position that QEMU gets when it stops the queue excludes the buffers that wait for a frame, so that a
        // restarted queue has all of them again. QEMU stops and starts all queues whenever its gdb server stops the guest, so
        // at each ultracall (`vm_state_notify`, then `vhost_dev_stop`).
        ring.next_available = ring.next_available.wrapping_add(self.waiting());
        while let Some(chain) = ring.pop(memory) {
            self.posted.push_back(chain);
        }
        let delivered = self.deliver_all(ring, memory);
        ring.next_available = ring.next_available.wrapping_sub(self.waiting());
        delivered
    }

    /// Buffers that were taken from the queue and wait for a frame: no more than the queue holds.
    fn waiting(&self) -> u16 {
        u16::try_from(self.posted.len()).unwrap_or(u16::MAX)
    }

    /// Delivers frames while there are buffers; true when one was delivered.
    fn deliver_all(&mut self, ring: &mut Ring, memory: &Guarded<'_>) -> bool {
        let mut delivered = false;
        while !self.posted.is_empty() && !memory.interrupted() {
            let Some(frame) = self.cable.next() else { break };
            if self.receive.now() == Some(ProtocolViolation::Net13) {
                let mut noise = [0xff; LONGEST];
                Noise::new(frame.len() as u64).fill(&mut noise[14..]);
                for _ in 0..FLOOD {
                    memory.ledger().violation();
                    self.deliver(ring, memory, &noise);
                }
            }
            delivered |= self.deliver(ring, memory, &frame);
        }
        delivered
    }

    fn transmit(&mut self, ring: &mut Ring, memory: &Guarded<'_>) -> bool {
        let batch: Vec<Chain> = std::iter::from_fn(|| ring.pop(memory)).collect();
        let mut rest = batch.as_slice();
        while let Some((chain, later)) = rest.split_first() {
            let mut frame = chain.read(memory);
            let busy: Vec<u16> = later.iter().flat_map(|c| &c.segments).map(|s| s.descriptor).collect();
            if !memory.interrupted() {
                self.transmit.complete(ring, memory, chain, 0, &busy);
            }
            if memory.interrupted() {
                ring.give_back(rest.len());
                break;
            }
            if frame.len() > HEADER {
                self.cable.deliver(frame.split_off(HEADER));
            }
            rest = later;
        }
        !batch.is_empty()
    }
}

impl Device for Net {
    fn queues(&self) -> usize {
        2
    }

    fn features(&self) -> u64 {
        match self.receive.violation() {
            Some(ProtocolViolation::Neg02) => 0,
            Some(ProtocolViolation::Neg05) => HARMLESS,
            _ => F_VERSION_1,
        }
    }

    fn config(&self) -> Vec<u8> {
        Vec::new()
    }

    fn interrupts(&self) -> Interrupts {
        match self.receive.violation() {
            Some(ProtocolViolation::Irq02) => Interrupts::Storm,
            Some(ProtocolViolation::Irq04) => Interrupts::Never,
            _ => Interrupts::Honest,
        }
    }

    fn serve(&mut self, queue: usize, ring: &mut Ring, memory: &Guarded<'_>) -> bool {
        if queue == RECEIVE { self.receive(ring, memory) } else { self.transmit(ring, memory) }
    }

    fn stopped(&mut self, queue: usize, memory: &Guarded<'_>) {
        if queue == RECEIVE {
            self.posted.clear();
            self.receive.given_up(memory);
        } else {
            self.transmit.given_up(memory);
        }
    }

    fn cable(&self) -> Option<&Arc<Cable>> {
        Some(&self.cable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Open;
    use crate::ledger::Ledger;
    use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

    const DESCRIPTORS: u64 = 0x1000;
    const AVAILABLE: u64 = 0x2000;
    const USED: u64 = 0x3000;
    const BUFFERS: u64 = 0x4000;

    /// A receive queue with `count` buffers of 256 bytes.
    fn queue(memory: &GuestMemoryMmap, count: u16) -> Ring {
        for number in 0..count {
            let mut descriptor = (BUFFERS + 256 * u64::from(number)).to_le_bytes().to_vec();
            descriptor.extend(256u32.to_le_bytes().into_iter().chain([2, 0, 0, 0]));
            memory.write_slice(&descriptor, GuestAddress(DESCRIPTORS + 16 * u64::from(number))).unwrap();
            memory.write_obj(number.to_le(), GuestAddress(AVAILABLE + 4 + 2 * u64::from(number))).unwrap();
        }
        memory.write_obj(count.to_le(), GuestAddress(AVAILABLE + 2)).unwrap();
        Ring { size: 8, descriptors: DESCRIPTORS, available: AVAILABLE, used: USED, ..Ring::default() }
    }

    /// Entries of the used ring.
    fn used(memory: &GuestMemoryMmap) -> u16 {
        u16::from_le(memory.read_obj(GuestAddress(USED + 2)).unwrap())
    }

    #[test]
    fn buffers_that_wait_for_a_frame_are_there_again_when_the_queue_starts_anew() {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x8000)]).unwrap();
        let (ledger, cable) = (Ledger::default(), Cable::new().unwrap());
        let view = Guarded::new(&memory, &Open, &ledger, RECEIVE);
        let mut net = Net::new(Arc::clone(&cable), None);
        let mut ring = queue(&memory, 4);
        cable.send(vec![1; 60]);
        assert!(net.serve(RECEIVE, &mut ring, &view));
        assert_eq!((used(&memory), ring.next_available), (1, 1));
        net.stopped(RECEIVE, &view);
        for _ in 0..4 {
            cable.send(vec![2; 60]);
        }
        assert!(net.serve(RECEIVE, &mut ring, &view));
        // Three buffers are left for four frames.
        assert_eq!((used(&memory), ring.next_available), (4, 4));
    }
}
