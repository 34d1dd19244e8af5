//! Opening memory, in the order that secure mode dictates: the pool is placed and shared first, from
//! frames that nothing has used, then the heap, then translation.

use crate::arch::cpus::{self, Pending};
use crate::memory::device::DeviceBytes;
use crate::memory::{heap, layout, mmu};
use crate::platform::pseries::Pseries;
use crate::report::Report;
use crate::stop::Stop;
use alloc::vec::Vec;
use core::time::Duration;
use postern_core::addr::{FRAME_SIZE, Gpa, GpaRange};
use postern_core::clock::{Clock, duration};
use postern_core::fdt::placement::{Wanted, left, place};
use postern_core::fdt::{Machine, Placement};
use postern_core::ultracall::share::{Quarantined, SharedPool, share_pool};

/// The heap starts with an eighth of memory, at most this, and grows when it has to.
const FIRST_HEAP: u64 = 16 << 20;

/// Ranges tried for the pool. One that failed to be shared is never used again, for anything.
const POOL_TRIES: usize = 2;

/// How long another CPU may take to look through the pool.
const PATIENCE: Duration = Duration::from_secs(2);

/// The pool, when there is one: in secure mode of `pool_bytes`.
pub type Pool = SharedPool<DeviceBytes>;

/// Shares a pool of `pool_bytes` if asked to, opens the heap and turns translation on.
///
/// # Errors
/// No room, no range that could be shared, or no translation.
pub fn open(
    machine: &mut Machine,
    tree: GpaRange,
    pool_bytes: Option<u64>,
    report: &mut Report,
) -> Result<Option<Pool>, Stop> {
    let heap = (machine.memory_bytes() / 8).min(FIRST_HEAP);
    let wanted = Wanted { image: layout::image(), tree, heap, pool: pool_bytes };
    let start = Pseries.now();
    let (placement, pool) = share(machine, &wanted)?;
    if pool.is_some() {
        let took = duration(&Pseries, Pseries.now().wrapping_sub(start));
        report.fact("pool.share_us", took.as_micros());
    }
    // SAFETY: the placement chose frames of RAM that the tree reserves for nothing and that neither image,
    // tree nor pool lie in; this is the only call.
    unsafe { heap::init_main(placement.heap) };
    mmu::enable(&machine.memory, placement.pool, &untouchable(machine))?;
    // SAFETY: what is left is RAM that the tree reserves for nothing, that was not handed out above, and that
    // has just been mapped.
    unsafe { heap::grow_from(left(machine, &wanted, &placement)) };
    if let Some(pool) = &pool {
        mmu::widen(pool.memory());
    }
    Ok(pool)
}

/// Has each other CPU that works look through the pool as well: all of them may do I/O.
pub fn widen_on_others(pool: Option<&Pool>) {
    let Some(pool) = pool else { return };
    let looks: Vec<Pending<()>> = cpus::workers()
        .map(|cpu| {
            let memory = pool.memory().clone();
            cpu.start(move || mmu::widen(&memory))
        })
        .collect();
    for look in looks {
        // One that is slow is slow later, too; nothing depends on it.
        _ = look.wait(PATIENCE);
    }
}

fn share(machine: &mut Machine, wanted: &Wanted) -> Result<(Placement, Option<Pool>), Stop> {
    let mut tries = POOL_TRIES;
    loop {
        let placement = place(machine, wanted)?;
        let Some(range) = placement.pool else { return Ok((placement, None)) };
        // SAFETY: the placement chose frames of RAM that nothing uses; they are given to devices for good
        // and never to the heap.
        let memory = unsafe { DeviceBytes::new(range) };
        let failure = match share_pool(&Pseries, &Pseries, memory, &machine.memory) {
            Ok(pool) => return Ok((placement, Some(pool))),
            Err(failure) => failure,
        };
        log::error!("pool: {failure}");
        machine.reserved.extend(failure.quarantined.as_ref().map(Quarantined::range));
        tries -= 1;
        if tries == 0 || !failure.error.another_range_may_do() {
            return Err(failure.error.into());
        }
    }
}

/// What must not even be mapped: reservations (an ultravisor's own frames, and what is quarantined), rounded
/// out to whole frames, but never over the image.
fn untouchable(machine: &Machine) -> Vec<GpaRange> {
    let frame = FRAME_SIZE as u64;
    let image = layout::image();
    let rounded = machine.reserved.iter().filter_map(|range| {
        let start = range.start.0 & !(frame - 1);
        let end = range.end().0.checked_next_multiple_of(frame)?;
        GpaRange::new(Gpa(start), end - start)
    });
    rounded.filter(|range| range.len > 0 && !range.overlaps(&image)).collect()
}
