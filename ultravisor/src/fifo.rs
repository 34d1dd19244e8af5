//! Reads QEMU's log while it is written, through a FIFO. In a file, the log of a guest that polls its console for a day,
//! or takes one exception after the other, would fill the disk.

use rustix::fs::{CWD, FileType, Mode, OFlags};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Interval at which the reader checks whether QEMU has begun to write.
const TICK: Duration = Duration::from_millis(5);

/// The reader's end.
#[derive(Debug)]
pub struct Fifo(File);

impl Fifo {
    /// Makes the FIFO and opens it for reading, so that a writer's open does not block.
    ///
    /// # Errors
    /// The error of the file system.
    pub fn make(path: &Path) -> io::Result<Self> {
        rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        // Without blocking until QEMU opens it: QEMU may never start.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
        Ok(Self(File::options().read(true).custom_flags(flags).open(path)?))
    }

    /// Reads until the last writer closes the FIFO, or until `ended` if nobody ever wrote.
    ///
    /// # Errors
    /// An error of the file system; the log is then incomplete.
    pub fn lines(mut self, ended: &AtomicBool, mut take: impl FnMut(&str)) -> io::Result<()> {
        let Some(first) = self.first(ended)? else { return Ok(()) };
        let flags = rustix::fs::fcntl_getfl(&self.0)?;
        rustix::fs::fcntl_setfl(&self.0, flags - OFlags::NONBLOCK)?;
        let mut from = BufReader::with_capacity(1 << 16, Cursor::new([first]).chain(self.0));
        let mut bytes = Vec::new();
        while from.read_until(b'\n', &mut bytes)? > 0 {
            let line = String::from_utf8_lossy(&bytes);
            take(line.strip_suffix('\n').unwrap_or(&line));
            bytes.clear();
        }
        Ok(())
    }

    fn first(&mut self, ended: &AtomicBool) -> io::Result<Option<u8>> {
        let mut byte = [0];
        loop {
            let ended = ended.load(Ordering::Acquire);
            match self.0.read(&mut byte) {
                Ok(1..) => return Ok(Some(byte[0])),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ if ended => return Ok(None),
                _ => std::thread::sleep(TICK),
            }
        }
    }
}
