//! Guest RAM, through the file that QEMU maps as its memory backend: guest physical 0 is offset 0.
//!
//! Reads and writes go through the file, not through a mapping: on Linux both see the same pages, and an
//! access to a file that has shrunk or gone is an error here where a mapping would be killed by a signal.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::frames::{FRAME_SHIFT, FRAME_SIZE};

/// The RAM of a running guest.
#[derive(Debug)]
pub struct GuestRam {
    file: File,
    size: u64,
}

impl GuestRam {
    /// Opens the backend file of a guest with `size` bytes of RAM.
    ///
    /// # Errors
    /// The file cannot be opened for writing, or is smaller than the RAM.
    pub fn open(path: &Path, size: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        if file.metadata()?.len() < size {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is smaller than guest RAM"));
        }
        Ok(Self { file, size })
    }

    /// Bytes of RAM.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads `length` bytes from a guest physical address; `None` if they do not all lie in RAM.
    ///
    /// # Errors
    /// The file failed.
    pub fn read(&self, address: u64, length: u64) -> io::Result<Option<Vec<u8>>> {
        let end = address.checked_add(length).filter(|end| *end <= self.size);
        let (Some(_), Ok(length)) = (end, usize::try_from(length)) else { return Ok(None) };
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, address)?;
        Ok(Some(bytes))
    }

    /// Writes bytes to a guest physical address; false, and nothing written, if they do not all lie in RAM.
    ///
    /// # Errors
    /// The file failed.
    pub fn write(&self, address: u64, bytes: &[u8]) -> io::Result<bool> {
        if address.checked_add(bytes.len() as u64).is_none_or(|end| end > self.size) {
            return Ok(false);
        }
        self.file.write_all_at(bytes, address)?;
        Ok(true)
    }

    /// Fills a 64 KiB frame with zeros.
    ///
    /// # Errors
    /// The file failed.
    pub fn zero_frame(&self, gfn: u64) -> io::Result<bool> {
        static ZEROS: [u8; FRAME_SIZE as usize] = [0; FRAME_SIZE as usize];
        match gfn.checked_mul(1 << FRAME_SHIFT) {
            Some(address) => self.write(address, &ZEROS),
            None => Ok(false),
        }
    }
}
