//! Runs the commands of docs/qemu-by-hand.md for a secure guest as the page says: QEMU in one shell, the ultravisor in
//! another.

use crate::disk;
use crate::finding::Finding;
use crate::matrix::fixture::{Context, Failure};
use crate::matrix::runner::Test;
use crate::matrix::tool;
use crate::qemu::process::Output;
use postern_ultravisor::workdir::Workdir;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// The page.
const PAGE: &str = "docs/qemu-by-hand.md";
const HEADING: &str = "## A secure guest";
/// Text that the two shells must print.
const SAID: [&str; 6] = [
    "mode=secure-emulated",
    "EXIT: STATUS=0",
    "ultravisor: attached; the guest runs",
    "shared at the end: 128 frames of 64 KiB: 0x",
    "every device access was shared",
    "all in the ultravisor's table, none with private memory",
];

/// The test.
#[must_use]
pub fn tests() -> Vec<Test> {
    vec![Test::new("by-hand/secure", secure)]
}

fn secure(context: &Context) -> Result<(), Failure> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |error: io::Error| Finding::File(path, error)
    };
    let page = std::fs::read_to_string(PAGE).map_err(failed(Path::new(PAGE)))?;
    let (_, after) = page.split_once(HEADING).unwrap_or_default();
    let mut blocks = after.split("```sh\n").skip(1).filter_map(|block| Some(block.split_once("```")?.0));
    let (qemu, ours) = (blocks.next().unwrap_or_default(), blocks.next().unwrap_or_default());
    let dir = Workdir::new().map_err(failed(&std::env::temp_dir()))?;
    let image = dir.path("disk.img");
    disk::make(&image, 1 << 20, 7).map_err(failed(&image))?;
    let here = |path: &PathBuf| std::path::absolute(path).map_err(failed(path));
    let program =
        if context.qemu.components().count() > 1 { here(&context.qemu)? } else { context.qemu.clone() };
    let (kernel, tool) = (here(&context.kernel)?, tool::command()?);
    // Without the ultravisor QEMU would wait at reset for ever: it gets a time limit.
    let qemu = qemu
        .replace("qemu-system-ppc64", "timeout 120 \"$QEMU\"")
        .replace("build/postern.elf", "\"$KERNEL\"");
    let ours = ours
        .replace("target/debug/postern-ultravisor", "\"$TOOL\"")
        .replace("build/postern.elf", "\"$KERNEL\"");
    let script = format!("{{ {}; }} & {} || bad=1; wait $! && [ -z \"$bad\" ]", qemu.trim(), ours.trim());
    let started = Instant::now();
    let output = Command::new("sh")
        .args(["-c", &script])
        .current_dir(dir.root())
        .env("QEMU", program)
        .env("KERNEL", kernel)
        .env("TOOL", tool)
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(failed(Path::new("sh")))?;
    let output_text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = Output {
        console: output_text(&output.stdout),
        errors: output_text(&output.stderr),
        elapsed: started.elapsed(),
    };
    let mut findings: Vec<_> = SAID
        .into_iter()
        .filter(|text| !said.console.contains(text) && !said.errors.contains(text))
        .map(Finding::NeverSaid)
        .collect();
    if !output.status.success() {
        findings.push(Finding::File(PAGE.into(), io::Error::other("its commands for a secure guest fail")));
    }
    if findings.is_empty() { Ok(()) } else { Err(Failure { findings, output: Some(said) }) }
}
