//! Descriptor chains for requests whose data is not one segment.

#![allow(unsafe_code, reason = "only the caller knows how long memory is lent")]

use crate::blk::error::BlkError;
use crate::blk::geometry::Geometry;
use crate::blk::request::Request;
use crate::virtio::queue::Queue;
use crate::virtio::ring::Descriptor;
use alloc::vec::Vec;
use papr::platform::Platform;
use svm_dma::dma::Segment;

/// Stages a chain of any length.
///
/// # Safety
/// As for [`Queue::stage`].
#[inline(never)]
pub(super) unsafe fn stage_all<P: Platform>(
    queue: &mut Queue<P, Request>,
    chain: &[Descriptor],
) -> Result<u16, BlkError> {
    // SAFETY: as the caller promises.
    unsafe { queue.stage(chain) }.map_err(BlkError::Queue)
}

/// Fills `chain`: the header, the mapping's segments, each cut to the device's segment size, and the status.
#[inline(never)]
pub(super) fn in_pieces(
    chain: &mut Vec<Descriptor>,
    [header, status]: [Descriptor; 2],
    segments: &[Segment],
    device_writes: bool,
    geometry: &Geometry,
) -> Result<(), BlkError> {
    let most = geometry.segments;
    let per_segment = |len: u32| len.div_ceil(geometry.segment_bytes.max(1)) as usize;
    let need = segments.iter().fold(0usize, |sum, s| sum.saturating_add(per_segment(s.len)));
    if need > usize::from(most) {
        return Err(BlkError::Segments { need, most });
    }
    chain.clear();
    chain.push(header);
    for segment in segments {
        let mut bus = segment.bus;
        let mut left = segment.len;
        while left > 0 {
            let len = left.min(geometry.segment_bytes);
            chain.push(Descriptor { bus, len, device_writes });
            left = left.saturating_sub(len);
            // A segment does not wrap; if one did, the guard would refuse it.
            bus = bus.checked_add(len.into()).unwrap_or(bus);
        }
    }
    chain.push(status);
    Ok(())
}
