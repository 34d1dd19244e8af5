//! `run`: one guest with its console live, and the runner's verdict at the end.

use crate::blob::{self, BlobError};
use crate::disk::{self, Disk};
use crate::finding::Finding;
use crate::guest::tap::Tap;
use crate::guest::{console, firmware};
use crate::interrupt;
use crate::json_lines;
use crate::judge;
use crate::junit;
use crate::keyboard::{self, Up};
use crate::matrix::fixture::{MONITOR, PAGE, SERVING};
use crate::options::Options;
use crate::pattern;
use crate::qemu::command::Machine;
use crate::qemu::monitor::Monitor;
use crate::qemu::process::Ended;
use crate::say;
use crate::session::{Finished, Protection, Session, SessionError, last_line};
use crate::variable::{Firmware, Net};
use postern_ultravisor::workdir::Workdir;
use std::fmt;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Exit status if the runner itself failed or its verdict is bad.
pub const FAILED: u8 = 1;
/// Exit status if the guest did not end in time, as with `timeout`.
pub const TIMED_OUT: u8 = 124;
/// Exit status if firmware did not start the guest.
pub const NO_START: u8 = 125;
/// Exit status after Ctrl-C, as in shells.
pub const INTERRUPTED: u8 = 130;

/// Input that ends the guest's monitor at the end of a pipe: a line end, and Ctrl-D.
const HANG_UP: &[u8] = b"\n\x04";

/// Bytes of the disk that is made when none is given.
const DISK_BYTES: u64 = 8 << 20;
/// Its content is the same in every run.
const DISK_SEED: u64 = 0x706f_7374_6572_6e21;
/// UV_ESM requires an initrd and measures it; Postern itself does not use one.
pub const INITRD: &[u8] = b"Postern needs no initrd; UV_ESM asks for one.\n";
/// Bytes at the start of the disk that the demo hashes.
const DIGEST_BYTES: u64 = 1 << 20;
/// Start of the kernel's plain lines.
const KERNEL: &str = "postern: ";
/// Most findings that are shown.
pub const FINDINGS: usize = 12;
/// File for the console log of a failed run.
const LOG: &str = "build/logs/run.log";

/// The file of the blob of `BLOB=demo`, and its length: four calls.
const SECRET_NAME: &str = "demo";
const SECRET_BYTES: usize = 200;

/// Why a guest could not run; printed as one line.
#[derive(Debug)]
pub enum RunError {
    /// A file of the run.
    File(PathBuf, io::Error),
    /// The ESM blob.
    Blob(BlobError),
    /// The guest did not start.
    Session(SessionError),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Blob(error) => write!(f, "{error}"),
            Self::Session(error) => write!(f, "{error}"),
        }
    }
}

/// Boots a guest and returns the runner's exit status.
///
/// # Errors
/// The guest could not be started or observed.
pub fn run(options: &Options) -> Result<u8, RunError> {
    let mut dir = Workdir::new().map_err(|error| RunError::File(std::env::temp_dir(), error))?;
    let machine = machine(options, &dir)?;
    if let Some(dir) = &options.results {
        // An unwritable folder is reported before the guest runs.
        std::fs::create_dir_all(dir).map_err(|error| RunError::File(dir.clone(), error))?;
    }
    let tpm = options.blob.then(|| blob::demo(&machine, INITRD, demo_files())).transpose()?;
    if options.blob {
        say!(
            "runner: made a key and an ESM blob for this guest; its file {SECRET_NAME} has {SECRET_BYTES} bytes"
        );
    }
    let protection = options.svm.then(|| Protection {
        behaviour: options.behaviour,
        faults: options.faults.clone(),
        tpm,
        log: options.log.clone(),
        ..Protection::honest(options.firmware != Firmware::Vof)
    });
    let image = machine.disks.first().map(|disk| disk.image.clone());
    let expected = image.as_deref().and_then(|path| expectation(path).transpose()).transpose()?;
    let (mut show, up) = (console::terminal(io::stdout().is_terminal()), Arc::new(Up::default()));
    let seen = Arc::clone(&up);
    let socket = dir.path("monitor");
    let (mut to_tell, mut page) = (options.net == Net::User, false);
    let live = Box::new(move |line: &str| {
        show(line);
        if line.starts_with(KERNEL) {
            seen.set();
        }
        page |= line == PAGE;
        if (line == SERVING || line == MONITOR) && std::mem::take(&mut to_tell) {
            say_where(&socket, page);
        }
    });
    let mut session =
        Session::start(machine, protection, &mut dir, Some(live)).map_err(|error| match error {
            // The whole output was shown already.
            SessionError::Died(words) => RunError::Session(SessionError::Died(last_line(&words))),
            error => RunError::Session(error),
        })?;
    let keyboard = keyboard::attach(&mut session.qemu, up, if options.monitor() { HANG_UP } else { b"" });
    let finished = session.finish(options.limit());
    drop(keyboard);
    let status = conclude(options, &finished, expected.as_deref());
    if let Some(dir) = &options.results {
        keep_results(dir, &finished).map_err(|(path, error)| RunError::File(path, error))?;
    }
    if status != 0 && status != INTERRUPTED {
        keep_log(&finished);
    }
    Ok(status)
}

impl From<BlobError> for RunError {
    fn from(error: BlobError) -> Self {
        Self::Blob(error)
    }
}

/// One file as the demo's secret.
fn demo_files() -> Vec<(String, Vec<u8>)> {
    let mut secret = vec![0; SECRET_BYTES];
    pattern::fill(DISK_SEED, &mut secret);
    vec![(SECRET_NAME.to_owned(), secret)]
}

fn machine(options: &Options, dir: &Workdir) -> Result<Machine, RunError> {
    let file = |path: &Path, made: io::Result<()>| made.map_err(|e| RunError::File(path.to_path_buf(), e));
    let initrd = dir.path("initrd");
    file(&initrd, std::fs::write(&initrd, INITRD))?;
    let disk = if let Some(path) = &options.disk {
        Disk { write: options.disk_write, ..Disk::data(path.clone()) }
    } else {
        let path = dir.path("disk");
        file(&path, disk::make(&path, DISK_BYTES, DISK_SEED))?;
        Disk::data(path)
    };
    // VOF cannot publish the node.
    let svm = if options.svm && options.firmware == Firmware::Vof { "svm=emulated" } else { "" };
    let secret = if options.blob { "secret=demo" } else { "" };
    Ok(Machine {
        firmware: options.firmware,
        initrd: Some(initrd),
        bootargs: [svm, secret, &options.append].join(" ").trim().to_owned(),
        cpu: options.cpu,
        smp: options.smp,
        memory: options.memory,
        access_platform: options.access_platform,
        disks: vec![disk],
        net: options.net.clone(),
        page_port: options.page_port,
        echo_port: options.echo_port,
        ..Machine::new(options.qemu.clone(), options.kernel.clone(), options.rom.clone())
    })
}

/// The digest that the guest has to compute; `None` for an image whose bytes are not the disk's.
fn expectation(path: &Path) -> Result<Option<String>, RunError> {
    let failed = |error| RunError::File(path.to_path_buf(), error);
    if disk::is_qcow2(path).map_err(failed)? {
        return Ok(None);
    }
    disk::sha256(path, DIGEST_BYTES).map(Some).map_err(failed)
}

/// Prints the addresses of the guest's services.
fn say_where(monitor: &Path, page: bool) {
    // Without the monitor the addresses are not printed.
    let Ok(mut monitor) = Monitor::connect(monitor) else { return };
    if page && let Ok(port) = monitor.page() {
        say!("runner: the status page is at http://127.0.0.1:{port}/");
    }
    if let Ok(ports) = monitor.forwarded() {
        say!("runner: the guest's port 7 is reached with: nc 127.0.0.1 {}", ports.tcp);
        say!("runner: and by UDP with: nc -u 127.0.0.1 {}; q ends the guest", ports.udp);
    }
}

/// Prints the run's result and returns its exit status: the guest's own, unless the runner has findings.
fn conclude(options: &Options, finished: &Finished, digest: Option<&str>) -> u8 {
    let errors = finished.output.errors.trim_end();
    match (finished.ended, finished.report.exit_status) {
        (Ended::Interrupted, _) => {
            console::restore_terminal();
            let served = !interrupt::requested();
            eprintln!("postern: {}", if served { "nobody reads what the guest says" } else { "interrupted" });
            return INTERRUPTED;
        }
        (Ended::TimedOut(limit), _) => {
            console::restore_terminal();
            eprintln!(
                "postern: the guest did not end within {} s; TIMEOUT= sets another limit",
                seconds(limit)
            );
            return TIMED_OUT;
        }
        (Ended::Firmware(starts), _) => return no_start(starts, finished),
        // `-no-reboot` ends QEMU instead of a second start.
        (Ended::Exited(0), None) if firmware::idle_starts(&finished.output.console) > 0 => {
            return no_start(firmware::idle_starts(&finished.output.console), finished);
        }
        (ended, None) => {
            let line = last_line(errors);
            let line = if line.is_empty() { "nothing on its standard error".to_owned() } else { line };
            eprintln!("postern: {ended} before the guest said how it ended: {line}");
            return FAILED;
        }
        (_, Some(_)) => {}
    }
    let status = finished.report.exit_status.unwrap_or(FAILED);
    let mut findings = judge::end(finished, status);
    if options.svm {
        describe_esm(finished);
    }
    // The user may choose `svm=off` on the kernel command line.
    if options.svm && status == 0 && finished.report.fact("mode") != Some("normal") {
        let mut exposed = judge::exposure(finished, options.access_platform);
        exposed.retain(|finding| !judge::is_jump_of_a_test(finished, finding));
        if exposed.is_empty() {
            say!("runner: shared and reachable from devices: the pool, nothing else");
        }
        findings.extend(exposed);
        if options.faults.is_empty() {
            findings.extend(judge::ultracalls(finished, &judge::secure_calls(&finished.report)));
        }
    }
    if let (Some(expected), Some(found)) = (digest, finished.report.fact("blk0.sha256_1m")) {
        if found == expected {
            say!("runner: blk0.sha256_1m is the image's");
        } else {
            let found = Some(found.to_owned());
            findings.push(Finding::Fact { key: "blk0.sha256_1m", expected: expected.to_owned(), found });
        }
    }
    for finding in findings.iter().take(FINDINGS) {
        eprintln!("postern: {finding}");
    }
    if let Some(more @ 1..) = findings.len().checked_sub(FINDINGS) {
        eprintln!("postern: and {more} more");
    }
    if findings.is_empty() { status } else { status.max(FAILED) }
}

/// Prints that SLOF reset the machine, and SLOF's reason.
fn no_start(starts: u32, finished: &Finished) -> u8 {
    console::restore_terminal();
    let times = if starts == 1 { "once".to_owned() } else { format!("{starts} times") };
    eprintln!(
        "postern: SLOF started {times} and reset the machine before the kernel's first line: {}",
        firmware::last_line_before_restart(&finished.output.console)
    );
    NO_START
}

fn describe_esm(finished: &Finished) {
    for esm in finished.ultravisor.iter().flat_map(|report| &report.esm) {
        for line in esm.to_string().lines() {
            say!("ultravisor: {line}");
        }
    }
}

fn seconds(limit: Duration) -> u64 {
    limit.as_secs()
}

/// Writes the guest's facts and test results as JSON lines, and the tests in JUnit's format.
fn keep_results(dir: &Path, finished: &Finished) -> Result<(), (PathBuf, io::Error)> {
    let tests = Tap::read(&finished.output.console).outcomes();
    let files = [
        ("tests.jsonl", json_lines::tests(&tests)),
        ("tests.xml", junit::suite("guest", &[], &tests)),
        ("console.log", finished.output.console.clone()),
    ];
    let facts = dir.join(json_lines::FACTS);
    json_lines::write_facts(&facts, &finished.report).map_err(|error| (facts, error))?;
    for (name, text) in files {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(|error| (path, error))?;
    }
    Ok(())
}

fn keep_log(finished: &Finished) {
    let path = Path::new(LOG);
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    match made.and_then(|()| std::fs::write(path, &finished.output.console)) {
        Ok(()) => eprintln!("postern: console log kept in {LOG}"),
        Err(error) => eprintln!("postern: {LOG}: {error}"),
    }
}
