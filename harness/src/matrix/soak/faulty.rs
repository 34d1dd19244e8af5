//! The random work can fail: each of these disks follows the protocol, and has one fault that only the content shows.

use crate::disk;
use crate::finding::Finding;
use crate::judge;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, verdict};
use crate::matrix::runner::Test;
use crate::servers::Servers;
use crate::variable::Firmware;
use postern_adversary::disk_fault::DiskFault::{self, KeptBytes, RoundedDiscards, WideDiscards, WideWrites};

const BYTES: u64 = 2 << 20;
/// Exit status: data that was read back differs from the written data.
const WRONG: u8 = 7;
const FOUND: &str = "is not what was last seen there";
/// Seconds of work; it ends with the first wrong block.
const WORK: &str = "run=soak serve=30";

/// The tests.
pub fn tests() -> Vec<Test> {
    let faults = [
        ("wide-discards", WideDiscards),
        ("rounded-discards", RoundedDiscards),
        ("kept-bytes", KeptBytes),
        ("wide-writes", WideWrites),
    ];
    let test = |(name, fault)| Test::new(format!("soak/finds/{name}"), move |context| finds(context, fault));
    faults.into_iter().map(test).collect()
}

fn finds(context: &Context, fault: DiskFault) -> Result<(), Failure> {
    let config = GuestConfig::new(Firmware::Vof, false, false);
    let mut fixture = Fixture::new(&context.on_test_image(), config)?;
    let (image, socket) = (fixture.dir.path("faulty"), fixture.dir.path("socket"));
    disk::make(&image, BYTES, 1).map_err(|error| Finding::File(image.clone(), error))?;
    let memory = fixture.dir.memory(fixture.machine.memory);
    let memory = memory.map_err(|error| Finding::File(fixture.dir.root().to_path_buf(), error))?;
    fixture.machine.memory_file = Some(memory);
    let chardev = format!("socket,id=faulty,path={}", socket.display());
    let device = "vhost-user-blk-pci,chardev=faulty,num-queues=1,disable-legacy=on";
    fixture.machine.extra.extend(["-chardev", &chardev, "-device", device].map(str::to_owned));
    fixture.word(WORK);
    let mut servers = Servers::new(false);
    servers.faulty_disk((&image, "scratch"), &socket, fault).map_err(Finding::Server)?;
    let finished = fixture.start()?.finish(LIMIT);
    drop(servers.finish());
    let mut findings = judge::end(&finished, WRONG);
    if !finished.output.console.contains(FOUND) {
        findings.push(Finding::NeverSaid(FOUND));
    }
    verdict(finished, findings)
}
