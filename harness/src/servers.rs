//! The devices of a guest as vhost-user servers, which ask the ultravisor before each access to guest memory.

use crate::disk::Disk;
use crate::qemu::monitor::Ring;
use crate::session::Session;
use postern_adversary::blk::Blk;
use postern_adversary::cable::Cable;
use postern_adversary::disk_fault::DiskFault;
use postern_adversary::gate::{Gate, Open};
use postern_adversary::hold::Hold;
use postern_adversary::ledger::Ledger;
use postern_adversary::net::Net;
use postern_adversary::server::{Server, ServerError};
use postern_adversary::violation::ProtocolViolation;
use postern_ultravisor::keeper::Keeper;
use std::path::Path;
use std::sync::Arc;

/// A server's account.
#[derive(Clone, Debug)]
pub struct Account {
    /// The device's name.
    pub device: &'static str,
    /// The record of its requests.
    pub ledger: Arc<Ledger>,
}

impl Account {
    /// The addresses of its queues' rings.
    #[must_use]
    pub fn rings(&self) -> Vec<Ring> {
        let ring = |(queue, ring): (usize, postern_adversary::ring::Ring)| Ring {
            device: self.device.to_owned(),
            queue: u16::try_from(queue).unwrap_or(u16::MAX),
            size: ring.size.into(),
            descriptors: ring.descriptors,
            available: ring.available,
            used: ring.used,
        };
        self.ledger.rings().into_iter().map(ring).collect()
    }
}

/// The servers of one guest. They have to start before QEMU, and end after it.
#[derive(Debug)]
pub struct Servers {
    keeper: Option<Arc<Keeper>>,
    running: Vec<(&'static str, Server)>,
}

impl Servers {
    /// No servers yet; in a secure guest, all of them will ask its ultravisor.
    #[must_use]
    pub fn new(secure: bool) -> Self {
        Self { keeper: secure.then(Arc::default), running: Vec::new() }
    }

    fn gate(&self) -> Arc<dyn Gate> {
        match &self.keeper {
            Some(keeper) => Arc::clone(keeper) as Arc<dyn Gate>,
            None => Arc::new(Open),
        }
    }

    /// Starts a server for `disk`. With a hold, its reads wait until the hold is opened.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub fn disk(
        &mut self,
        disk: &mut Disk,
        socket: &Path,
        violation: Option<ProtocolViolation>,
        hold: Option<Arc<Hold>>,
    ) -> Result<(), ServerError> {
        let device =
            Blk::open(&disk.image, &disk.serial, disk.write, violation).map_err(ServerError::System)?;
        let device = device.held(hold);
        disk.server = Some(socket.to_path_buf());
        let server = Server::start(socket, device, self.gate())?;
        self.running.push(("blk", server));
        Ok(())
    }

    /// Starts a server for a disk with this image, name and fault.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub fn faulty_disk(
        &mut self,
        (image, serial): (&Path, &str),
        socket: &Path,
        fault: DiskFault,
    ) -> Result<(), ServerError> {
        let device = Blk::open(image, serial, true, None).map_err(ServerError::System)?.with(fault);
        self.running.push(("blk", Server::start(socket, device, self.gate())?));
        Ok(())
    }

    /// Starts a server for a network card, and returns the other end of its cable.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub fn card(
        &mut self,
        socket: &Path,
        violation: Option<ProtocolViolation>,
    ) -> Result<Arc<Cable>, ServerError> {
        let cable = Cable::new().map_err(ServerError::System)?;
        let server = Server::start(socket, Net::new(Arc::clone(&cable), violation), self.gate())?;
        self.running.push(("net", server));
        Ok(cable)
    }

    /// Connects the servers with the session's ultravisor.
    pub fn ask(&self, session: &Session) {
        if let (Some(keeper), Some(map)) = (&self.keeper, session.share_map()) {
            keeper.ask(map);
        }
    }

    /// The accounts so far.
    #[must_use]
    pub fn accounts(&self) -> Vec<Account> {
        let servers = self.running.iter();
        servers.map(|(device, server)| Account { device, ledger: Arc::clone(server.ledger()) }).collect()
    }

    /// After QEMU's end: the accounts, in the order in which the servers were made.
    ///
    /// # Errors
    /// A server failed.
    pub fn finish(self) -> Result<Vec<Account>, ServerError> {
        let servers = self.running.into_iter();
        servers.map(|(device, server)| Ok(Account { device, ledger: server.finish()? })).collect()
    }
}
