//! Reading a blob: lockboxes, digests, files.

use zeroize::Zeroizing;

use crate::digests::{Digests, exact};
use crate::error::ReadError;
use crate::keys::{PrivateKey, SymmetricKey};
use crate::tree::{Tree, property, text};
use crate::{MAX_DIGESTS, MAX_FILES, seal};

/// A blob.
#[derive(Debug)]
pub struct Blob<'a>(Tree<'a>);

/// A lockbox, as anybody can see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lockbox {
    /// `origin-lockbox`, or `lockbox-` and a number.
    pub name: String,
    /// Its maker's comment.
    pub comment: String,
    /// SHA-256 of the PEM text of the key that it is for.
    pub fingerprint: [u8; 32],
}

impl<'a> Blob<'a> {
    /// Checks the tree as a whole.
    ///
    /// # Errors
    /// [`ReadError::Tree`], [`ReadError::Compatible`].
    pub fn read(bytes: &'a [u8]) -> Result<Self, ReadError> {
        let tree = Tree::read(bytes)?;
        tree.check_compatible("ibm,esm")?;
        Ok(Self(tree))
    }

    /// All lockboxes, in their order.
    ///
    /// # Errors
    /// One of them lacks something.
    pub fn lockboxes(&self) -> Result<Vec<Lockbox>, ReadError> {
        let lockbox = |node: fdt::node::FdtNode<'_, '_>| {
            let fingerprint = node.children().find(|child| child.name == "pubkey-fingerprint");
            let missing = || ReadError::NoNode(format!("/lockboxes/{}/pubkey-fingerprint", node.name));
            let fingerprint = fingerprint.ok_or_else(missing)?;
            Ok(Lockbox {
                name: node.name.to_owned(),
                comment: text(node, "untrusted-comment")?,
                fingerprint: exact("hash", property(fingerprint, "hash")?)?,
            })
        };
        self.0.node(&["lockboxes"])?.children().map(lockbox).collect()
    }

    /// The blob's key, from one lockbox.
    ///
    /// # Errors
    /// The lockbox is not there, or the key does not open it.
    pub fn open_lockbox(&self, name: &str, key: &PrivateKey) -> Result<SymmetricKey, ReadError> {
        let lockbox = self.0.node(&["lockboxes", name])?;
        key.unwrap(name, property(lockbox, "encrypted-symkey")?)
    }

    /// The digests of the parts that must boot.
    ///
    /// # Errors
    /// The key does not open them, or they lack something.
    pub fn digests(&self, key: &SymmetricKey) -> Result<Digests, ReadError> {
        Digests::from_tree(&seal::open(self.0.node(&["digest", "digests-fdt"])?, key, MAX_DIGESTS)?)
    }

    /// The tree of the files, as the ultravisor copies it.
    ///
    /// # Errors
    /// The blob has no tree of files ([`ReadError::NoProperty`]), or the tree is too long.
    pub fn files_tree(&self) -> Result<&'a [u8], ReadError> {
        let tree = property(self.0.node(&["file"])?, "files-fdt")?;
        let too_long = ReadError::TooLong { property: "files-fdt", have: tree.len(), most: MAX_FILES };
        if tree.len() > MAX_FILES { Err(too_long) } else { Ok(tree) }
    }

    /// The files.
    ///
    /// # Errors
    /// As [`Self::files_tree`], and what is wrong with the tree.
    pub fn files(&self) -> Result<Files<'a>, ReadError> {
        Files::read(self.files_tree()?)
    }
}

/// The sealed files of a blob.
#[derive(Debug)]
pub struct Files<'a>(Tree<'a>);

impl<'a> Files<'a> {
    /// Reads the tree of files.
    ///
    /// # Errors
    /// The bytes are no tree of files.
    pub fn read(bytes: &'a [u8]) -> Result<Self, ReadError> {
        let tree = Tree::read(bytes)?;
        tree.check_compatible("ibm,esm-file")?;
        Ok(Self(tree))
    }

    /// Names and lengths.
    ///
    /// # Errors
    /// No node for them, or one without a ciphertext.
    pub fn list(&self) -> Result<Vec<(String, usize)>, ReadError> {
        let files = self.0.node(&["files"])?;
        files.children().map(|file| Ok((file.name.to_owned(), property(file, "ciphertext")?.len()))).collect()
    }

    /// A file's content.
    ///
    /// # Errors
    /// It is not there, the key does not open it, or somebody changed it.
    pub fn open(&self, name: &str, key: &SymmetricKey) -> Result<Zeroizing<Vec<u8>>, ReadError> {
        seal::open(self.0.node(&["files", name])?, key, MAX_FILES)
    }
}
