//! The exit protocol: a line for scripts, then RTAS power-off for success and ibm,os-term for failure.

use crate::platform::rtas;
use crate::println;
use core::sync::atomic::{AtomicBool, Ordering};
use postern_core::exit::ExitStatus;
use postern_core::seam::Rtas;

use crate::platform::pseries::Pseries;

/// QEMU's token for ibm,os-term (`include/hw/ppc/spapr.h`), for an exit before the tree could be read; the
/// published ultravisor relies on the same number (`svm/svm-rtas.c`).
const OS_TERM_BEFORE_TREE: u32 = 0x201f;

/// Ends the run. What still lies in the log ring goes out first when the status is a failure.
pub fn exit(status: ExitStatus) -> ! {
    static ONCE: AtomicBool = AtomicBool::new(false);
    if !ONCE.swap(true, Ordering::Relaxed) {
        if status != ExitStatus::Done {
            crate::platform::logger::show_suppressed();
        }
        println!("EXIT: STATUS={}", status.code());
    }
    if status == ExitStatus::Done {
        let _ = Pseries.rtas("power-off", &[0, 0], &mut []);
    }
    let text = rtas::pointer_argument(b"Postern ended with a failure\0");
    if Pseries.rtas("ibm,os-term", &[text], &mut []).is_err() {
        let _ = rtas::call_token(OS_TERM_BEFORE_TREE, &[text], &mut []);
    }
    loop {
        postern_arch::relax();
    }
}
