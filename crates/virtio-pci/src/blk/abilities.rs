//! What a disk offers beyond reading and writing, validated: discard, write zeroes, its write cache, and hints about
//! its layout (virtio 1.2, 5.2.4 and 5.2.5).
//!
//! None of it is needed to use a disk. If a limit makes every request impossible, that kind of request is not used,
//! with a named error. A hint that makes no sense is ignored.

use crate::blk::geometry::FLUSH;
use crate::blk::range_limits::{MAX_RANGES, RangeLimits};
use crate::virtio::error::TransportError;
use crate::virtio::features::Features;
use crate::virtio::transport::DeviceConfig;
use papr::registers::Mmio;
use thiserror::Error;

/// VIRTIO_BLK_F_TOPOLOGY: the device states its physical blocks and good request lengths.
pub const TOPOLOGY: Features = Features::from_bits_retain(1 << 10);
/// VIRTIO_BLK_F_CONFIG_WCE: the device states whether it has a write cache.
pub const CONFIG_WCE: Features = Features::from_bits_retain(1 << 11);
/// VIRTIO_BLK_F_DISCARD: the device has discard requests.
pub const DISCARD: Features = Features::from_bits_retain(1 << 13);
/// VIRTIO_BLK_F_WRITE_ZEROES: the device has write zeroes requests.
pub const WRITE_ZEROES: Features = Features::from_bits_retain(1 << 14);

/// Bytes in a sector.
const SECTOR_BYTES: u32 = 512;
const TOPOLOGY_AT: u32 = 24;
const WRITEBACK_AT: u32 = 32;
const DISCARD_AT: u32 = 36;
const WRITE_ZEROES_AT: u32 = 48;
const MAY_UNMAP_AT: u32 = 56;

/// Why a kind of request is not used although the device offers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LimitError {
    /// The longest request has less than one logical block.
    #[error("a request of {sectors} sectors, blocks of {block} bytes")]
    Sectors {
        /// max_sectors as read.
        sectors: u32,
        /// Bytes of a logical block.
        block: u32,
    },
    /// The most ranges in a request is 0.
    #[error("a request of no range")]
    NoRange,
}

/// Whether a kind of request can be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offer {
    /// It is not offered.
    #[default]
    None,
    /// It is offered, within these limits.
    Within(RangeLimits),
    /// It is offered with limits that allow no request.
    Unusable(LimitError),
}

impl Offer {
    /// The limits, if such a request can be made.
    #[must_use]
    pub fn limits(self) -> Option<RangeLimits> {
        match self {
            Self::Within(limits) => Some(limits),
            Self::None | Self::Unusable(_) => None,
        }
    }

    fn judge([sectors, ranges, alignment]: [u32; 3], may_unmap: bool, block: u32) -> Self {
        let in_block = block.checked_div(SECTOR_BYTES).unwrap_or(1).max(1);
        let rest = sectors.checked_rem(in_block).unwrap_or(0);
        let Some(whole) = sectors.checked_sub(rest).filter(|whole| *whole > 0) else {
            return Self::Unusable(LimitError::Sectors { sectors, block });
        };
        if ranges == 0 {
            return Self::Unusable(LimitError::NoRange);
        }
        let sensible = alignment.is_multiple_of(in_block) && (1..=whole).contains(&alignment);
        Self::Within(RangeLimits {
            sectors: whole,
            ranges: u16::try_from(ranges).unwrap_or(u16::MAX).min(MAX_RANGES),
            alignment: if sensible { alignment } else { in_block },
            may_unmap,
        })
    }
}

/// When a write is durable, as the device says. The driver sends flush requests in both cases if the device has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteCache {
    /// After a flush.
    #[default]
    Back,
    /// When it completes.
    Through,
}

/// Hints about the layout, in bytes; 0 where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Physical block: a write that is smaller, or not aligned to it, may cost the device a read as well.
    pub physical_block: u64,
    /// Offset of the first physical block on the disk.
    pub alignment_offset: u64,
    /// Smallest good request.
    pub min_io: u64,
    /// Best request length.
    pub optimal_io: u64,
}

impl Topology {
    fn judge(exponent: u8, offset: u8, min_io: u16, optimal_io: u32, block: u32) -> Self {
        let block = u64::from(block);
        // Ignore a physical block of 4 GiB or more.
        let physical_block =
            block.checked_shl(exponent.into()).filter(|bytes| (block..1 << 32).contains(bytes));
        let physical_block = physical_block.unwrap_or(block);
        let offset = block.saturating_mul(offset.into());
        Self {
            physical_block,
            alignment_offset: if offset < physical_block { offset } else { 0 },
            min_io: block.saturating_mul(min_io.into()),
            optimal_io: block.saturating_mul(optimal_io.into()),
        }
    }
}

/// All abilities of one disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// Requests to discard.
    pub discard: Offer,
    /// Requests to write zeros.
    pub write_zeroes: Offer,
    /// When a write is durable.
    pub write_cache: WriteCache,
    /// Hints.
    pub topology: Topology,
}

/// The fields as read; only fields of accepted features are read.
pub(super) struct Raw {
    topology: (u8, u8, u16, u32),
    writeback: Option<u8>,
    discard: Option<[u32; 3]>,
    write_zeroes: Option<([u32; 3], u8)>,
    flush: bool,
}

impl Raw {
    pub(super) fn read<M: Mmio>(
        config: &DeviceConfig<'_, M>,
        features: Features,
    ) -> Result<Self, TransportError> {
        let words = |at: u32| -> Result<[u32; 3], TransportError> {
            let word = |n: u32| config.u32(at.saturating_add(n));
            Ok([word(0)?, word(4)?, word(8)?])
        };
        let mut raw = Self {
            topology: (0, 0, 0, 0),
            writeback: None,
            discard: None,
            write_zeroes: None,
            flush: features.contains(FLUSH),
        };
        if features.contains(TOPOLOGY) {
            let at = |n: u32| TOPOLOGY_AT.saturating_add(n);
            raw.topology = (config.u8(at(0))?, config.u8(at(1))?, config.u16(at(2))?, config.u32(at(4))?);
        }
        if features.contains(CONFIG_WCE) {
            raw.writeback = Some(config.u8(WRITEBACK_AT)?);
        }
        if features.contains(DISCARD) {
            raw.discard = Some(words(DISCARD_AT)?);
        }
        if features.contains(WRITE_ZEROES) {
            let [sectors, ranges, _] = words(WRITE_ZEROES_AT)?;
            raw.write_zeroes = Some(([sectors, ranges, 0], config.u8(MAY_UNMAP_AT)?));
        }
        Ok(raw)
    }

    /// Validates the fields of a disk with logical blocks of this many bytes.
    pub(super) fn judge(&self, block: u32) -> Abilities {
        let (exponent, offset, min_io, optimal_io) = self.topology;
        let zeroes = self.write_zeroes.map(|(limits, unmap)| Offer::judge(limits, unmap == 1, block));
        Abilities {
            discard: self.discard.map_or(Offer::None, |limits| Offer::judge(limits, false, block)),
            write_zeroes: zeroes.unwrap_or_default(),
            // Without flush requests there is no write cache (5.2.6.2). Treat an undefined value as a write cache.
            write_cache: match self.writeback {
                _ if !self.flush => WriteCache::Through,
                Some(0) => WriteCache::Through,
                _ => WriteCache::Back,
            },
            topology: Topology::judge(exponent, offset, min_io, optimal_io, block),
        }
    }
}
