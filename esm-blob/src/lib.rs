//! The ESM blob of a secure VM: the digests with which the ultravisor compares a guest before it makes the guest secure,
//! and files for that guest alone.
//!
//! The format is svm-tools'. A blob is a flattened device tree with three parts:
//!
//! - **lockboxes**: the blob's 32-byte key, once for each RSA key that may have it (OAEP with SHA-256). `origin-lockbox` is
//!   the maker's. An ultravisor opens `lockbox-1` alone.
//! - **digests**: SHA-512 of kernel, command line, initrd and RTAS text, sealed with that key (AES-256-GCM, 16-byte iv).
//! - **files**: sealed the same way, in a tree of their own. A guest reads them with UV_ESMB_GET_FILE.
//!
//! The blob travels in an archive in front of the initrd ([`archive`]).
//!
//! Reading is bounded, and a hostile blob gives a named error: [`ReadError`], [`archive::ArchiveError`].
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let pem = include_str!("../tests/data/machine.pem");
//! use esm_blob::{Blob, Digests, PrivateKey, Recipe, archive};
//!
//! let machine = PrivateKey::from_pem(pem)?;
//! let digests = Digests::of(b"kernel", b"console=hvc0", b"initrd", &esm_blob::RTAS_TEXT)?;
//! let mut recipe = Recipe::new(machine.to_public(), digests);
//! recipe.recipients.push(machine.to_public());
//! recipe.files.push(("disk-key".to_owned(), b"secret".to_vec()));
//! let initrd = archive::prepend(&recipe.make()?, b"initrd")?;
//!
//! let found = archive::find(&initrd, 0)?;
//! let blob = Blob::read(&initrd[found.blob])?;
//! let key = blob.open_lockbox("lockbox-1", &machine)?;
//! assert_eq!(blob.digests(&key)?.initrd, esm_blob::sha512(&initrd[found.initrd]));
//! assert_eq!(*blob.files()?.open("disk-key", &key)?, b"secret");
//! # Ok(())
//! # }
//! ```
//!
//! Source: open-power/svm-tools ac4e8b6 `docs/README.ESM`, `svm_tool/esm/esm.py`; open-power/ultravisor 6366959
//! `svm/svm-esm.c`, `svm/svm-esmb.c`.

#![forbid(unsafe_code)]

pub mod archive;
mod digests;
mod error;
mod keys;
mod make;
mod read;
mod seal;
mod tree;

pub use digests::{Digests, RTAS_TEXT, sha512};
pub use error::{MakeError, ReadError};
pub use keys::{KeyError, PrivateKey, PublicKey, SymmetricKey};
pub use make::Recipe;
pub use pseries_tree::FdtError;
pub use read::{Blob, Files, Lockbox};

/// The lockbox that an ultravisor opens.
pub const MACHINE_LOCKBOX: &str = "lockbox-1";
/// Most bytes of the tree of files: the ultravisor copies it into one 64 KiB frame.
pub const MAX_FILES: usize = 0x1_0000;
/// Most bytes of the digests' tree: the ultravisor has a buffer of this size.
pub const MAX_DIGESTS: usize = 4096;
/// Longest name of a file, in characters: the limit of device tree node names.
pub const MAX_NAME: usize = 31;
