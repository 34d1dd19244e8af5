//! A virtio disk with rust-vmm's queue, and its registers for a driver.

use papr::addr::Gpa;
use papr::hcall::HcallError;
use papr::registers::Mmio;
use papr::registers::{self, Register};
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use virtio_pci::virtio::regions::Regions;
use virtio_queue::{Queue, QueueT};
use vm_memory::GuestMemoryMmap;

/// Address of its registers: common, device configuration, notification.
const REGISTERS: u64 = 0x2000_0000_0000;
const CONFIG: u64 = 0x1000;
const NOTIFY: u64 = 0x2000;
/// Bytes of a sector.
const SECTOR: usize = 512;
/// Most descriptors of the queue.
const QUEUE_SIZE: u16 = 16;
/// VIRTIO_F_VERSION_1.
const VERSION_1: u64 = 1 << 32;
/// Bytes of a request's header, and its two kinds (virtio 1.2, 5.2.6).
const HEADER: usize = 16;
const IN: u32 = 0;
const OUT: u32 = 1;
/// VIRTIO_BLK_S_OK and VIRTIO_BLK_S_IOERR.
const OK: u8 = 0;
const IOERR: u8 = 1;

/// A request as the disk read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// VIRTIO_BLK_T_IN or VIRTIO_BLK_T_OUT.
    pub kind: u32,
    /// First sector.
    pub sector: u64,
    /// Bytes that the disk may read, with the header.
    pub readable: usize,
    /// Bytes that it may write, with the status.
    pub writable: usize,
}

/// A disk; clones are the same one.
#[derive(Clone, Debug)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    memory: GuestMemoryMmap,
    queue: Queue,
    content: Vec<u8>,
    feature_word: u64,
    status: u64,
    seen: Vec<Request>,
    answer_another: bool,
}

impl Disk {
    /// A disk with this content, in whole sectors, that can access this memory.
    pub fn new(memory: GuestMemoryMmap, content: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(State {
            memory,
            queue: Queue::new(QUEUE_SIZE).expect("a power of two"),
            content,
            feature_word: 0,
            status: 0,
            seen: Vec::new(),
            answer_another: false,
        })))
    }

    /// The register regions for a driver. On PCI, `Regions::find` reads them from the capabilities.
    pub fn regions() -> Regions {
        // SAFETY: nothing lies at these addresses: this disk answers for them, and changes its own values alone.
        let region = |offset| unsafe { registers::Registers::new(Gpa(REGISTERS + offset), 0x1000) };
        Regions {
            common: region(0),
            notify: region(NOTIFY),
            notify_multiplier: 4,
            isr: None,
            device: Some(region(CONFIG)),
        }
    }

    /// Number of requests so far.
    pub fn requests(&self) -> usize {
        self.state().seen.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Disk {
    /// Its content.
    pub fn content(&self) -> Vec<u8> {
        self.state().content.clone()
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Request> {
        self.state().seen.clone()
    }

    /// Makes the disk name another chain in each answer.
    pub fn answer_another(&self, yes: bool) {
        self.state().answer_another = yes;
    }

    /// Replaces the pool by other memory.
    pub fn replace_memory(&self, memory: GuestMemoryMmap) {
        self.state().memory = memory;
    }
}

impl State {
    /// Answers every new request.
    fn work(&mut self) {
        let memory = self.memory.clone();
        loop {
            // Notifications are off while the disk works; after they are turned on, the queue is read once more.
            if self.queue.disable_notification(&memory).is_err() {
                return;
            }
            while let Some(chain) = self.queue.pop_descriptor_chain(&memory) {
                let head = chain.head_index();
                let mut reader = chain.clone().reader(&memory).expect("a chain inside the disk's memory");
                let mut writer = chain.writer(&memory).expect("a chain inside the disk's memory");
                self.answer(&mut reader, &mut writer);
                let written = u32::try_from(writer.bytes_written()).expect("below 4 GiB");
                let head = if self.answer_another { 9 } else { head };
                self.queue.add_used(&memory, head, written).expect("a used ring inside the disk's memory");
            }
            if !self.queue.enable_notification(&memory).unwrap_or(false) {
                return;
            }
        }
    }

    /// One request: a header, data, a status byte.
    fn answer(&mut self, reader: &mut virtio_queue::Reader<'_>, writer: &mut virtio_queue::Writer<'_>) {
        let (readable, writable) = (reader.available_bytes(), writer.available_bytes());
        let mut header = [0; HEADER];
        reader.read_exact(&mut header).expect("a header");
        let [kind, _, low, high] = header.as_chunks().0 else { unreachable!("16 bytes are four words") };
        let kind = u32::from_le_bytes(*kind);
        let sector = u64::from(u32::from_le_bytes(*low)) | u64::from(u32::from_le_bytes(*high)) << 32;
        self.seen.push(Request { kind, sector, readable, writable });
        let from = usize::try_from(sector).expect("a sector of this disk") * SECTOR;
        let bytes = if kind == IN { writable.saturating_sub(1) } else { readable.saturating_sub(HEADER) };
        let status = match (kind, self.content.get_mut(from..from.saturating_add(bytes))) {
            (IN, Some(data)) => writer.write_all(data).map_or(IOERR, |()| OK),
            (OUT, Some(data)) => reader.read_exact(data).map_or(IOERR, |()| OK),
            _ => IOERR,
        };
        writer.write_all(&[status]).expect("a status byte");
    }

    /// Registers of virtio 1.2, 4.1.4.3, as far as the driver uses them.
    fn store(&mut self, offset: u64, value: u64) {
        let half = u32::try_from(value).ok();
        match offset {
            0x00 => self.feature_word = value,
            0x14 if value == 0 => {
                self.queue.reset();
                self.status = 0;
            }
            0x14 => self.status = value,
            0x18 => self.queue.set_size(u16::try_from(value).unwrap_or(0)),
            0x1c => self.queue.set_ready(value == 1),
            0x20 => self.queue.set_desc_table_address(half, None),
            0x24 => self.queue.set_desc_table_address(None, half),
            0x28 => self.queue.set_avail_ring_address(half, None),
            0x2c => self.queue.set_avail_ring_address(None, half),
            0x30 => self.queue.set_used_ring_address(half, None),
            0x34 => self.queue.set_used_ring_address(None, half),
            _ => {}
        }
    }

    fn load(&self, offset: u64) -> u64 {
        match offset {
            0x04 => VERSION_1 >> (32 * (self.feature_word & 1)) & 0xffff_ffff,
            0x12 => 1,
            0x14 => self.status,
            0x18 => self.queue.size().into(),
            0x1c => self.queue.ready().into(),
            CONFIG..NOTIFY => {
                let sectors = (self.content.len() / SECTOR) as u64;
                u32::try_from(8 * (offset - CONFIG))
                    .ok()
                    .and_then(|shift| sectors.checked_shr(shift))
                    .unwrap_or(0)
            }
            _ => 0,
        }
    }
}

// SAFETY: a load answers the value that the register has, and a store changes it before it returns.
unsafe impl Mmio for Disk {
    fn load(&self, register: Register) -> Result<u64, HcallError> {
        let value = self.state().load(register.gpa().0 - REGISTERS);
        Ok(value & u64::MAX >> (64 - 8 * register.width().bytes()))
    }

    fn store(&self, register: Register, value: u64) -> Result<(), HcallError> {
        let offset = register.gpa().0 - REGISTERS;
        let mut state = self.state();
        if offset >= NOTIFY {
            state.work();
        } else {
            state.store(offset, value);
        }
        Ok(())
    }
}
