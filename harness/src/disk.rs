//! Disk images: made for a run, handed to QEMU, hashed for the comparison with the guest's digest.

use crate::pattern;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// One virtio-blk device.
#[derive(Clone, Debug)]
pub struct Disk {
    /// The image.
    pub image: PathBuf,
    /// The device's answer to GET_ID; the kernel's `blk-pattern` overwrites the disk named `scratch`.
    pub serial: String,
    /// Whether the guest's writes reach the image.
    pub write: bool,
    /// Whether the device is read-only to the guest.
    pub read_only: bool,
    /// Whether the guest's discards free space in the image.
    pub unmap: bool,
    /// The socket of the vhost-user server that is the device, if QEMU is not.
    pub server: Option<PathBuf>,
}

impl Disk {
    /// A disk that the guest reads and whose image never changes.
    #[must_use]
    pub fn data(image: PathBuf) -> Self {
        Self { image, serial: "data".to_owned(), write: false, read_only: false, unmap: false, server: None }
    }

    /// A disk whose image the guest's writes change.
    #[must_use]
    pub fn scratch(image: PathBuf) -> Self {
        Self {
            image,
            serial: "scratch".to_owned(),
            write: true,
            read_only: false,
            unmap: false,
            server: None,
        }
    }
}

/// Writes an image of `bytes` whose content depends on `seed` alone.
///
/// # Errors
/// The error of the file system.
pub fn make(path: &Path, bytes: u64, seed: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    let mut block = vec![0; 1 << 16];
    let mut done = 0;
    while done < bytes {
        let take = usize::try_from((bytes - done).min(block.len() as u64)).unwrap_or(0);
        // Not the pattern of `blk-pattern`: that must not be there before the guest writes it.
        pattern::fill(!seed.wrapping_add(done), &mut block[..take]);
        file.write_all(&block[..take])?;
        done += take as u64;
    }
    file.flush()
}

/// Writes an image of `bytes` zeros.
///
/// # Errors
/// The error of the file system.
pub fn make_empty(path: &Path, bytes: u64) -> io::Result<()> {
    File::create(path)?.set_len(bytes)
}

/// SHA-256, in lower-case hexadecimal, of the first `limit` bytes as a guest sees them: a raw image whose
/// last sector is incomplete is filled up with zeros.
///
/// # Errors
/// The error of the file system.
pub fn sha256(path: &Path, limit: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let bytes = file.seek(SeekFrom::End(0))?;
    file.rewind()?;
    let mut hash = Sha256::new();
    let mut taken = 0;
    let mut input = file.take(limit);
    let mut block = vec![0; 1 << 16];
    loop {
        match input.read(&mut block)? {
            0 => break,
            n => {
                hash.update(&block[..n]);
                taken += n as u64;
            }
        }
    }
    let seen = bytes.next_multiple_of(512).min(limit);
    while taken < seen {
        hash.update([0]);
        taken += 1;
    }
    Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

/// Whether the image is QEMU's own format rather than the plain bytes of a disk.
///
/// # Errors
/// The error of the file system.
pub fn is_qcow2(path: &Path) -> io::Result<bool> {
    let mut magic = [0; 4];
    match File::open(path)?.read_exact(&mut magic) {
        Ok(()) => Ok(&magic == b"QFI\xfb"),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_sha256_of_what_the_guest_sees() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        std::fs::write(&path, b"abc").unwrap();
        assert_eq!(
            sha256(&path, 3).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        let mut padded = vec![0; 512];
        padded[..3].copy_from_slice(b"abc");
        let expected: String = Sha256::digest(&padded).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(sha256(&path, 1 << 20).unwrap(), expected);
    }

    #[test]
    fn an_image_follows_from_its_seed() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|n| dir.path().join(n));
        make(&a, 200_000, 1).unwrap();
        make(&b, 200_000, 1).unwrap();
        make(&c, 200_000, 2).unwrap();
        assert_eq!(std::fs::metadata(&a).unwrap().len(), 200_000);
        assert_eq!(sha256(&a, u64::MAX).unwrap(), sha256(&b, u64::MAX).unwrap());
        assert_ne!(sha256(&a, u64::MAX).unwrap(), sha256(&c, u64::MAX).unwrap());
        assert!(pattern::verify(1, File::open(&a).unwrap()).is_err());
    }

    #[test]
    fn a_qcow2_image_is_known_by_its_magic() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        std::fs::write(&path, b"QFI\xfb rest").unwrap();
        assert!(is_qcow2(&path).unwrap());
        std::fs::write(&path, b"QF").unwrap();
        assert!(!is_qcow2(&path).unwrap());
    }
}
