//! Devices that can access only shared memory: the combinations without ACCESS_PLATFORM, for which there are no TCEs to
//! check, on vhost-user servers that ask the ultravisor before each access.

use crate::finding::{Finding, digest};
use crate::judge::{self, SECURE_CALLS};
use crate::matrix::boot_matrix::SERVING;
use crate::matrix::fixture::{Context, Failure, Fixture, GuestConfig, LIMIT, seed, verdict};
use crate::matrix::runner::Test;
use crate::pattern;
use crate::peer::cable_peer::{CablePeer, WORDS};
use crate::servers::{Account, Servers};
use crate::session::{Finished, Session};
use crate::variable::{Firmware, Net};
use postern_adversary::cable::Cable;
use postern_adversary::hold::Hold;
use postern_adversary::violation::ProtocolViolation;
use postern_cases::case;
use std::fs::File;
use std::sync::Arc;

const DATA_BYTES: u64 = (2 << 20) + 3 * 512;
const SCRATCH_BYTES: u64 = (1 << 20) + 512;

/// The tests.
#[must_use]
pub fn tests() -> Vec<Test> {
    let _ = case!("NEG-03", Work, Q);
    let combinations = [
        (Firmware::Slof, true),
        (Firmware::Vof, true),
        (Firmware::Bios, true),
        (Firmware::Slof, false),
        (Firmware::Vof, false),
        (Firmware::Bios, false),
    ];
    let combination = |(firmware, secure): (Firmware, bool)| {
        let mode = if secure { "secure" } else { "normal" };
        let config = GuestConfig::new(firmware, secure, false);
        Test::new(format!("refusing/{}/{mode}", firmware.name()), move |context| run(context, config))
    };
    combinations.into_iter().map(combination).collect()
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

/// Replaces every device of a fixture by a server, and starts its guest.
///
/// # Errors
/// A server or the guest did not start.
pub fn start(fixture: &mut Fixture, violations: Violations) -> Result<Served, Failure> {
    start_held(fixture, violations, None, |_| Ok(()))
}

/// As [`start`]; the first disk's reads wait until the hold is opened. `complete` is called once the command line is
/// complete.
///
/// # Errors
/// As [`start`].
pub fn start_held(
    fixture: &mut Fixture,
    violations: Violations,
    hold: Option<&Arc<Hold>>,
    complete: impl FnOnce(&mut Fixture) -> Result<(), Failure>,
) -> Result<Served, Failure> {
    let mut servers = Servers::new(fixture.protection.is_some());
    for (number, disk) in fixture.machine.disks.iter_mut().enumerate() {
        let socket = fixture.dir.path(&format!("blk{number}"));
        let (violation, hold) =
            if number == 0 { (violations.disk, hold.cloned()) } else { (violations.scratch, None) };
        servers.disk(disk, &socket, violation, hold).map_err(Finding::Server)?;
    }
    let socket = fixture.dir.path("net");
    let cable = servers.card(&socket, violations.card).map_err(Finding::Server)?;
    fixture.machine.net = Net::Server(socket);
    if fixture.protection.is_none() {
        let memory = fixture.dir.memory(fixture.machine.memory);
        let memory = memory.map_err(|error| Finding::File(fixture.dir.root().to_path_buf(), error))?;
        fixture.machine.memory_file = Some(memory);
    }
    fixture.word(WORDS);
    complete(fixture)?;
    let session = fixture.start()?;
    servers.ask(&session);
    Ok(Served { session, servers, cable })
}

/// The violations of a fixture's devices.
#[derive(Clone, Copy, Debug, Default)]
pub struct Violations {
    /// Of the first disk.
    pub disk: Option<ProtocolViolation>,
    /// Of the disks after it.
    pub scratch: Option<ProtocolViolation>,
    /// Of the card.
    pub card: Option<ProtocolViolation>,
}

/// Checks that every access of every device was to memory that the guest had shared.
#[must_use]
pub fn refusals(accounts: &[Account]) -> Vec<Finding> {
    let of = |account: &Account| {
        let device = account.device;
        account.ledger.refusals().into_iter().map(move |refusal| Finding::Refused(device, refusal))
    };
    accounts.iter().flat_map(of).collect()
}

fn run(context: &Context, config: GuestConfig) -> Result<(), Failure> {
    let mut fixture = Fixture::new(context, config)?;
    let seed = seed();
    let data = fixture.data_disk(DATA_BYTES)?;
    let scratch = fixture.scratch_disk(SCRATCH_BYTES)?;
    fixture.word(&format!("run=blk-digest,blk-pattern,net-serve serve=100 seed={seed}"));
    let expected = digest(&data)?;
    let Served { mut session, servers, cable } = start(&mut fixture, Violations::default())?;
    let mut findings = Vec::new();
    if session.qemu.console().wait_for(LIMIT, |line| line == SERVING).is_none() {
        findings.push(Finding::NeverSaid(SERVING));
    } else {
        findings.extend(CablePeer::new(cable).echo(seed).err().map(Finding::CablePeer));
    }
    drop(session.qemu.type_in(b"q"));
    let finished = session.finish(LIMIT);
    let accounts = servers.finish().map_err(Finding::Server)?;
    findings.extend(judge::end(&finished, 0));
    let bounced = if config.secure { "yes" } else { "no" };
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
    if config.secure {
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
