//! Guest RAM, through the file that QEMU maps as its memory backend: guest physical 0 is offset 0.
//!
//! Reads and writes go through the file, not through a mapping. On Linux both see the same pages; an access to a file that
//! has shrunk is an error here, where a mapping would raise a signal.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};

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

    /// Makes a run of frames read as zeros. Where the file system can, it frees their memory, which takes no time for
    /// memory that was never touched.
    ///
    /// # Errors
    /// The file failed.
    pub fn forget(&self, frames: Range<u64>) -> io::Result<()> {
        let end = (self.size >> FRAME_SHIFT).min(frames.end);
        let Some(count @ 1..) = end.checked_sub(frames.start) else { return Ok(()) };
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&self.file, flags, frames.start << FRAME_SHIFT, count << FRAME_SHIFT) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                for gfn in frames.start..end {
                    self.zero_frame(gfn)?;
                }
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The pieces of a range that were ever written, with their bytes; what is between them reads as zeros.
    ///
    /// # Errors
    /// The file failed.
    pub fn written(&self, range: Range<u64>) -> io::Result<Vec<(u64, Vec<u8>)>> {
        let mut pieces = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let start = match seek(&self.file, SeekFrom::Data(at)) {
                Ok(start) if start < range.end => start,
                // Nothing from here to the end of the file, or of the range.
                Ok(_) | Err(rustix::io::Errno::NXIO) => break,
                Err(error) => return Err(error.into()),
            };
            let end = seek(&self.file, SeekFrom::Hole(start))?.min(range.end);
            pieces.extend(self.read(start, end - start)?.map(|bytes| (start, bytes)));
            at = end;
        }
        Ok(pieces)
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

#[cfg(test)]
mod tests {
    use super::super::scratch::ScratchRam;
    use super::*;

    #[test]
    fn what_is_forgotten_reads_as_zeros_and_nothing_else_does() {
        let ram = ScratchRam::new(8 * FRAME_SIZE);
        ram.write(0, &[0x5a; 8 * FRAME_SIZE as usize]).expect("write");
        ram.forget(2..5).expect("forget");
        ram.forget(7..u64::MAX).expect("to the end");
        ram.forget(9..12).expect("nothing");
        let first = |gfn: u64| ram.read(gfn * FRAME_SIZE, FRAME_SIZE).expect("read").expect("RAM");
        for gfn in 0..8 {
            let byte = if (2..5).contains(&gfn) || gfn == 7 { 0 } else { 0x5a };
            assert!(first(gfn).iter().all(|found| *found == byte), "frame {gfn}");
        }
    }
}
