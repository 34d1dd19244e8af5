//! Another kernel's machine: 16 MiB of memory, an ultravisor that shares frames of it, a clock.

use crate::Shared;
use papr::addr::{FRAME_SHIFT, FRAME_SIZE, Gpa, GpaRange};
use papr::clock::Clock;
use papr::hcall::{Hcall, HcallReturn};
use papr::platform::{Barriers, DeviceMemory, HaltReason, Hypervisor, Platform, Ultravisor};
use papr::ultracall::Ultracall;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use svm_dma::memory_map::OwnedFrames;

/// Bytes of memory.
const RAM: usize = 16 << 20;
/// H_FUNCTION and U_FUNCTION: no such call.
const NO_SUCH_CALL: i64 = -2;

/// The memory that guest, ultravisor and devices share.
#[derive(Debug)]
pub struct State {
    ram: Vec<u8>,
    /// Numbers of the frames that devices reach.
    shared: BTreeSet<u64>,
}

impl State {
    /// Memory in which every private byte is `private`.
    pub fn new(private: u8) -> Self {
        Self { ram: vec![private; RAM], shared: BTreeSet::new() }
    }

    /// A device's access; `None` where it reaches a frame that is not shared.
    pub fn of_device(&mut self, bus: u64, len: usize) -> Option<&mut [u8]> {
        let end = bus.checked_add(len as u64)?;
        let mut frames = bus >> FRAME_SHIFT..=end.checked_sub(1)? >> FRAME_SHIFT;
        frames.all(|frame| self.shared.contains(&frame)).then_some(())?;
        self.ram.get_mut(usize::try_from(bus).ok()?..usize::try_from(end).ok()?)
    }

    /// Whether every frame that is not shared has this byte everywhere.
    pub fn private_is(&self, byte: u8) -> bool {
        let frames = (0..).zip(self.ram.chunks(FRAME_SIZE));
        let mut private = frames.filter(|(frame, _)| !self.shared.contains(frame));
        private.all(|(_, bytes)| bytes.iter().all(|other| *other == byte))
    }
}

/// A piece of the machine's memory.
#[derive(Clone, Debug)]
pub struct Memory {
    state: Shared<State>,
    start: usize,
    len: usize,
}

impl Memory {
    fn with<R>(&self, offset: usize, len: usize, act: impl FnOnce(&mut [u8]) -> R) -> Option<R> {
        let end = offset.checked_add(len).filter(|end| *end <= self.len)?;
        crate::locked(&self.state).ram.get_mut(self.start + offset..self.start + end).map(act)
    }

    fn load<const N: usize>(&self, offset: usize) -> [u8; N] {
        let mut bytes = [0; N];
        self.read(offset, &mut bytes);
        bytes
    }
}

// SAFETY: the bytes are a vector's, which is reached by checked copies alone, and devices by the same vector.
unsafe impl DeviceMemory for Memory {
    fn len(&self) -> usize {
        self.len
    }
    fn gpa(&self) -> Gpa {
        Gpa(self.start as u64)
    }
    fn part(&self, offset: usize, len: usize) -> Option<Self> {
        let inside = offset.checked_add(len)? <= self.len;
        inside.then(|| Self { state: Arc::clone(&self.state), start: self.start + offset, len })
    }
    fn read(&self, offset: usize, out: &mut [u8]) {
        out.fill(0);
        self.with(offset, out.len(), |bytes| out.copy_from_slice(bytes));
    }
    fn write(&self, offset: usize, data: &[u8]) {
        self.with(offset, data.len(), |bytes| bytes.copy_from_slice(data));
    }
    fn zero(&self, offset: usize, len: usize) {
        self.with(offset, len, |bytes| bytes.fill(0));
    }
    fn load16(&self, offset: usize) -> u16 {
        u16::from_le_bytes(self.load(offset))
    }
    fn load32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.load(offset))
    }
    fn store16(&self, offset: usize, value: u16) {
        self.write(offset, &value.to_le_bytes());
    }
    fn store32(&self, offset: usize, value: u32) {
        self.write(offset, &value.to_le_bytes());
    }
    fn store64(&self, offset: usize, value: u64) {
        self.write(offset, &value.to_le_bytes());
    }
}

/// The machine.
#[derive(Debug)]
pub struct Machine {
    /// Its memory.
    pub state: Shared<State>,
    now: AtomicU64,
}

impl Machine {
    /// A machine with this memory.
    pub fn new(state: Shared<State>) -> Self {
        Self { state, now: AtomicU64::new(0) }
    }

    /// All memory that the guest has.
    pub fn ram(&self) -> [GpaRange; 1] {
        [GpaRange { start: Gpa(0), len: RAM as u64 }]
    }

    /// Turns frames that nobody else has into device memory.
    pub fn device_memory(&self, frames: OwnedFrames) -> Memory {
        let GpaRange { start, len } = frames.range();
        Memory { state: Arc::clone(&self.state), start: start.0 as usize, len: len as usize }
    }
}

impl Hypervisor for Machine {
    unsafe fn hcall(&self, _: Hcall, _: [u64; 4]) -> HcallReturn {
        // With ACCESS_PLATFORM, H_PUT_TCE and its like would come here.
        HcallReturn { status: NO_SUCH_CALL, out: [0; 4] }
    }
}

impl Ultravisor for Machine {
    unsafe fn ultracall(&self, call: Ultracall, [first, count]: [u64; 2]) -> i64 {
        if call != Ultracall::SharePage {
            return NO_SUCH_CALL;
        }
        let mut state = crate::locked(&self.state);
        for frame in first..first + count {
            // As the published ultravisor: a frame that becomes shared is zeroed.
            if state.shared.insert(frame) {
                let start = (frame as usize) << FRAME_SHIFT;
                state.ram[start..start + FRAME_SIZE].fill(0);
            }
        }
        0
    }
}

impl Clock for Machine {
    fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }
    fn frequency(&self) -> u64 {
        512_000_000
    }
    fn relax(&self) {
        self.now.fetch_add(1000, Ordering::Relaxed);
    }
}

// Every access is under one lock: nothing can be seen out of order.
// SAFETY: the disk runs in the thread that notifies it: everything is in order.
unsafe impl Barriers for Machine {
    fn write_barrier(&self) {}
    fn read_barrier(&self) {}
    fn full_barrier(&self) {}
}

// SAFETY: no device is given the address of a buffer, since in a secure guest nobody asks for one.
unsafe impl Platform for Machine {
    type Memory = Memory;

    fn allocate(&self, _: usize) -> Option<Memory> {
        None
    }
    fn gpa_of(&self, _: &mut [u8]) -> Gpa {
        panic!("a secure guest gives no private buffer to a device")
    }
    fn halt(&self, reason: HaltReason) -> ! {
        panic!("{reason}")
    }
}
