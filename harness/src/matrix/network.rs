//! The guest on a cable with one raw peer: static address, ARP and ICMP both ways.

use crate::finding::Finding;
use crate::judge;
use crate::matrix::cells::SERVING;
use crate::matrix::runner::Test;
use crate::matrix::scene::{Context, Failure, LIMIT, Scene, Shape, verdict};
use crate::peer::flood::Flood;
use crate::peer::frames::Mac;
use crate::peer::wire::Wire;
use crate::session::Session;
use crate::variable::{Firmware, Net};
use postern_cases::case;

/// What QEMU gives to the first card, in both notations.
const MAC: Mac = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
/// Connections that are asked for and never completed: many times the twelve sockets.
const FLOOD: u16 = 200;
/// Who is served meanwhile.
const CLIENTS: u16 = 5;
const MAC_TEXT: &str = "52:54:00:12:34:56";

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let shapes = [
        ("secure/ap-on", Shape::new(Firmware::Bios, true, true)),
        ("normal/ap-off", Shape::new(Firmware::Vof, false, false)),
    ];
    let mut tests: Vec<Test> = shapes
        .iter()
        .map(|&(name, shape)| Test::new(format!("wire/{name}"), move |context| wire(context, shape)))
        .collect();
    tests.extend(shapes.map(|(name, shape)| {
        Test::new(format!("wire/half-open-flood/{name}"), move |context| half_open_flood(context, shape))
    }));
    tests.push(Test::new("wire/no-address-on-the-first-card", second_card));
    tests
}

/// Many more connections are asked for than there are sockets, and none is completed: clients are served meanwhile.
fn half_open_flood(context: &Context, shape: Shape) -> Result<(), Failure> {
    let _ = case!("NET-18", Work, Q);
    let mut scene = Scene::new(context, shape)?;
    let root = scene.dir.root().to_path_buf();
    let mut wire = Wire::new(&root).map_err(|error| Finding::File(root.clone(), error))?;
    scene.machine.net = Net::Netdev(Wire::netdev(&root));
    scene.word("ip=192.0.2.2/24 run=net-serve serve=100");
    let mut session = scene.start()?;
    let mut findings = Vec::new();
    if session.qemu.console().wait_for(LIMIT, |line| line == SERVING).is_none() {
        findings.push(Finding::NeverSaid(SERVING));
    }
    let mut flood = Flood::new(&mut wire, MAC);
    let served = flood.ask(FLOOD).and_then(|()| (0..CLIENTS).try_for_each(|client| flood.be_served(client)));
    findings.extend(served.err().map(Finding::Wire));
    drop(session.qemu.type_in(b"q"));
    let finished = session.finish(LIMIT);
    findings.extend(judge::end(&finished, 0));
    findings.extend(judge::positive(&finished, "net0.displaced"));
    verdict(finished, findings)
}

/// The first card has no address, and is named; the second one serves.
fn second_card(context: &Context) -> Result<(), Failure> {
    let _ = case!("OUT-06", Fail, Q);
    let mut scene = Scene::new(context, Shape::new(Firmware::Vof, false, false))?;
    let root = scene.dir.root().to_path_buf();
    // Nobody answers at this end.
    let _silent = Wire::new(&root).map_err(|error| Finding::File(root.clone(), error))?;
    scene.machine.net = Net::Netdev(Wire::netdev(&root));
    let second = [
        "-netdev",
        "user,id=second",
        "-device",
        "virtio-net-pci,netdev=second,disable-legacy=on,romfile=,addr=1f",
    ];
    scene.machine.extra.extend(second.map(str::to_owned));
    scene.word("run=net-serve serve=1");
    let finished = scene.boot()?;
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

fn wire(context: &Context, shape: Shape) -> Result<(), Failure> {
    let mut scene = Scene::new(context, shape)?;
    let root = scene.dir.root().to_path_buf();
    let mut wire = Wire::new(&root).map_err(|error| Finding::File(root.clone(), error))?;
    scene.machine.net = Net::Netdev(Wire::netdev(&root));
    // The demo pings its gateway, which is us.
    scene.word("ip=192.0.2.2/24 gw=192.0.2.1 run=demo,net-serve serve=60");
    let mut session = scene.start()?;
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
    if shape.secure {
        findings.extend(judge::exposure(&finished, shape.access_platform));
    }
    verdict(finished, findings)
}

fn probe(wire: &mut Wire, session: &Session) -> Option<Finding> {
    if session.qemu.console().wait_for(LIMIT, |line| line == SERVING).is_none() {
        return Some(Finding::NeverSaid(SERVING));
    }
    wire.probe(MAC).err().map(Finding::Wire)
}
