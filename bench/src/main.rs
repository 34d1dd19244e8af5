//! `make bench`: Postern and Linux side by side on this machine, and a report about it.

mod chart;
mod command;
mod compare;
mod guest;
mod initramfs;
mod json;
mod keep;
mod linux;
mod machine;
mod markdown;
mod measure;
mod network;
mod packets;
mod plan;
mod results;
mod scaling;
mod statistics;
mod steps;
mod targets;

use command::{Command, FOLDER, HELP, KEPT};
use guest::Parts;
use linux::Linux;
use machine::Description;
use plan::{Effort, Group, System};
use postern_harness::interrupt;
use results::Results;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Bytes of the raw file.
const RAW_BYTES: usize = 256 << 20;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = command::parse(&words).map_err(io::Error::other).and_then(|command| match command {
        Command::Bench { effort, only, folder } => bench(effort, &only, &folder),
        Command::Redraw(folder) => redraw(&folder),
        Command::Compare { rounds, images, only } => compare(rounds, images, &only),
        Command::Help => {
            println!("{HELP}");
            Ok(())
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(rounds: usize, images: [PathBuf; 2], only: &[Group]) -> io::Result<()> {
    interrupt::watch()?;
    compare::run(&parts(None, None), images, rounds, only)
        .map_err(|error| io::Error::other(error.to_string()))
}

fn parts(linux: Option<Linux>, secure_linux: Option<Linux>) -> Parts {
    Parts {
        qemu: std::env::var_os("QEMU").map_or_else(|| "qemu-system-ppc64".into(), PathBuf::from),
        kernel: "build/postern-test.elf".into(),
        virtio_drivers: Some("build/postern-virtio-drivers.elf".into())
            .filter(|path: &PathBuf| path.exists()),
        rom: "build/rom.bin".into(),
        linux,
        secure_linux,
        raw: "build/bench/raw".into(),
    }
}

fn bench(effort: Effort, only: &[Group], folder: &Path) -> io::Result<()> {
    let start = Instant::now();
    interrupt::watch()?;
    std::fs::create_dir_all(FOLDER)?;
    let mut results = Results::default();
    let others = [Group::Disk, Group::Network, Group::Start, Group::Instructions];
    let (linux, secure_linux) = if others.into_iter().any(|group| steps::wanted(only, group)) {
        let linux = Linux::get().map_err(|error| results.miss(format!("Linux: {error}"))).ok();
        let secure = Linux::secure();
        (linux, secure.map_err(|error| results.miss(format!("{}: {error}", System::LinuxSecure.name()))).ok())
    } else {
        (None, None)
    };
    let parts = parts(linux, secure_linux);
    if parts.virtio_drivers.is_none()
        && [Group::Disk, Group::Instructions].into_iter().any(|group| steps::wanted(only, group))
    {
        results.miss(format!("{}: the image could not be built", System::VirtioDrivers.name()));
    }
    if steps::wanted(only, Group::Disk) {
        guest::make_raw(&parts.raw, RAW_BYTES)?;
    }
    steps::all(&parts, effort, only, &mut results);
    // The file does not exist if no disk was measured.
    let _ = std::fs::remove_file(&parts.raw);
    if results.entries.is_empty() {
        return Err(io::Error::other("nothing was measured; there is no report"));
    }
    let machine = machine::describe(&parts);
    let interrupted = interrupt::requested();
    let folder = if interrupted && folder == Path::new(KEPT) { Path::new(FOLDER) } else { folder };
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("benchmarks.json"), json::write(&results, &machine, effort))?;
    show(folder, &results, &machine, effort)?;
    eprintln!("bench: {} s; report in {}", start.elapsed().as_secs(), folder.display());
    if interrupted {
        Err(io::Error::other("interrupted; the report has the measurements so far"))
    } else {
        Ok(())
    }
}

/// Writes the readable form of a report into `folder`; for a published report, also the parts in other pages.
fn show(folder: &Path, results: &Results, machine: &Description, effort: Effort) -> io::Result<()> {
    let charted = chart::draw(results, machine, effort, folder)?;
    for svg in chart::FILES.map(|name| folder.join(name)) {
        if !charted && svg.exists() {
            std::fs::remove_file(&svg)?;
        }
    }
    std::fs::write(folder.join("benchmarks.md"), markdown::write(results, machine, effort, charted))?;
    if folder == Path::new(KEPT) {
        keep::keep(Path::new("."), results, machine, effort, charted)?;
    }
    Ok(())
}

/// Writes charts and tables again, from the figures of a report.
fn redraw(folder: &Path) -> io::Result<()> {
    let text = std::fs::read_to_string(folder.join("benchmarks.json"))?;
    let (results, machine, effort) = json::read(&text).map_err(io::Error::other)?;
    show(folder, &results, &machine, effort)
}
