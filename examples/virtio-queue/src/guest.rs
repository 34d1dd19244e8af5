//! The guest's side: its memory for devices, as rust-vmm maps it, and the rest of its platform.

use papr::addr::{Gpa, GpaRange};
use papr::clock::Clock;
use papr::hcall::{Hcall, HcallReturn};
use papr::parts::index;
use papr::platform::{Barriers, DeviceMemory, HaltReason, Hypervisor, Platform, Ultravisor};
use papr::ultracall::Ultracall;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use vm_memory::{AtomicAccess, Bytes, GuestAddress, GuestMemoryMmap};

/// H_FUNCTION and U_FUNCTION: no such call.
const NO_SUCH_CALL: i64 = -2;
/// Bytes of a frame that is shared.
const FRAME: u64 = 1 << 16;

/// A piece of the pool.
#[derive(Clone, Debug)]
pub struct Pool {
    memory: GuestMemoryMmap,
    range: GpaRange,
}

impl Pool {
    /// The bytes of `memory` at `range`.
    pub fn new(memory: GuestMemoryMmap, range: GpaRange) -> Self {
        Self { memory, range }
    }

    /// Address of an access; `None` if it is not wholly inside.
    fn at(&self, offset: usize, len: usize) -> Option<GuestAddress> {
        let inside = offset.checked_add(len)? <= self.len();
        inside.then_some(GuestAddress(self.range.start.0 + offset as u64))
    }

    fn load<T: AtomicAccess + Default>(&self, offset: usize) -> T {
        let at = self.at(offset, size_of::<T>());
        at.and_then(|at| self.memory.load(at, Ordering::Relaxed).ok()).unwrap_or_default()
    }

    fn store<T: AtomicAccess>(&self, offset: usize, value: T) {
        if let Some(at) = self.at(offset, size_of::<T>()) {
            self.memory.store(value, at, Ordering::Relaxed).expect("inside the pool, and aligned");
        }
    }
}

// SAFETY: the bytes are a mapping that lives as long as a handle, and vm-memory makes no reference to them; `at` lets no
// access leave the piece, and the addresses are those by which the disk finds the same bytes.
unsafe impl DeviceMemory for Pool {
    fn len(&self) -> usize {
        index(self.range.len)
    }

    fn gpa(&self) -> Gpa {
        self.range.start
    }

    fn part(&self, offset: usize, len: usize) -> Option<Self> {
        let start = Gpa(self.at(offset, len)?.0);
        Some(Self { memory: self.memory.clone(), range: GpaRange { start, len: len as u64 } })
    }

    fn read(&self, offset: usize, out: &mut [u8]) {
        out.fill(0);
        if let Some(at) = self.at(offset, out.len()) {
            self.memory.read_slice(out, at).expect("inside the pool");
        }
    }

    fn write(&self, offset: usize, data: &[u8]) {
        if let Some(at) = self.at(offset, data.len()) {
            self.memory.write_slice(data, at).expect("inside the pool");
        }
    }

    fn zero(&self, offset: usize, len: usize) {
        self.write(offset, &vec![0; len]);
    }

    fn load16(&self, offset: usize) -> u16 {
        u16::from_le(self.load(offset))
    }

    fn load32(&self, offset: usize) -> u32 {
        u32::from_le(self.load(offset))
    }

    fn store16(&self, offset: usize, value: u16) {
        self.store(offset, value.to_le());
    }

    fn store32(&self, offset: usize, value: u32) {
        self.store(offset, value.to_le());
    }

    fn store64(&self, offset: usize, value: u64) {
        self.store(offset, value.to_le());
    }
}

/// The platform: sharing of memory, the clock, and barriers.
#[derive(Debug)]
pub struct Guest {
    memory: GuestMemoryMmap,
    now: AtomicU64,
}

impl Guest {
    /// A guest with this memory.
    pub fn new(memory: GuestMemoryMmap) -> Self {
        Self { memory, now: AtomicU64::new(0) }
    }
}

impl Hypervisor for Guest {
    unsafe fn hcall(&self, _: Hcall, _: [u64; 4]) -> HcallReturn {
        HcallReturn { status: NO_SUCH_CALL, out: [0; 4] }
    }
}

impl Ultravisor for Guest {
    unsafe fn ultracall(&self, call: Ultracall, [first, count]: [u64; 2]) -> i64 {
        if call != Ultracall::SharePage {
            return NO_SUCH_CALL;
        }
        // The disk can access this memory already, so sharing only fills frames with zeros.
        let zeros = vec![0; index(count * FRAME)];
        self.memory.write_slice(&zeros, GuestAddress(first * FRAME)).expect("the pool's frames");
        0
    }
}

impl Clock for Guest {
    fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn frequency(&self) -> u64 {
        1_000_000_000
    }

    fn relax(&self) {
        self.now.fetch_add(1000, Ordering::Relaxed);
    }
}

// SAFETY: fences order as their names say; the disk runs in the thread that notifies it.
unsafe impl Barriers for Guest {
    fn write_barrier(&self) {
        fence(Ordering::Release);
    }

    fn read_barrier(&self) {
        fence(Ordering::Acquire);
    }

    fn full_barrier(&self) {
        fence(Ordering::SeqCst);
    }
}

// SAFETY: a guest with a pool gives no buffer of its own to a device, so a buffer's address is never asked for.
unsafe impl Platform for Guest {
    type Memory = Pool;

    fn allocate(&self, _: usize) -> Option<Pool> {
        None
    }

    fn gpa_of(&self, _: &mut [u8]) -> Gpa {
        panic!("a guest with a pool gives no private buffer to a device")
    }

    fn halt(&self, reason: HaltReason) -> ! {
        panic!("{reason}")
    }
}
