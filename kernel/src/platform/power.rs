//! The exit protocol: a line for scripts, then RTAS power-off for success and ibm,os-term for failure.

use crate::arch::cpus;
use crate::platform::rtas;
use crate::println;
use core::sync::atomic::{AtomicU64, Ordering};
use postern_core::exit::ExitStatus;
use postern_core::seam::Rtas;

use crate::platform::pseries::Pseries;

/// QEMU's token for ibm,os-term (`include/hw/ppc/spapr.h`), for an exit before the tree could be read; the
/// published ultravisor relies on the same number (`svm/svm-rtas.c`).
const OS_TERM_BEFORE_TREE: u32 = 0x201f;

/// The CPU that ends the run; 0 as long as none does.
static ENDING: AtomicU64 = AtomicU64::new(0);

/// Ends the run. The first CPU that asks for it decides how. What still lies in the log ring goes out first when the status is a failure.
pub fn exit(status: ExitStatus) -> ! {
    let here = cpus::here();
    match ENDING.compare_exchange(0, here, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => {
            if status != ExitStatus::Done {
                crate::platform::logger::show_suppressed();
            }
            println!("EXIT: STATUS={}", status.code());
        }
        // A failure while the run was being ended.
        Err(other) if other == here => {}
        Err(_) => stand_still(),
    }
    if status == ExitStatus::Done {
        let _ = Pseries.rtas("power-off", &[0, 0], &mut []);
    }
    let text = rtas::pointer_argument(b"Postern ended with a failure\0");
    if Pseries.rtas("ibm,os-term", &[text], &mut []).is_err() {
        let _ = rtas::call_token(OS_TERM_BEFORE_TREE, &[text], &mut []);
    }
    stand_still()
}

fn stand_still() -> ! {
    loop {
        postern_arch::relax();
    }
}
