//! Tests of the shared pool, and that nothing else is shared.

use super::dma::{each, entry, page};
use super::guest::Guest;
use super::not_ok::{NotOk, same};
use super::requirements::window;
use papr::addr::{Gpa, GpaRange};
use postern_kernel::devices::set::Devices;
use postern_kernel::platform::pseries::Pseries;
use svm_dma::dma::{Dma, DmaSystem, Segment};
use svm_dma::tce::WindowKind;

/// Bytes of a buffer that is lent.
const BYTES: u64 = 4096;

fn in_use(dma: &DmaSystem<Pseries>) -> Result<u64, NotOk> {
    dma.pool_statistics().map(|pool| pool.bytes_in_use).ok_or(NotOk::Missing("count of the pool"))
}

/// A buffer takes bytes of the pool while it is lent, and no longer, and its address leads into the pool.
pub fn slots(guest: &mut Guest<'_>) -> Result<(), NotOk> {
    let pool = guest.devices.pool.ok_or(NotOk::Missing("pool"))?;
    let before = in_use(&guest.devices.dma)?;
    let dma = each(guest.devices).next().ok_or(NotOk::Missing("device"))?.clone();
    let mapping =
        dma.map_to_device(alloc::vec![0x5a; 4096]).map_err(|unmapped| NotOk::Dma(unmapped.error))?;
    let reached = mapping.segments().iter().try_for_each(|segment| inside(guest, &dma, segment, pool));
    let lent = in_use(&guest.devices.dma);
    // SAFETY: no device was told of the mapping.
    drop(unsafe { dma.unmap(mapping) });
    reached?;
    let (found, least) = (lent?.saturating_sub(before), BYTES);
    if found < least {
        return Err(NotOk::Outside { what: "bytes of the pool in use", found, least, most: u64::MAX });
    }
    same("bytes in use once the buffer is back", in_use(&guest.devices.dma)?, before)
}

/// Checks that a lent segment is memory of the pool: as the hypervisor translates its address, where it does.
fn inside(guest: &Guest<'_>, dma: &Dma<Pseries>, segment: &Segment, pool: GpaRange) -> Result<(), NotOk> {
    let bus = segment.bus.raw();
    let found = if dma.translated() {
        let report = window(guest, WindowKind::Pool).ok_or(NotOk::Missing("window"))?.report();
        let offset = page(&report).wrapping_sub(1);
        entry(&report, bus & !offset)? & !offset | bus & offset
    } else {
        bus
    };
    let len = u64::from(segment.len);
    if dma.guard().allows(segment.bus, len) && pool.contains(Gpa(found), len) {
        return Ok(());
    }
    let (least, end) = (pool.start.0, pool.start.0.saturating_add(pool.len));
    Err(NotOk::Outside { what: "address of a lent buffer", found, least, most: end.saturating_sub(len) })
}

/// A read copies at least its bytes out of the pool.
pub fn bounce(guest: &mut Guest<'_>) -> Result<(), NotOk> {
    let Devices { disks, dma, .. } = &mut *guest.devices;
    let disk = disks.first_mut().ok_or(NotOk::Missing("disk"))?;
    let block = disk.driver.geometry().block;
    let before = dma.counts().from_pool;
    disk.driver.read(0, usize::try_from(block).unwrap_or(usize::MAX))?;
    let (found, least) = (dma.counts().from_pool.saturating_sub(before), u64::from(block));
    if found < least {
        return Err(NotOk::Outside { what: "bytes copied out of the pool", found, least, most: u64::MAX });
    }
    Ok(())
}

/// No entry of a window leads outside of the pool.
pub fn exposed(guest: &Guest<'_>) -> Result<(), NotOk> {
    let pool = guest.devices.pool.ok_or(NotOk::Missing("pool"))?;
    for reach in &guest.devices.reach {
        same("pages that devices reach besides the pool", reach.exposed(&Pseries, pool)?, 0)?;
    }
    Ok(())
}
