//! `postern-release IMAGE`: the software bill of materials of an image, as CycloneDX, on standard output.
//!
//! Standard input is the output of `cargo tree --prefix depth --no-dedupe --format '{p}|{l}'` for the image's crate. The
//! bill has no time and no path, so the same image always has the same bill.

mod bill;
mod lock;
mod tree;

use sha2::{Digest, Sha256};
use std::io::Read;
use std::process::{Command, ExitCode};
use thiserror::Error;

const USAGE: &str =
    "usage: cargo tree --prefix depth --no-dedupe --format '{p}|{l}' ... | postern-release IMAGE";

/// Why the bill could not be made.
#[derive(Debug, Error)]
enum ReleaseError {
    #[error("{USAGE}")]
    Usage,
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
    #[error(transparent)]
    Tree(#[from] tree::TreeError),
    #[error("{0} {1} is in the tree, and not in Cargo.lock")]
    NotLocked(String, String),
    #[error("the compiler does not say its version: {0}")]
    Compiler(String),
}

fn main() -> ExitCode {
    match bill() {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("release: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bill() -> Result<String, ReleaseError> {
    let [image] = std::env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| ReleaseError::Usage)?;
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| ReleaseError::Io("standard input".to_owned(), error))?;
    let tree = tree::read(&text)?;
    let lock = std::fs::read_to_string("Cargo.lock")
        .map_err(|error| ReleaseError::Io("Cargo.lock".to_owned(), error))?;
    let elf = std::fs::read(&image).map_err(|error| ReleaseError::Io(image.clone(), error))?;
    let name = std::path::Path::new(&image).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let about = bill::About {
        name: name.ok_or(ReleaseError::Usage)?,
        digest: Sha256::digest(&elf).iter().map(|byte| format!("{byte:02x}")).collect(),
        compiler: compiler()?,
    };
    bill::write(&about, &tree, &lock::checksums(&lock))
}

/// The version of the compiler, whose `core` and `alloc` are part of the image.
fn compiler() -> Result<String, ReleaseError> {
    let output = Command::new("scripts/cargo")
        .args(["--rustc", "-vV"])
        .output()
        .map_err(|error| ReleaseError::Io("scripts/cargo".to_owned(), error))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let release = text.lines().find_map(|line| line.strip_prefix("release: "));
    release.map(str::to_owned).ok_or_else(|| ReleaseError::Compiler(text.trim().to_owned()))
}
