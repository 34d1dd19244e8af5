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

/// A secret. It is never shown, never moved, and cleared when it is dropped.
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

    /// The file's content.
    pub fn bytes(&self) -> &[u8] {
        self.memory.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        // The sabotage image leaves the secret here; the tests have to find it.
        if cfg!(sabotage_careless) {
            return;
        }
        // SAFETY: the box is this value's own RAM. The stores are assembly, so the compiler does not remove them although
        // nobody reads them.
        unsafe { postern_arch::zero(self.memory.as_mut_ptr(), self.memory.len()) };
    }
}

/// Reads the secret from the ultravisor. `None` without `secret=`, and in an ordinary guest, where a warning says that
/// the word has no effect.
///
/// # Errors
/// The ultravisor does not give it. The run then ends, because the work must not be done without the secret.
pub fn fetch(options: &Options, mode: Mode, report: &mut Report) -> Result<Option<Secret>, Stop> {
    let Some(name) = options.secret.filter(|_| mode.is_secure()) else { return Ok(None) };
    let secret = Secret::fetch(name)?;
    let bytes = secret.bytes().len();
    report.step("secret", format_args!("{name}, {bytes} bytes, from the ESM blob into private memory"));
    report.fact(boot::SECRET_FILE, name);
    report.fact(boot::SECRET_BYTES, bytes);
    Ok(Some(secret))
}
