//! The block driver with a disk that uses rust-vmm's `virtio-queue`, in one process. The two sides share no code:
//! `virtio-queue` reads the rings as a virtual machine monitor does.
//!
//! The disk gets the pool and no other memory: it could not access a ring, a header or a buffer elsewhere.
//!
//!     cargo run -p example-virtio-queue

mod disk;
mod guest;

use disk::Disk;
use guest::{Guest, Pool};
use papr::addr::{Gpa, GpaRange};
use std::sync::Arc;
use svm_dma::dma::{DeviceId, DmaSystem};
use svm_dma::memory_map::OwnedFrames;
use svm_dma::share::share_pool;
use virtio_pci::blk::driver::Blk;
use virtio_pci::blk::error::BlkError;
use virtio_pci::virtio::transport::Transport;
use vm_memory::{GuestAddress, GuestMemoryMmap};

/// Address and size of the pool: whole frames of 64 KiB.
const POOL: GpaRange = GpaRange { start: Gpa(64 << 20), len: 32 << 16 };

/// The only device.
const DEVICE: DeviceId = DeviceId::from_routing(0, 0x0800);

/// A guest with a pool, and the pool's memory for a device.
fn guest() -> (Arc<Guest>, DmaSystem<Guest>, GuestMemoryMmap) {
    let bytes = usize::try_from(POOL.len).expect("the pool fits this machine");
    let memory =
        GuestMemoryMmap::from_ranges(&[(GuestAddress(POOL.start.0), bytes)]).expect("memory for the pool");
    let platform = Arc::new(Guest::new(memory.clone()));

    // SAFETY: nothing else uses this range: it is a mapping of its own.
    let frames = unsafe { OwnedFrames::new(POOL) };
    let made = |frames: OwnedFrames| Pool::new(memory.clone(), frames.range());
    let pool = share_pool(&*platform, &*platform, frames, &[POOL], made).expect("the pool is shared");
    (Arc::clone(&platform), DmaSystem::secure(platform, pool, 1), memory)
}

/// Starts the driver of a disk with this content.
fn connect(content: Vec<u8>) -> Result<(Disk, Blk<Disk, Guest>), BlkError> {
    let (platform, dma, memory) = guest();
    let disk = Disk::new(memory, content);
    let transport = Transport::begin(disk.clone(), Disk::regions(), &*platform)?;
    let driver = Blk::probe(transport, |access_platform| {
        Ok::<_, BlkError>(
            dma.device(DEVICE, access_platform, None).expect("the pool has room for one device"),
        )
    })?;
    Ok((disk, driver))
}

fn main() -> Result<(), BlkError> {
    let content: Vec<u8> = (0..1 << 20).map(|at: u32| (at ^ at >> 9).to_le_bytes()[0]).collect();
    let (disk, mut driver) = connect(content.clone())?;
    let read = driver.read(0, content.len())?;
    println!("{} bytes read in {} requests, equal: {}", read.len(), disk.requests(), read == content);
    Ok(())
}

#[cfg(test)]
mod tests;
