//! Fetches the Linux guest and makes its RAM disk.

use crate::initramfs::Initramfs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folder in which it is kept between runs.
const CACHE: &str = "build/bench/linux";
/// Folder of `make linux`'s kernel, which can be a secure guest.
const SECURE: &str = "build/linux";
/// Modules in the order in which they can be loaded.
const MODULES: [&str; 9] = [
    "virtio",
    "virtio_ring",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "virtio_blk",
    "failover",
    "net_failover",
    "virtio_net",
];

/// QEMU's files of it.
#[derive(Clone, Debug)]
pub struct Linux {
    /// The kernel.
    pub kernel: PathBuf,
    /// The RAM disk.
    pub initrd: PathBuf,
    /// Its version.
    pub version: String,
}

impl Linux {
    /// Fetches and builds the missing files.
    ///
    /// # Errors
    /// They cannot be fetched or built here.
    pub fn get() -> io::Result<Self> {
        let cache = Path::new(CACHE);
        if !Command::new("scripts/linux-guest.sh").arg(cache).status()?.success() {
            return Err(io::Error::other(
                "the package could not be fetched, or the program could not be built",
            ));
        }
        let mut disk = Initramfs::default();
        disk.directory("dev");
        disk.device("dev/console", 5, 1);
        disk.directory("modules");
        for (number, module) in MODULES.iter().enumerate() {
            let content = std::fs::read(cache.join(format!("modules/{module}.ko")))?;
            disk.file(&format!("modules/{number:02}.ko"), &content);
        }
        disk.file("init", &std::fs::read(cache.join("init"))?);
        let initrd = cache.join("initrd");
        std::fs::write(&initrd, disk.finish())?;
        let version = std::fs::read_to_string(cache.join("version"))?.trim().to_owned();
        Ok(Self { kernel: cache.join("vmlinux"), initrd, version })
    }

    /// The kernel that can be a secure guest, with the same program. Its drivers are not modules.
    ///
    /// # Errors
    /// `make linux` has not built it, or the program is not there.
    pub fn secure() -> io::Result<Self> {
        let (folder, cache) = (Path::new(SECURE), Path::new(CACHE));
        let kernel = folder.join("vmlinux");
        if !kernel.exists() {
            let why = format!("no {}; `make linux` builds it, in about ten minutes", kernel.display());
            return Err(io::Error::other(why));
        }
        let mut disk = Initramfs::default();
        disk.directory("dev");
        disk.device("dev/console", 5, 1);
        disk.file("init", &std::fs::read(cache.join("init"))?);
        let initrd = cache.join("initrd-secure");
        std::fs::write(&initrd, disk.finish())?;
        let version = std::fs::read_to_string(folder.join("version"))?;
        Ok(Self { kernel, initrd, version: version.lines().next().unwrap_or_default().to_owned() })
    }
}
