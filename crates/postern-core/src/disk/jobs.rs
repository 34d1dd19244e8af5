//! The disk jobs of `run=`: compute digests, and write a pattern and read it back.

use crate::disk::pattern::Pattern;
use core::fmt;
use papr::platform::Platform;
use papr::registers::Mmio;
use sha2::{Digest, Sha256};
use thiserror::Error;
use virtio_pci::blk::driver::Blk;
use virtio_pci::blk::error::BlkError;
use virtio_pci::blk::geometry::SECTOR;
use virtio_pci::blk::stream::{Plan, TransferError};

/// A SHA-256 digest; displays as 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sha256Digest(pub [u8; 32]);

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A disk job that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum JobError {
    /// The disk failed before any of its bytes was read or written.
    #[error("{0}")]
    Disk(BlkError),
    /// A read or a write failed.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// The flush between writing and reading back failed.
    #[error("flush: {0}")]
    Flush(BlkError),
    /// What was read is not what was written.
    #[error("sector {sector} (byte {offset}) does not read back as written")]
    Mismatch {
        /// The first sector that differs.
        sector: u64,
        /// Byte offset on the disk of the first 8-byte word that differs.
        offset: u64,
    },
}

/// SHA-256 of the first `limit` bytes of the disk, or of all of a shorter disk, and the number of bytes. Reads the
/// capacity again first.
///
/// # Errors
/// The disk is empty, some of these bytes cannot be read, or a read failed.
pub fn digest<M: Mmio, P: Platform>(
    disk: &mut Blk<M, P>,
    limit: u64,
    plan: Plan,
) -> Result<(Sha256Digest, u64), JobError> {
    let geometry = disk.refresh().map_err(JobError::Disk)?;
    let limit = geometry.extent(limit).map_err(JobError::Disk)?;
    // Whole blocks are read; only what was asked for is hashed.
    let end = limit.checked_next_multiple_of(geometry.block.into()).unwrap_or(limit);
    let mut hash = Sha256::new();
    disk.read_range(0..end, plan, |offset, chunk| {
        let wanted = usize::try_from(limit.saturating_sub(offset)).unwrap_or(usize::MAX);
        hash.update(chunk.get(..wanted).unwrap_or(chunk));
    })?;
    Ok((Sha256Digest(hash.finalize().into()), limit))
}

/// Writes `pattern` over the whole disk, makes it durable, and reads all of it back. Returns the number of bytes.
///
/// # Errors
/// What failed, and where.
pub fn write_and_verify<M: Mmio, P: Platform>(
    disk: &mut Blk<M, P>,
    pattern: Pattern,
    plan: Plan,
) -> Result<u64, JobError> {
    let bytes = whole(disk)?;
    disk.write_range(0..bytes, plan, |offset, chunk| pattern.fill(offset, chunk))?;
    disk.flush().map_err(JobError::Flush)?;
    compare(disk, bytes, pattern, plan)
}

/// Reads the whole disk and compares it with `pattern`. Returns the number of bytes.
///
/// # Errors
/// What failed, and where.
pub fn verify<M: Mmio, P: Platform>(
    disk: &mut Blk<M, P>,
    pattern: Pattern,
    plan: Plan,
) -> Result<u64, JobError> {
    let bytes = whole(disk)?;
    compare(disk, bytes, pattern, plan)
}

/// Reads the capacity again. Returns the disk's size in bytes, all of which can be read and written.
///
/// # Errors
/// The disk is empty, or its last bytes are no whole block.
pub fn whole<M: Mmio, P: Platform>(disk: &mut Blk<M, P>) -> Result<u64, JobError> {
    disk.refresh().and_then(|geometry| geometry.extent(u64::MAX)).map_err(JobError::Disk)
}

fn compare<M: Mmio, P: Platform>(
    disk: &mut Blk<M, P>,
    bytes: u64,
    pattern: Pattern,
    plan: Plan,
) -> Result<u64, JobError> {
    let mut different = None;
    disk.read_range(0..bytes, plan, |offset, chunk| {
        if different.is_none() {
            different = pattern.first_difference(offset, chunk);
        }
    })?;
    match different {
        None => Ok(bytes),
        Some(offset) => Err(JobError::Mismatch { sector: offset / SECTOR, offset }),
    }
}
