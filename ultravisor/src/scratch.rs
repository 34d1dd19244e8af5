//! Guest RAM for tests: a file that nobody else maps.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::ram::GuestRam;

/// A zeroed RAM file that goes away with its owner.
pub(super) struct ScratchRam {
    path: PathBuf,
    ram: GuestRam,
}

impl ScratchRam {
    pub(super) fn new(size: u64) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("postern-ram-{}-{count}", std::process::id()));
        let file = std::fs::File::create(&path).expect("scratch file");
        file.set_len(size).expect("scratch size");
        let ram = GuestRam::open(&path, size).expect("scratch RAM");
        Self { path, ram }
    }
}

impl Deref for ScratchRam {
    type Target = GuestRam;

    fn deref(&self) -> &GuestRam {
        &self.ram
    }
}

impl Drop for ScratchRam {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
