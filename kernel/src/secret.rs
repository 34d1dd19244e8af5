//! The secret that `secret=` names: a file of the ESM blob, in private memory for as long as the work lasts.

use crate::platform::pseries::Pseries;
use crate::report::Report;
use crate::stop::Stop;
use alloc::boxed::Box;
use alloc::vec;
use papr::ultracall::file::{self, END_OF_OFFSETS, FileName};
use postern_core::cmdline::Options;
use postern_core::facts::boot;
use postern_core::secure::Mode;

/// A secret. It is never shown, it is never moved, and it is cleared when it is dropped.
pub struct Secret {
    memory: Box<[u8]>,
    len: usize,
}

impl Secret {
    fn fetch(name: FileName) -> Result<Self, Stop> {
        let mut secret = Self { memory: vec![0; END_OF_OFFSETS].into_boxed_slice(), len: 0 };
        secret.len =
            file::read(&Pseries, &name, &mut secret.memory).map_err(|error| Stop::Secret(name, error))?;
        Ok(secret)
    }

    /// What the file holds.
    pub fn bytes(&self) -> &[u8] {
        self.memory.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        // SAFETY: the box is RAM of this value's own. The stores are assembly: no compiler leaves them out because nobody
        // reads what they wrote.
        unsafe { postern_arch::zero(self.memory.as_mut_ptr(), self.memory.len()) };
    }
}

/// Fetches the secret, once. An ordinary guest has nobody to ask, and is told so by a warning about the word.
///
/// # Errors
/// The ultravisor does not give it: whoever asks for a secret does not want the work done without.
pub fn fetch(options: &Options, mode: Mode, report: &mut Report) -> Result<Option<Secret>, Stop> {
    let Some(name) = options.secret.filter(|_| mode.is_secure()) else { return Ok(None) };
    let secret = Secret::fetch(name)?;
    let bytes = secret.bytes().len();
    report.step("secret", format_args!("{name}, {bytes} bytes, from the ESM blob into private memory"));
    report.fact(boot::SECRET_FILE, name);
    report.fact(boot::SECRET_BYTES, bytes);
    Ok(Some(secret))
}
