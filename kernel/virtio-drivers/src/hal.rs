//! The crate's DMA memory: buffers in this kernel's pool, or in place in a normal guest.

use alloc::vec::Vec;
use core::ptr::NonNull;
use core::slice;
use papr::addr::GpaRange;
use papr::lock::Lock;
use papr::platform::Platform;
use postern_kernel::memory::device::DeviceBytes;
use postern_kernel::platform::lock;
use postern_kernel::platform::pseries::Pseries;
use svm_dma::dma::{Coherent, Dma, Mapping};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

/// Bytes of the pool's smallest slot: no two mappings begin in the same one.
const SLOT: u64 = 512;

/// A buffer that was given to the device, and its `Dma`. The crate identifies a buffer by its address only.
struct Lent {
    dma: Dma<Pseries>,
    pool: Option<GpaRange>,
    coherent: Vec<Coherent<DeviceBytes>>,
    /// Indexed by the slot that a mapping begins in, so that the measured path has no search.
    mappings: Vec<Option<Mapping>>,
}

static LENT: Lock<Option<Lent>> = Lock::new("memory of the other driver", None);

/// Lends through `dma` from now on, whose device uses guest physical addresses.
pub fn lend(dma: Dma<Pseries>, pool: Option<GpaRange>) {
    let slots = pool.map_or(0, |pool| pool.len / SLOT);
    let mappings = (0..slots).map(|_| None).collect();
    *lock::or_end(&LENT) = Some(Lent { dma, pool, coherent: Vec::new(), mappings });
}

fn with<T>(work: impl FnOnce(&mut Lent) -> T) -> T {
    work(lock::or_end(&LENT).as_mut().expect("the crate begins after `lend`"))
}

impl Lent {
    fn place(&mut self, address: PhysAddr) -> &mut Option<Mapping> {
        let offset = self.pool.and_then(|pool| address.checked_sub(pool.start.0));
        let place = offset.and_then(|offset| self.mappings.get_mut((offset / SLOT) as usize));
        place.expect("what is lent lies in the pool")
    }
}

/// [`Hal`] on this kernel's own DMA.
pub struct PoolHal;

// SAFETY: rings are coherent memory of `Dma`, which is zeroed, aligned to 4 KiB for a length of at least that, and
// the caller's alone until it is released; nothing but the caller's buffers is touched otherwise.
unsafe impl Hal for PoolHal {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        with(|lent| {
            let Ok(coherent) = lent.dma.coherent(pages * PAGE_SIZE) else { return (0, NonNull::dangling()) };
            let Some(at) = NonNull::new(coherent.memory().as_ptr()) else { return (0, NonNull::dangling()) };
            let address = coherent.bus.raw();
            lent.coherent.push(coherent);
            (address, at)
        })
    }

    unsafe fn dma_dealloc(address: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        with(|lent| match lent.coherent.iter().position(|coherent| coherent.bus.raw() == address) {
            Some(at) => {
                // SAFETY: the caller promises that the device uses the memory no more.
                unsafe { lent.dma.release(lent.coherent.swap_remove(at)) };
                0
            }
            None => -1,
        })
    }

    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        unreachable!("its own PCI transport is not used")
    }

    #[inline]
    unsafe fn share(buffer: NonNull<[u8]>, direction: BufferDirection) -> PhysAddr {
        // SAFETY: the caller promises a buffer that nothing else uses during this call.
        let buffer = unsafe { slice::from_raw_parts_mut(buffer.as_ptr().cast::<u8>(), buffer.len()) };
        with(|lent| {
            if !lent.dma.bounced() {
                return Pseries.gpa_of(buffer).0;
            }
            let mapping = match direction {
                BufferDirection::DriverToDevice => lent.dma.lend_copy(buffer, false),
                BufferDirection::DeviceToDriver => lent.dma.lend_copy(buffer, true),
                BufferDirection::Both => unreachable!("the block driver has no buffer for both directions"),
            };
            // The crate's trait cannot return an error.
            let mapping = mapping.unwrap_or_else(|error| panic!("virtio-drivers: {error}"));
            let [segment] = mapping.segments() else {
                panic!("virtio-drivers: a buffer longer than a frame")
            };
            let address = segment.bus.raw();
            *lent.place(address) = Some(mapping);
            address
        })
    }

    #[inline]
    unsafe fn unshare(address: PhysAddr, buffer: NonNull<[u8]>, _: BufferDirection) {
        // SAFETY: the caller promises a buffer that nothing else uses during this call.
        let buffer = unsafe { slice::from_raw_parts_mut(buffer.as_ptr().cast::<u8>(), buffer.len()) };
        with(|lent| {
            if !lent.dma.bounced() {
                Pseries.device_wrote(buffer);
                return;
            }
            let mapping = lent.place(address).take().expect("what comes back was lent");
            lent.dma.take_copy(mapping, buffer);
        });
    }
}
