//! Tests of DMA windows: compares entries that H_GET_TCE returns with what they have to map.

use super::guest::Guest;
use super::not_ok::{NotOk, same};
use super::requirements::window;
use papr::addr::GpaRange;
use papr::hcall::calls;
use postern_kernel::devices::set::Devices;
use postern_kernel::platform::pseries::{Pseries, gpa};
use svm_dma::dma::{Dma, Mapping};
use svm_dma::tce::{Route, TceFlags, WindowKind, WindowReport};

/// Entries that are checked in a window that maps all memory, at equal distances.
const SAMPLES: u64 = 64;

/// The entry at a bus address, by H_GET_TCE.
pub(super) fn entry(window: &WindowReport, ioba: u64) -> Result<u64, NotOk> {
    calls::get_tce(&Pseries, window.liobn, ioba).map_err(|error| NotOk::Hcall("H_GET_TCE", error))
}

/// Bytes that one entry maps.
pub(super) fn page(window: &WindowReport) -> u64 {
    1u64.wrapping_shl(window.page_shift)
}

/// Checks each `step`th entry of the first `pages` of a window that maps `memory` at `bus`.
fn mapped(window: &WindowReport, memory: GpaRange, bus: u64, pages: u64, step: u64) -> Result<(), NotOk> {
    let both = TceFlags::all().bits();
    let mut at = 0;
    while at < pages {
        let offset = at.wrapping_mul(page(window));
        let wanted = memory.start.0.wrapping_add(offset) | both;
        same("an entry", entry(window, bus.wrapping_add(offset))?, wanted)?;
        at = at.saturating_add(step.max(1));
    }
    Ok(())
}

/// The pool is mapped page by page, and the entry after its last page maps nothing.
pub fn pool_window(guest: &Guest<'_>) -> Result<(), NotOk> {
    let window = window(guest, WindowKind::Pool).ok_or(NotOk::Missing("window"))?;
    let report = window.report();
    let Route::Pool { gpa, bus } = *window.route() else { return Err(NotOk::Missing("route of the pool")) };
    let pool = guest.devices.pool.ok_or(NotOk::Missing("pool"))?;
    same("where the mapped memory starts", gpa.start.0, pool.start.0)?;
    let pages = pool.len.wrapping_shr(report.page_shift);
    same("entries mapped", report.pages_mapped, pages)?;
    mapped(&report, pool, bus, pages, 1)?;
    let behind = bus.wrapping_add(pool.len);
    if behind < report.base.wrapping_add(report.size) {
        same("rights of the entry behind the pool", entry(&report, behind)? & TceFlags::all().bits(), 0)?;
    }
    Ok(())
}

/// All memory is mapped: checks some entries and the last one.
pub fn direct_window(guest: &Guest<'_>) -> Result<(), NotOk> {
    let window = window(guest, WindowKind::Direct).ok_or(NotOk::Missing("window"))?;
    let report = window.report();
    let Route::Direct { gpa, bus } = *window.route() else {
        return Err(NotOk::Missing("route of all memory"));
    };
    let pages = report.pages_mapped;
    mapped(&report, gpa, bus, pages, pages / SAMPLES)?;
    mapped(&report, gpa, bus, pages, pages.saturating_sub(1))
}

/// A buffer's page is mapped for reading while the buffer is lent, and not afterwards.
pub fn on_demand_window(guest: &mut Guest<'_>) -> Result<(), NotOk> {
    let report = window(guest, WindowKind::OnDemand).ok_or(NotOk::Missing("window"))?.report();
    let dma = translated(guest.devices).ok_or(NotOk::Missing("device that goes through the window"))?;
    let buffer = alloc::vec![0x5au8; 4096];
    let at = gpa(buffer.as_ptr());
    let mapping = dma.map_to_device(buffer).map_err(|unmapped| NotOk::Dma(unmapped.error))?;
    let first = first(&mapping);
    let lent = first.and_then(|bus| Ok((bus, entry(&report, bus)?)));
    // SAFETY: no device was told of the mapping.
    drop(unsafe { dma.unmap(mapping) });
    let (bus, found) = lent?;
    let mask = !page(&report).wrapping_sub(1);
    same("the entry of a buffer that is lent", found, at.0 & mask | TceFlags::READ.bits())?;
    same("rights of the entry once the buffer is back", entry(&report, bus)? & TceFlags::all().bits(), 0)
}

/// The bus address at which a mapping begins.
fn first(mapping: &Mapping) -> Result<u64, NotOk> {
    mapping.segments().first().map(|segment| segment.bus.raw()).ok_or(NotOk::Missing("segment of a mapping"))
}

/// The DMA of a device whose addresses are translated.
fn translated(devices: &mut Devices) -> Option<&Dma<Pseries>> {
    each(devices).find(|dma| dma.translated())
}

/// The DMA of each device.
pub fn each(devices: &mut Devices) -> impl Iterator<Item = &Dma<Pseries>> {
    let disks = devices.disks.iter().map(|disk| disk.driver.dma());
    let cards = devices.cards.iter_mut().map(|card| card.stack.link().dma());
    disks.chain(cards)
}
