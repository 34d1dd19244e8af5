//! The adversary's servers of one run, and their accounts.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use postern_adversary::blk::Blk;
use postern_adversary::cable::Cable;
use postern_adversary::gate::Gate;
use postern_adversary::ledger::Ledger;
use postern_adversary::net::Net;
use postern_adversary::server::{Device, Server, ServerError};
use postern_adversary::violation::ProtocolViolation;
use postern_adversary::wire::Wire;
use serde_json::{Value, json};

use super::stand_in::{Kind, StandIn};
use crate::ShareMap;
use crate::keeper::Keeper;

/// What a guest's virtio disks and cards are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Devices {
    /// QEMU's own, which see all memory.
    Own,
    /// Servers that see what is shared and nothing else, as on hardware.
    Refusing,
    /// Servers that see all memory, and count what was not shared.
    Seeing,
}

#[derive(Debug)]
struct Running {
    name: String,
    violation: Option<ProtocolViolation>,
    keeper: Arc<Keeper>,
    server: Server,
    wire: Option<Wire>,
}

/// Servers at work. They have to be there before QEMU.
#[derive(Debug, Default)]
pub struct Servers(Vec<Running>);

fn start<D: Device>(place: &StandIn, device: D, gate: Arc<dyn Gate>) -> Result<Server, ServerError> {
    if place.iommu {
        Server::start_behind_iommu(&place.socket, device, gate)
    } else {
        Server::start(&place.socket, device, gate)
    }
}

impl Servers {
    /// Starts one for each device. Disks that are not to change are copied into `dir`.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub fn start(
        devices: &[StandIn],
        refuse: bool,
        violation: Option<ProtocolViolation>,
        dir: &Path,
    ) -> Result<Self, ServerError> {
        let mut running = Vec::new();
        for device in devices {
            let keeper = Arc::new(if refuse { Keeper::default() } else { Keeper::counting() });
            let gate = Arc::clone(&keeper) as Arc<dyn Gate>;
            let violation = violation.filter(|violation| device.kind.can_commit(*violation));
            let mut wire = None;
            let server = match &device.kind {
                Kind::Disk { image, serial, write, snapshot } => {
                    let copy = dir.join(format!("{}.copy", device.name));
                    let image = if *snapshot && *write {
                        std::fs::copy(image, &copy).map_err(ServerError::System)?;
                        &copy
                    } else {
                        image
                    };
                    let disk = Blk::open(image, serial, *write, violation).map_err(ServerError::System)?;
                    start(device, disk, gate)?
                }
                Kind::Card { local, remote } => {
                    let cable = Cable::new().map_err(ServerError::System)?;
                    let started = Wire::start(Arc::clone(&cable), local, remote.clone());
                    wire = Some(started.map_err(ServerError::System)?);
                    start(device, Net::new(cable, violation), gate)?
                }
            };
            running.push(Running { name: device.name.clone(), violation, keeper, server, wire });
        }
        Ok(Self(running))
    }

    /// The guest has an ultravisor now.
    pub fn ask(&self, map: &Arc<ShareMap>) {
        self.0.iter().for_each(|running| running.keeper.ask(Arc::clone(map)));
    }

    /// After QEMU's end.
    ///
    /// # Errors
    /// A server broke down.
    pub fn finish(self) -> Result<Vec<Account>, ServerError> {
        let one = |running: Running| {
            let Running { name, violation, keeper, server, wire } = running;
            let ledger = server.finish()?;
            drop(wire);
            Ok(Account { name, violation, ledger, keeper })
        };
        self.0.into_iter().map(one).collect()
    }
}

/// The account of one server.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its name: blk0, net0.
    pub name: String,
    /// The protocol violation that it had to commit.
    pub violation: Option<ProtocolViolation>,
    ledger: Arc<Ledger>,
    keeper: Arc<Keeper>,
}

impl Account {
    /// What the guest did wrong, by this account.
    #[must_use]
    pub fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        if let Some(first) = self.ledger.refusals().first() {
            let (refused, all) = (self.ledger.refused(), self.ledger.refused() + self.ledger.accesses());
            let what =
                if first.unmapped { "addresses that lead nowhere" } else { "memory that was not shared" };
            findings.push(format!(
                "{} was given {what} in {refused} of {all} accesses, first: {first}",
                self.name
            ));
        }
        if let Some((count, first)) = self.keeper.private() {
            findings.push(format!(
                "{} saw memory that was not shared in {count} of {} accesses, first at {first:#x}",
                self.name,
                self.ledger.accesses()
            ));
        }
        findings
    }

    /// Number of accesses that were allowed.
    #[must_use]
    pub fn accesses(&self) -> u64 {
        self.ledger.accesses()
    }

    /// For a program.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "device": self.name,
            "requests": self.ledger.requests(),
            "accesses": self.ledger.accesses(),
            "refused": self.ledger.refused(),
            "private": self.keeper.private().map_or(0, |(count, _)| count),
            "lie": self.violation.map(ProtocolViolation::name),
            "told": self.ledger.violations(),
            "requests_after": self.ledger.reaction().requests,
            "given_up": self.ledger.reaction().given_up,
        })
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, ledger) = (&self.name, &self.ledger);
        write!(
            f,
            "{name}: {} requests, {} accesses, {} refused",
            ledger.requests(),
            ledger.accesses(),
            ledger.refused()
        )?;
        if let Some(violation) = self.violation {
            write!(f, "\n  {} ({}): {}", violation.name(), violation.description().text, ledger.reaction())?;
        }
        Ok(())
    }
}
