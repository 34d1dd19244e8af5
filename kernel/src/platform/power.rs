//! The exit protocol: a line for scripts, then RTAS power-off for success and ibm,os-term for failure.

use crate::arch::disclosure;
use crate::platform::console::print_last_line;
use crate::platform::pseries::Pseries;
use crate::platform::rtas;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use papr::clock::{Clock, Deadline};
use postern_core::exit::ExitStatus;

/// The CPU that ends the run; 0 as long as none does.
static ENDING: AtomicU64 = AtomicU64::new(0);
/// The status that the first CPU asked for; [`UNDECIDED`] as long as none has.
static DECIDED: AtomicU64 = AtomicU64::new(UNDECIDED);
const UNDECIDED: u64 = u64::MAX;
/// Whether the last line was printed.
static SAID: AtomicBool = AtomicBool::new(false);

/// How long a CPU waits for another one that reports or ends the run. The hypervisor may have stopped that one for good.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How long a host may take to end the machine before it is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Ends the run. The status of the first caller counts. If that CPU is stopped before the end, the next caller takes
/// over. A failure first prints the log lines that the console has not shown, where [`disclosure`] allows it.
pub fn exit(status: ExitStatus) -> ! {
    let here = Pseries.here();
    let own = u64::from(status.code());
    let first = DECIDED.compare_exchange(UNDECIDED, own, Ordering::Relaxed, Ordering::Relaxed);
    let decided = first.err().unwrap_or(own);
    let mut holder = 0;
    while let Err(other) = ENDING.compare_exchange(holder, here, Ordering::Acquire, Ordering::Relaxed) {
        if other == here {
            // This CPU failed while it was ending the run.
            terminate();
        }
        leave_it_to_another();
        holder = other;
    }
    let done = decided == u64::from(ExitStatus::Done.code());
    if !SAID.load(Ordering::Acquire) {
        if !done && disclosure::is_full() {
            crate::platform::logger::show_suppressed();
        }
        print_last_line(format_args!("EXIT: STATUS={decided}"));
        SAID.store(true, Ordering::Release);
    }
    if done {
        rtas::power_off();
    }
    terminate()
}

/// Waits for another CPU that reports a failure or ends the run. Returns after [`TIMEOUT`]: that CPU seems to be stopped.
pub fn leave_it_to_another() {
    let mut deadline = Deadline::after(&Pseries, TIMEOUT);
    while !deadline.expired(&Pseries) {}
}

/// Calls ibm,os-term, and again after each second for which the host lets the guest go on.
fn terminate() -> ! {
    loop {
        rtas::os_term(c"Postern ended with a failure");
        let mut pause = Deadline::after(&Pseries, AGAIN);
        while !pause.expired(&Pseries) {}
    }
}
