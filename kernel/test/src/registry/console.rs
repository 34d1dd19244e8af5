//! Tests of the hypervisor's terminals.

use super::not_ok::NotOk;
use core::time::Duration;
use papr::clock::Deadline;
use papr::hcall::{HcallError, calls};
use postern_kernel::platform::pseries::Pseries;

/// Stands for the first terminal (QEMU `hw/char/spapr_vty.c`).
const FIRST: u32 = 0;
/// No terminal has this number.
const NONE: u32 = 0x7fff_fff0;
/// As many bytes as one call takes: a comment of TAP.
const TEXT: &[u8; calls::TERMINAL_BYTES] = b"# 16 bytes here\n";
/// How long a terminal may be full.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The first terminal takes text; a terminal that does not exist is refused.
pub fn terminal() -> Result<(), NotOk> {
    let mut deadline = Deadline::after(&Pseries, TIMEOUT);
    loop {
        match calls::put_term_char(&Pseries, FIRST, TEXT) {
            Ok(()) => break,
            Err(HcallError::Busy(_)) if !deadline.expired(&Pseries) => {}
            Err(error) => return Err(NotOk::Hcall("H_PUT_TERM_CHAR", error)),
        }
    }
    match calls::put_term_char(&Pseries, NONE, TEXT) {
        Err(HcallError::Parameter(_)) => Ok(()),
        Err(error) => Err(NotOk::Hcall("H_PUT_TERM_CHAR of no terminal", error)),
        Ok(()) => Err(NotOk::NotRefused("text for a terminal that is not there")),
    }
}
