//! Files of the ESM blob: the only way by which a secret reaches a secure VM.
//!
//! UV_ESMB_GET_FILE (0xf14c) gives 64 bytes a call. Each file can be read once, by one process, in ascending order; it
//! cannot be read again until the VM restarts. An offset of 64 KiB or more makes the published ultravisor assert, and a
//! call at the file's end makes it lose 64 KiB of its heap, so reading ends at the first chunk that is not full.
//!
//! Source: open-power/ultravisor `core/uvcall.c`, `uv_esmb_get_file`, `get_file_data`; open-power/svm-tools
//! `svm-password-agent/src/esmb-get-file.c`.

use super::{Ultracall, UvStatus};
use crate::platform::BlobFiles;
use core::fmt;
use thiserror::Error;

/// Bytes that one call gives, at most.
pub const CHUNK: usize = 64;
/// Longest name of a file, in bytes.
pub const MAX_NAME: usize = 63;
/// Offsets below this one can be asked for.
pub const END_OF_OFFSETS: usize = 0x1_0000;

/// A file's name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FileName {
    bytes: [u8; CHUNK],
    len: usize,
}

/// Why a text is not a file name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// That many bytes, none or more than [`MAX_NAME`].
    #[error("{0} bytes, not 1 to {MAX_NAME}")]
    Length(usize),
    /// A byte that no node name of a device tree has.
    #[error("byte {0:#04x}, not one of A-Za-z0-9,._+-")]
    Byte(u8),
}

impl FileName {
    /// A name of 1 to [`MAX_NAME`] bytes, each one of `A-Za-z0-9,._+-`: what a node of the blob's tree can have.
    ///
    /// # Errors
    /// The text is no such name.
    pub fn new(name: &str) -> Result<Self, NameError> {
        let mut bytes = [0; CHUNK];
        let len = name.len();
        if !(1..=MAX_NAME).contains(&len) {
            return Err(NameError::Length(len));
        }
        for (to, byte) in bytes.iter_mut().zip(name.bytes()) {
            if !byte.is_ascii_alphanumeric() && !b",._+-".contains(&byte) {
                return Err(NameError::Byte(byte));
            }
            *to = byte;
        }
        Ok(Self { bytes, len })
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.bytes.get(..self.len).and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// The argument registers that carry the name, most significant byte first.
    fn registers(&self) -> [u64; 8] {
        let mut registers = [0; 8];
        for (register, bytes) in registers.iter_mut().zip(self.bytes.as_chunks().0) {
            *register = u64::from_be_bytes(*bytes);
        }
        registers
    }
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileName({})", self.as_str())
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a file was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FileError {
    /// The blob has no file of this name.
    #[error("the ESM blob has no such file")]
    NotFound,
    /// The blob has no files.
    #[error("the ESM blob has no files")]
    NoFiles,
    /// The ultravisor refused at this offset: at 0, the file was read before, or it was changed.
    #[error("UV_ESMB_GET_FILE at offset {at:#x}: {status}")]
    Refused {
        /// Offset in the file.
        at: usize,
        /// What it answered.
        status: UvStatus,
    },
    /// More bytes in one answer than the registers hold.
    #[error("UV_ESMB_GET_FILE claims {0} bytes where there is room for {CHUNK}")]
    ChunkTooLong(i64),
    /// The file has no end within this many bytes.
    #[error("the file has no end within {0} bytes")]
    TooLong(usize),
}

/// Reads a whole file into `out` and returns its length in bytes.
///
/// A file can be read once. After an error `out` holds what was read before it; the caller clears it.
///
/// # Errors
/// [`FileError`].
pub fn read(files: &impl BlobFiles, name: &FileName, out: &mut [u8]) -> Result<usize, FileError> {
    let mut data = [0; CHUNK];
    let read = read_chunks(files, &name.registers(), &mut data, out);
    data.fill(0);
    core::hint::black_box(&mut data);
    read
}

fn read_chunks(
    files: &impl BlobFiles,
    name: &[u64; 8],
    data: &mut [u8; CHUNK],
    out: &mut [u8],
) -> Result<usize, FileError> {
    let most = out.len().min(END_OF_OFFSETS);
    let mut at = 0_usize;
    while at < most {
        let len = chunk_len(files.get_file(at as u64, name, data), at)?;
        let end = at.saturating_add(len);
        let place = out.get_mut(at..end).ok_or(FileError::TooLong(most))?;
        // One copy, without an iterator, which might leave bytes of the secret in its own memory.
        place.copy_from_slice(data.get(..len).unwrap_or_default());
        at = end;
        if len < CHUNK {
            return Ok(at);
        }
    }
    Err(FileError::TooLong(most))
}

fn chunk_len(r3: i64, at: usize) -> Result<usize, FileError> {
    match r3 {
        -1 => Err(FileError::NotFound),
        -9 => Err(FileError::NoFiles),
        ..0 => Err(FileError::Refused { at, status: UvStatus::of(Ultracall::EsmbGetFile, r3) }),
        _ => usize::try_from(r3).ok().filter(|len| *len <= CHUNK).ok_or(FileError::ChunkTooLong(r3)),
    }
}

#[cfg(test)]
mod tests;
