//! Makes, shows and verifies ESM blobs.

use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use esm_blob::archive::{self, ArchiveError};
use esm_blob::{
    Blob, Digests, KeyError, MACHINE_LOCKBOX, MakeError, PrivateKey, PublicKey, RTAS_TEXT, ReadError, Recipe,
};

use crate::image::{ImageError, KernelImage};

/// The lockbox of a blob's maker.
const ORIGIN_LOCKBOX: &str = "origin-lockbox";

/// Why a blob could not be made or read.
#[derive(Debug)]
pub enum BlobError {
    /// A file cannot be read or written.
    File(PathBuf, io::Error),
    /// A file holds no key.
    Key(PathBuf, KeyError),
    /// A file is no kernel.
    Kernel(PathBuf, ImageError),
    /// A blob cannot be made of this.
    Make(MakeError),
    /// No archive with a blob.
    Archive(PathBuf, ArchiveError),
    /// A blob that cannot be read.
    Read(PathBuf, ReadError),
}

impl fmt::Display for BlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Key(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Kernel(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Make(error) => write!(f, "{error}"),
            Self::Archive(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Read(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for BlobError {}

/// What boots, beside the initrd.
#[derive(Clone, Debug)]
pub struct Boots {
    /// The kernel's ELF file.
    pub kernel: PathBuf,
    /// The command line, as QEMU's `-append` has it.
    pub append: String,
    /// The RTAS text, if not SLOF's.
    pub rtas: Option<PathBuf>,
}

impl Boots {
    fn digests(&self, initrd: &[u8]) -> Result<Digests, BlobError> {
        let kernel = KernelImage::load(&self.kernel);
        let kernel = kernel.map_err(|error| BlobError::Kernel(self.kernel.clone(), error))?.flat();
        let rtas = self.rtas.as_deref().map_or_else(|| Ok(RTAS_TEXT.to_vec()), file)?;
        Digests::of(&kernel, self.append.as_bytes(), initrd, &rtas).map_err(BlobError::Make)
    }
}

/// What a blob is made of.
#[derive(Clone, Debug)]
pub struct Make {
    /// What boots.
    pub boots: Boots,
    /// The initrd; an empty one, if there is none.
    pub initrd: Option<PathBuf>,
    /// The maker's key, as PEM; public or private.
    pub origin: PathBuf,
    /// The keys of the machines that may start the guest, likewise.
    pub to: Vec<PathBuf>,
    /// Files for the guest alone: name, and where the content is.
    pub files: Vec<(String, PathBuf)>,
    /// A line for people, in the clear.
    pub comment: String,
}

impl Make {
    /// The initrd to boot with: the blob's archive, and the initrd that is measured behind it.
    ///
    /// # Errors
    /// [`BlobError`].
    pub fn initrd(&self) -> Result<Vec<u8>, BlobError> {
        let initrd = self.initrd.as_deref().map_or_else(|| Ok(Vec::new()), file)?;
        let mut recipe = Recipe::new(public_key(&self.origin)?, self.boots.digests(&initrd)?);
        recipe.recipients = self.to.iter().map(|path| public_key(path)).collect::<Result<_, _>>()?;
        recipe.comment.clone_from(&self.comment);
        for (name, path) in &self.files {
            recipe.files.push((name.clone(), file(path)?));
        }
        let blob = recipe.make().map_err(BlobError::Make)?;
        archive::prepend(&blob, &initrd).map_err(|error| BlobError::Archive(self.boots.kernel.clone(), error))
    }

    /// Writes [`Self::initrd`] to a new file.
    ///
    /// # Errors
    /// [`BlobError`]; also where there is such a file already.
    pub fn write(&self, out: &Path) -> Result<(), BlobError> {
        let initrd = self.initrd()?;
        let written = File::create_new(out).and_then(|mut file| file.write_all(&initrd));
        written.map_err(|error| BlobError::File(out.into(), error))
    }
}

/// A blob in a file: an initrd with its archive in front, or nothing but the blob.
struct Found {
    path: PathBuf,
    bytes: Vec<u8>,
    at: archive::Found,
}

impl Found {
    fn read(path: &Path) -> Result<Self, BlobError> {
        let bytes = file(path)?;
        let at = match archive::find(&bytes, 0) {
            Ok(at) => at,
            Err(ArchiveError::NoArchive) => {
                archive::Found { blob: 0..bytes.len(), initrd: bytes.len()..bytes.len() }
            }
            Err(error) => return Err(BlobError::Archive(path.into(), error)),
        };
        Ok(Self { path: path.into(), bytes, at })
    }

    fn blob(&self) -> Result<Blob<'_>, BlobError> {
        Blob::read(self.bytes.get(self.at.blob.clone()).unwrap_or_default())
            .map_err(|error| self.wrong(error))
    }

    fn initrd(&self) -> &[u8] {
        self.bytes.get(self.at.initrd.clone()).unwrap_or_default()
    }

    fn wrong(&self, error: ReadError) -> BlobError {
        BlobError::Read(self.path.clone(), error)
    }

    /// What is sealed, for a machine's key or for the maker's.
    fn digests(&self, blob: &Blob<'_>, key: &Path) -> Result<Digests, BlobError> {
        let key = private_key(key)?;
        let opened = blob.open_lockbox(MACHINE_LOCKBOX, &key);
        let opened = opened.or_else(|first| blob.open_lockbox(ORIGIN_LOCKBOX, &key).map_err(|_| first));
        opened.and_then(|key| blob.digests(&key)).map_err(|error| self.wrong(error))
    }
}

/// Describes the blob in this file: the parts in the clear and, with a key for it, the digests.
///
/// # Errors
/// [`BlobError`].
pub fn show(path: &Path, key: Option<&Path>) -> Result<String, BlobError> {
    let found = Found::read(path)?;
    let blob = found.blob()?;
    let mut text = String::new();
    let mut line = |arguments: fmt::Arguments<'_>| text += &format!("{arguments}\n");
    line(format_args!("blob: bytes {} to {} of {}", found.at.blob.start, found.at.blob.end, path.display()));
    for lockbox in blob.lockboxes().map_err(|error| found.wrong(error))? {
        let comment = lockbox.comment.escape_default();
        line(format_args!(
            "{}: for the key with SHA-256 {} ({comment})",
            lockbox.name,
            hex(&lockbox.fingerprint)
        ));
    }
    match blob.files().and_then(|files| files.list()) {
        Ok(files) => files
            .iter()
            .for_each(|(name, bytes)| line(format_args!("file {}: {bytes} bytes", name.escape_default()))),
        Err(ReadError::NoNode(_)) => {}
        Err(error) => return Err(found.wrong(error)),
    }
    if let Some(key) = key {
        let digests = found.digests(&blob, key)?;
        line(format_args!("kernel: {} bytes, SHA-512 {}", digests.kernel_size, hex(&digests.kernel)));
        for (what, digest) in parts(&digests).into_iter().skip(1) {
            line(format_args!("{what}: SHA-512 {}", hex(digest)));
        }
    }
    Ok(text)
}

/// Compares the blob in this initrd with what boots: each part, and whether it is equal.
///
/// # Errors
/// [`BlobError`].
pub fn compare(path: &Path, key: &Path, boots: &Boots) -> Result<Vec<(&'static str, bool)>, BlobError> {
    let found = Found::read(path)?;
    let stated = found.digests(&found.blob()?, key)?;
    let real = boots.digests(found.initrd())?;
    let size = ("kernel-size", stated.kernel_size == real.kernel_size);
    let same = |(stated, real): ((&'static str, &[u8; 64]), (_, &[u8; 64]))| (stated.0, stated.1 == real.1);
    Ok(parts(&stated).into_iter().zip(parts(&real)).map(same).chain([size]).collect())
}

fn parts(digests: &Digests) -> [(&'static str, &[u8; 64]); 4] {
    [
        ("kernel", &digests.kernel),
        ("command line", &digests.bootargs),
        ("initrd", &digests.initrd),
        ("RTAS text", &digests.rtas),
    ]
}

fn file(path: &Path) -> Result<Vec<u8>, BlobError> {
    std::fs::read(path).map_err(|error| BlobError::File(path.into(), error))
}

fn pem(path: &Path) -> Result<String, BlobError> {
    std::fs::read_to_string(path).map_err(|error| BlobError::File(path.into(), error))
}

/// A private key, as the machine's TPM has it.
///
/// # Errors
/// [`BlobError::File`], [`BlobError::Key`].
pub fn private_key(path: &Path) -> Result<PrivateKey, BlobError> {
    PrivateKey::from_pem(&pem(path)?).map_err(|error| BlobError::Key(path.into(), error))
}

/// A public key, or that of a private one.
fn public_key(path: &Path) -> Result<PublicKey, BlobError> {
    let text = pem(path)?;
    let key = PublicKey::from_pem(&text);
    key.or_else(|error| PrivateKey::from_pem(&text).map(|key| key.to_public()).map_err(|_| error))
        .map_err(|error| BlobError::Key(path.into(), error))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
