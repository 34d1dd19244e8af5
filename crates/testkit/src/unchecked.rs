//! Values that only checking code makes elsewhere. Here nothing depends on the checks: the model's addresses are none of
//! this process's, and its devices reach the model's memory alone.

use crate::model::{Model, ModelMemory};
use alloc::sync::Arc;
use alloc::vec;
use papr::addr::{Gpa, GpaRange};
use papr::clock::{Clock, Wake};
use papr::device_id::DeviceId;
use papr::hcall::{Hcall, HcallReturn};
use papr::platform::{Barriers, HaltReason, Hypervisor, Platform};
use papr::registers::Registers;
use pseries_tree::Machine;
use svm_dma::dma::{BusAddr, Coherent, Dma, DmaSystem, Mapping};
use svm_dma::memory_map::{MapError, MemoryMap, Own, OwnedFrames};
use virtio_pci::pci::windows::{Window, WindowError, Windows};

/// Registers from `start` on.
#[must_use]
pub const fn registers(start: Gpa, len: u64) -> Registers {
    // SAFETY: a model's registers are no addresses of this process.
    unsafe { Registers::new(start, len) }
}

/// Windows beside `memory`.
///
/// # Errors
/// As [`Windows::new`].
pub fn windows(ranges: &[Window], memory: &[GpaRange]) -> Result<Windows, WindowError> {
    // SAFETY: as in `registers`.
    unsafe { Windows::outside(ranges, memory) }
}

/// A map of a machine that is none of this process's.
///
/// # Errors
/// As [`MemoryMap::new`].
pub fn memory_map(machine: &Machine, own: &Own, secure: bool) -> Result<MemoryMap, MapError> {
    // SAFETY: nobody takes what the map gives out for memory of this process.
    unsafe { MemoryMap::new(&machine.described(), own, secure) }
}

/// Frames of a model.
pub const fn frames(range: GpaRange) -> OwnedFrames {
    // SAFETY: a model's memory is a vector of its own.
    unsafe { OwnedFrames::new(range) }
}

/// The address `raw`, as a device of an ordinary guest would be told it.
#[must_use]
pub fn bus_addr(raw: u64) -> BusAddr {
    // SAFETY: no device is ever told the address.
    let system = unsafe { DmaSystem::normal(Arc::new(AtZero(Model::new(false)))) };
    let dma = system.device(DeviceId::from_routing(0, 8), false, None).expect("a device without a window");
    let mapping = dma.map_from_device(vec![0; 8]).expect("an ordinary guest maps any buffer");
    let zero = mapping.segments().first().expect("a mapping has a segment").bus;
    // SAFETY: as above.
    drop(unsafe { dma.unmap(mapping) });
    zero.checked_add(raw).expect("counted from 0")
}

/// A machine each of whose buffers lies at address 0.
#[derive(Clone)]
struct AtZero(Model);

impl Hypervisor for AtZero {
    unsafe fn hcall(&self, call: Hcall, args: [u64; 4]) -> HcallReturn {
        // SAFETY: as the caller promises.
        unsafe { self.0.hcall(call, args) }
    }
}

impl Clock for AtZero {
    fn now(&self) -> u64 {
        self.0.now()
    }
    fn frequency(&self) -> u64 {
        self.0.frequency()
    }
    fn relax(&self) {
        self.0.relax();
    }
    fn idle(&self, until: u64) -> Wake {
        self.0.idle(until)
    }
}

// SAFETY: no device exists.
unsafe impl Barriers for AtZero {
    fn write_barrier(&self) {}
    fn read_barrier(&self) {}
    fn full_barrier(&self) {}
}

// SAFETY: no device exists.
unsafe impl Platform for AtZero {
    type Memory = ModelMemory;

    fn allocate(&self, len: usize) -> Option<ModelMemory> {
        self.0.allocate(len)
    }
    fn gpa_of(&self, _: &mut [u8]) -> Gpa {
        Gpa(0)
    }
    fn halt(&self, reason: HaltReason) -> ! {
        self.0.halt(reason)
    }
}

/// What only the caller knows elsewhere: that a device has let go.
pub trait LetGo {
    /// [`Dma::finish`].
    fn finished(&self, mapping: Mapping, written: usize) -> alloc::vec::Vec<u8>;
    /// [`Dma::finish_keeping`].
    fn finished_keeping(&self, place: &mut Option<Mapping>, written: usize) -> alloc::vec::Vec<u8>;
    /// [`Dma::unmap`].
    fn unmapped(&self, mapping: Mapping) -> alloc::vec::Vec<u8>;
    /// [`Dma::release`].
    fn released(&self, coherent: Coherent<ModelMemory>);
    /// [`Dma::confirm_reset`].
    fn reset_confirmed(&self);
}

impl LetGo for Dma<Model> {
    fn finished(&self, mapping: Mapping, written: usize) -> alloc::vec::Vec<u8> {
        // SAFETY: the model's devices write to the model's memory alone, whatever they still do with the mapping.
        unsafe { self.finish(mapping, written) }
    }

    fn finished_keeping(&self, place: &mut Option<Mapping>, written: usize) -> alloc::vec::Vec<u8> {
        // SAFETY: as in `finished`.
        unsafe { self.finish_keeping(place, written) }
    }

    fn unmapped(&self, mapping: Mapping) -> alloc::vec::Vec<u8> {
        // SAFETY: as in `finished`: no device reaches the buffer.
        unsafe { self.unmap(mapping) }
    }

    fn released(&self, coherent: Coherent<ModelMemory>) {
        // SAFETY: the model's memory is a vector, each access to which is checked, whoever else uses it.
        unsafe { self.release(coherent) }
    }

    fn reset_confirmed(&self) {
        // SAFETY: the model's devices write to the model's memory alone, reset or not.
        unsafe { self.confirm_reset() }
    }
}
