//! An ESM blob for a guest of the harness. Digests are computed from the files that boot, not from guest memory.

use crate::qemu::command::Machine;
use esm_blob::archive::{self, ArchiveError};
use esm_blob::{Digests, KeyError, MakeError, PrivateKey, RTAS_TEXT, Recipe};
use postern_ultravisor::image::{ImageError, KernelImage};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// An error of making a blob.
#[derive(Debug)]
pub enum BlobError {
    /// The kernel's file could not be read.
    Kernel(ImageError),
    /// The key could not be made.
    Key(KeyError),
    /// The blob could not be made.
    Make(MakeError),
    /// The blob does not fit into the initrd's archive.
    Archive(ArchiveError),
    /// The initrd's file could not be written.
    File(PathBuf, io::Error),
}

impl fmt::Display for BlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(error) => write!(f, "ESM blob: kernel: {error}"),
            Self::Key(error) => write!(f, "ESM blob: {error}"),
            Self::Make(error) => write!(f, "ESM blob: {error}"),
            Self::Archive(error) => write!(f, "ESM blob: {error}"),
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for BlobError {}

/// The digests of a machine's kernel and command line, of this initrd, and of SLOF's RTAS text.
///
/// # Errors
/// The kernel's file cannot be read as an image.
pub fn digests(machine: &Machine, initrd: &[u8]) -> Result<Digests, BlobError> {
    let kernel = KernelImage::load(&machine.kernel).map_err(BlobError::Kernel)?;
    Digests::of(&kernel.flat(), machine.bootargs.as_bytes(), initrd, &RTAS_TEXT).map_err(BlobError::Make)
}

/// Makes the blob and writes it and the initrd to this file.
///
/// # Errors
/// The blob cannot be made, or the file cannot be written.
pub fn write(recipe: &Recipe, initrd: &[u8], to: &Path) -> Result<(), BlobError> {
    let blob = recipe.make().map_err(BlobError::Make)?;
    let whole = archive::prepend(&blob, initrd).map_err(BlobError::Archive)?;
    std::fs::write(to, whole).map_err(|error| BlobError::File(to.to_path_buf(), error))
}

/// Gives a machine whose command line is complete a blob with these files, for a key that is made here.
///
/// # Errors
/// See [`BlobError`].
pub fn demo(
    machine: &Machine,
    initrd: &[u8],
    files: Vec<(String, Vec<u8>)>,
) -> Result<PrivateKey, BlobError> {
    let key = PrivateKey::generate().map_err(BlobError::Key)?;
    let mut recipe = Recipe::new(key.to_public(), digests(machine, initrd)?);
    recipe.recipients.push(key.to_public());
    recipe.files = files;
    recipe.comment = "made for one run".to_owned();
    write(&recipe, initrd, machine.initrd.as_deref().unwrap_or(Path::new("")))?;
    Ok(key)
}
