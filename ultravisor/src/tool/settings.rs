//! Settings of the ultravisor that `run` and `attach` share.

use std::path::{Path, PathBuf};

use super::blob::{BlobError, private_key};
use crate::{Behaviour, Config, Faults, Firmware, Guest};

/// Settings of `run` and of `attach`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether tests of MSR\[S\] are changed.
    pub patch: bool,
    /// Which description the ultravisor follows.
    pub behaviour: Behaviour,
    /// What goes wrong on purpose.
    pub faults: Faults,
    /// Where calls go, and the summary, as JSON lines.
    pub json: Option<PathBuf>,
    /// The private key in the TPM's place, as PEM: UV_ESM opens the guest's ESM blob with it.
    pub key: Option<PathBuf>,
}

impl Settings {
    /// The ultravisor for this kernel.
    ///
    /// # Errors
    /// The key cannot be read.
    pub fn config(&self, kernel: &Path, firmware: Firmware) -> Result<Config, BlobError> {
        Ok(Config {
            tpm: self.key.as_deref().map(private_key).transpose()?,
            behaviour: self.behaviour,
            faults: self.faults.clone(),
            guest: Guest::Any { patch_msr: self.patch },
            log: self.json.clone(),
            ..Config::new(kernel.to_owned(), firmware)
        })
    }
}
