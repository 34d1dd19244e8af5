//! virtio-blk over a file (virtio 1.2, 5.2).

use crate::cable::Cable;
use crate::chain::Chain;
use crate::disk_fault::DiskFault;
use crate::hold::Hold;
use crate::memory::Guarded;
use crate::noise::Noise;
use crate::ring::Ring;
use crate::server::{Device, Interrupts};
use crate::violation::{ProtocolViolation, Violator};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

const SECTOR: u64 = 512;
const HEADER: usize = 16;
/// Bytes of a disk's identifier (virtio 1.2, 5.2.6: VIRTIO_BLK_T_GET_ID).
pub const ID_BYTES: usize = 20;
/// Completions before a violation: the identifier and a read.
const HONEST: u32 = 2;

const F_SIZE_MAX: u64 = 1 << 1;
const F_SEG_MAX: u64 = 1 << 2;
const F_RO: u64 = 1 << 5;
const F_BLK_SIZE: u64 = 1 << 6;
const F_FLUSH: u64 = 1 << 9;
const F_TOPOLOGY: u64 = 1 << 10;
const F_CONFIG_WCE: u64 = 1 << 11;
const F_MQ: u64 = 1 << 12;
const F_DISCARD: u64 = 1 << 13;
const F_WRITE_ZEROES: u64 = 1 << 14;
/// VIRTIO_F_VERSION_1.
pub(crate) const F_VERSION_1: u64 = 1 << 32;
/// VIRTIO_F_ACCESS_PLATFORM, which these servers do not support.
const F_ACCESS_PLATFORM: u64 = 1 << 33;
/// Bits that a violation does not offer: VHOST_F_LOG_ALL and VIRTIO_RING_F_EVENT_IDX would change the protocol of this
/// server.
const NEVER_OFFERED: u64 = F_ACCESS_PLATFORM | 1 << 26 | 1 << 29 | 1 << 34;

const DISCARD: u32 = 11;
const WRITE_ZEROES: u32 = 13;
/// Bytes of a range in such a request.
const RANGE: usize = 16;

/// Limits of a request that names ranges.
struct Limits {
    sectors: u32,
    ranges: u32,
}

const OK: u8 = 0;
const IOERR: u8 = 1;
const UNSUPP: u8 = 2;

/// A disk.
#[derive(Debug)]
pub struct Blk {
    image: File,
    bytes: u64,
    id: [u8; ID_BYTES],
    violator: Violator,
    hold: Option<Arc<Hold>>,
    fault: Option<DiskFault>,
    /// Requests that were answered so far.
    answered: u64,
}

impl Blk {
    /// A disk with the content of a file; if `write` is set, the guest's writes go to the file.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(
        image: &Path,
        id: &str,
        write: bool,
        violation: Option<ProtocolViolation>,
    ) -> io::Result<Self> {
        let image = OpenOptions::new().read(true).write(write).open(image)?;
        let bytes = image.metadata()?.len();
        let mut name = [0; ID_BYTES];
        for (to, from) in name.iter_mut().zip(id.bytes()) {
            *to = from;
        }
        Ok(Self {
            image,
            bytes,
            id: name,
            violator: Violator::new(violation, HONEST),
            hold: None,
            fault: None,
            answered: 0,
        })
    }

    /// The same disk, whose reads wait for `hold`.
    #[must_use]
    pub fn held(mut self, hold: Option<Arc<Hold>>) -> Self {
        self.hold = hold;
        self
    }

    /// The same disk with something wrong.
    #[must_use]
    pub fn with(mut self, fault: DiskFault) -> Self {
        self.fault = Some(fault);
        self
    }

    fn is(&self, fault: DiskFault) -> bool {
        self.fault == Some(fault)
    }

    fn capacity(&self) -> u64 {
        match self.violator.violation() {
            Some(ProtocolViolation::Blk05Empty) => 0,
            Some(ProtocolViolation::Blk05Huge) => u64::MAX,
            _ if self.is(DiskFault::TwiceTheSize) => self.bytes / SECTOR * 2,
            _ => self.bytes / SECTOR,
        }
    }

    /// Serves a request. Returns the number of bytes written to the driver's memory.
    fn answer(&mut self, queue: usize, chain: &Chain, memory: &Guarded<'_>) -> u32 {
        self.answered = self.answered.wrapping_add(1);
        let request = chain.read(memory);
        if memory.interrupted() {
            return 0;
        }
        let room = chain.bytes(true);
        let (Some(header), Some(room)) = (request.first_chunk::<HEADER>(), room.checked_sub(1)) else {
            return 0;
        };
        let [t0, t1, t2, t3, _, _, _, _, sector @ ..] = *header;
        let at = u64::from_le_bytes(sector).wrapping_mul(SECTOR);
        let inside = |bytes: u64| at.checked_add(bytes).is_some_and(|end| end <= self.bytes);
        let data = &request[HEADER..];
        let mut written = 0;
        // A request has a header and a status in addition to the data.
        let segments = chain.segments.len().saturating_sub(2);
        let status = match u32::from_le_bytes([t0, t1, t2, t3]) {
            _ if self.fault.is_some_and(|fault| fault.refuses(segments)) => IOERR,
            0 if inside(room) => {
                if let Some(hold) = &self.hold {
                    hold.wait();
                }
                memory.ledger().ask(at);
                let mut bytes = vec![0; usize::try_from(room).unwrap_or(0)];
                let read = self.image.read_exact_at(&mut bytes, at);
                if self.fault.is_some_and(|fault| fault.spoils_read(queue, bytes.len(), self.answered)) {
                    bytes.iter_mut().for_each(|byte| *byte = !*byte);
                }
                if self.violator.once(ProtocolViolation::Blk10) {
                    memory.ledger().violation();
                    memory.ledger().skip(at, room);
                } else {
                    chain.write(memory, 0, &bytes);
                }
                written = room;
                if read.is_ok() { OK } else { IOERR }
            }
            1 if self.violator.violation() == Some(ProtocolViolation::Blk09) => {
                memory.ledger().violation();
                IOERR
            }
            1 if self.fault.is_some_and(|fault| fault.loses(data.len())) => OK,
            1 if inside(data.len() as u64) => match self.image.write_all_at(data, at) {
                Ok(()) if self.is(DiskFault::WideWrites) => self.spoil(at + data.len() as u64),
                Ok(()) => OK,
                Err(_) => IOERR,
            },
            0 | 1 => IOERR,
            4 if self.is(DiskFault::FailedFlushes) => IOERR,
            4 => OK,
            kind @ (DISCARD | WRITE_ZEROES) => self.ranges(kind, data, memory),
            8 => {
                let id = if self.violator.violation() == Some(ProtocolViolation::Blk12) {
                    memory.ledger().violation();
                    [0xff; ID_BYTES]
                } else if self.is(DiskFault::OtherName) {
                    let mut id = self.id;
                    let end = id.iter().position(|byte| *byte == 0).unwrap_or(ID_BYTES - 1);
                    id[end] = b'0' + (self.answered % 10) as u8;
                    id
                } else {
                    self.id
                };
                chain.write(memory, 0, &id);
                written = ID_BYTES as u64;
                OK
            }
            _ => UNSUPP,
        };
        let status = if self.violator.once(ProtocolViolation::Blk01) {
            memory.ledger().violation();
            0x77
        } else {
            status
        };
        chain.write(memory, room, &[status]);
        u32::try_from(written + 1).unwrap_or(u32::MAX)
    }

    /// Overwrites the block at `at`, if the disk has one there.
    fn spoil(&self, at: u64) -> u8 {
        let inside = at.checked_add(SECTOR).is_some_and(|end| end <= self.bytes);
        let done = !inside || self.image.write_all_at(&[0xee; SECTOR as usize], at).is_ok();
        if done { OK } else { IOERR }
    }

    /// Serves a request that names ranges, after checking each range. Overwrites discarded bytes, because a driver must not rely on
    /// their content.
    fn ranges(&self, kind: u32, data: &[u8], memory: &Guarded<'_>) -> u8 {
        let limits = self.limits(kind);
        let mut ranges = Vec::new();
        for range in data.chunks(RANGE) {
            let Some(range) = range.first_chunk::<RANGE>() else { return UNSUPP };
            let [s0, s1, s2, s3, s4, s5, s6, s7, n0, n1, n2, n3, f0, f1, f2, f3] = *range;
            let sector = u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
            let sectors = u32::from_le_bytes([n0, n1, n2, n3]);
            let flags = u32::from_le_bytes([f0, f1, f2, f3]);
            if flags > u32::from(kind == WRITE_ZEROES) {
                return UNSUPP;
            }
            let end = sector.checked_add(sectors.into()).and_then(|end| end.checked_mul(SECTOR));
            if !(1..=limits.sectors).contains(&sectors) || end.is_none_or(|end| end > self.bytes) {
                return IOERR;
            }
            ranges.push((sector * SECTOR, u64::from(sectors) * SECTOR));
        }
        memory.ledger().ranges(ranges.len() as u64);
        if ranges.is_empty() || ranges.len() > limits.ranges as usize {
            return IOERR;
        }
        let not_done = kind == WRITE_ZEROES && self.violator.violation() == Some(ProtocolViolation::Blk19);
        if not_done {
            memory.ledger().violation();
            return OK;
        }
        if kind == DISCARD && self.violator.violation() == Some(ProtocolViolation::Blk20) {
            memory.ledger().violation();
            return UNSUPP;
        }
        let content = if kind == DISCARD { 0xdd } else { 0 };
        let write = |&(at, length): &(u64, u64)| {
            let (at, length) = match self.fault {
                Some(fault) if kind == DISCARD => fault.discards(at, length, self.bytes),
                _ => (at, length),
            };
            let bytes = vec![content; usize::try_from(length).unwrap_or(0)];
            self.image.write_all_at(&bytes, at)
        };
        if kind == WRITE_ZEROES && self.is(DiskFault::KeptBytes) {
            return OK;
        }
        if ranges.iter().try_for_each(write).is_err() {
            return IOERR;
        }
        match ranges.last() {
            Some((at, length)) if kind == DISCARD && self.is(DiskFault::WideDiscards) => {
                self.spoil(at + length)
            }
            _ => OK,
        }
    }

    fn limits(&self, kind: u32) -> Limits {
        match self.violator.violation() {
            Some(ProtocolViolation::Blk17Empty | ProtocolViolation::Neg05) => {
                Limits { sectors: 0, ranges: 0 }
            }
            // Write zeroes of a sector for each range, so that a driver would use as many ranges as it may.
            Some(ProtocolViolation::Blk17Huge) if kind == WRITE_ZEROES => {
                Limits { sectors: 1, ranges: u32::MAX }
            }
            Some(ProtocolViolation::Blk17Huge) => Limits { sectors: u32::MAX, ranges: u32::MAX },
            _ if kind == DISCARD => Limits { sectors: 256, ranges: 4 },
            _ => Limits { sectors: 128, ranges: 2 },
        }
    }

    /// Changes data after its completion was published.
    fn afterthought(&self, chain: &Chain, memory: &Guarded<'_>) {
        let Some(room) = chain.bytes(true).checked_sub(1) else { return };
        match self.violator.now() {
            Some(ProtocolViolation::Blk03) => chain.write(memory, room, &[IOERR]),
            Some(ProtocolViolation::Blk11) => {
                let mut bytes = vec![0; usize::try_from(room).unwrap_or(0)];
                Noise::new(room).fill(&mut bytes);
                chain.write(memory, 0, &bytes);
            }
            _ => return,
        }
        memory.ledger().violation();
    }
}

impl Device for Blk {
    fn queues(&self) -> usize {
        if self.is(DiskFault::OtherQueue) { 2 } else { 1 }
    }

    fn features(&self) -> u64 {
        let honest =
            F_VERSION_1 | F_BLK_SIZE | F_FLUSH | F_TOPOLOGY | F_CONFIG_WCE | F_DISCARD | F_WRITE_ZEROES;
        match self.violator.violation() {
            Some(ProtocolViolation::Neg02) => honest & !F_VERSION_1,
            Some(ProtocolViolation::Neg05) => !NEVER_OFFERED,
            Some(ProtocolViolation::Blk08) => honest | F_SIZE_MAX | F_SEG_MAX,
            _ => match self.fault {
                Some(DiskFault::OtherQueue) => honest | F_MQ,
                Some(DiskFault::FewSegments) => honest | F_SEG_MAX,
                Some(DiskFault::ChangingBlocks) => honest | F_RO,
                _ => honest,
            },
        }
    }

    fn config(&self) -> Vec<u8> {
        let mut config = vec![0; 60];
        config[..8].copy_from_slice(&self.capacity().to_le_bytes());
        // Violation BLK-08 leaves both limits 0.
        if self.violator.violation() != Some(ProtocolViolation::Blk08) {
            config[8..12].copy_from_slice(&0x1_0000_u32.to_le_bytes());
            config[12..16].copy_from_slice(&126_u32.to_le_bytes());
        }
        config[20..24].copy_from_slice(&512_u32.to_le_bytes());
        // Physical blocks of 4 KiB, requests of 4 KiB and more, 64 KiB at best; a write cache.
        config[24] = 3;
        config[26..28].copy_from_slice(&8_u16.to_le_bytes());
        config[28..32].copy_from_slice(&128_u32.to_le_bytes());
        config[32] = 1;
        if self.violator.violation() == Some(ProtocolViolation::Blk21) {
            config[24..33].fill(0xff);
        }
        if self.is(DiskFault::ShortBest) {
            config[28..32].copy_from_slice(&4_u32.to_le_bytes());
        }
        for (at, kind) in [(36, DISCARD), (48, WRITE_ZEROES)] {
            let Limits { sectors, ranges } = self.limits(kind);
            config[at..at + 4].copy_from_slice(&sectors.to_le_bytes());
            config[at + 4..at + 8].copy_from_slice(&ranges.to_le_bytes());
        }
        config[44..48].copy_from_slice(&8_u32.to_le_bytes());
        config[56] = 1;
        config
    }

    fn interrupts(&self) -> Interrupts {
        match self.violator.violation() {
            Some(ProtocolViolation::Irq02) => Interrupts::Storm,
            Some(ProtocolViolation::Irq04) => Interrupts::Never,
            _ => Interrupts::Honest,
        }
    }

    fn serve(&mut self, queue: usize, ring: &mut Ring, memory: &Guarded<'_>) -> bool {
        let mut batch: Vec<Chain> = std::iter::from_fn(|| ring.pop(memory)).collect();
        if self.violator.violation() == Some(ProtocolViolation::Rng17) {
            batch.reverse();
            memory.ledger().violation();
        }
        let mut rest = batch.as_slice();
        while let Some((chain, later)) = rest.split_first() {
            let written = self.answer(queue, chain, memory);
            let busy: Vec<u16> = later.iter().flat_map(|c| &c.segments).map(|s| s.descriptor).collect();
            if !memory.interrupted() {
                self.violator.complete(ring, memory, chain, written, &busy);
            }
            if memory.interrupted() {
                ring.give_back(rest.len());
                break;
            }
            self.afterthought(chain, memory);
            rest = later;
        }
        !batch.is_empty()
    }

    fn stopped(&mut self, _: usize, memory: &Guarded<'_>) {
        self.violator.given_up(memory);
    }

    fn cable(&self) -> Option<&Arc<Cable>> {
        None
    }
}
