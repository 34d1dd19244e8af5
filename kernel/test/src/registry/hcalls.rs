//! Tests of hypercalls that the hypervisor must refuse.

use super::not_ok::{NotOk, same};
use papr::hcall::{HcallError, calls};
use postern_kernel::platform::pseries::Pseries;

/// No call has this number (PAPR+ 14.5.1).
const UNKNOWN: u64 = 0xeffc;
const H_FUNCTION: i64 = -2;
/// No table has this number.
const NO_TABLE: u32 = 0x7fff_fff0;

/// An unknown number is answered with H_FUNCTION.
pub fn unknown() -> Result<(), NotOk> {
    // SAFETY: no hypervisor does anything at a number of no call. A secure guest does not make it: its ultravisor stops at
    // such a number.
    let (status, _) = unsafe { postern_arch::hcall(UNKNOWN, [0; 4]) };
    same("the status of a hypercall that does not exist", status.cast_unsigned(), H_FUNCTION.cast_unsigned())
}

/// A table that does not exist is answered with H_PARAMETER.
pub fn parameter() -> Result<(), NotOk> {
    match calls::get_tce(&Pseries, NO_TABLE, 0) {
        Err(HcallError::Parameter(1)) => Ok(()),
        Err(error) => Err(NotOk::Hcall("H_GET_TCE of no table", error)),
        Ok(_) => Err(NotOk::NotRefused("an entry of a table that is not there")),
    }
}
