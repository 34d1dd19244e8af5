//! `make bench`: Postern and Linux side by side on this machine, and a report about it.

mod chart;
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
mod targets;

use guest::Parts;
use linux::Linux;
use machine::Description;
use plan::{Effort, Group};
use results::Results;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

const HELP: &str = "postern-bench [quick] [disk|network|start|instructions|scaling]... [FOLDER]
    measures everything, or what is named, and writes FOLDER/benchmarks.{md,json,svg}
postern-bench redraw FOLDER
    writes chart and tables anew from FOLDER/benchmarks.json
postern-bench compare ROUNDS IMAGE IMAGE [disk|network|start|instructions]...
    measures two images of Postern in turn, bounced";
/// Where the report is for readers, and whole.
const KEPT: &str = "docs";
/// Bytes of the raw file.
const RAW_BYTES: usize = 256 << 20;

fn main() -> ExitCode {
    let mut effort = Effort::FULL;
    let mut folder = PathBuf::from("build/bench");
    let mut only = Vec::new();
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [first, rounds, a, b, groups @ ..] = &words[..]
        && first == "compare"
    {
        let only: Vec<_> = groups.iter().filter_map(|word| Group::parse(word)).collect();
        return ended(compare(rounds, [a.into(), b.into()], &only));
    }
    if let [first, folder] = &words[..]
        && first == "redraw"
    {
        return ended(redraw(Path::new(folder)));
    }
    for word in words {
        match word.as_str() {
            "quick" => effort = Effort::QUICK,
            "help" | "--help" | "-h" => {
                println!("{HELP}");
                return ExitCode::SUCCESS;
            }
            other => match Group::parse(other) {
                Some(group) => only.push(group),
                None => folder = other.into(),
            },
        }
    }
    ended(bench(effort, &only, &folder))
}

fn ended(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(rounds: &str, images: [PathBuf; 2], only: &[Group]) -> io::Result<()> {
    let rounds = rounds.parse().map_err(io::Error::other)?;
    postern_harness::interrupt::watch()?;
    compare::run(&parts(None), images, rounds, only).map_err(|error| io::Error::other(error.to_string()))
}

fn parts(linux: Option<Linux>) -> Parts {
    Parts {
        qemu: std::env::var_os("QEMU").map_or_else(|| "qemu-system-ppc64".into(), PathBuf::from),
        kernel: "build/postern.elf".into(),
        virtio_drivers: Some("build/postern-virtio-drivers.elf".into())
            .filter(|path: &PathBuf| path.exists()),
        rom: "build/rom.bin".into(),
        linux,
        raw: "build/bench/raw".into(),
    }
}

fn bench(effort: Effort, only: &[Group], folder: &Path) -> io::Result<()> {
    if folder == Path::new(KEPT) && !only.is_empty() {
        return Err(io::Error::other("a report of some groups (ONLY) is not one to keep (KEEP=docs)"));
    }
    let start = Instant::now();
    postern_harness::interrupt::watch()?;
    std::fs::create_dir_all("build/bench")?;
    let linux = Linux::get().map_err(|error| eprintln!("bench: no Linux: {error}")).ok();
    let parts = parts(linux);
    guest::make_raw(&parts.raw, RAW_BYTES)?;
    let results = measure::all(&parts, effort, only);
    std::fs::remove_file(&parts.raw)?;
    let machine = machine::describe(&parts);
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("benchmarks.json"), json::write(&results, &machine, effort))?;
    show(folder, &results, &machine, effort)?;
    eprintln!("bench: {} s; report in {}", start.elapsed().as_secs(), folder.display());
    Ok(())
}

/// What people read of a report, in `folder`; of one that is kept, in the pages around it, too.
fn show(folder: &Path, results: &Results, machine: &Description, effort: Effort) -> io::Result<()> {
    let charted = chart::draw(results, machine, effort, &folder.join("benchmarks.svg"))?;
    std::fs::write(folder.join("benchmarks.md"), markdown::write(results, machine, effort, charted))?;
    if folder == Path::new(KEPT) {
        keep::keep(Path::new("."), results, machine, effort, charted)?;
    }
    Ok(())
}

/// Chart and tables anew, from the figures of a report.
fn redraw(folder: &Path) -> io::Result<()> {
    let text = std::fs::read_to_string(folder.join("benchmarks.json"))?;
    let (results, machine, effort) = json::read(&text).map_err(io::Error::other)?;
    show(folder, &results, &machine, effort)
}
