//! A directory for one run's sockets, images and guest memory, which is removed with the run.

use std::io;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A file system in RAM, for files of guest memory.
const RAM_DISK: &str = "/dev/shm";

/// One run's files. UNIX socket paths have to stay below 108 bytes, so it lies near the root.
#[derive(Debug)]
pub struct Workdir {
    files: TempDir,
    memory: Option<TempDir>,
    sparse: bool,
}

impl Workdir {
    /// Makes the directory.
    ///
    /// # Errors
    /// The error of the file system.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            files: tempfile::Builder::new().prefix("postern-").tempdir()?,
            memory: None,
            sparse: false,
        })
    }

    /// A path inside.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.files.path()
    }

    /// The guest will touch at most one page of each frame, a sixteenth of its memory.
    pub fn touches_little(&mut self) {
        self.sparse = true;
    }

    /// A path for a file of `bytes` of guest memory: in RAM if enough of it is free, because QEMU would get a bus error
    /// otherwise; else beside the other files.
    ///
    /// # Errors
    /// The error of the file system.
    pub fn memory(&mut self, bytes: u64) -> io::Result<PathBuf> {
        let free = rustix::fs::statvfs(RAM_DISK).map_or(0, |s| s.f_bavail.saturating_mul(s.f_frsize));
        let touched = if self.sparse { bytes / 16 } else { bytes };
        if free / 2 < touched {
            return Ok(self.path("memory"));
        }
        let memory = tempfile::Builder::new().prefix("postern-").tempdir_in(RAM_DISK)?;
        let path = memory.path().join("memory");
        self.memory = Some(memory);
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left() {
        let mut dir = Workdir::new().unwrap();
        let memory = dir.memory(1 << 20).unwrap();
        std::fs::write(&memory, b"x").unwrap();
        std::fs::write(dir.path("sock"), b"x").unwrap();
        let root = dir.root().to_path_buf();
        drop(dir);
        assert!(!root.exists() && !memory.exists() && !memory.parent().unwrap().exists());
    }

    #[test]
    fn memory_that_does_not_fit_into_ram_lies_elsewhere() {
        let mut dir = Workdir::new().unwrap();
        assert!(dir.memory(u64::MAX).unwrap().starts_with(dir.root()));
        dir.touches_little();
        assert!(dir.memory(u64::MAX).unwrap().starts_with(dir.root()));
    }

    #[test]
    fn socket_paths_stay_short() {
        assert!(Workdir::new().unwrap().path("monitor.sock").as_os_str().len() < 108);
    }
}
