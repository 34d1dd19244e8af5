//! What answers the guest's calls: hypervisor, ultravisor, RTAS.

#![allow(unsafe_code, reason = "a model of the machine implements its raw calls")]

use super::Model;
use super::machine::{State, Table, UvBehaviour};
use alloc::collections::BTreeMap;
use papr::addr::{FRAME_SHIFT, FRAME_SIZE};
use papr::hcall::{Hcall, HcallReturn};
use papr::parts::{cells, low_u32};
use papr::platform::{Hypervisor, Rtas, Ultravisor};
use papr::rtas::{RtasError, Service};
use papr::ultracall::Ultracall;

const H_SUCCESS: i64 = 0;
const H_FUNCTION: i64 = -2;
const H_PARAMETER: i64 = -4;

/// The dynamic window's table and first bus address, as QEMU numbers them.
const DYNAMIC_LIOBN: u64 = 0x8000_0001;
const DYNAMIC_BASE: u64 = 1 << 59;

impl Hypervisor for Model {
    unsafe fn hcall(&self, call: Hcall, args: [u64; 4]) -> HcallReturn {
        self.lock().hcalls.push((call, args));
        let hooked = self.hooks().hcall.as_mut().and_then(|hook| hook(call, args));
        hooked.unwrap_or_else(|| tce_call(&mut self.lock(), call, args))
    }
}

fn tce_call(state: &mut State, call: Hcall, [liobn, ioba, tce, count]: [u64; 4]) -> HcallReturn {
    let status = |status| HcallReturn { status, out: [0; 4] };
    if !matches!(call, Hcall::GetTce | Hcall::PutTce | Hcall::StuffTce) {
        return status(H_FUNCTION);
    }
    let Some(table) = state.tables.get_mut(&liobn) else { return status(H_PARAMETER) };
    let Some(offset) = ioba.checked_sub(table.base) else { return status(H_PARAMETER) };
    let page = offset.wrapping_shr(table.page_shift);
    let pages = if call == Hcall::StuffTce { count } else { 1 };
    let inside = page.checked_add(pages).is_some_and(|end| end <= table.size.wrapping_shr(table.page_shift));
    if !inside || (call == Hcall::StuffTce && count > 512) {
        return status(H_PARAMETER);
    }
    if call == Hcall::GetTce {
        let tce = table.entries.get(&page).copied().unwrap_or(0);
        return HcallReturn { status: H_SUCCESS, out: [tce, 0, 0, 0] };
    }
    for page in page..page.saturating_add(pages) {
        if tce & 3 == 0 {
            table.entries.remove(&page);
        } else {
            table.entries.insert(page, tce);
        }
    }
    status(H_SUCCESS)
}

impl Ultravisor for Model {
    unsafe fn ultracall(&self, call: Ultracall, args: [u64; 2]) -> i64 {
        self.lock().ultracalls.push((call, args));
        let hooked = self.hooks().ultracall.as_mut().and_then(|hook| hook(call, args));
        hooked.unwrap_or_else(|| page_call(&mut self.lock(), call, args))
    }
}

fn page_call(state: &mut State, call: Ultracall, [gfn, count]: [u64; 2]) -> i64 {
    if !state.secure {
        return -11;
    }
    let frames = state.ram.len().wrapping_shr(FRAME_SHIFT) as u64;
    let Some(end) = gfn.checked_add(count).filter(|end| *end <= frames) else { return -55 };
    for frame in gfn..end {
        let changed = match call {
            Ultracall::SharePage => state.shared.insert(frame),
            Ultracall::UnsharePage => state.shared.remove(&frame),
            Ultracall::Esm | Ultracall::UnshareAllPages | Ultracall::EsmbGetFile => return -2,
        };
        let from = usize::try_from(frame).unwrap_or(usize::MAX).wrapping_mul(FRAME_SIZE);
        if let (true, Some(bytes)) = (changed, state.ram.get_mut(from..from.saturating_add(FRAME_SIZE))) {
            bytes.fill(0);
        }
    }
    match state.behaviour {
        UvBehaviour::Published => call as i64,
        UvBehaviour::Documented => 0,
    }
}

impl Rtas for Model {
    fn rtas(&self, service: Service, args: &[u32], rets: &mut [u32]) -> Result<(), RtasError> {
        assert_eq!(args.len(), service.arguments(), "{service:?}");
        let hooked = self.hooks().rtas.as_mut().and_then(|hook| hook(service.name(), args, rets));
        hooked.unwrap_or_else(|| window_call(&mut self.lock(), service, args, rets))
    }
}

fn window_call(state: &mut State, service: Service, args: &[u32], rets: &mut [u32]) -> Result<(), RtasError> {
    if !state.dynamic_windows {
        return Err(RtasError::NotThere(service.name()));
    }
    match (service, args, rets) {
        (Service::QueryDmaWindow, [_, _, _], [windows, entries, mask, migration]) => {
            *windows = u32::from(!state.tables.contains_key(&DYNAMIC_LIOBN));
            *entries = 0x8000_0000;
            *mask = 0x107;
            *migration = 0;
            Ok(())
        }
        (Service::CreateDmaWindow, [_, _, _, page_shift, window_shift], [liobn, high, low])
            if [12, 16, 21, 24].contains(page_shift) =>
        {
            // Where the default window was removed QEMU gives its number and address to the next.
            let default = u64::from(Model::LIOBN);
            let (number, base) = if state.tables.contains_key(&default) {
                (DYNAMIC_LIOBN, DYNAMIC_BASE)
            } else {
                (default, 0)
            };
            let size = 1u64.wrapping_shl(*window_shift);
            let table = Table { base, size, page_shift: *page_shift, entries: BTreeMap::new() };
            state.tables.insert(number, table);
            *liobn = low_u32(number);
            [*high, *low] = cells(base);
            Ok(())
        }
        (Service::ResetDmaWindows, [_, _, _], []) => {
            let default = Table { base: 0, size: 1 << 30, page_shift: 12, entries: BTreeMap::new() };
            state.tables = BTreeMap::from([(u64::from(Model::LIOBN), default)]);
            Ok(())
        }
        (Service::RemoveDmaWindow, [liobn], []) => {
            state.tables.remove(&u64::from(*liobn));
            Ok(())
        }
        _ => Err(RtasError::Parameter),
    }
}
