//! Violations of the protocol, and how a device commits them. The name of each begins with its row in the case list.

use crate::chain::Chain;
use crate::memory::Guarded;
use crate::noise::Noise;
use crate::ring::Ring;

pub use crate::names::UnknownViolation;

/// A violation of the protocol by a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is described by its text")]
pub enum ProtocolViolation {
    Rng01,
    Rng02,
    Rng03,
    Rng04,
    Rng05,
    Rng07,
    Rng08,
    Rng09,
    Rng11Back,
    Rng11Ahead,
    Rng12,
    Rng13,
    Rng15,
    Rng17,
    Rng19,
    Rng20,
    Neg02,
    Neg05,
    Neg07,
    Blk01,
    Blk03,
    Blk05Empty,
    Blk05Huge,
    Blk08,
    Blk09,
    Blk10,
    Blk11,
    Blk12,
    Blk17Empty,
    Blk17Huge,
    Blk19,
    Blk20,
    Blk21,
    Net01,
    Net02,
    Net03,
    Net05,
    Net06,
    Net07,
    Net12,
    Net13,
    Net14,
    Irq02,
    Irq04,
}

/// The row and the description of a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// The row of the case list.
    pub id: &'static str,
    /// The device's action.
    pub text: &'static str,
}

impl ProtocolViolation {
    /// All of them.
    pub const ALL: [Self; 44] = [
        Self::Rng01,
        Self::Rng02,
        Self::Rng03,
        Self::Rng04,
        Self::Rng05,
        Self::Rng07,
        Self::Rng08,
        Self::Rng09,
        Self::Rng11Back,
        Self::Rng11Ahead,
        Self::Rng12,
        Self::Rng13,
        Self::Rng15,
        Self::Rng17,
        Self::Rng19,
        Self::Rng20,
        Self::Neg02,
        Self::Neg05,
        Self::Neg07,
        Self::Blk01,
        Self::Blk03,
        Self::Blk05Empty,
        Self::Blk05Huge,
        Self::Blk08,
        Self::Blk09,
        Self::Blk10,
        Self::Blk11,
        Self::Blk12,
        Self::Blk17Empty,
        Self::Blk17Huge,
        Self::Blk19,
        Self::Blk20,
        Self::Blk21,
        Self::Net01,
        Self::Net02,
        Self::Net03,
        Self::Net05,
        Self::Net06,
        Self::Net07,
        Self::Net12,
        Self::Net13,
        Self::Net14,
        Self::Irq02,
        Self::Irq04,
    ];

    /// Its row, and what the device does.
    #[must_use]
    pub const fn description(self) -> Description {
        let (id, text) = match self {
            Self::Rng01 => ("RNG-01", "used id beyond the queue"),
            Self::Rng02 => ("RNG-02", "used id that is right only in its low 16 bits"),
            Self::Rng03 => ("RNG-03", "used id that was never posted"),
            Self::Rng04 => ("RNG-04", "used id in the middle of a chain"),
            Self::Rng05 => ("RNG-05", "the same used id twice"),
            Self::Rng07 => ("RNG-07", "more bytes written than the driver allowed"),
            Self::Rng08 => ("RNG-08", "no byte written by a read"),
            Self::Rng09 => ("RNG-09", "no byte written to a request with room only for its status"),
            Self::Rng11Back => ("RNG-11", "used index goes back"),
            Self::Rng11Ahead => ("RNG-11", "used index runs ahead"),
            Self::Rng12 => ("RNG-12", "used entry changes after it was published"),
            Self::Rng13 => ("RNG-13", "descriptors rewritten after they were posted"),
            Self::Rng15 => ("RNG-15", "notifications are disabled, then enabled, without cause"),
            Self::Rng17 => ("RNG-17", "completion in another order"),
            Self::Rng19 => ("RNG-19", "no completion ever"),
            Self::Rng20 => ("RNG-20", "completion after the driver's time-out"),
            Self::Neg02 => ("NEG-02", "VIRTIO_F_VERSION_1 is not offered"),
            Self::Neg05 => ("NEG-05", "every feature is offered"),
            Self::Neg07 => {
                ("NEG-07", "one frame in two buffers, although the driver refused VIRTIO_NET_F_MRG_RXBUF")
            }
            Self::Blk01 => ("BLK-01", "unknown status"),
            Self::Blk03 => ("BLK-03", "status changes after it was published"),
            Self::Blk05Empty => ("BLK-05", "capacity of 0"),
            Self::Blk05Huge => ("BLK-05", "capacity whose bytes do not fit into 64 bits"),
            Self::Blk08 => ("BLK-08", "seg_max of 0 and size_max of 0"),
            Self::Blk09 => ("BLK-09", "writes refused by a disk that is not read-only"),
            Self::Blk10 => ("BLK-10", "a read completes without data"),
            Self::Blk11 => ("BLK-11", "data changes after it was published"),
            Self::Blk12 => ("BLK-12", "a serial number that is not text and has no NUL"),
            Self::Blk17Empty => ("BLK-17", "discard and write zeroes with limits of 0"),
            Self::Blk17Huge => {
                ("BLK-17", "discard without a limit, and write zeroes of one sector in any number of ranges")
            }
            Self::Blk19 => ("BLK-19", "write zeroes is confirmed and not done"),
            Self::Blk20 => ("BLK-20", "discard is offered and not supported"),
            Self::Blk21 => ("BLK-21", "topology and write cache are all ones"),
            Self::Net01 => ("NET-01", "fewer bytes than a header has"),
            Self::Net02 => ("NET-02", "a header without a frame"),
            Self::Net03 => ("NET-03", "a frame longer than its buffer"),
            Self::Net05 => ("NET-05", "num_buffers of 65535"),
            Self::Net06 => ("NET-06", "checksum offsets beyond the frame"),
            Self::Net07 => ("NET-07", "segmentation that the driver refused"),
            Self::Net12 => ("NET-12", "no transmission ever completes"),
            Self::Net13 => ("NET-13", "a flood of the longest frames"),
            Self::Net14 => ("NET-14", "a frame changes after it was published"),
            Self::Irq02 => ("IRQ-02", "interrupts without end"),
            Self::Irq04 => ("IRQ-04", "no interrupt ever"),
        };
        Description { id, text }
    }

    /// Whether the violation is in the device's offer, and not in the treatment of requests.
    #[must_use]
    pub const fn is_offer(self) -> bool {
        matches!(
            self,
            Self::Neg02
                | Self::Neg05
                | Self::Blk05Empty
                | Self::Blk05Huge
                | Self::Blk08
                | Self::Blk17Empty
                | Self::Blk17Huge
                | Self::Blk21
                | Self::Irq04
        )
    }

    /// The suffix that distinguishes violations of the same row.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Rng11Back => "-back",
            Self::Rng11Ahead => "-ahead",
            Self::Blk05Empty | Self::Blk17Empty => "-empty",
            Self::Blk05Huge | Self::Blk17Huge => "-huge",
            _ => "",
        }
    }
}

/// Completes requests, and violates the protocol from the `after`th one on.
#[derive(Debug)]
pub struct Violator {
    violation: Option<ProtocolViolation>,
    after: u32,
    completed: u32,
    withheld: Vec<(Ring, Chain)>,
}

impl Violator {
    /// One that violates the protocol from the `after`th completion on, or an honest one.
    #[must_use]
    pub fn new(violation: Option<ProtocolViolation>, after: u32) -> Self {
        Self { violation, after, completed: 0, withheld: Vec::new() }
    }

    /// The violation.
    #[must_use]
    pub fn violation(&self) -> Option<ProtocolViolation> {
        self.violation
    }

    /// The violation, if the `after`th completion has been reached.
    #[must_use]
    pub fn now(&self) -> Option<ProtocolViolation> {
        self.violation.filter(|_| self.completed >= self.after)
    }

    /// Whether this violation, which happens once, is due now.
    #[must_use]
    pub fn once(&self, violation: ProtocolViolation) -> bool {
        self.violation == Some(violation) && self.completed == self.after
    }

    /// Completes a request, with the violation if it is due. `busy` has the descriptors of the device's other requests.
    pub fn complete(
        &mut self,
        ring: &mut Ring,
        memory: &Guarded<'_>,
        chain: &Chain,
        written: u32,
        busy: &[u16],
    ) {
        let once = self.completed == self.after;
        let now = self.now();
        self.completed = self.completed.saturating_add(1);
        let head = u32::from(chain.head);
        let told = match now {
            Some(ProtocolViolation::Rng01) if once => {
                ring.push(memory, u32::from(ring.size) + 3, written);
                true
            }
            Some(ProtocolViolation::Rng02) if once => {
                ring.push(memory, 0x1_0000 | head, written);
                true
            }
            Some(ProtocolViolation::Rng03) if once => {
                ring.push(memory, free(ring, chain, busy), written);
                true
            }
            Some(ProtocolViolation::Rng04) if once && chain.segments.len() > 1 => {
                ring.push(memory, chain.segments.last().map_or(head, |s| s.descriptor.into()), written);
                true
            }
            Some(ProtocolViolation::Rng05) if once => {
                ring.push(memory, head, written);
                ring.push(memory, head, written);
                true
            }
            Some(ProtocolViolation::Rng07 | ProtocolViolation::Net03) if once => {
                let most = u32::try_from(chain.bytes(true)).unwrap_or(u32::MAX);
                ring.push(memory, head, most.saturating_add(1));
                true
            }
            Some(ProtocolViolation::Rng08) if once => {
                ring.push(memory, head, 0);
                true
            }
            Some(ProtocolViolation::Rng09) if chain.bytes(true) == 1 => {
                ring.push(memory, head, 0);
                true
            }
            Some(ProtocolViolation::Rng11Back) => {
                ring.publish(memory, ring.next_used.wrapping_sub(3));
                true
            }
            Some(ProtocolViolation::Rng11Ahead) => {
                ring.publish(memory, ring.next_used.wrapping_add(1000));
                true
            }
            Some(ProtocolViolation::Rng12) => {
                let entry = ring.next_used;
                ring.push(memory, head, written);
                ring.write_entry(memory, entry, 0xffff_fff0, u32::MAX);
                true
            }
            Some(ProtocolViolation::Rng13) => {
                let mut noise = Noise::new(head.into());
                for segment in &chain.segments {
                    let mut raw = [0; 16];
                    noise.fill(&mut raw);
                    ring.write_descriptor(memory, segment.descriptor, &raw);
                }
                ring.push(memory, head, written);
                true
            }
            Some(ProtocolViolation::Rng15) => {
                // Mostly says that no notification is wanted; all other bits are noise.
                let wanted = self.completed.is_multiple_of(4);
                ring.write_flags(memory, 0xa5a4 | u16::from(!wanted));
                ring.push(memory, head, written);
                true
            }
            Some(ProtocolViolation::Rng19 | ProtocolViolation::Net12) => true,
            Some(ProtocolViolation::Rng20) => {
                self.withheld.push((*ring, chain.clone()));
                true
            }
            Some(ProtocolViolation::Net01) if once => {
                ring.push(memory, head, 7);
                true
            }
            Some(ProtocolViolation::Net02) if once => {
                ring.push(memory, head, 12);
                true
            }
            _ => {
                ring.push(memory, head, written);
                false
            }
        };
        if told {
            memory.ledger().violation();
        }
    }

    /// The driver has given the queue up: completes the withheld requests now, with noise in their buffers.
    pub fn given_up(&mut self, memory: &Guarded<'_>) {
        let mut noise = Noise::new(0x5eed);
        for (mut ring, chain) in std::mem::take(&mut self.withheld) {
            let most = chain.bytes(true);
            let mut bytes = vec![0; usize::try_from(most).unwrap_or(0)];
            noise.fill(&mut bytes);
            chain.write(memory, 0, &bytes);
            ring.push(memory, chain.head.into(), u32::try_from(most).unwrap_or(u32::MAX));
            memory.ledger().violation();
        }
    }
}

/// A descriptor that is in no chain.
fn free(ring: &Ring, chain: &Chain, busy: &[u16]) -> u32 {
    let taken = |index: u16| chain.segments.iter().any(|s| s.descriptor == index) || busy.contains(&index);
    // If all are in use: an id beyond the table.
    u32::from((0..ring.size).rev().find(|&index| !taken(index)).unwrap_or(ring.size))
}
