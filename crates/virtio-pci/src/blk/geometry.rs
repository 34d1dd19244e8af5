//! Feature bits and device configuration of virtio-blk (virtio 1.2, 5.2).

use crate::blk::abilities::{self, Abilities, CONFIG_WCE, DISCARD, TOPOLOGY, WRITE_ZEROES};
use crate::blk::error::BlkError;
use crate::virtio::error::TransportError;
use crate::virtio::features::Features;
use crate::virtio::transport::{DeviceConfig, Transport};
use papr::registers::Mmio;

/// Bytes in a sector, the unit of capacity and of request positions, whatever the logical block size.
pub const SECTOR: u64 = 512;

/// VIRTIO_BLK_F_SIZE_MAX: bytes in a segment are limited.
pub const SIZE_MAX: Features = Features::from_bits_retain(1 << 1);
/// VIRTIO_BLK_F_SEG_MAX: segments in a request are limited.
pub const SEG_MAX: Features = Features::from_bits_retain(1 << 2);
/// VIRTIO_BLK_F_RO: the disk is read-only.
pub const RO: Features = Features::from_bits_retain(1 << 5);
/// VIRTIO_BLK_F_BLK_SIZE: the device states its logical block size.
pub const BLK_SIZE: Features = Features::from_bits_retain(1 << 6);
/// VIRTIO_BLK_F_FLUSH: the device has flush requests.
pub const FLUSH: Features = Features::from_bits_retain(1 << 9);
/// VIRTIO_BLK_F_MQ: the device has more than one queue.
pub const MQ: Features = Features::from_bits_retain(1 << 12);

/// The features that this driver accepts; also [`MQ`] if the caller wants more than one queue.
pub const WANTED: Features = SIZE_MAX
    .union(SEG_MAX)
    .union(RO)
    .union(BLK_SIZE)
    .union(FLUSH)
    .union(TOPOLOGY)
    .union(CONFIG_WCE)
    .union(DISCARD)
    .union(WRITE_ZEROES);

const CAPACITY_AT: u32 = 0;
const SIZE_MAX_AT: u32 = 8;
const SEG_MAX_AT: u32 = 12;
const BLK_SIZE_AT: u32 = 20;
const NUM_QUEUES_AT: u32 = 34;

/// Largest logical block that this driver works with: QEMU's own limit (`hw/block/block.c`, `MAX_BLOCK_SIZE`).
pub const MAX_BLOCK: u32 = 2 << 20;

/// A disk's geometry, validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Sectors of 512 bytes; their bytes fit 64 bits.
    pub capacity: u64,
    /// Bytes in a logical block; a power of two, at least 512, at most [`MAX_BLOCK`] and what one request may carry.
    pub block: u32,
    /// Most bytes in a segment; at least 512.
    pub segment_bytes: u32,
    /// Most data segments in a request; at least 1.
    pub segments: u16,
    /// The disk is read-only.
    pub read_only: bool,
    /// The device has flush requests; otherwise every write is durable when it completes.
    pub flush: bool,
    /// Queues; at least 1.
    pub queues: u16,
}

impl Geometry {
    /// Reads the configuration once, consistently, and validates it.
    ///
    /// # Errors
    /// The configuration is unusable: do not use the device.
    pub fn read<M: Mmio>(transport: &mut Transport<M>) -> Result<(Self, Abilities), BlkError> {
        let features = transport.features();
        let read = |config: &DeviceConfig<'_, M>| {
            Ok((Raw::read(config, features)?, abilities::Raw::read(config, features)?))
        };
        let (raw, further) = transport.config(read)?;
        if !raw.block.is_power_of_two() || u64::from(raw.block) < SECTOR {
            return Err(BlkError::BlockSize(raw.block));
        }
        if u64::from(raw.size_max) < SECTOR {
            return Err(BlkError::SizeMax(raw.size_max));
        }
        let most = u64::from(raw.seg_max.max(1)).saturating_mul(raw.size_max.into()).min(MAX_BLOCK.into());
        if u64::from(raw.block) > most {
            return Err(BlkError::BlockTooLarge { block: raw.block, most });
        }
        if raw.queues == 0 {
            return Err(BlkError::NoQueues);
        }
        let geometry = Self {
            capacity: checked_capacity(raw.capacity)?,
            block: raw.block,
            segment_bytes: raw.size_max,
            segments: u16::try_from(raw.seg_max).unwrap_or(u16::MAX).max(1),
            read_only: features.contains(RO),
            flush: features.contains(FLUSH),
            queues: raw.queues,
        };
        Ok((geometry, further.judge(raw.block)))
    }

    /// Bytes of whole logical blocks.
    #[must_use]
    pub fn usable_bytes(&self) -> u64 {
        let bytes = self.capacity.saturating_mul(SECTOR);
        bytes & !u64::from(self.block).wrapping_sub(1)
    }

    /// Bytes after the last whole logical block, which no request can reach.
    #[must_use]
    pub fn tail_bytes(&self) -> u64 {
        self.capacity.saturating_mul(SECTOR).saturating_sub(self.usable_bytes())
    }

    /// Number of the disk's bytes within its first `limit` bytes.
    ///
    /// # Errors
    /// The disk is empty, or some of these bytes lie after its last whole logical block.
    pub fn extent(&self, limit: u64) -> Result<u64, BlkError> {
        let bytes = limit.min(self.capacity.saturating_mul(SECTOR));
        match bytes {
            0 => Err(BlkError::Empty),
            _ if bytes > self.usable_bytes() => {
                Err(BlkError::Tail { bytes: self.tail_bytes(), block: self.block })
            }
            _ => Ok(bytes),
        }
    }

    /// Checks a request against the disk.
    ///
    /// # Errors
    /// Outside of the disk, or not whole blocks.
    pub fn check(&self, sector: u64, bytes: usize) -> Result<(), BlkError> {
        self.check_bytes(sector, bytes as u64)
    }

    /// [`Self::check`] of a request that names `sectors` sectors.
    ///
    /// # Errors
    /// As for [`Self::check`].
    pub fn check_sectors(&self, sector: u64, sectors: u64) -> Result<(), BlkError> {
        let bytes = u64::MAX;
        let out = BlkError::OutOfRange { sector, bytes, capacity: self.capacity };
        self.check_bytes(sector, sectors.checked_mul(SECTOR).ok_or(out)?)
    }

    #[inline]
    fn check_bytes(&self, sector: u64, bytes: u64) -> Result<(), BlkError> {
        let out = BlkError::OutOfRange { sector, bytes, capacity: self.capacity };
        let start = sector.checked_mul(SECTOR).ok_or(out)?;
        let end = start.checked_add(bytes).ok_or(out)?;
        let block = u64::from(self.block);
        if bytes == 0 || !start.is_multiple_of(block) || !bytes.is_multiple_of(block) {
            return Err(BlkError::Unaligned { sector, bytes, block: self.block });
        }
        if end > self.capacity.saturating_mul(SECTOR) { Err(out) } else { Ok(()) }
    }
}

/// Reads the capacity again, after the device said that its configuration has changed.
///
/// # Errors
/// As [`Geometry::read`].
pub fn read_capacity<M: Mmio>(transport: &mut Transport<M>) -> Result<u64, BlkError> {
    checked_capacity(transport.config(|config| config.u64(CAPACITY_AT))?)
}

fn checked_capacity(sectors: u64) -> Result<u64, BlkError> {
    if sectors.checked_mul(SECTOR).is_some() { Ok(sectors) } else { Err(BlkError::Capacity(sectors)) }
}

/// The fields as read; a field that is not offered has the value that does not limit.
struct Raw {
    capacity: u64,
    size_max: u32,
    seg_max: u32,
    block: u32,
    queues: u16,
}

impl Raw {
    fn read<M: Mmio>(config: &DeviceConfig<'_, M>, features: Features) -> Result<Self, TransportError> {
        let optional = |feature, offset, absent| {
            if features.contains(feature) { config.u32(offset) } else { Ok(absent) }
        };
        Ok(Self {
            capacity: config.u64(CAPACITY_AT)?,
            size_max: optional(SIZE_MAX, SIZE_MAX_AT, u32::MAX)?,
            seg_max: optional(SEG_MAX, SEG_MAX_AT, u32::from(u16::MAX))?,
            block: optional(BLK_SIZE, BLK_SIZE_AT, 512)?,
            queues: if features.contains(MQ) { config.u16(NUM_QUEUES_AT)? } else { 1 },
        })
    }
}
