//! `postern-ultravisor`: an emulated ultravisor for any QEMU command line.

use clap::{Parser, Subcommand, ValueEnum};
use postern_adversary::violation::{ProtocolViolation, UnknownViolation};
use postern_ultravisor::tool::attach::{Attach, attach};
use postern_ultravisor::tool::blob::{self, BlobError, Boots, Make};
use postern_ultravisor::tool::run::{Run, code, run};
use postern_ultravisor::tool::servers::Devices;
use postern_ultravisor::tool::settings::Settings;
use postern_ultravisor::tool::summary::Summary;
use postern_ultravisor::{Behaviour, Faults, Firmware};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// No guest ran or no blob was made, or the result could not be judged.
const FAILED: u8 = 125;
/// A signal ended the ultravisor; QEMU goes on.
const INTERRUPTED: u8 = 130;
/// With `--check`: there are findings. For a blob: a part differs.
const FOUND: u8 = 3;

/// Runs any pseries guest as a secure VM (PEF) on stock QEMU, with an emulated ultravisor beside it. This protects
/// nothing: it reports what the guest does, and which memory its devices access.
#[derive(Debug, Parser)]
#[command(name = "postern-ultravisor", version)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Starts QEMU and serves its guest until QEMU ends.
    ///
    /// The exit status is QEMU's. Other statuses: 125: no guest ran; 2: a wrong option; 3: there are findings and
    /// --check is given.
    Run(RunArguments),
    /// Serves the guest of a QEMU that you started with -S, a gdb server on a socket, and guest memory in a file.
    ///
    /// docs/qemu-by-hand.md has QEMU's options. Exit statuses: 0: QEMU has ended; 125: its guest was not served; 2: a
    /// wrong option; 3: there are findings and --check is given; 130: interrupted, and QEMU goes on without an
    /// ultravisor.
    Attach(AttachArguments),
    /// Makes, shows and verifies ESM blobs. A blob has digests, which UV_ESM compares with the guest, and files for that
    /// guest only.
    ///
    /// Exit statuses: 125: a file cannot be read, or no blob can be made; 2: a wrong option; 3: `verify` found a difference.
    #[command(subcommand)]
    Blob(BlobAction),
}

#[derive(Debug, Subcommand)]
enum BlobAction {
    /// Makes a blob and writes it in front of an initrd.
    Make {
        #[command(flatten)]
        boots: BootsArguments,
        /// Initrd that is measured; the blob is put in front of it. Default: an empty one.
        #[arg(long, value_name = "FILE")]
        initrd: Option<PathBuf>,
        /// Your own key, as PEM, public or private.
        #[arg(long, value_name = "PEM")]
        origin: PathBuf,
        /// Public or private key of a machine that may start the guest, once for each machine. An ultravisor opens only the first machine's lockbox.
        #[arg(long, value_name = "PEM", required = true)]
        to: Vec<PathBuf>,
        /// File that only this guest can read, and its name in the blob; once for each file.
        #[arg(long = "file", value_name = "NAME=FILE", value_parser = named)]
        files: Vec<(String, PathBuf)>,
        /// Comment, not encrypted; default: none.
        #[arg(long, default_value = "", hide_default_value = true)]
        comment: String,
        /// The new initrd. An existing file is not overwritten.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Shows the content of a blob, or of the blob in front of an initrd.
    Show {
        /// Initrd or blob.
        file: PathBuf,
        /// Private key of a machine or of the maker, to show the digests as well.
        #[arg(long, value_name = "PEM")]
        key: Option<PathBuf>,
    },
    /// Compares the blob in front of an initrd with the kernel, command line, initrd and RTAS text. Exits with 3 if one
    /// differs.
    Verify {
        /// Initrd.
        file: PathBuf,
        #[command(flatten)]
        boots: BootsArguments,
        /// Private key of a machine or of the maker.
        #[arg(long, value_name = "PEM")]
        key: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct BootsArguments {
    /// ELF file of the kernel.
    #[arg(long, value_name = "FILE")]
    kernel: PathBuf,
    /// Command line of the kernel, exactly as the guest gets it; default: an empty one.
    #[arg(long, default_value = "", hide_default_value = true)]
    append: String,
    /// RTAS text; default: SLOF's.
    #[arg(long, value_name = "FILE")]
    rtas: Option<PathBuf>,
}

impl From<BootsArguments> for Boots {
    fn from(BootsArguments { kernel, append, rtas }: BootsArguments) -> Self {
        Self { kernel, append, rtas }
    }
}

#[derive(Debug, clap::Args)]
struct RunArguments {
    /// ELF file of the kernel that UV_ESM compares with the guest's memory; default: QEMU's -kernel.
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Who serves the guest's virtio-blk-pci and virtio-net-pci devices; default: own.
    #[arg(long, value_enum)]
    devices: Option<Which>,
    /// Violation of the virtio protocol that these servers commit. Without --devices it means --devices seeing.
    /// `postern-adversary lies` lists the names.
    #[arg(long = "lie", value_name = "NAME", value_parser = violation)]
    violation: Option<ProtocolViolation>,
    /// Ends the guest before its first wrong hypercall, as a real ultravisor does, reports the caller and exits with 3. This
    /// stops the guest at each hypercall. Without this option wrong calls are counted and listed at the end.
    #[arg(long, conflicts_with = "warn_only")]
    live_hcalls: bool,
    #[command(flatten)]
    common: CommonArguments,
    /// QEMU's command line, after --.
    #[arg(last = true, required = true, value_name = "QEMU COMMAND LINE")]
    qemu: Vec<OsString>,
}

#[derive(Debug, clap::Args)]
struct AttachArguments {
    /// Socket of QEMU's gdb server.
    #[arg(long, value_name = "SOCKET")]
    gdb: PathBuf,
    /// File with the guest's memory.
    #[arg(long, value_name = "FILE")]
    ram: PathBuf,
    /// ELF file of the kernel.
    #[arg(long, value_name = "FILE")]
    kernel: PathBuf,
    /// Firmware that starts the guest.
    #[arg(long, value_enum, default_value_t = Start::Slof)]
    firmware: Start,
    /// QEMU's log, if it was started with -D FILE -d int -trace spapr_iommu_xlate -msg timestamp=on. Without it,
    /// device accesses and hypercalls are not checked.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    #[command(flatten)]
    common: CommonArguments,
}

/// Options of `run` and `attach`.
#[derive(Debug, clap::Args)]
struct CommonArguments {
    /// Does not patch the kernel's tests of MSR[S]. TCG reads that bit as 0, so a Linux does not notice that it is secure.
    #[arg(long)]
    no_patch: bool,
    /// Description of the ultravisor to follow where the two descriptions differ.
    #[arg(long, value_enum, default_value_t = Source::Published)]
    behaviour: Source,
    /// Faults to inject, such as share:1=U_P2; default: none. docs/ultravisor.md lists the words.
    #[arg(long, value_name = "CALL:WHEN=WHAT,...", value_parser = faults, default_value = "", hide_default_value = true)]
    faults: Faults,
    /// Writes each call as a line of JSON, with times in microseconds; the last line is the summary. Replaces the file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Private key, in place of the TPM's: UV_ESM opens the ESM blob in the initrd with it and compares the digests.
    #[arg(long, value_name = "PEM")]
    key: Option<PathBuf>,
    /// Exits with 3 if the guest was not secure, broke a rule, made a hypercall that a secure guest must not make, or let a
    /// device access memory that it had not shared.
    #[arg(long, conflicts_with = "warn_only")]
    check: bool,
    /// Only reports findings: the exit status is QEMU's, 0 if the guest powers off. The same as without --check, except
    /// that findings begin with `warning:` instead of `FOUND:`.
    #[arg(long)]
    warn_only: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Which {
    /// QEMU itself.
    Own,
    /// vhost-user servers that access only memory that the guest has shared, as on hardware.
    Refusing,
    /// vhost-user servers that access all memory and count accesses to memory that is not shared.
    Seeing,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Start {
    /// SLOF, QEMU's default.
    Slof,
    /// Virtual Open Firmware (-machine x-vof=on).
    Vof,
    /// A ROM that jumps to the kernel with a tree in r3 (-bios).
    Bios,
}

impl From<&CommonArguments> for Settings {
    fn from(common: &CommonArguments) -> Self {
        Self {
            patch: !common.no_patch,
            behaviour: match common.behaviour {
                Source::Published => Behaviour::Published,
                Source::Documented => Behaviour::Documented,
            },
            faults: common.faults.clone(),
            json: common.json.clone(),
            key: common.key.clone(),
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Source {
    /// The published source: r3 keeps the opcode after a share has started.
    Published,
    /// The document: r3 holds the return code.
    Documented,
}

fn faults(text: &str) -> Result<Faults, String> {
    text.parse().map_err(|error: postern_ultravisor::FaultError| error.to_string())
}

fn violation(name: &str) -> Result<ProtocolViolation, String> {
    name.parse().map_err(|error: UnknownViolation| error.to_string())
}

fn named(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("expected NAME=FILE")?;
    Ok((name.to_owned(), path.into()))
}

fn main() -> ExitCode {
    match Arguments::parse().action {
        Action::Run(arguments) => serve(arguments),
        Action::Attach(arguments) => join(arguments),
        Action::Blob(action) => match blob(action) {
            Ok(code) => ExitCode::from(code),
            Err(error) => {
                eprintln!("postern-ultravisor: {error}");
                ExitCode::from(FAILED)
            }
        },
    }
}

fn blob(action: BlobAction) -> Result<u8, BlobError> {
    match action {
        BlobAction::Make { boots, initrd, origin, to, files, comment, out } => {
            Make { boots: boots.into(), initrd, origin, to, files, comment }.write(&out)?;
            Ok(0)
        }
        BlobAction::Show { file, key } => {
            print!("{}", blob::show(&file, key.as_deref())?);
            Ok(0)
        }
        BlobAction::Verify { file, boots, key } => {
            let parts = blob::compare(&file, &key, &boots.into())?;
            for (what, same) in &parts {
                println!("{what}: {}", if *same { "equal" } else { "DIFFERENT" });
            }
            Ok(if parts.iter().all(|(_, same)| *same) { 0 } else { FOUND })
        }
    }
}

fn serve(arguments: RunArguments) -> ExitCode {
    let devices = match (arguments.devices, arguments.violation) {
        (Some(Which::Refusing), _) => Devices::Refusing,
        (Some(Which::Seeing), _) | (None, Some(_)) => Devices::Seeing,
        (Some(Which::Own), Some(_)) => {
            say("--lie: QEMU's own devices keep to the protocol; leave --devices own out");
            return ExitCode::from(2);
        }
        (Some(Which::Own) | None, None) => Devices::Own,
    };
    let options = Run {
        qemu: arguments.qemu,
        kernel: arguments.kernel,
        settings: Settings::from(&arguments.common),
        devices,
        violation: arguments.violation,
        live: arguments.live_hcalls,
    };
    match run(&options, say) {
        Ok((status, summary)) => ended(&summary, &arguments.common, code(status)),
        Err(error) => {
            say(&error.to_string());
            ExitCode::from(FAILED)
        }
    }
}

fn join(arguments: AttachArguments) -> ExitCode {
    let settings = Settings::from(&arguments.common);
    let AttachArguments { gdb, ram, kernel, firmware, log, common } = arguments;
    let firmware = match firmware {
        Start::Slof => Firmware::Slof,
        Start::Vof => Firmware::Vof,
        Start::Bios => Firmware::Bios,
    };
    match attach(&Attach { gdb, ram, kernel, firmware, log, settings }, say) {
        Ok(Some(summary)) => ended(&summary, &common, 0),
        Ok(None) => {
            say("interrupted; QEMU goes on without an ultravisor");
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            say(&error.to_string());
            ExitCode::from(FAILED)
        }
    }
}

/// Shows the summary. The exit status is 3 for what was found and was to be, otherwise this one.
fn ended(summary: &Summary, common: &CommonArguments, status: u8) -> ExitCode {
    for line in summary.to_string().lines() {
        match line.strip_prefix("FOUND: ").filter(|_| common.warn_only) {
            Some(finding) => say(&format!("warning: {finding}")),
            None => say(line),
        }
    }
    let found = summary.cut_short.is_some() || common.check && !summary.findings().is_empty();
    ExitCode::from(if found { FOUND } else { status })
}

fn say(line: &str) {
    eprintln!("postern-ultravisor: {line}");
}
