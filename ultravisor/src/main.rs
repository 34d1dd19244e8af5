//! `postern-ultravisor`: an ultravisor for a QEMU command line that one has already.

use clap::{Parser, Subcommand, ValueEnum};
use postern_ultravisor::tool::run::{Run, code, run};
use postern_ultravisor::{Behaviour, Faults};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// There was no run, or it could not be judged.
const FAILED: u8 = 125;
/// With `--check`: something was found.
const FOUND: u8 = 3;

/// Runs any pseries guest as a secure VM (PEF) on stock QEMU, with an emulated ultravisor beside it. It keeps nothing
/// secret: it shows what the guest does and what its devices reach.
#[derive(Debug, Parser)]
#[command(name = "postern-ultravisor", version)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Starts QEMU, and serves its guest until it ends.
    ///
    /// The exit status is QEMU's; 125 when there was no run, 2 for a wrong option, and 3 with --check when something
    /// was found.
    Run(RunArguments),
}

#[derive(Debug, clap::Args)]
struct RunArguments {
    /// ELF file of the kernel that UV_ESM has to find; by default QEMU's -kernel.
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Leaves the kernel's tests of MSR[S] alone. TCG reads that bit as 0, so a Linux will not notice that it is secure.
    #[arg(long)]
    no_patch: bool,
    /// Which description of the ultravisor is followed where they differ.
    #[arg(long, value_enum, default_value_t = Source::Published)]
    behaviour: Source,
    /// What goes wrong on purpose, such as share:1=U_P2; docs/ultravisor.md lists the words.
    #[arg(long, value_name = "CALL:WHEN=WHAT,...", value_parser = faults, default_value = "")]
    faults: Faults,
    /// Writes each call as a line of JSON, and the summary as the last one.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Exits 3 when the guest was not secure, broke a rule, or let a device reach what it had not shared.
    #[arg(long)]
    check: bool,
    /// QEMU's command line, after --.
    #[arg(last = true, required = true, value_name = "QEMU COMMAND LINE")]
    qemu: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Source {
    /// The published source: r3 keeps the opcode once a share has started.
    Published,
    /// The document: codes in r3.
    Documented,
}

fn faults(text: &str) -> Result<Faults, String> {
    text.parse().map_err(|error: postern_ultravisor::FaultError| error.to_string())
}

fn main() -> ExitCode {
    let Action::Run(arguments) = Arguments::parse().action;
    let options = Run {
        qemu: arguments.qemu,
        kernel: arguments.kernel,
        patch: !arguments.no_patch,
        behaviour: match arguments.behaviour {
            Source::Published => Behaviour::Published,
            Source::Documented => Behaviour::Documented,
        },
        faults: arguments.faults,
        json: arguments.json,
    };
    match run(&options, |line| eprintln!("postern-ultravisor: {line}")) {
        Ok((status, summary)) => {
            for line in summary.to_string().lines() {
                eprintln!("postern-ultravisor: {line}");
            }
            let found = arguments.check && !summary.findings().is_empty();
            ExitCode::from(if found { FOUND } else { code(status) })
        }
        Err(error) => {
            eprintln!("postern-ultravisor: {error}");
            ExitCode::from(FAILED)
        }
    }
}
