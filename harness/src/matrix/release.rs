//! The files of `make release`: images without symbols that work like those with symbols, and correct bills of materials.

use crate::disk;
use crate::finding::Finding;
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, verdict};
use crate::matrix::measured::build_id;
use crate::matrix::runner::Test;
use crate::variable::Firmware;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

const FOLDER: &str = "build/release";
const IMAGES: [&str; 2] = ["postern", "postern-test"];

/// Packages of this workspace's tools and tests: no image contains them.
const ELSEWHERE: [&str; 6] =
    ["clap_builder", "postern_ultravisor", "postern_harness", "proptest", "rsa", "serde_json"];

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let boots = IMAGES.map(|name| Test::new(format!("release/{name}"), move |context| boots(context, name)));
    let bills = IMAGES.map(|name| Test::new(format!("release/bill/{name}"), move |_| bill(name)));
    boots.into_iter().chain(bills).chain([Test::new("release/digests", |_| digests())]).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    Ok(std::fs::read(path).map_err(|error| Finding::File(path.to_path_buf(), error))?)
}

fn of_release(file: &str) -> PathBuf {
    Path::new(FOLDER).join(file)
}

/// The image reads a disk as a secure guest, and states the build id of the file with symbols, by which gdb finds it.
fn boots(context: &Context, name: &str) -> Result<(), Failure> {
    let image = of_release(&format!("{name}.elf"));
    let context = Context { kernel: image, ..context.clone() };
    let mut fixture = Fixture::new(&context, GuestConfig::new(Firmware::Vof, true, true))?;
    let data = fixture.data_disk(1 << 20)?;
    fixture.word("run=blk-digest");
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 0);
    let symbols = build_id(&read(&of_release(&format!("{name}.debug")))?);
    let built = build_id(&read(&Path::new("build").join(format!("{name}.elf")))?);
    findings.extend(judge::fact(&finished, "image.build", &symbols));
    findings.extend(judge::fact(&finished, "image.build", &built));
    findings.extend(judge::fact(&finished, "image.name", name));
    let digest = disk::sha256(&data, u64::MAX).map_err(|error| Finding::File(data.clone(), error))?;
    findings.extend(judge::fact(&finished, "blk0.sha256", &digest));
    let version = concat!(" ", env!("CARGO_PKG_VERSION"), ", build ");
    if !finished.output.console.contains(&format!("{name}{version}{built}")) {
        findings.push(Finding::NeverSaid("name, version and build id"));
    }
    verdict(finished, findings)
}

/// Checks a bill: each package is in Cargo.lock with that checksum, all functions of the image belong to its packages, and
/// the image's digest is the file's.
fn bill(name: &str) -> Result<(), Failure> {
    let path = of_release(&format!("{name}.cdx.json"));
    let bill: Value = serde_json::from_slice(&read(&path)?).unwrap_or_default();
    let lock = String::from_utf8_lossy(&read(Path::new("Cargo.lock"))?).into_owned();
    let mut wrong = Vec::new();
    let image = Sha256::digest(read(&of_release(&format!("{name}.elf")))?);
    let image: String = image.iter().map(|byte| format!("{byte:02x}")).collect();
    if bill["metadata"]["component"]["hashes"][0]["content"] != image {
        wrong.push(format!("the digest of {name}.elf"));
    }
    let mut packages = BTreeSet::new();
    for entry in bill["components"].as_array().into_iter().flatten() {
        let of = |key: &str| entry[key].as_str().unwrap_or_default();
        if entry["scope"] == "required" {
            packages.insert(of("name").replace('-', "_"));
        }
        let locked = format!("name = \"{}\"\nversion = \"{}\"\n", of("name"), of("version"));
        let locked = lock.split("[[package]]\n").find(|package| package.starts_with(&locked));
        let checksum = entry["hashes"][0]["content"].as_str();
        match (of("name"), locked, checksum) {
            ("rust-library", ..) => {}
            (_, Some(locked), Some(checksum)) if locked.contains(&format!("checksum = \"{checksum}\"")) => {}
            (_, Some(locked), None) if !locked.contains("checksum") => {}
            (package, ..) => wrong.push(format!("{package}, which Cargo.lock has otherwise")),
        }
    }
    let there = functions_of(&of_release(&format!("{name}.debug")))?;
    // The bill is about the image's own crate; `__rustc` has the compiler's functions.
    let library = ["core", "alloc", "compiler_builtins", "__rustc", "postern_kernel", "postern_test"];
    let library = library.map(str::to_owned);
    for package in there.iter().filter(|package| !packages.contains(*package) && !library.contains(package)) {
        wrong.push(format!("no {package}, of which there are functions"));
    }
    for package in ["smoltcp", "virtio_pci", "svm_dma", "sha2"] {
        if !there.contains(package) || !packages.contains(package) {
            wrong.push(format!("no {package}"));
        }
    }
    for package in ELSEWHERE.into_iter().filter(|package| packages.contains(*package)) {
        wrong.push(format!("{package}, which is in no image"));
    }
    if wrong.is_empty() { Ok(()) } else { Err(Finding::Bill(path, wrong).into()) }
}

/// The crates of an image's functions, by their names as binutils demangles them.
fn functions_of(symbols: &Path) -> Result<BTreeSet<String>, Failure> {
    let nm = "powerpc64le-linux-gnu-nm";
    let output = Command::new(nm).arg("-C").arg(symbols).output();
    let output = output.map_err(|error| Finding::File(nm.into(), error))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // `ADDRESS t CRATE::...`; for `<CRATE::Type as ...>` the type's crate.
    let crates = text.lines().filter_map(|line| {
        let (kind, name) = line.get(17..)?.split_once(' ')?;
        let name = name.trim_start_matches(['<', '&', '*']);
        let (first, _) = name.split_once("::")?;
        let plain = first.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        (kind.eq_ignore_ascii_case("t") && plain).then(|| first.to_owned())
    });
    Ok(crates.collect())
}

/// The list of digests names every file of the release, and every digest is the file's.
fn digests() -> Result<(), Failure> {
    let list = of_release("SHA256SUMS");
    let output = Command::new("sha256sum")
        .args(["--quiet", "--strict", "-c", "SHA256SUMS"])
        .current_dir(FOLDER)
        .output();
    let output = output.map_err(|error| Finding::File("sha256sum".into(), error))?;
    let mut wrong: Vec<_> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    let text = String::from_utf8_lossy(&read(&list)?).into_owned();
    let folder = std::fs::read_dir(FOLDER).map_err(|error| Finding::File(FOLDER.into(), error))?;
    for entry in folder.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "SHA256SUMS" && !text.lines().any(|line| line.ends_with(&format!("  {name}"))) {
            wrong.push(format!("no {name}"));
        }
    }
    for said in ["# compiler: rustc ", "# linker: ", "# stripped by: "] {
        if !text.contains(said) {
            wrong.push(format!("no line {said}"));
        }
    }
    if wrong.is_empty() && output.status.success() { Ok(()) } else { Err(Finding::Bill(list, wrong).into()) }
}
