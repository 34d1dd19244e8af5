//! Devices that see only what was shared: the cells without ACCESS_PLATFORM, which no TCE table can prove,
//! on vhost-user servers that ask the ultravisor before each access.

use crate::finding::{Finding, digest};
use crate::judge::{self, SECURE_CALLS};
use crate::matrix::cells::SERVING;
use crate::matrix::runner::Test;
use crate::matrix::scene::{Context, Failure, LIMIT, Scene, Shape, seed, verdict};
use crate::pattern;
use crate::peer::station::{Station, WORDS};
use crate::servers::{Account, Servers};
use crate::session::{Finished, Session};
use crate::variable::{Firmware, Net};
use postern_adversary::cable::Cable;
use postern_adversary::hold::Hold;
use postern_adversary::lie::Lie;
use postern_cases::case;
use std::fs::File;
use std::sync::Arc;

const DATA_BYTES: u64 = (2 << 20) + 3 * 512;
const SCRATCH_BYTES: u64 = (1 << 20) + 512;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let _ = case!("NEG-03", Work, Q);
    let cells = [
        (Firmware::Slof, true),
        (Firmware::Vof, true),
        (Firmware::Bios, true),
        (Firmware::Slof, false),
        (Firmware::Vof, false),
        (Firmware::Bios, false),
    ];
    let cell = |(firmware, secure): (Firmware, bool)| {
        let mode = if secure { "secure" } else { "normal" };
        let shape = Shape::new(firmware, secure, false);
        Test::new(format!("refusing/{}/{mode}", firmware.name()), move |context| run(context, shape))
    };
    cells.into_iter().map(cell).collect()
}

/// A guest on servers, and the other end of its cable.
pub struct Served {
    /// The guest.
    pub session: Session,
    /// Its devices.
    pub servers: Servers,
    /// Its cable.
    pub cable: Arc<Cable>,
}

/// Puts a server in the place of every device of a scene, and starts its guest.
///
/// # Errors
/// A server or the guest did not start.
pub fn start(scene: &mut Scene, lies: Lies) -> Result<Served, Failure> {
    start_held(scene, lies, None)
}

/// As [`start`]; the first disk's reads wait for a hold.
///
/// # Errors
/// As [`start`].
pub fn start_held(scene: &mut Scene, lies: Lies, hold: Option<&Arc<Hold>>) -> Result<Served, Failure> {
    let mut servers = Servers::new(scene.protection.is_some());
    for (number, disk) in scene.machine.disks.iter_mut().enumerate() {
        let socket = scene.dir.path(&format!("blk{number}"));
        let (lie, hold) = if number == 0 { (lies.disk, hold.cloned()) } else { (lies.scratch, None) };
        servers.disk(disk, &socket, lie, hold).map_err(Finding::Server)?;
    }
    let socket = scene.dir.path("net");
    let cable = servers.card(&socket, lies.card).map_err(Finding::Server)?;
    scene.machine.net = Net::Server(socket);
    if scene.protection.is_none() {
        let memory = scene.dir.memory(scene.machine.memory);
        let memory = memory.map_err(|error| Finding::File(scene.dir.root().to_path_buf(), error))?;
        scene.machine.memory_file = Some(memory);
    }
    scene.word(WORDS);
    let session = scene.start()?;
    servers.ask(&session);
    Ok(Served { session, servers, cable })
}

/// What the devices of a scene lie about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lies {
    /// Of the first disk.
    pub disk: Option<Lie>,
    /// Of the disks after it.
    pub scratch: Option<Lie>,
    /// Of the card.
    pub card: Option<Lie>,
}

/// Every access of every device was to memory that the guest had shared.
#[must_use]
pub fn refusals(accounts: &[Account]) -> Vec<Finding> {
    let of = |account: &Account| {
        let device = account.device;
        account.ledger.refusals().into_iter().map(move |refusal| Finding::Refused(device, refusal))
    };
    accounts.iter().flat_map(of).collect()
}

fn run(context: &Context, shape: Shape) -> Result<(), Failure> {
    let mut scene = Scene::new(context, shape)?;
    let seed = seed();
    let data = scene.data_disk(DATA_BYTES)?;
    let scratch = scene.scratch_disk(SCRATCH_BYTES)?;
    scene.word(&format!("run=blk-digest,blk-pattern,net-serve serve=100 seed={seed}"));
    let expected = digest(&data)?;
    let Served { mut session, servers, cable } = start(&mut scene, Lies::default())?;
    let mut findings = Vec::new();
    if session.qemu.console().wait_for(LIMIT, |line| line == SERVING).is_none() {
        findings.push(Finding::NeverSaid(SERVING));
    } else {
        findings.extend(Station::new(cable).echo(seed).err().map(Finding::Station));
    }
    drop(session.qemu.type_in(b"q"));
    let finished = session.finish(LIMIT);
    let accounts = servers.finish().map_err(Finding::Server)?;
    findings.extend(judge::end(&finished, 0));
    let bounced = if shape.secure { "yes" } else { "no" };
    for (key, value) in [
        ("blk0.sha256", expected.as_str()),
        ("blk0.translation", "gpa"),
        ("blk0.bounced", bounced),
        ("net0.translation", "gpa"),
        ("net0.bounced", bounced),
    ] {
        findings.extend(judge::fact(&finished, key, value));
    }
    match File::open(&scratch) {
        Ok(file) => findings.extend(pattern::verify(seed, file).err().map(Finding::Pattern)),
        Err(error) => findings.push(Finding::File(scratch, error)),
    }
    findings.extend(refusals(&accounts));
    findings.extend(idle(&accounts));
    if shape.secure {
        findings.extend(secure(&finished));
    }
    verdict(finished, findings)
}

fn secure(finished: &Finished) -> Vec<Finding> {
    let mut findings = judge::exposure(finished, false);
    findings.extend(judge::ultracalls(finished, &SECURE_CALLS));
    findings
}

/// An account without a request proves nothing.
fn idle(accounts: &[Account]) -> Vec<Finding> {
    let idle = accounts.iter().filter(|a| a.ledger.requests() == 0 || a.ledger.accesses() == 0);
    idle.map(|account| Finding::Idle(account.device)).collect()
}
