//! Assertions about the pool and about time, whatever a device does: in each turn, and after its driver is gone.

use super::device_side::{DeviceSide, POOL_BYTES, PRIVATE, contains};
use crate::model::{Model, POOL_BASE};
use crate::unchecked::LetGo;
use crate::virtio_model::VirtioModel;
use alloc::vec::Vec;
use core::time::Duration;
use svm_dma::dma::{Dma, DmaSystem};
use svm_dma::pool::DeviceStatistics;

/// Longest time of a life besides the time for its bytes: some resets of half a second each.
const RESETS: Duration = Duration::from_secs(5);
/// Longest time that one byte costs a driver.
const TURN: Duration = Duration::from_millis(1);

/// From now on, a wait that goes on for longer than a life of so many bytes is a panic.
pub fn expect_end(machine: &Model, bytes: &[u8]) {
    let turns = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    machine.expect_end_within(RESETS.saturating_add(TURN.saturating_mul(turns)));
}

/// The driver is gone: nothing private was left behind, and all of the pool is back, unless the device hid its reset.
pub fn assert_given_back(machine: &Model, system: &DmaSystem<Model>, device: &VirtioModel) {
    assert_no_leak(machine);
    if let Some(pool) = system.pool_statistics() {
        assert_eq!(pool.mistakes, 0, "{pool:?}");
        let hidden = device.registers().faults.no_reset || device.registers().status != 0;
        assert!(hidden || (pool.slots_in_use, pool.bytes_quarantined) == (0, 0), "{pool:?}");
    }
}

/// No device holds more of the pool than its part, and none more slots than `most`, which its requests need.
pub fn assert_bounded(devices: &[DeviceStatistics], most: u64) {
    for device in devices {
        assert!(device.frames <= device.quota_frames, "more than its part of the pool: {device:?}");
        assert!(device.slots_in_use <= most, "more slots than requests need: {device:?}");
    }
}

/// Nothing that stayed private is in the pool.
fn assert_no_leak(machine: &Model) {
    if !machine.shared_frames().is_empty() {
        assert!(!contains(&machine.peek(POOL_BASE, POOL_BYTES), PRIVATE), "private bytes in the pool");
    }
}

/// A device that was not reset may still write to the memory that it held: none of it is lent again.
pub fn assert_kept_from_use(dma: &Dma<Model>, sides: &[DeviceSide]) {
    if !dma.bounced() {
        return;
    }
    let mut lent = Vec::new();
    while let Ok(mapping) = dma.map_from_device(alloc::vec![0; 1024]) {
        for segment in mapping.segments() {
            for side in sides {
                side.assert_apart(segment.bus.raw(), segment.len.into());
            }
        }
        lent.push(mapping);
    }
    for mapping in lent {
        let _ = dma.unmapped(mapping);
    }
}
