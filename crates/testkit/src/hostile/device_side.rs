//! A device's side of one queue. It notes each chain at the moment that the driver wrote it, before anything
//! can have changed it, and checks it against those it still holds.

use super::script::Script;
use crate::model::{Model, POOL_BASE};
use crate::virtio_model::{Buffer, Chain, DeviceQueue, VirtioModel};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use papr::hcall::HcallError;
use postern_core::disk::pattern::splitmix64;
use svm_dma::dma::DmaSystem;

/// Frames of a secure machine's pool: few, so that they are used up now and then.
const POOL_FRAMES: usize = 8;
pub const POOL_BYTES: usize = POOL_FRAMES << 16;
/// How long a driver here waits for a device.
pub const TIMEOUT: Duration = Duration::from_micros(200);
/// Content of a driver's private buffers, which must never be in the pool.
pub const PRIVATE: [u8; 8] = *b"PRIVATE!";
/// Content of writes to devices, which must not come back: no device here sends it.
pub const WRITTEN: [u8; 8] = *b"WRITTEN!";

/// All DMA of a machine with one device.
pub fn dma_system(machine: &Model, secure: bool) -> DmaSystem<Model> {
    let platform = Arc::new(machine.clone());
    if secure {
        DmaSystem::secure(platform, machine.share(POOL_FRAMES), 1)
    } else {
        // SAFETY: the model's devices write to the model's memory alone.
        #[allow(unsafe_code, reason = "the model's devices reach no memory of this process")]
        unsafe {
            DmaSystem::normal(platform)
        }
    }
}

/// Faults that every virtio device can show in its registers.
pub fn break_registers(device: &VirtioModel, script: &mut Script<'_>) {
    let mut registers = device.registers();
    match script.below(10) {
        0 => registers.faults.no_reset = true,
        1 => registers.faults.no_features_ok = true,
        2 => registers.faults.second_features = Some(script.u64()),
        3 => registers.faults.status_bits = script.byte(),
        4 => registers.faults.gone = true,
        5 => registers.faults.restless = true,
        6 => registers.faults.stuck_size = true,
        7 => registers.faults.no_enable = true,
        8 => registers.faults.mmio = Some(HcallError::Hardware),
        _ => {
            let at = script.below(registers.config.len());
            registers.config[at] = script.byte();
            registers.generation = registers.generation.wrapping_add(1);
        }
    }
}

/// A chain that the device holds.
#[derive(Clone, Debug)]
pub struct Held {
    pub chain: Chain,
    /// The driver has made it available.
    published: bool,
    /// A used entry may have said that the device is done with it.
    perhaps_done: bool,
}

impl Held {
    /// The driver waits for an answer.
    pub fn is_waiting(&self) -> bool {
        self.published && !self.perhaps_done
    }
}

/// One queue as the device sees it.
#[derive(Debug)]
pub struct DeviceSide {
    machine: Model,
    device: VirtioModel,
    index: usize,
    /// Chains that were noted so far, modulo 2^16; also what the driver's available index is.
    noted: u16,
    used: u16,
    pub held: Vec<Held>,
    /// Every buffer that the device was ever lent to write.
    lent: Vec<Buffer>,
    /// Heads that used entries named while no chain had them: the driver may take the next chain with such a head for
    /// done too early.
    foretold: Vec<u16>,
    /// The used index or an entry below it was forged: the driver may accept old entries again.
    stale: bool,
    /// Whether the device has kept to the protocol so far.
    pub honest: bool,
    /// The guest is secure: its buffers are copied.
    pub secure: bool,
    random: u64,
}

impl DeviceSide {
    pub fn new(machine: &Model, device: &VirtioModel, index: usize) -> Self {
        Self {
            machine: machine.clone(),
            device: device.clone(),
            index,
            noted: 0,
            used: 0,
            held: Vec::new(),
            lent: Vec::new(),
            foretold: Vec::new(),
            stale: false,
            honest: true,
            secure: !machine.shared_frames().is_empty(),
            random: index as u64,
        }
    }

    /// The queue, if the driver has set it up.
    fn queue(&self) -> Option<DeviceQueue> {
        let registers = self.device.registers();
        let queue = registers.queues.get(self.index)?;
        (queue.descriptors > 0 && registers.status != 0).then(|| queue.clone())
    }

    /// Restores the available index, which noise may have changed, before the driver acts, so that [`Self::note`] sees
    /// the driver's change.
    pub fn repair(&self) {
        if let Some(queue) = self.queue() {
            let _ = queue.bus.write16(queue.available + 2, self.noted);
        }
    }

    /// After the driver published: notes the chains that are new.
    pub fn note(&mut self) {
        let Some(queue) = self.queue() else { return };
        let Ok(index) = queue.bus.read16(queue.available + 2) else { return };
        let count = index.wrapping_sub(self.noted);
        assert!(count <= queue.size, "{count} chains for {} descriptors", queue.size);
        for _ in 0..count {
            self.note_next(&queue);
        }
    }

    /// After the driver staged one chain: notes it, although it was not published.
    pub fn note_staged(&mut self) {
        if let Some(queue) = self.queue() {
            self.note_next(&queue);
            if let Some(held) = self.held.last_mut() {
                held.published = false;
            }
        }
    }

    /// The driver has published what it staged.
    pub fn published(&mut self) {
        for held in &mut self.held {
            held.published = true;
        }
    }

    fn note_next(&mut self, queue: &DeviceQueue) {
        let slot = u64::from(self.noted % queue.size);
        let head = queue.bus.read16(queue.available + 4 + 2 * slot).unwrap();
        let chain = Chain { head, buffers: queue.walk(head) };
        for buffer in &chain.buffers {
            self.check(queue, buffer);
        }
        self.held.retain(|held| !(held.perhaps_done && held.chain.head == head));
        self.lent.extend(chain.buffers.iter().filter(|buffer| buffer.device_writes));
        let perhaps_done = self.is_foretold(queue, head);
        self.held.push(Held { chain, published: true, perhaps_done });
        self.noted = self.noted.wrapping_add(1);
    }

    /// Whether the device completed a chain before the driver made it available.
    fn is_foretold(&self, queue: &DeviceQueue, head: u16) -> bool {
        let entry = |slot| queue.bus.read16(queue.used + 4 + 8 * u64::from(slot)).ok();
        self.foretold.contains(&head) || self.stale && (0..queue.size).any(|slot| entry(slot) == Some(head))
    }

    /// Checks that the device can reach the whole buffer, that it is cleared, and that it is apart from all buffers
    /// that the device may still use.
    fn check(&self, queue: &DeviceQueue, buffer: &Buffer) {
        let len = buffer.len as usize;
        let reached = match buffer.device_writes && !self.secure {
            // A window of an ordinary guest may let it only write.
            true => queue.bus.write(buffer.bus, &alloc::vec![0; len]).map(|()| Vec::new()),
            false => queue.bus.read(buffer.bus, len),
        };
        let content = reached.unwrap_or_else(|why| panic!("the device is given {buffer:x?}: {why:x?}"));
        // Of one byte is the status of a disk, which is set to none.
        if buffer.device_writes && self.honest && len > 1 {
            assert!(content.iter().all(|byte| *byte == 0), "{buffer:x?} was not cleared");
        }
        // The host may write to free memory, but data of another request is never there.
        if buffer.device_writes {
            assert!(!contains(&content, PRIVATE) && !contains(&content, WRITTEN), "{buffer:x?} has old data");
        }
        self.assert_apart(buffer.bus, buffer.len.into());
    }

    /// No chain that is certainly with the device has a byte of this range.
    pub fn assert_apart(&self, bus: u64, len: u64) {
        let mine = self.held.iter().filter(|held| !held.perhaps_done);
        for other in mine.flat_map(|held| &held.chain.buffers) {
            let apart = bus + len <= other.bus || other.bus + u64::from(other.len) <= bus;
            assert!(apart, "{bus:#x}+{len:#x} is lent again, while the device has {other:x?}");
        }
    }

    /// Completes a chain, correctly or not.
    pub fn complete(&mut self, id: u32, written: u32) {
        let Some(queue) = self.queue() else { return };
        let entry = queue.used + 4 + 8 * u64::from(self.used % queue.size);
        let _ = queue.bus.write32(entry, id);
        let _ = queue.bus.write32(entry + 4, written);
        self.used = self.used.wrapping_add(1);
        let _ = queue.bus.write16(queue.used + 2, self.used);
        let head = u16::try_from(id);
        let mut told = false;
        for held in self.held.iter_mut().filter(|held| Ok(held.chain.head) == head) {
            told |= held.is_waiting();
            held.perhaps_done = true;
        }
        if let (Ok(head), false) = (head, told) {
            self.foretold.push(head);
        }
    }

    /// Completes a chain correctly. Returns whether the driver has no reason to doubt it.
    pub fn complete_honestly(&mut self, chain: &Chain, written: u32) {
        self.complete(chain.head.into(), written);
        self.held.retain(|held| held.chain.head != chain.head);
    }

    /// A chain that waits for an answer.
    pub fn waiting(&self, script: &mut Script<'_>) -> Option<Chain> {
        let waiting: Vec<_> = self.held.iter().filter(|held| held.is_waiting()).collect();
        waiting.get(script.below(waiting.len())).map(|held| held.chain.clone())
    }

    /// Writes to memory that the device can reach, or tries to.
    pub fn write(&self, bus: u64, data: &[u8]) {
        if let Some(queue) = self.queue() {
            let _ = queue.bus.write(bus, data);
        }
    }

    /// Reads memory that the device can reach; 0 where it cannot.
    pub fn read64(&self, bus: u64) -> u64 {
        self.queue().and_then(|queue| queue.bus.read64(bus).ok()).unwrap_or(0)
    }

    /// Reads memory that the device can reach.
    pub fn read(&self, bus: u64, len: u32) -> Vec<u8> {
        self.queue().and_then(|queue| queue.bus.read(bus, len as usize).ok()).unwrap_or_default()
    }

    /// Commits one violation.
    pub fn violate(&mut self, script: &mut Script<'_>) {
        self.honest = false;
        let Some(queue) = self.queue() else { return };
        match script.below(7) {
            0 | 1 => {
                let chain = self.waiting(script);
                let head = chain.as_ref().map_or(0, |chain| u32::from(chain.head));
                if let Some(status) = chain.as_ref().and_then(|chain| chain.buffers.last())
                    && script.one_in(2)
                {
                    self.write(status.bus, &[0]);
                }
                let id = match script.below(8) {
                    0 => script.u32(),
                    1 => head | 0x1_0000,
                    2 => head.wrapping_add(1),
                    3 => script.byte().into(),
                    _ => head,
                };
                let written = match script.below(4) {
                    0 => script.u32(),
                    1 => script.u16().into(),
                    _ => script.number() as u32,
                };
                self.complete(id, written);
            }
            2 => {
                let _ = queue.bus.write16(queue.used + 2, script.u16());
                self.doubt();
            }
            3 => {
                let at = queue.descriptors + u64::from(script.u16() % (16 * queue.size));
                let _ = queue.bus.write(at, script.take(16));
                if at + 16 > queue.used {
                    self.doubt();
                }
            }
            4 => {
                let _ = queue.bus.write16(queue.used, script.u16());
            }
            5 => self.write_late(script),
            _ => self.noise(),
        }
    }

    /// Writes to a buffer that the device once had.
    fn write_late(&mut self, script: &mut Script<'_>) {
        if let Some(buffer) = self.lent.get(usize::from(script.u16()) % self.lent.len().max(1)) {
            self.write(buffer.bus, &alloc::vec![0xd5; (buffer.len as usize).min(4096)]);
        }
    }

    /// Overwrites all of the pool; in an ordinary guest, which has none, only the used ring.
    pub fn noise(&mut self) {
        self.honest = false;
        if !self.secure {
            if let Some(queue) = self.queue() {
                let bytes = self.noise_bytes(6 + 8 * usize::from(queue.size));
                let _ = queue.bus.write(queue.used, &bytes);
            }
        } else {
            let bytes = self.noise_bytes(POOL_BYTES);
            self.machine.poke(POOL_BASE, &bytes);
        }
        self.doubt();
    }

    /// Noise that is the same every 4 KiB.
    fn noise_bytes(&mut self, len: usize) -> Vec<u8> {
        let words = core::iter::repeat_with(|| {
            self.random = splitmix64(self.random);
            self.random.to_le_bytes()
        });
        let page: Vec<u8> = words.take(512).flatten().collect();
        let mut bytes = page.repeat(len / page.len() + 1);
        bytes.truncate(len);
        bytes
    }

    /// Anything may have been completed, now or when the used index comes round again.
    pub fn doubt(&mut self) {
        self.stale = true;
        for held in &mut self.held {
            held.perhaps_done = true;
        }
    }
}

/// Whether a private or a written buffer's content is in `bytes`, at a place where it would have been put.
pub fn contains(bytes: &[u8], what: [u8; 8]) -> bool {
    bytes.as_chunks().0.contains(&what)
}
