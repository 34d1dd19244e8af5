//! Opening memory, in the order that secure mode dictates: the pool is placed and shared first, from
//! frames that nothing has used, then the heap, then translation.

use crate::memory::device::DeviceBytes;
use crate::memory::{accept, heap, mmu};
use crate::platform::pseries::Pseries;
use crate::report::Report;
use crate::stop::Stop;
use core::sync::atomic::{AtomicBool, Ordering};
use papr::clock::{Clock, duration};
use postern_core::facts;
use pseries_tree::Machine;
use svm_dma::memory_map::{Kind, MapError, MemoryMap, Own, OwnedFrames};
use svm_dma::share::{SharedPool, share_pool};

/// The heap starts with an eighth of memory, at most this, and grows when it has to.
const FIRST_HEAP: u64 = 16 << 20;

/// The same bound in a secure VM, where each frame has to be proved before its use.
const FIRST_PROVED: u64 = 4 << 20;

/// Ranges tried for the pool. A range whose share failed is never used again.
const POOL_TRIES: usize = 2;

/// The shared pool of a secure VM.
pub type Pool = SharedPool<DeviceBytes>;

/// The map of this machine's memory and its owners, from the device tree and the image.
///
/// # Errors
/// Two of them have a frame in common.
pub fn map(machine: &Machine, own: &Own, secure: bool) -> Result<MemoryMap, Stop> {
    if secure {
        accept::require();
        accept::look_at_image();
    }
    static MADE: AtomicBool = AtomicBool::new(false);
    if MADE.swap(true, Ordering::Relaxed) {
        return Err(MapError::SecondMap.into());
    }
    // SAFETY: no other map was made, as `MADE` says. Up to here this kernel uses its image alone, with the early heap in
    // it, and the tree.
    Ok(unsafe { MemoryMap::new(&machine.described(), own, secure)? })
}

/// Shares a pool of `pool_bytes` if asked to, opens the heap and turns translation on.
///
/// # Errors
/// No room, no range that could be shared, or no translation.
pub fn open(map: &mut MemoryMap, pool_bytes: Option<u64>, report: &mut Report) -> Result<Option<Pool>, Stop> {
    let bytes = map.memory().iter().map(|region| region.len).sum::<u64>();
    // Take the room for everything before anything is shared.
    let place = pool_bytes.map(|bytes| map.take(Kind::Pool, bytes)).transpose()?;
    let most = if accept::required() { FIRST_PROVED } else { FIRST_HEAP };
    let heap = map.take(Kind::Heap, (bytes / 8).min(most))?;
    let start = Pseries.now();
    let pool = place.map(|place| share(map, place)).transpose()?;
    if pool.is_some() {
        let took = duration(&Pseries, Pseries.now().wrapping_sub(start));
        report.fact(facts::pool::SHARE_US, took.as_micros());
    }
    heap::init_main(prove(map, heap)?);
    let rest = map.take_rest()?;
    mmu::enable(map)?;
    heap::grow_from(rest);
    Ok(pool)
}

/// Proves the frames of the first heap; takes other frames if that fails.
fn prove(map: &mut MemoryMap, mut frames: OwnedFrames) -> Result<OwnedFrames, Stop> {
    loop {
        let range = frames.range();
        let error = match accept::prove(frames) {
            Ok(frames) => return Ok(frames),
            Err(error) => error,
        };
        map.quarantine(range);
        if accept::given_up() || !error.another_run_may_do() {
            return Err(error.into());
        }
        frames = map.take(Kind::Heap, range.len)?;
    }
}

/// Shares the frames as the pool; takes other frames if that fails. They stay shared as long as the kernel runs.
fn share(map: &mut MemoryMap, mut frames: OwnedFrames) -> Result<Pool, Stop> {
    let mut tries = POOL_TRIES;
    loop {
        let range = frames.range();
        let failure = match share_pool(&Pseries, &Pseries, frames, map.memory(), DeviceBytes::of_frames) {
            Ok(pool) => return Ok(pool),
            Err(failure) => failure,
        };
        log::error!("pool: {failure}");
        map.quarantine(range);
        tries = tries.saturating_sub(1);
        if tries == 0 || !failure.error.another_range_may_do() {
            return Err(failure.error.into());
        }
        frames = map.take(Kind::Pool, range.len)?;
    }
}
