//! Making a blob.

use std::collections::BTreeSet;

use vm_fdt::FdtWriter;

use crate::digests::Digests;
use crate::error::MakeError;
use crate::keys::{PublicKey, SymmetricKey};
use crate::{MAX_FILES, MAX_NAME, seal};

/// What goes into a blob.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Key of the maker, who may change the blob later.
    pub origin: PublicKey,
    /// Machines that may start the guest, as `lockbox-1` and so on. An ultravisor opens the first only.
    pub recipients: Vec<PublicKey>,
    /// Digests of the parts that boot.
    pub digests: Digests,
    /// Files for the guest alone: name and content.
    pub files: Vec<(String, Vec<u8>)>,
    /// A line for people, in the clear.
    pub comment: String,
}

impl Recipe {
    /// A blob without a lockbox for a machine and without files.
    #[must_use]
    pub const fn new(origin: PublicKey, digests: Digests) -> Self {
        Self { origin, recipients: Vec::new(), digests, files: Vec::new(), comment: String::new() }
    }

    /// Makes it, with a new key.
    ///
    /// # Errors
    /// [`MakeError`].
    pub fn make(&self) -> Result<Vec<u8>, MakeError> {
        if self.comment.contains(['\n', '\0']) {
            return Err(MakeError::Comment(self.comment.clone()));
        }
        let key = SymmetricKey::generate()?;
        let mut tree = FdtWriter::new()?;
        let root = tree.begin_node("")?;
        tree.property_string("compatible", "ibm,esm")?;

        let lockboxes = tree.begin_node("lockboxes")?;
        self.lockbox(&mut tree, "origin-lockbox", &self.origin, &key)?;
        for (number, recipient) in (1..).zip(&self.recipients) {
            self.lockbox(&mut tree, &format!("lockbox-{number}"), recipient, &key)?;
        }
        tree.end_node(lockboxes)?;

        let digest = tree.begin_node("digest")?;
        seal::write(&mut tree, "digests-fdt", &self.comment, &key, &self.digests.to_tree()?)?;
        tree.end_node(digest)?;

        let file = tree.begin_node("file")?;
        if !self.files.is_empty() {
            tree.property("files-fdt", &self.files_tree(&key)?)?;
        }
        tree.end_node(file)?;
        tree.end_node(root)?;
        Ok(tree.finish()?)
    }

    fn lockbox(
        &self,
        tree: &mut FdtWriter,
        name: &str,
        owner: &PublicKey,
        key: &SymmetricKey,
    ) -> Result<(), MakeError> {
        let lockbox = tree.begin_node(name)?;
        tree.property_string("untrusted-comment", &self.comment)?;
        tree.property("encrypted-symkey", &owner.wrap(key)?)?;
        let fingerprint = tree.begin_node("pubkey-fingerprint")?;
        tree.property_string("algorithm", "SHA256")?;
        tree.property("hash", &owner.fingerprint())?;
        tree.end_node(fingerprint)?;
        tree.end_node(lockbox)?;
        Ok(())
    }

    /// The tree of the files. It is a separate tree, because the ultravisor keeps only this part of the blob.
    fn files_tree(&self, key: &SymmetricKey) -> Result<Vec<u8>, MakeError> {
        let mut tree = FdtWriter::new()?;
        let root = tree.begin_node("")?;
        tree.property_string("compatible", "ibm,esm-file")?;
        let files = tree.begin_node("files")?;
        let mut names = BTreeSet::new();
        for (name, content) in &self.files {
            if !is_name(name) {
                return Err(MakeError::Name(name.clone()));
            }
            if !names.insert(name) {
                return Err(MakeError::Twice(name.clone()));
            }
            // A longer content makes the tree too long in any case.
            if content.len() > MAX_FILES {
                return Err(MakeError::FilesTooLong(content.len()));
            }
            seal::write(&mut tree, name, &self.comment, key, content)?;
        }
        tree.end_node(files)?;
        tree.end_node(root)?;
        let tree = tree.finish()?;
        if tree.len() > MAX_FILES { Err(MakeError::FilesTooLong(tree.len())) } else { Ok(tree) }
    }
}

/// A device tree's rule for names, which svm-tools check.
fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b",._+-".contains(&byte);
    name.len() <= MAX_NAME
        && name.bytes().all(fits)
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
}
