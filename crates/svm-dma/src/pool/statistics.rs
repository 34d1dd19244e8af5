//! How much of the pool is used, by whom.

use crate::dma::DeviceId;

/// Use of the whole pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStatistics {
    /// Frames in the pool.
    pub frames: u32,
    /// Frames that no device holds.
    pub frames_free: u32,
    /// Slots in use, without quarantined ones.
    pub slots_in_use: u64,
    /// Bytes in the slots that are in use.
    pub bytes_in_use: u64,
    /// Most bytes ever in use at once.
    pub high_water_bytes: u64,
    /// Bytes of slots that a device may still write although their request is over.
    pub bytes_quarantined: u64,
    /// Requests refused because there was no room.
    pub failures: u64,
    /// Slot handles refused because they did not match the pool's own record: a bug of a driver.
    pub mistakes: u64,
}

/// Use of the pool by one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceStatistics {
    /// The device's PCI function.
    pub device: DeviceId,
    /// Frames that the device may hold.
    pub quota_frames: u32,
    /// Frames that the device holds.
    pub frames: u32,
    /// Slots in use, without quarantined ones.
    pub slots_in_use: u64,
    /// Bytes in the slots that the device uses.
    pub bytes_in_use: u64,
    /// Most bytes ever in use at once.
    pub high_water_bytes: u64,
    /// Bytes of quarantined slots.
    pub bytes_quarantined: u64,
    /// Requests refused because there was no room.
    pub failures: u64,
}
