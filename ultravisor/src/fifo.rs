//! QEMU's log, read while it is written. It goes through a FIFO and not to a file: a guest that polls its console for a
//! day, or takes one exception after the other, would fill the disk.

use rustix::fs::{CWD, FileType, Mode, OFlags};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often the reader looks whether QEMU has begun to write.
const TICK: Duration = Duration::from_millis(5);

/// The reader's end.
#[derive(Debug)]
pub struct Fifo(File);

impl Fifo {
    /// Makes the FIFO. Whoever opens it for writing waits for nobody.
    ///
    /// # Errors
    /// What the file system said.
    pub fn make(path: &Path) -> io::Result<Self> {
        rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        // Not to wait for QEMU's opening it: that one may never start.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
        Ok(Self(File::options().read(true).custom_flags(flags).open(path)?))
    }

    /// Reads to the end, which comes with the last writer's, or with `ended` when nobody ever wrote.
    ///
    /// # Errors
    /// What the file system said; what was read until then is no whole log.
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
