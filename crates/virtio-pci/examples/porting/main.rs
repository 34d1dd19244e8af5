//! Another kernel uses `virtio-pci`, with its own memory, its own ultravisor, its own clock, and a disk in the same
//! process. `docs/porting-kernel.md` quotes it; its tests run with the others of the crate.
//!
//!     cargo run -p virtio-pci --example porting
#![allow(
    unsafe_code,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "an example on a host, whose traits have promises to keep"
)]

mod disk;
mod machine;

use disk::Disk;
use machine::{Machine, State};
use papr::addr::{Gpa, GpaRange};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use svm_dma::dma::{DeviceId, DmaSystem};
use svm_dma::memory_map::OwnedFrames;
use svm_dma::share::share_pool;
use virtio_pci::blk::driver::Blk;
use virtio_pci::blk::error::BlkError;
use virtio_pci::virtio::transport::Transport;

/// A value that several parts of the machine share.
type Shared<T> = Arc<Mutex<T>>;

/// A new shared value.
fn shared<T>(value: T) -> Shared<T> {
    Arc::new(Mutex::new(value))
}

/// Its value, for a moment.
fn locked<T>(shared: &Shared<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the pool goes, and its size: whole frames of 64 KiB.
const POOL: GpaRange = GpaRange { start: Gpa(4 << 20), len: 32 << 16 };
/// Every byte of private memory.
const PRIVATE: u8 = 0x5e;

/// Reads `bytes` bytes from the start of a disk with this content, as a secure guest.
fn read(memory: &Shared<State>, content: Vec<u8>, bytes: usize) -> Result<Vec<u8>, BlkError> {
    let platform = Arc::new(Machine::new(Arc::clone(memory)));

    // SAFETY: nothing else is in this memory. A kernel takes its frames from a `MemoryMap`, and needs no promise.
    let frames = unsafe { OwnedFrames::new(POOL) };
    let made = |frames| platform.device_memory(frames);
    let pool = share_pool(&*platform, &*platform, frames, &platform.ram(), made).expect("the pool is shared");
    let dma = DmaSystem::secure(Arc::clone(&platform), pool, 1);

    let transport = Transport::begin(Disk::new(Arc::clone(memory), content), Disk::regions(), &*platform)?;
    let id = DeviceId::from_routing(0, 0x0800);
    let mut disk = Blk::probe(transport, |access_platform| {
        Ok::<_, BlkError>(dma.device(id, access_platform, None).expect("without ACCESS_PLATFORM, no window"))
    })?;
    disk.read(0, bytes)
}

fn main() -> Result<(), BlkError> {
    let memory = shared(State::new(PRIVATE));
    let content: Vec<u8> = (0..1 << 16).map(|at: u32| (at ^ at >> 9) as u8).collect();
    let read = read(&memory, content.clone(), 4096)?;
    println!("{} bytes read through the pool, equal: {}", read.len(), read == content[..4096]);
    println!("private memory as it was: {}", locked(&memory).private_is(PRIVATE));
    Ok(())
}

#[test]
fn a_block_is_read_through_the_shared_pool_and_private_memory_is_untouched() {
    let memory = shared(State::new(PRIVATE));
    let content: Vec<u8> = (0..1 << 16).map(|at: u32| (at ^ at >> 9) as u8).collect();
    assert_eq!(read(&memory, content.clone(), 4096).unwrap(), content[..4096]);
    assert!(locked(&memory).private_is(PRIVATE));
    // A device that is sent elsewhere is noticed.
    assert!(locked(&memory).of_device(0, 1).is_none());
    assert!(locked(&memory).of_device(POOL.start.0, POOL.len as usize).is_some());
    assert!(locked(&memory).of_device(POOL.start.0, POOL.len as usize + 1).is_none());
}

#[test]
fn what_the_document_quotes_is_in_this_example() {
    let document = include_str!("../../../../docs/porting-kernel.md");
    let quotes: Vec<&str> =
        document.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!quotes.is_empty());
    for quote in quotes {
        assert!(include_str!("main.rs").contains(quote), "not in the example:\n{quote}");
    }
}
