//! Reads the command line, then decides about secure mode, once.

use crate::arch::disclosure;
use crate::memory::layout;
use crate::report::Report;
use crate::stop::Stop;
use postern_core::cmdline::{self, Extra, Options, ReportOption};
use postern_core::secure::{Evidence, Mode, Plan, SecureKind, decide};
use pseries_tree::Machine;

/// MSR\[S\] (PPC bit 41): set by hardware in a secure VM, and only there.
const MSR_S: u64 = 1 << 22;

/// Parses the command line, with the words that the image adds, and sets the log level.
///
/// # Errors
/// Words that cannot be followed; each has been reported.
pub fn options(machine: &Machine, extra: &mut impl Extra) -> Result<Options, Stop> {
    let parsed = cmdline::parse_with(&machine.bootargs, extra);
    crate::platform::logger::set_console_level(parsed.options.loglevel);
    for error in &parsed.errors {
        log::error!("command line: {error}");
    }
    match parsed.errors.len().saturating_add(parsed.errors_left_out) {
        0 => Ok(parsed.options),
        words => Err(Stop::CommandLine(words)),
    }
}

/// Decides whether this is a secure VM.
///
/// # Errors
/// What the platform says contradicts itself, or UV_ESM is still to be issued.
pub fn decide_mode(
    machine: &Machine,
    options: &Options,
    extra: &impl Extra,
    report: &mut Report,
) -> Result<Mode, Stop> {
    let decision = decide(Evidence {
        msr_s: postern_arch::msr() & MSR_S != 0,
        marker: machine.marker,
        svm: options.svm,
        // The note holds the address of the image that issued UV_ESM. One with another address does not count.
        esm_done: machine.esm_base == Some(layout::image().start.0),
    });
    if let Some(warning) = decision.warning {
        log::warn!("{warning}");
    }
    let mode = match decision.plan {
        Plan::Halt(contradiction) => return Err(contradiction.into()),
        plan => plan.mode().ok_or(Stop::EsmNotIssued)?,
    };
    match (mode, options.report) {
        (Mode::Secure(SecureKind::Emulated), ReportOption::Full) => disclosure::allow(),
        (Mode::Secure(SecureKind::Hardware), ReportOption::Full) => {
            log::warn!("report=full ignored: this is a secure VM");
        }
        _ => {}
    }
    for unused in cmdline::unused(&machine.bootargs, options, extra, mode.is_secure()) {
        log::warn!("command line: {unused}");
    }
    report.mode(mode, &decision, machine);
    Ok(mode)
}
