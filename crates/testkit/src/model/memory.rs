//! The machine's memory as the guest handles it.

use super::Model;
use super::machine::State;
use alloc::sync::Arc;
use papr::addr::Gpa;
use papr::platform::DeviceMemory;

/// A piece of the machine's memory.
#[derive(Clone, Debug)]
pub struct ModelMemory {
    model: Model,
    gpa: u64,
    len: usize,
    /// Of memory that `Platform::allocate` gave.
    allocation: Option<Arc<Allocation>>,
}

/// Memory of the machine that is not given out again until the last handle is dropped.
#[derive(Debug)]
struct Allocation {
    model: Model,
    gpa: u64,
}

impl Drop for Allocation {
    fn drop(&mut self) {
        self.model.lock().allocated.remove(&self.gpa);
    }
}

impl ModelMemory {
    pub fn new(model: Model, gpa: Gpa, len: usize) -> Self {
        Self { model, gpa: gpa.0, len, allocation: None }
    }

    pub fn allocated(model: Model, gpa: Gpa, len: usize) -> Self {
        let allocation = Some(Arc::new(Allocation { model: model.clone(), gpa: gpa.0 }));
        Self { model, gpa: gpa.0, len, allocation }
    }

    /// Runs `f` on the bytes asked for.
    fn bytes<R>(&self, offset: usize, len: usize, f: impl FnOnce(&mut [u8]) -> R) -> Option<R> {
        let end = offset.checked_add(len)?;
        assert!(end <= self.len, "device memory of {} bytes accessed at {offset}+{len}", self.len);
        let from = usize::try_from(self.gpa).ok()?.checked_add(offset)?;
        let mut state = self.model.lock();
        let state: &mut State = &mut state;
        state.ram.get_mut(from..from.checked_add(len)?).map(f)
    }

    fn load<const N: usize>(&self, offset: usize) -> [u8; N] {
        assert!(offset.is_multiple_of(N), "misaligned load at {offset}");
        let mut value = [0; N];
        self.read(offset, &mut value);
        value
    }

    fn store<const N: usize>(&self, offset: usize, value: [u8; N]) {
        assert!(offset.is_multiple_of(N), "misaligned store at {offset}");
        self.write(offset, &value);
    }
}

// SAFETY: a piece names bytes of a vector that only the model's own code touches, each access checked, and whose guest
// physical addresses mean something to the model's devices alone.
#[allow(unsafe_code, reason = "the model keeps the promises of device memory")]
unsafe impl DeviceMemory for ModelMemory {
    fn len(&self) -> usize {
        self.len
    }

    fn gpa(&self) -> Gpa {
        Gpa(self.gpa)
    }

    fn part(&self, offset: usize, len: usize) -> Option<Self> {
        let end = offset.checked_add(len)?;
        let gpa = self.gpa.checked_add(offset as u64)?;
        let allocation = self.allocation.clone();
        (end <= self.len).then(|| Self { model: self.model.clone(), gpa, len, allocation })
    }

    fn read(&self, offset: usize, out: &mut [u8]) {
        out.fill(0);
        self.model.note_read(self.gpa.saturating_add(offset as u64), out.len());
        self.bytes(offset, out.len(), |bytes| out.copy_from_slice(bytes));
    }

    fn write(&self, offset: usize, data: &[u8]) {
        self.bytes(offset, data.len(), |bytes| bytes.copy_from_slice(data));
    }

    fn zero(&self, offset: usize, len: usize) {
        self.bytes(offset, len, |bytes| bytes.fill(0));
    }

    fn load16(&self, offset: usize) -> u16 {
        u16::from_le_bytes(self.load(offset))
    }

    fn load32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.load(offset))
    }

    fn store16(&self, offset: usize, value: u16) {
        self.store(offset, value.to_le_bytes());
    }

    fn store32(&self, offset: usize, value: u32) {
        self.store(offset, value.to_le_bytes());
    }

    fn store64(&self, offset: usize, value: u64) {
        self.store(offset, value.to_le_bytes());
    }
}
