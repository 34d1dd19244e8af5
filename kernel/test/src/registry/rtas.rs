//! RTAS's answer to a call that it cannot carry out.

use super::not_ok::NotOk;
use papr::platform::Rtas;
use papr::rtas::{RtasError, Service};
use postern_kernel::platform::pseries::Pseries;

/// No interrupt source has this number: they have 24 bits, and the machine has a few thousand.
const NO_SOURCE: u32 = 0x00ff_fff0;

/// A source that does not exist cannot be masked.
pub fn parameter() -> Result<(), NotOk> {
    match Pseries.rtas(Service::InterruptOff, &[NO_SOURCE], &mut []) {
        Err(RtasError::Parameter) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => Err(NotOk::NotRefused("masking of an interrupt source that is not there")),
    }
}
