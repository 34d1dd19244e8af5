//! A kernel for another machine with the same pool, ring and disk driver: `examples/aarch64-virt`, on QEMU's aarch64
//! `virt`. The data that it read and wrote is compared with the image.

use crate::disk;
use crate::finding::Finding;
use crate::matrix::fixture::{Context, Failure};
use crate::matrix::runner::Test;
use crate::qemu::process::{Ended, Output, Qemu};
use crate::session::SessionError;
use postern_adversary::blk::Blk;
use postern_adversary::gate::Gate;
use postern_adversary::server::Server;
use postern_ultravisor::workdir::Workdir;
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

const QEMU: &str = "qemu-system-aarch64";
/// The image that `make second-kernel` builds.
const IMAGE: &str = "build/second-kernel.elf";
/// Bytes of the disk: neither this nor its half is a multiple of the guest's read size.
const DISK: usize = (3 << 20) + 10 * SECTOR;
const SECTOR: usize = 512;
/// Where the guest's pool is (`examples/aarch64-virt/src/machine.rs`).
const POOL: std::ops::Range<u64> = 0x4200_0000..0x4240_0000;
const LIMIT: Duration = Duration::from_secs(120);

/// The kind of disk.
#[derive(Clone, Copy)]
enum Device {
    /// None.
    Missing,
    /// QEMU's, with or without VIRTIO_F_ACCESS_PLATFORM.
    Qemu { access_platform: bool },
    /// A server that can access the pool and no other memory.
    PoolAlone,
}

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let works = [
        ("ap-off", Device::Qemu { access_platform: false }),
        ("ap-on", Device::Qemu { access_platform: true }),
        ("pool-alone", Device::PoolAlone),
    ];
    let work = |(name, device)| test(name, move || works_on(device));
    works.map(work).into_iter().chain([test("no-disk", without_disk)]).collect()
}

/// A test that needs QEMU for the other machine: without it the test is skipped, except in CI.
fn test(name: &str, body: impl Fn() -> Result<(), Failure> + Send + Sync + 'static) -> Test {
    let name = format!("second-kernel/{name}");
    Test::new(name, move |_: &Context| match Command::new(QEMU).arg("--version").output() {
        Ok(_) => body(),
        Err(error) if std::env::var_os("CI").is_some() => Err(Finding::File(QEMU.into(), error).into()),
        Err(_) => {
            let why = format!("no {QEMU}; scripts/setup.sh --second-kernel installs it");
            Err(Finding::Skipped(why).into())
        }
    })
}

/// The disk is read, half of it is written, and all of it is read again.
fn works_on(device: Device) -> Result<(), Failure> {
    let dir = Workdir::new().map_err(|error| Finding::File(std::env::temp_dir(), error))?;
    let image = dir.path("disk");
    let failed = |error| Finding::File(image.clone(), error);
    disk::make(&image, DISK as u64, 0x5ec0).map_err(failed)?;
    let before = std::fs::read(&image).map_err(failed)?;
    let half = DISK / SECTOR / 2 * SECTOR;
    let mut after = before.clone();
    fill_with_pattern(&mut after[..half]);

    let (ended, output, server) = run(&dir, &image, device)?;
    let access_platform = matches!(device, Device::Qemu { access_platform: true });
    let expected = [
        ("access_platform", access_platform.to_string()),
        ("sectors", (DISK / SECTOR).to_string()),
        ("sha256", sha256(&before)),
        ("pattern_sectors", (half / SECTOR).to_string()),
        ("sha256_after", sha256(&after)),
        // Each byte of each request went through the pool, once.
        ("copied_to_pool", half.to_string()),
        ("copied_from_pool", (2 * DISK).to_string()),
    ];
    let mut findings = end(ended, &output, 0);
    let facts = expected.into_iter().filter_map(|(key, expected)| fact(&output, key, expected));
    findings.extend(facts);
    let image = std::fs::read(&image).map_err(failed)?;
    if image != after {
        let (expected, found) = (sha256(&after), Some(sha256(&image)));
        findings.push(Finding::Fact { key: "sha256 of the image", expected, found });
    }
    if let Some(server) = server {
        let ledger = server.finish().map_err(Finding::Server)?;
        findings.extend(ledger.refusals().into_iter().map(|refusal| Finding::Refused("blk", refusal)));
        if ledger.requests() == 0 {
            findings.push(Finding::TooFew { what: "requests", found: 0, least: 1 });
        }
    }
    verdict(findings, output)
}

/// The guest and its exit status say why it cannot work.
fn without_disk() -> Result<(), Failure> {
    let dir = Workdir::new().map_err(|error| Finding::File(std::env::temp_dir(), error))?;
    let (ended, output, _) = run(&dir, Path::new(""), Device::Missing)?;
    let mut findings = end(ended, &output, 1);
    findings.extend(fact(&output, "error", "no virtio disk".to_owned()));
    verdict(findings, output)
}

/// Boots the guest and waits for its end.
fn run(dir: &Workdir, image: &Path, device: Device) -> Result<(Ended, Output, Option<Server>), Failure> {
    if let Err(error) = std::fs::metadata(IMAGE) {
        return Err(Finding::File(IMAGE.into(), error).into());
    }
    let mut command = Command::new(QEMU);
    command
        .args(["-machine", "virt,highmem=off,memory-backend=ram", "-cpu", "cortex-a57", "-m", "128M"])
        .args(["-object", "memory-backend-memfd,id=ram,size=128M,share=on"])
        .args(["-display", "none", "-monitor", "none", "-serial", "stdio", "-nodefaults", "-no-reboot"])
        .args(["-semihosting-config", "enable=on,target=native", "-kernel", IMAGE]);
    let mut server = None;
    match device {
        Device::Missing => {}
        Device::Qemu { access_platform } => {
            let on = if access_platform { "on" } else { "off" };
            command.arg("-drive").arg(with("if=none,id=disk,format=raw,file=", image));
            command.args([
                "-device",
                &format!("virtio-blk-pci,drive=disk,disable-legacy=on,iommu_platform={on}"),
            ]);
        }
        Device::PoolAlone => {
            let socket = dir.path("blk");
            let disk = Blk::open(image, "data", true, None);
            let disk = disk.map_err(|error| Finding::File(image.into(), error))?;
            server = Some(Server::start(&socket, disk, Arc::new(PoolAlone)).map_err(Finding::Server)?);
            command.arg("-chardev").arg(with("socket,id=disk,path=", &socket));
            command.args(["-device", "vhost-user-blk-pci,chardev=disk,disable-legacy=on"]);
        }
    }
    let qemu = Qemu::spawn(command, None).map_err(|error| Finding::Start(SessionError::Qemu(error)))?;
    let (ended, output) = qemu.wait(LIMIT);
    Ok((ended, output, server))
}

fn with(words: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(words);
    argument.push(path);
    argument
}

/// Lets a device see the guest's pool, and no other memory.
struct PoolAlone;

impl Gate for PoolAlone {
    fn allows(&self, address: u64, length: u64) -> bool {
        address.checked_add(length).is_some_and(|end| address >= POOL.start && end <= POOL.end)
    }
}

/// The guest's pattern: each doubleword is its own offset, inverted.
fn fill_with_pattern(bytes: &mut [u8]) {
    for (offset, word) in (0u64..).step_by(8).zip(bytes.as_chunks_mut::<8>().0) {
        *word = (!offset).to_le_bytes();
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn end(ended: Ended, output: &Output, status: i32) -> Vec<Finding> {
    let expected = Ended::Exited(status);
    if ended == expected {
        return Vec::new();
    }
    let errors = output.errors.lines().last().unwrap_or_default().to_owned();
    vec![Finding::Ended { expected, found: ended, errors }]
}

/// A finding if the guest did not state this exactly once.
fn fact(output: &Output, key: &'static str, expected: String) -> Option<Finding> {
    let stated =
        |line: &str| Some(line.strip_prefix("second: ")?.strip_prefix(key)?.strip_prefix('=')?.to_owned());
    let found: Vec<String> = output.console.lines().filter_map(stated).collect();
    if found == [expected.as_str()] {
        return None;
    }
    Some(Finding::Fact { key, expected, found: found.into_iter().next() })
}

fn verdict(findings: Vec<Finding>, output: Output) -> Result<(), Failure> {
    if findings.is_empty() { Ok(()) } else { Err(Failure { findings, output: Some(output) }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_of_the_second_kernel_sees_only_its_pool() {
        assert!(PoolAlone.allows(POOL.start, POOL.end - POOL.start));
        assert!(!PoolAlone.allows(POOL.start - 1, 2));
        assert!(!PoolAlone.allows(POOL.end - 1, 2));
        assert!(!PoolAlone.allows(u64::MAX, 2));
    }

    #[test]
    fn a_missing_or_wrong_fact_is_a_finding() {
        let console = "second: sectors=7\nsecond: sha256_after=12\n".to_owned();
        let output = Output { console, errors: String::new(), elapsed: Duration::ZERO };
        assert!(fact(&output, "sectors", "7".to_owned()).is_none());
        assert!(fact(&output, "sectors", "8".to_owned()).is_some());
        assert!(fact(&output, "sha256", "12".to_owned()).is_some());
    }
}
