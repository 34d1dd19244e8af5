//! The work that the CPUs of a guest state for `run=blk-smp`, compared with the disk's image.

use crate::guest::report::Report;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// A wrong part.
#[derive(Debug)]
pub enum PartError {
    /// A plain line does not have the expected value.
    Fact {
        /// Its key.
        key: String,
        /// The expected value.
        expected: String,
        /// The printed value.
        found: Option<String>,
    },
    /// A CPU has two parts.
    SameCpu(String),
    /// The image could not be read.
    Image(io::Error),
}

impl fmt::Display for PartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fact { key, expected, found } => {
                write!(f, "{key} is {}, expected {expected}", found.as_deref().unwrap_or("not stated"))
            }
            Self::SameCpu(server) => write!(f, "CPU {server} has more than one part"),
            Self::Image(error) => write!(f, "the image cannot be read: {error}"),
        }
    }
}

/// Checks the parts of `disk`, which has `bytes` bytes: one for each of `cpus` different CPUs, without gaps, with
/// `queues` queues in turn; and the digest of each part of `image` if it is given.
#[must_use]
pub fn judge(
    report: &Report,
    disk: &str,
    cpus: u32,
    queues: u32,
    bytes: u64,
    image: Option<&Path>,
) -> Vec<PartError> {
    let mut errors = Vec::new();
    let mut expect = |key: String, expected: String| {
        let found = report.fact(&key).map(str::to_owned);
        if found.as_ref() != Some(&expected) {
            errors.push(PartError::Fact { key, expected, found });
        }
    };
    expect(format!("{disk}.queues"), queues.to_string());
    let mut start = 0;
    for cpu in 0..cpus {
        let key = |what: &str| format!("{disk}.cpu.{cpu}.{what}");
        expect(key("queue"), (cpu % queues).to_string());
        // The last part's end is known; each other part must not be empty, and the next one begins at its end.
        let stated = report.fact(&key("range")).and_then(range).map_or(start, |(_, end)| end);
        let end = if cpu + 1 == cpus { bytes } else { stated.clamp((start + 512).min(bytes), bytes) };
        expect(key("range"), format!("{start:#x} {end:#x}"));
        if let Some(image) = image {
            match digest(image, start, end) {
                Ok(sum) => expect(key("sha256"), sum),
                Err(error) => return vec![PartError::Image(error)],
            }
        }
        start = end;
    }
    let mut servers = BTreeSet::new();
    for cpu in 0..cpus {
        // A queue's interrupts, if any, come to the first of the CPUs that use it.
        let key = format!("{disk}.cpu.{cpu}.interrupted");
        let found = report.fact(&key).map(str::to_owned);
        let owner = report.fact(&format!("{disk}.cpu.{}.server", cpu % queues)).unwrap_or("not stated");
        if found.as_ref().is_some_and(|found| found != owner) {
            errors.push(PartError::Fact { key, expected: owner.to_owned(), found });
        }
        let key = format!("{disk}.cpu.{cpu}.server");
        match report.fact(&key) {
            Some(server) if servers.insert(server) => {}
            Some(server) => errors.push(PartError::SameCpu(server.to_owned())),
            None => errors.push(PartError::Fact { key, expected: "a number".to_owned(), found: None }),
        }
    }
    errors
}

/// Number of interrupts for this disk, as the CPUs state them.
#[must_use]
pub fn interrupts(report: &Report, disk: &str, cpus: u32) -> u64 {
    (0..cpus).filter_map(|cpu| report.number(&format!("{disk}.cpu.{cpu}.interrupts"))).sum()
}

fn range(text: &str) -> Option<(u64, u64)> {
    let (start, end) = text.split_once(' ')?;
    let number = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
    Some((number(start)?, number(end)?))
}

fn digest(image: &Path, start: u64, end: u64) -> io::Result<String> {
    let mut file = File::open(image)?;
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(end.saturating_sub(start)).read_to_end(&mut bytes)?;
    Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk;
    use postern_ultravisor::workdir::Workdir;

    const BYTES: u64 = 4096;

    /// The correct facts of two CPUs, and the image.
    fn honest() -> (Workdir, std::path::PathBuf, String) {
        let dir = Workdir::new().unwrap();
        let image = dir.path("image");
        disk::make(&image, BYTES, 1).unwrap();
        let mut log = String::from("postern: blk0.queues=2\n");
        for (cpu, start, end) in [(0, 0, 1536), (1, 1536, BYTES)] {
            let sum = digest(&image, start, end).unwrap();
            for (key, value) in [
                ("server", cpu.to_string()),
                ("queue", cpu.to_string()),
                ("range", format!("{start:#x} {end:#x}")),
                ("sha256", sum),
                ("interrupts", "3".to_owned()),
                ("interrupted", cpu.to_string()),
            ] {
                log.push_str(&format!("postern: blk0.cpu.{cpu}.{key}={value}\n"));
            }
        }
        (dir, image, log)
    }

    fn errors(log: &str, image: &Path) -> Vec<String> {
        let errors = judge(&Report::parse(log), "blk0", 2, 2, BYTES, Some(image));
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn parts_of_the_whole_disk_pass() {
        let (_dir, image, log) = honest();
        assert_eq!(errors(&log, &image), Vec::<String>::new());
        assert_eq!(interrupts(&Report::parse(&log), "blk0", 2), 6);
    }

    #[test]
    fn each_wrong_part_is_found() {
        let (_dir, image, log) = honest();
        for (right, wrong, finding) in [
            ("cpu.1.range=0x600 ", "cpu.1.range=0x800 ", "cpu.1.range"),
            ("0x600 0x1000", "0x600 0xe00", "cpu.1.range"),
            ("cpu.1.queue=1", "cpu.1.queue=0", "cpu.1.queue"),
            ("cpu.1.server=1", "cpu.1.server=0", "more than one part"),
            ("cpu.1.server", "cpu.2.server", "cpu.1.server is not stated"),
            ("cpu.0.sha256=", "cpu.0.sha256=0", "cpu.0.sha256"),
            ("cpu.1.interrupted=1", "cpu.1.interrupted=0", "cpu.1.interrupted is 0, expected 1"),
            ("queues=2", "queues=1", "blk0.queues"),
            ("cpu.0.range=0x0 0x600", "cpu.0.range=0x0 0x0", "cpu.0.range"),
        ] {
            assert!(log.contains(right), "{right}");
            let found = errors(&log.replace(right, wrong), &image);
            assert!(found.iter().any(|error| error.contains(finding)), "{wrong}: {found:?}");
        }
    }
}
