//! Counters of a network driver.

/// Frames by direction and fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetStatistics {
    /// Frames received and passed on.
    pub rx_frames: u64,
    /// Bytes in them.
    pub rx_bytes: u64,
    /// Dropped: not even the 12-byte header was written.
    pub rx_no_header: u64,
    /// Dropped: less than an Ethernet header was written after it.
    pub rx_no_frame: u64,
    /// Times that a receive buffer could not be posted because the pool or window was full.
    pub rx_no_room: u64,
    /// Frames that the device took.
    pub tx_frames: u64,
    /// Bytes in them.
    pub tx_bytes: u64,
    /// Times that a frame had to wait for room.
    pub tx_no_room: u64,
    /// Dropped: not a frame of this driver.
    pub tx_foreign: u64,
    /// Commands on the control queue that the device refused.
    pub refused_commands: u64,
}

/// Counts one more.
pub(super) fn count(counter: &mut u64) {
    *counter = counter.wrapping_add(1);
}

/// Adds the bytes of one more frame.
pub(super) fn add(counter: &mut u64, bytes: usize) {
    *counter = counter.wrapping_add(bytes as u64);
}
