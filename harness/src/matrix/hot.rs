//! Devices that change while the guest works: a disk grows, shrinks, gets a removal request or disappears; a cable is pulled. Each
//! ends as the guest contract says, and nothing hangs.

use crate::disk::{self, Disk};
use crate::finding::{Finding, digest};
use crate::judge;
use crate::matrix::boot_matrix::SERVING;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, seed, verdict};
use crate::matrix::runner::Test;
use crate::peer::echo;
use crate::qemu::monitor::{Monitor, MonitorError};
use crate::servers::Servers;
use crate::session::{Finished, Session};
use crate::variable::{Firmware, Net};
use postern_adversary::cut::Cut;
use postern_adversary::hold::Hold;
use postern_cases::case;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

const DATA_BYTES: u64 = 8 << 20;
const SMALL: u64 = 1 << 20;
const LARGE: u64 = 12 << 20;
/// Exit status: a device is missing, refused or broken, or could not do its work.
const DEVICE: u8 = 6;
/// Bytes a second of a disk whose work must not be finished before the change.
const SLOW: u32 = 64 << 10;
const APPEARED: &str = "1af4:1042 class 010000: appeared after boot";
const LINK_UP: &str = "net: link is up";
const LINK_DOWN: &str = "net: link is down";
const STATIC: &str = "ip=10.0.2.15/24 gw=10.0.2.2";
/// QEMU's path of the first disk, which has no name of its own.
const DISK: &str = "/machine/peripheral-anon/device[0]";

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let mut tests = vec![
        Test::new("hot/resize/shrinks", |context| resize(context, SMALL)),
        Test::new("hot/resize/grows", |context| resize(context, LARGE)),
        Test::new("hot/link", link),
        Test::new("hot/plug", plug),
        Test::new("hot/unplug/busy", unplug_busy),
        Test::new("hot/unplug/until-reset", until_reset),
        Test::new("hot/back-end-gone/busy", |context| back_end_gone(context, true)),
        Test::new("hot/back-end-gone/idle", |context| back_end_gone(context, false)),
    ];
    for firmware in [Firmware::Vof, Firmware::Slof] {
        let name = format!("hot/unplug/idle/{}", firmware.name());
        tests.push(Test::new(name, move |context| unplug_idle(context, firmware)));
    }
    tests
}

/// A guest with a data disk and a monitor.
fn fixture(context: &Context, firmware: Firmware) -> Result<(Fixture, PathBuf), Failure> {
    let mut fixture = Fixture::new(context, GuestConfig::new(firmware, false, true))?;
    let image = fixture.data_disk(DATA_BYTES)?;
    fixture.machine.monitor = Some(fixture.dir.path("monitor"));
    Ok((fixture, image))
}

fn connect(session: &Session) -> Result<Monitor, Finding> {
    let socket = session.machine.monitor.clone().unwrap_or_default();
    Monitor::connect(&socket).map_err(Finding::Monitor)
}

/// Starts a guest whose disk is slow from the first request on, and waits until one request is done.
fn at_work(fixture: &mut Fixture) -> Result<(Session, Monitor), Failure> {
    fixture.machine.at_reset = true;
    fixture.word("run=blk-digest");
    let session = fixture.start()?;
    let mut monitor = connect(&session)?;
    let mut begin = || -> Result<bool, MonitorError> {
        monitor.throttle_bytes(0, SLOW)?;
        monitor.cont()?;
        let deadline = Instant::now() + LIMIT;
        while monitor.disk_requests()? < 2 {
            if Instant::now() > deadline || session.qemu.has_ended() {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(true)
    };
    match begin() {
        Ok(true) => Ok((session, monitor)),
        Ok(false) => {
            Err(Failure { findings: vec![Finding::Idle("virtio-blk")], output: Some(session.qemu.stop()) })
        }
        Err(error) => Err(Finding::Monitor(error).into()),
    }
}

/// The disk gets another size in the middle of a digest.
fn resize(context: &Context, bytes: u64) -> Result<(), Failure> {
    case!("BLK-06", Fail, Q);
    let (mut fixture, image) = fixture(context, Firmware::Vof)?;
    let (session, mut monitor) = at_work(&mut fixture)?;
    let resized = monitor.resize(0, bytes).and_then(|()| monitor.throttle_bytes(0, 0));
    drop(monitor);
    let finished = session.finish(LIMIT);
    let mut findings: Vec<_> = resized.err().map(Finding::Monitor).into_iter().collect();
    if bytes < DATA_BYTES {
        findings.extend(judge::end(&finished, DEVICE));
        const BEYOND: &str = "of 2048";
        says(&mut findings, &finished, BEYOND);
    } else {
        findings.extend(judge::end(&finished, 0));
        findings.extend(judge::fact(&finished, "blk0.sha256", &digest(&image)?));
    }
    findings.extend(judge::fact(&finished, "blk0.capacity_bytes", &DATA_BYTES.to_string()));
    findings.extend(judge::fact(&finished, "blk0.end_bytes", &bytes.to_string()));
    findings.extend(judge::fact(&finished, "blk0.resizes", "1"));
    verdict(finished, findings)
}

fn says(findings: &mut Vec<Finding>, finished: &Finished, words: &'static str) {
    if !finished.output.console.contains(words) {
        findings.push(Finding::NeverSaid(words));
    }
}

/// Waits until the guest serves, calls `act`, and types `q`.
fn while_serving(
    fixture: &mut Fixture,
    act: impl FnOnce(&Session) -> Result<(), Finding>,
) -> Result<(Finished, Vec<Finding>), Failure> {
    let mut session = fixture.start()?;
    let mut findings = Vec::new();
    if session.qemu.console().wait_for(LIMIT, |line| line == SERVING).is_none() {
        findings.push(Finding::NeverSaid(SERVING));
    } else {
        findings.extend(act(&session).err());
    }
    drop(session.qemu.type_in(b"q"));
    Ok((session.finish(LIMIT), findings))
}

/// The cable is pulled and put back while the guest serves.
fn link(context: &Context) -> Result<(), Failure> {
    let (mut fixture, _) = fixture(context, Firmware::Vof)?;
    fixture.machine.net = Net::User;
    fixture.word(&format!("run=net-serve serve=60 {STATIC}"));
    let (finished, mut findings) = while_serving(&mut fixture, |session| {
        // The guest has to see the link up before the cable is pulled, or it would not see a change.
        if session.qemu.console().wait_for(LIMIT, |line| line.contains(LINK_UP)).is_none() {
            return Err(Finding::NeverSaid(LINK_UP));
        }
        let mut monitor = connect(session)?;
        monitor.set_link(false).map_err(Finding::Monitor)?;
        if session.qemu.console().wait_for(LIMIT, |line| line.contains(LINK_DOWN)).is_none() {
            return Err(Finding::NeverSaid(LINK_DOWN));
        }
        monitor.set_link(true).map_err(Finding::Monitor)?;
        lines(session, LINK_UP, 2)?;
        let ports = monitor.forwarded().map_err(Finding::Monitor)?;
        echo::all(ports, seed()).map(drop).map_err(Finding::Echo)
    })?;
    findings.extend(judge::end(&finished, 0));
    // Up at first, down, and up.
    findings.extend(judge::fact(&finished, "net0.link_changes", "3"));
    verdict(finished, findings)
}

/// A disk appears while the guest serves: it is named soon, counted and not used.
fn plug(context: &Context) -> Result<(), Failure> {
    case!("LIF-03", Ignore, Q);
    let (mut fixture, image) = fixture(context, Firmware::Vof)?;
    fixture.machine.net = Net::User;
    fixture.word(&format!("run=net-serve,blk-digest serve=60 {STATIC}"));
    let (finished, mut findings) = while_serving(&mut fixture, |session| {
        connect(session)?.plug_disk().map_err(Finding::Monitor)?;
        match session.qemu.console().wait_for(LIMIT, |line| line.contains(APPEARED)) {
            Some(_) => Ok(()),
            None => Err(Finding::NeverSaid(APPEARED)),
        }
    })?;
    findings.extend(judge::end(&finished, 0));
    findings.extend(judge::fact(&finished, "devices.appeared", "1"));
    findings.extend(judge::fact(&finished, "blk0.sha256", &digest(&image)?));
    if finished.report.fact("blk1.id").is_some() || finished.output.console.matches(APPEARED).count() != 1 {
        findings.push(Finding::Order("boot, then the disk that is named once and not used"));
    }
    verdict(finished, findings)
}

/// QEMU is told to remove the disk, which on pseries needs the guest's consent. This guest does not handle the request:
/// the disk stays, and works.
fn unplug(monitor: &mut Monitor) -> Result<(), Finding> {
    monitor.unplug(DISK).map_err(Finding::Monitor)?;
    let devices = monitor.devices().map_err(Finding::Monitor)?;
    if devices.contains("virtio-blk-pci") { Ok(()) } else { Err(Finding::Idle("virtio-blk-pci")) }
}

fn unplug_idle(context: &Context, firmware: Firmware) -> Result<(), Failure> {
    case!("LIF-07", Ignore, Q);
    let (mut fixture, image) = fixture(context, firmware)?;
    fixture.machine.net = Net::User;
    fixture.word(&format!("run=net-serve,blk-digest serve=60 {STATIC}"));
    let (finished, mut findings) = while_serving(&mut fixture, |session| unplug(&mut connect(session)?))?;
    findings.extend(judge::end(&finished, 0));
    findings.extend(judge::fact(&finished, "blk0.sha256", &digest(&image)?));
    verdict(finished, findings)
}

fn unplug_busy(context: &Context) -> Result<(), Failure> {
    case!("LIF-07", Ignore, Q);
    let (mut fixture, image) = fixture(context, Firmware::Vof)?;
    let (session, mut monitor) = at_work(&mut fixture)?;
    let mut findings: Vec<_> = unplug(&mut monitor).err().into_iter().collect();
    findings.extend(monitor.throttle_bytes(0, 0).err().map(Finding::Monitor));
    drop(monitor);
    let finished = session.finish(LIMIT);
    findings.extend(judge::end(&finished, 0));
    findings.extend(judge::fact(&finished, "blk0.sha256", &digest(&image)?));
    verdict(finished, findings)
}

/// The request is not lost: QEMU removes the disk once the machine is reset, and the next boot finds none.
fn until_reset(context: &Context) -> Result<(), Failure> {
    case!("LIF-07", Ignore, Q);
    const GONE: &str = "there is no data disk";
    let (mut fixture, image) = fixture(context, Firmware::Vof)?;
    fixture.machine.net = Net::User;
    fixture.machine.extra.extend(["-action", "reboot=reset"].map(str::to_owned));
    fixture.word(&format!("run=blk-digest,net-serve serve=60 {STATIC}"));
    let (finished, mut findings) = while_serving(&mut fixture, |session| {
        let mut monitor = connect(session)?;
        unplug(&mut monitor)?;
        monitor.reset().map_err(Finding::Monitor)?;
        lines(session, SERVING, 2)?;
        let devices = monitor.devices().map_err(Finding::Monitor)?;
        if devices.contains("virtio-blk-pci") { Err(Finding::NeverSaid(GONE)) } else { Ok(()) }
    })?;
    findings.extend(judge::end(&finished, DEVICE));
    says(&mut findings, &finished, GONE);
    // The first boot's digest, and none of the second.
    let said = format!("blk0: SHA-256 {} ", digest(&image)?);
    let times = [&said, "blk0: SHA-256 "].map(|text| finished.output.console.matches(text).count());
    if times != [1, 1] {
        findings.push(Finding::Times { text: said, times: times[1] });
    }
    verdict(finished, findings)
}

/// Waits until the console has this text so many times.
fn lines(session: &Session, text: &'static str, times: usize) -> Result<(), Finding> {
    let deadline = Instant::now() + LIMIT;
    while session.qemu.console().text().matches(text).count() < times {
        if Instant::now() > deadline || session.qemu.has_ended() {
            return Err(Finding::NeverSaid(text));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The disk's vhost-user server ends: in the middle of a read (`busy`), or while the disk is idle. The device's registers
/// stay, and no request is answered any more. The other disk and the card go on working.
fn back_end_gone(context: &Context, busy: bool) -> Result<(), Failure> {
    case!("LIF-08", Break, Q);
    let (mut fixture, _) = fixture(context, Firmware::Vof)?;
    let other = fixture.dir.path("other");
    disk::make(&other, DATA_BYTES, seed()).map_err(|error| Finding::File(other.clone(), error))?;
    fixture.machine.disks.push(Disk::data(other.clone()));
    fixture.machine.access_platform = false;
    let memory = fixture.dir.memory(fixture.machine.memory);
    fixture.machine.memory_file =
        Some(memory.map_err(|error| Finding::File(fixture.dir.root().to_path_buf(), error))?);
    let mut servers = Servers::new(false);
    let [outer, inner] = ["blk", "inner"].map(|name| fixture.dir.path(name));
    let hold = busy.then(Arc::<Hold>::default);
    if let Some(disk) = fixture.machine.disks.first_mut() {
        servers.disk(disk, &inner, None, hold.clone()).map_err(Finding::Server)?;
        disk.server = Some(outer.clone());
    }
    let cut = Cut::new(&outer, &inner).map_err(|error| Finding::File(outer, error))?;
    let (finished, mut findings) = if let Some(hold) = hold {
        fixture.word("run=blk-digest device-timeout=2");
        let session = fixture.start()?;
        let deadline = Instant::now() + LIMIT;
        while hold.waiting().is_none() && Instant::now() < deadline && !session.qemu.has_ended() {
            std::thread::sleep(Duration::from_millis(2));
        }
        let read = hold.waiting().is_some();
        // The read that was under way stays without an answer.
        cut.now();
        let finished = session.finish(LIMIT);
        hold.open();
        (finished, if read { Vec::new() } else { vec![Finding::Idle("virtio-blk")] })
    } else {
        fixture.machine.net = Net::User;
        fixture.word(&format!("run=net-serve,blk-digest serve=60 device-timeout=2 {STATIC}"));
        while_serving(&mut fixture, |session| {
            cut.now();
            let ports = connect(session)?.forwarded().map_err(Finding::Monitor)?;
            echo::all(ports, seed()).map(drop).map_err(Finding::Echo)
        })?
    };
    servers.finish().map_err(Finding::Server)?;
    findings.extend(judge::end(&finished, DEVICE));
    const SAID: &str = "blk0: sector 0: device broken: no answer in time";
    says(&mut findings, &finished, SAID);
    if finished.report.fact("blk0.sha256").is_some() {
        findings.push(Finding::Order("a digest of the other disk alone"));
    }
    findings.extend(judge::fact(&finished, "blk1.sha256", &digest(&other)?));
    findings.extend(judge::fact(&finished, "work.done", if busy { "1" } else { "2" }));
    verdict(finished, findings)
}
