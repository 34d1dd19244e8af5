//! The guest on a cable with one raw peer: static address, ARP and ICMP both ways.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::boot_matrix::SERVING;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, verdict};
use crate::matrix::runner::Test;
use crate::peer::flood::Flood;
use crate::peer::frames::Mac;
use crate::peer::wire::Wire;
use crate::qemu::monitor::Monitor;
use crate::session::Session;
use crate::variable::{Firmware, Net};
use postern_cases::case;
use std::time::Duration;

/// The address that QEMU gives to the first card, in both notations.
const MAC: Mac = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
/// Connections that are opened and never completed: many times the twelve sockets.
const FLOOD: u16 = 200;
/// Number of clients that are served meanwhile.
const CLIENTS: u16 = 5;
/// Announcements that QEMU is told to ask for.
const ANNOUNCEMENTS: u32 = 2;
/// Time for each: the guest looks ten times a second.
const ANNOUNCED: Duration = Duration::from_secs(60);
const MAC_TEXT: &str = "52:54:00:12:34:56";

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let configs = [
        ("secure/ap-on", GuestConfig::new(Firmware::Bios, true, true)),
        ("normal/ap-off", GuestConfig::new(Firmware::Vof, false, false)),
    ];
    let mut tests: Vec<Test> = configs
        .iter()
        .map(|&(name, config)| Test::new(format!("wire/{name}"), move |context| wire(context, config)))
        .collect();
    tests.extend(configs.map(|(name, config)| {
        Test::new(format!("wire/announced/{name}"), move |context| announced(context, config))
    }));
    tests.extend(configs.map(|(name, config)| {
        Test::new(format!("wire/half-open-flood/{name}"), move |context| {
            half_open_flood(context, config, false)
        })
    }));
    let [_, (_, ordinary)] = configs;
    tests.push(Test::new("status-page/half-open-flood", move |context| {
        half_open_flood(context, ordinary, true)
    }));
    tests.push(Test::new("wire/no-address-on-the-first-card", second_card));
    tests
}

/// Many more connections are opened than there are sockets, and none is completed: clients are served meanwhile.
fn half_open_flood(context: &Context, config: GuestConfig, page: bool) -> Result<(), Failure> {
    let _ = case!("NET-18", Work, Q);
    let mut fixture = Fixture::new(context, config)?;
    let root = fixture.dir.root().to_path_buf();
    let mut wire = Wire::new(&root).map_err(|error| Finding::File(root.clone(), error))?;
    fixture.machine.net = Net::Netdev(Wire::netdev(&root));
    fixture.word("ip=192.0.2.2/24 run=net-serve serve=100");
    let mut session = fixture.start()?;
    let mut findings = Vec::new();
    if session.qemu.console().wait_for(LIMIT, |line| line == SERVING).is_none() {
        findings.push(Finding::NeverSaid(SERVING));
    }
    let mut flood = Flood::new(&mut wire, MAC);
    if page {
        flood = flood.at_page();
    }
    let served = flood.ask(FLOOD).and_then(|()| (0..CLIENTS).try_for_each(|client| flood.be_served(client)));
    findings.extend(served.err().map(Finding::Wire));
    drop(session.qemu.type_in(b"q"));
    let finished = session.finish(LIMIT);
    findings.extend(judge::end(&finished, 0));
    let displaced = if page { "net0.page_displaced" } else { "net0.displaced" };
    findings.extend(judge::positive(&finished, displaced));
    verdict(finished, findings)
}

/// QEMU asks for an announcement, as it does after a migration: each time, the guest announces its address once.
fn announced(context: &Context, config: GuestConfig) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, config)?;
    let root = fixture.dir.root().to_path_buf();
    let mut wire = Wire::new(&root).map_err(|error| Finding::File(root.clone(), error))?;
    fixture.machine.net = Net::Netdev(Wire::netdev(&root));
    let socket = fixture.dir.path("monitor");
    fixture.machine.monitor = Some(socket.clone());
    fixture.word("ip=192.0.2.2/24 run=net-serve serve=60");
    let mut session = fixture.start()?;
    let mut findings = Vec::new();
    if session.qemu.console().wait_for(LIMIT, |line| line == SERVING).is_none() {
        findings.push(Finding::NeverSaid(SERVING));
    } else {
        let mut monitor = Monitor::connect(&socket).map_err(Finding::Monitor)?;
        for _ in 0..ANNOUNCEMENTS {
            findings.extend(monitor.announce().err().map(Finding::Monitor));
            findings.extend(wire.take_announcement(MAC, ANNOUNCED).err().map(Finding::Wire));
        }
        findings.extend(judge::rings_in_use(&session, &mut monitor));
    }
    drop(session.qemu.type_in(b"q"));
    let finished = session.finish(LIMIT);
    findings.extend(judge::end(&finished, 0));
    findings.extend(judge::fact(&finished, "net0.announced", &ANNOUNCEMENTS.to_string()));
    verdict(finished, findings)
}

/// The first card has no address, and is named; the second one serves.
fn second_card(context: &Context) -> Result<(), Failure> {
    let _ = case!("OUT-06", Fail, Q);
    let mut fixture = Fixture::new(context, GuestConfig::new(Firmware::Vof, false, false))?;
    let root = fixture.dir.root().to_path_buf();
    // This end does not answer.
    let _silent = Wire::new(&root).map_err(|error| Finding::File(root.clone(), error))?;
    fixture.machine.net = Net::Netdev(Wire::netdev(&root));
    let second = [
        "-netdev",
        "user,id=second",
        "-device",
        "virtio-net-pci,netdev=second,disable-legacy=on,romfile=,addr=1f",
    ];
    fixture.machine.extra.extend(second.map(str::to_owned));
    fixture.word("run=net-serve serve=1");
    let finished = fixture.boot()?;
    let mut findings = judge::end(&finished, 6);
    const NAMED: &str = "error: net0: no DHCP lease within 15000 ms";
    if !finished.output.console.contains(NAMED) {
        findings.push(Finding::NeverSaid(NAMED));
    }
    findings.extend(judge::fact(&finished, "net1.serve", "done"));
    findings.extend(judge::fact(&finished, "work.asked", "2"));
    findings.extend(judge::fact(&finished, "work.done", "1"));
    verdict(finished, findings)
}

fn wire(context: &Context, config: GuestConfig) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, config)?;
    let root = fixture.dir.root().to_path_buf();
    let mut wire = Wire::new(&root).map_err(|error| Finding::File(root.clone(), error))?;
    fixture.machine.net = Net::Netdev(Wire::netdev(&root));
    // The demo pings its gateway, which is this test.
    fixture.word("ip=192.0.2.2/24 gw=192.0.2.1 run=demo,net-serve serve=60");
    let mut session = fixture.start()?;
    let mut findings = Vec::new();
    match wire.be_pinged(LIMIT) {
        Ok(()) => findings.extend(probe(&mut wire, &session)),
        Err(error) => findings.push(Finding::Wire(error)),
    }
    drop(session.qemu.type_in(b"q"));
    let finished = session.finish(LIMIT);
    findings.extend(judge::end(&finished, 0));
    findings.extend(judge::fact(&finished, "net0.ip", "192.0.2.2"));
    findings.extend(judge::fact(&finished, "net0.mac", MAC_TEXT));
    if config.secure {
        findings.extend(judge::exposure(&finished, config.access_platform));
    }
    verdict(finished, findings)
}

fn probe(wire: &mut Wire, session: &Session) -> Option<Finding> {
    if session.qemu.console().wait_for(LIMIT, |line| line == SERVING).is_none() {
        return Some(Finding::NeverSaid(SERVING));
    }
    wire.probe(MAC).err().map(Finding::Wire)
}
