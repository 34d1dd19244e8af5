//! The machine as the guest's code sees it.

use super::machine::{IN_PLACE_BASE, InPlace, POOL_BASE, PRIVATE_BASE, RAM, State};
use super::{Model, ModelMemory};
use crate::unchecked;
use alloc::sync::Arc;
use papr::addr::{FRAME_SIZE, Gpa, GpaRange};
use papr::clock::{Clock, Wake};
use papr::platform::{Barriers, DeviceMemory, HaltReason, Platform, Rtas};
use svm_dma::dma::{DeviceId, Dma, DmaSystem};
use svm_dma::share::{ShareFailure, SharedPool, share_pool};
use svm_dma::tce::{Ddw, DmaWindow, PhbWindow};

/// Ticks of the model's clock in a second, as on a POWER9.
const FREQUENCY: u64 = 512_000_000;
/// Ticks per iteration of a polling loop.
const TURN: u64 = 5_120;

/// One of the four combinations of guest and device that a driver must not have to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Combination {
    /// The guest is secure.
    pub secure: bool,
    /// The device offers VIRTIO_F_ACCESS_PLATFORM.
    pub access_platform: bool,
}

impl Combination {
    /// All four.
    pub const ALL: [Self; 4] = [
        Self { secure: false, access_platform: false },
        Self { secure: false, access_platform: true },
        Self { secure: true, access_platform: false },
        Self { secure: true, access_platform: true },
    ];

    /// A machine of this kind.
    #[must_use]
    pub fn model(self) -> Model {
        Model::new(self.secure)
    }
}

impl Model {
    /// The place for a pool of `frames` frames, not shared yet.
    #[must_use]
    pub fn pool_memory(&self, frames: usize) -> ModelMemory {
        ModelMemory::new(self.clone(), POOL_BASE, frames.saturating_mul(FRAME_SIZE))
    }

    /// Shares a pool of `frames` frames at that place.
    ///
    /// # Errors
    /// As [`share_pool`].
    pub fn try_share(
        &self,
        clock: &impl Clock,
        frames: usize,
    ) -> Result<SharedPool<ModelMemory>, ShareFailure<ModelMemory>> {
        let memory = self.pool_memory(frames);
        let frames = unchecked::frames(GpaRange { start: memory.gpa(), len: memory.len() as u64 });
        share_pool(self, clock, frames, &Self::ram(), |_| memory)
    }

    /// A shared pool of `frames` frames.
    #[must_use]
    pub fn share(&self, frames: usize) -> SharedPool<ModelMemory> {
        match self.try_share(self, frames) {
            Ok(pool) => pool,
            Err(failure) => broken(&failure),
        }
    }

    /// All DMA of the guest: with a pool of 32 frames for `devices` devices if it is secure.
    #[must_use]
    pub fn dma_system(&self, devices: usize) -> DmaSystem<Self> {
        let platform = Arc::new(self.clone());
        let secure = self.lock().secure;
        if secure {
            DmaSystem::secure(platform, self.share(32), devices)
        } else {
            // SAFETY: the model's devices write to the model's memory alone.
            #[allow(unsafe_code, reason = "the model's devices reach no memory of this process")]
            unsafe {
                DmaSystem::normal(platform)
            }
        }
    }

    /// The bridge's window, readied for the guest's mode.
    #[must_use]
    pub fn bridge(&self, system: &DmaSystem<Self>) -> PhbWindow {
        let ddw = Ddw { rtas: self as &dyn Rtas, buid: 0x0800_0000_2000_0000, config_address: 0 };
        // Not all of the table: each entry is read back.
        let window = match DmaWindow::new(Self::LIOBN, 0, 1 << 26) {
            Ok(window) => window,
            Err(error) => broken(&error),
        };
        match system.bridge(window, Some(&ddw), &Self::ram()) {
            Ok(bridge) => bridge,
            Err(error) => broken(&error),
        }
    }

    /// DMA for the only device of this machine, which offers VIRTIO_F_ACCESS_PLATFORM or does not.
    #[must_use]
    pub fn dma(&self, access_platform: bool) -> Dma<Self> {
        let system = self.dma_system(1);
        let bridge = self.bridge(&system);
        match system.device(DeviceId::from_routing(0, 0x08), access_platform, Some(&bridge)) {
            Ok(dma) => dma,
            Err(error) => broken(&error),
        }
    }
}

#[allow(clippy::panic, reason = "a model that cannot be set up is a mistake in the test")]
fn broken(why: &dyn core::fmt::Display) -> ! {
    panic!("the model cannot be set up: {why}")
}

impl Clock for Model {
    fn now(&self) -> u64 {
        self.lock().now
    }

    fn frequency(&self) -> u64 {
        FREQUENCY
    }

    fn relax(&self) {
        let mut state = self.lock();
        let next = state.now.saturating_add(TURN);
        state.pass(next);
    }

    fn idle(&self, until: u64) -> Wake {
        self.relax();
        let interrupted = self.hooks().idle.as_mut().is_some_and(|hook| hook());
        if interrupted {
            return Wake::Event;
        }
        self.lock().pass(until);
        Wake::Timer
    }
}

// SAFETY: what is ordered is a model's memory, which holds no Rust object.
#[allow(unsafe_code, reason = "a model keeps the promises")]
unsafe impl Barriers for Model {
    fn write_barrier(&self) {}
    fn read_barrier(&self) {}
    fn full_barrier(&self) {}
}

// SAFETY: the model's devices write to the model's memory alone, whatever address they are given.
#[allow(unsafe_code, reason = "the model keeps a platform's promises")]
unsafe impl Platform for Model {
    type Memory = ModelMemory;

    fn allocate(&self, len: usize) -> Option<ModelMemory> {
        let mut state = self.lock();
        assert!(!state.secure, "a secure guest asked for private memory for a device");
        let size = (len as u64).next_multiple_of(4096);
        let mut at = PRIVATE_BASE;
        for (start, taken) in &state.allocated {
            if at.saturating_add(size) <= *start {
                break;
            }
            at = start.saturating_add(*taken);
        }
        if at.saturating_add(size) > IN_PLACE_BASE {
            return None;
        }
        state.allocated.insert(at, size);
        let from = usize::try_from(at).ok()?;
        state.ram.get_mut(from..from.saturating_add(len))?.fill(0);
        drop(state);
        Some(ModelMemory::allocated(self.clone(), Gpa(at), len))
    }

    /// Shows the buffer's bytes at an address of the machine: 32 MiB of buffers at once, then the oldest are
    /// forgotten.
    fn gpa_of(&self, buffer: &mut [u8]) -> Gpa {
        let mut state = self.lock();
        assert!(!state.secure, "a secure guest asked for the address of a private buffer");
        let gpa = state.place(buffer.as_ptr() as usize, buffer.len());
        let from = usize::try_from(gpa).unwrap_or(usize::MAX);
        if let Some(bytes) = state.ram.get_mut(from..from.saturating_add(buffer.len())) {
            bytes.copy_from_slice(buffer);
        }
        Gpa(gpa)
    }

    fn device_wrote(&self, buffer: &mut [u8]) {
        let state = self.lock();
        let address = buffer.as_ptr() as usize;
        if let Some(from) = state.placed(address, buffer.len()).and_then(|gpa| usize::try_from(gpa).ok())
            && let Some(bytes) = state.ram.get(from..from.saturating_add(buffer.len()))
        {
            buffer.copy_from_slice(bytes);
        }
    }

    #[allow(clippy::panic, reason = "the model's way to end a run: a test expects it or fails")]
    fn halt(&self, reason: HaltReason) -> ! {
        panic!("halt: {reason}")
    }
}

impl State {
    /// Where the buffer was last shown. Later entries are newer: an older entry for the same bytes belongs to a
    /// buffer that was freed.
    fn placed(&self, address: usize, len: usize) -> Option<u64> {
        let inside = |shown: &&InPlace| {
            address >= shown.address && address.saturating_add(len) <= shown.address.saturating_add(shown.len)
        };
        let shown = self.in_place.iter().rev().find(inside)?;
        Some(shown.gpa.saturating_add(address.saturating_sub(shown.address) as u64))
    }

    fn place(&mut self, address: usize, len: usize) -> u64 {
        let same = |shown: &InPlace| shown.address == address && shown.len == len;
        if let Some(index) = self.in_place.iter().position(same) {
            let shown = self.in_place.remove(index);
            let gpa = shown.gpa;
            self.in_place.push(shown);
            return gpa;
        }
        // Entries for any of these bytes belong to buffers that were freed.
        self.in_place.retain(|old| {
            old.address.saturating_add(old.len) <= address || address.saturating_add(len) <= old.address
        });
        let inside_page = (address & 0xfff) as u64;
        let size = inside_page.saturating_add(len as u64).next_multiple_of(4096);
        let gpa = self.room(size).saturating_add(inside_page);
        self.in_place.push(InPlace { address, len, gpa });
        gpa
    }

    /// The next free range of `size` bytes; the oldest buffers are forgotten when there is none.
    fn room(&mut self, size: u64) -> u64 {
        let mut wrapped = false;
        loop {
            let start = self.next_in_place;
            let end = start.saturating_add(size);
            if end > RAM {
                if wrapped && !self.in_place.is_empty() {
                    self.in_place.remove(0);
                }
                (self.next_in_place, wrapped) = (IN_PLACE_BASE, true);
                continue;
            }
            let taken = |old: &&InPlace| old.gpa < end && start < old.gpa.saturating_add(old.len as u64);
            match self.in_place.iter().find(taken) {
                Some(old) => {
                    self.next_in_place = old.gpa.saturating_add(old.len as u64).next_multiple_of(4096);
                }
                None => {
                    self.next_in_place = end;
                    return start;
                }
            }
        }
    }
}
