//! The exit protocol: a line for scripts, then RTAS power-off for success and ibm,os-term for failure.

use crate::arch::disclosure;
use crate::platform::pseries::Pseries;
use crate::platform::rtas;
use crate::println;
use core::sync::atomic::{AtomicU64, Ordering};
use postern_core::clock::Clock;
use postern_core::exit::ExitStatus;
use postern_core::fdt::rtas::{OS_TERM, POWER_OFF};

/// The CPU that ends the run; 0 as long as none does.
static ENDING: AtomicU64 = AtomicU64::new(0);

/// Ends the run. The first CPU that asks for it decides how. What still lies in the log ring goes out first when the status is a failure.
pub fn exit(status: ExitStatus) -> ! {
    let here = Pseries.here();
    match ENDING.compare_exchange(0, here, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => {
            if status != ExitStatus::Done && disclosure::is_full() {
                crate::platform::logger::show_suppressed();
            }
            println!("EXIT: STATUS={}", status.code());
        }
        // A failure while the run was being ended.
        Err(other) if other == here => {}
        Err(_) => stand_still(),
    }
    if status == ExitStatus::Done {
        call("power-off", POWER_OFF, &[0, 0]);
    }
    let text = rtas::pointer_argument(b"Postern ended with a failure\0");
    call("ibm,os-term", OS_TERM, &[text]);
    stand_still()
}

/// By its token or, where the tree was not read or names no such service, by QEMU's number.
fn call(service: &'static str, number: u32, args: &[u32]) {
    rtas::call_to_end_the_run(rtas::token(service).unwrap_or(number), args);
}

fn stand_still() -> ! {
    loop {
        postern_arch::relax();
    }
}
