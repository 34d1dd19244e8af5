//! Another kernel takes `postern-core` along: its own memory, its own ultravisor, its own clock, and a disk in the same
//! process. `docs/porting-kernel.md` quotes it, and its test runs with the others of the crate.
//!
//!     cargo run -p postern-core --example porting
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
use postern_core::blk::driver::Blk;
use postern_core::blk::error::BlkError;
use postern_core::dma::{DeviceId, DmaSystem};
use postern_core::ultracall::share::share_pool;
use postern_core::virtio::transport::Transport;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// What several parts of the machine hold.
type Shared<T> = Rc<RefCell<T>>;

/// One of these.
fn shared<T>(value: T) -> Shared<T> {
    Rc::new(RefCell::new(value))
}

/// Where the pool goes, and its size: whole frames of 64 KiB.
const POOL: (usize, usize) = (4 << 20, 32 << 16);
/// Every byte of private memory.
const PRIVATE: u8 = 0x5e;

/// Reads `bytes` bytes from the start of a disk with this content, as a secure guest.
fn read(memory: &Shared<State>, content: Vec<u8>, bytes: usize) -> Result<Vec<u8>, BlkError> {
    let platform = Arc::new(Machine::new(Rc::clone(memory)));

    let unshared = platform.reserve(POOL.0, POOL.1);
    let pool = share_pool(&*platform, &*platform, unshared, &platform.ram()).expect("the pool is shared");
    let dma = DmaSystem::secure(Arc::clone(&platform), pool, 1);

    let transport = Transport::begin(Disk::new(Rc::clone(memory), content), Disk::regions(), &*platform)?;
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
    println!("private memory as it was: {}", memory.borrow().private_is(PRIVATE));
    Ok(())
}

#[test]
fn a_block_is_read_through_the_shared_pool_and_private_memory_is_untouched() {
    let memory = shared(State::new(PRIVATE));
    let content: Vec<u8> = (0..1 << 16).map(|at: u32| (at ^ at >> 9) as u8).collect();
    assert_eq!(read(&memory, content.clone(), 4096).unwrap(), content[..4096]);
    assert!(memory.borrow().private_is(PRIVATE));
    // A device that is sent elsewhere is noticed.
    assert!(memory.borrow_mut().of_device(0, 1).is_none());
    assert!(memory.borrow_mut().of_device(POOL.0 as u64, POOL.1).is_some());
    assert!(memory.borrow_mut().of_device(POOL.0 as u64, POOL.1 + 1).is_none());
}
