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
