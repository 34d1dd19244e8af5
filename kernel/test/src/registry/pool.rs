//! Tests of the shared pool, and that nothing else is shared.

use super::dma::each;
use super::guest::Guest;
use super::not_ok::{NotOk, same};
use postern_kernel::devices::set::Devices;
use postern_kernel::platform::pseries::Pseries;
use svm_dma::dma::DmaSystem;

/// Bytes of a buffer that is lent.
const BYTES: u64 = 4096;

fn in_use(dma: &DmaSystem<Pseries>) -> Result<u64, NotOk> {
    dma.pool_statistics().map(|pool| pool.bytes_in_use).ok_or(NotOk::Missing("count of the pool"))
}

/// A buffer takes bytes of the pool while it is lent, and no longer.
pub fn slots(guest: &mut Guest<'_>) -> Result<(), NotOk> {
    let before = in_use(&guest.devices.dma)?;
    let dma = each(guest.devices).next().ok_or(NotOk::Missing("device"))?.clone();
    let mapping =
        dma.map_to_device(alloc::vec![0x5a; 4096]).map_err(|unmapped| NotOk::Dma(unmapped.error))?;
    let reached =
        mapping.segments().iter().all(|segment| dma.guard().allows(segment.bus, segment.len.into()));
    let lent = in_use(&guest.devices.dma);
    // SAFETY: no device was told of the mapping.
    drop(unsafe { dma.unmap(mapping) });
    if !reached {
        return Err(NotOk::NotRefused("an address outside of the pool"));
    }
    let (found, least) = (lent?.saturating_sub(before), BYTES);
    if found < least {
        return Err(NotOk::Outside { what: "bytes of the pool in use", found, least, most: u64::MAX });
    }
    same("bytes in use once the buffer is back", in_use(&guest.devices.dma)?, before)
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
