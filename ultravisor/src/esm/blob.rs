//! Compares the guest with its ESM blob, and keeps the blob's key and files for UV_ESMB_GET_FILE.
//!
//! Source: open-power/ultravisor `svm/svm-esm.c`, `svm/svm-esmb.c`. Where the source reads beyond a length, or writes
//! beyond a buffer, this code aborts.

use std::io;

use esm_blob::{Blob, Digests, MACHINE_LOCKBOX, PrivateKey, ReadError, SymmetricKey, archive, sha512};

use super::paging::Paging;
use super::{EsmReport, Requirement};
use crate::frames::FRAME_SIZE;
use crate::image;
use crate::ram::GuestRam;

/// The parts of a blob that are kept.
#[derive(Default)]
pub(crate) struct Contents {
    key: Option<SymmetricKey>,
    files: Vec<u8>,
}

/// What the blob is compared with.
pub(super) struct Guest<'a> {
    pub(super) ram: &'a GuestRam,
    /// Where the RTAS text is, and its bytes; unknown under firmware that does not say.
    pub(super) rtas: Option<(u64, u64)>,
    /// Without their final byte.
    pub(super) bootargs: &'a [u8],
    /// All of it, and where it is.
    pub(super) initrd: &'a [u8],
    pub(super) at: u64,
}

impl Guest<'_> {
    /// Returns what is wrong. All digests are compared; an error before that ends the check.
    pub(super) fn check(
        &self,
        tpm: &PrivateKey,
        report: &mut EsmReport,
        paging: &mut Paging<'_>,
        contents: &mut Contents,
    ) -> io::Result<Vec<Requirement>> {
        let found = match archive::find(self.initrd, self.at) {
            Ok(found) => found,
            Err(error) => return Ok(vec![Requirement::BlobFound(error)]),
        };
        let initrd = self.initrd.get(found.initrd).unwrap_or_default();
        report.initrd_sha512 = Some(image::sha512(initrd));
        let digests = match open(self.initrd.get(found.blob).unwrap_or_default(), tpm, contents) {
            Ok(digests) => digests,
            Err(error) => return Ok(vec![Requirement::BlobRead(error)]),
        };
        report.blob = true;

        let mut wrong = Vec::new();
        let mut compare = |what, expected: &[u8; 64], bytes: Option<&[u8]>| {
            if bytes.map(sha512) != Some(*expected) {
                wrong.push(Requirement::Digest(what));
            }
        };
        if let Some((base, size)) = self.rtas {
            let text = self.ram.read(base, size)?;
            report.rtas_sha512 = text.as_deref().map(image::sha512);
            compare("RTAS text", &digests.rtas, text.as_deref());
        }
        let (base, size) = (report.kernel_base, u64::from(digests.kernel_size));
        if !paging.page_in(base, size) {
            return Ok(vec![Requirement::KernelInRam]);
        }
        report.needed.push(base..base.saturating_add(size));
        compare("kernel", &digests.kernel, self.ram.read(base, size)?.as_deref());
        compare("initrd", &digests.initrd, Some(initrd));
        compare("command line", &digests.bootargs, Some(self.bootargs));
        Ok(wrong)
    }
}

/// Opens a blob. Takes its files first, whatever the rest comes to; a blob without files is no error.
fn open(bytes: &[u8], tpm: &PrivateKey, contents: &mut Contents) -> Result<Digests, ReadError> {
    let blob = Blob::read(bytes)?;
    contents.files = blob.files_tree().unwrap_or_default().to_vec();
    let key = blob.open_lockbox(MACHINE_LOCKBOX, tpm)?;
    let digests = blob.digests(&key);
    contents.key = Some(key);
    digests
}

/// The two reservations in guest memory that hold the blob's key and its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Esmb {
    /// Where the key is.
    pub(crate) key: u64,
    /// Where the tree of files is.
    pub(crate) files: u64,
}

impl Esmb {
    /// Where they are, once UV_ESM has placed them.
    pub(crate) fn of(report: &EsmReport) -> Option<Self> {
        match report.reservations.as_slice() {
            [(key, _), (files, _), ..] => Some(Self { key: *key, files: *files }),
            _ => None,
        }
    }

    /// Writes key and files there, as the ultravisor does. Without a blob both stay empty.
    pub(super) fn keep(self, ram: &GuestRam, contents: &Contents) -> io::Result<()> {
        if let Some(key) = &contents.key {
            ram.write(self.key, key.bytes())?;
        }
        ram.write(self.files, &contents.files)?;
        Ok(())
    }

    /// The key, and the tree of the files, as they are there now.
    pub(crate) fn contents(self, ram: &GuestRam) -> io::Result<(SymmetricKey, Vec<u8>)> {
        let key = ram.read(self.key, 32)?.and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
        Ok((SymmetricKey::from_bytes(key), ram.read(self.files, FRAME_SIZE)?.unwrap_or_default()))
    }
}

#[cfg(test)]
#[path = "blob/tests.rs"]
mod tests;
