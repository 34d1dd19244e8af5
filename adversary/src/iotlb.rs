//! The I/O TLB of a device behind an I/O memory management unit (vhost-user, "IOMMU support"). Such a device gets I/O
//! addresses in its rings, and for the rings themselves. The server asks QEMU for each translation that it does not have,
//! on a channel of its own, and QEMU sends it and withdraws it on the connection.
//!
//! The rust-vmm crates do not know these messages, so the relay hands them over to this module. It also takes the rings'
//! addresses out of SET_VRING_ADDR, where the crates expect addresses of QEMU's own.

use crate::message::{Message, NEED_REPLY, VERSION};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// VIRTIO_F_ACCESS_PLATFORM (virtio 1.2, 6).
pub(crate) const F_ACCESS_PLATFORM: u64 = 1 << 33;

const GET_FEATURES: u32 = 1;
const SET_FEATURES: u32 = 2;
const SET_MEM_TABLE: u32 = 5;
const SET_VRING_ADDR: u32 = 9;
const GET_VRING_BASE: u32 = 11;
const GET_PROTOCOL_FEATURES: u32 = 15;
const GET_QUEUE_NUM: u32 = 17;
const SET_BACKEND_REQ_FD: u32 = 21;
const IOTLB_MSG: u32 = 22;
const GET_CONFIG: u32 = 24;
/// The request on the server's own channel.
const BACKEND_IOTLB_MSG: u32 = 1;
/// Kinds of `struct vhost_iotlb_msg`.
const MISS: u8 = 1;
const UPDATE: u8 = 2;
const INVALIDATE: u8 = 3;
/// Permissions.
const READ: u8 = 1;
const WRITE: u8 = 2;
/// How long QEMU may take to answer, before the request is begun again.
const LONGEST: Duration = Duration::from_secs(5);
/// How long, while it waits for the server.
const BUSY: Duration = Duration::from_millis(100);

/// Where an I/O address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// To guest memory, for so many bytes.
    Memory(u64, u64),
    /// Nowhere, or not in this direction.
    Nowhere,
    /// QEMU cannot answer now, because it waits for the server.
    Later,
}

/// I/O addresses of a queue. The number says how often they were set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rings {
    pub(crate) descriptors: u64,
    pub(crate) available: u64,
    pub(crate) used: u64,
    pub(crate) set: u64,
}

/// One translation.
#[derive(Clone, Copy, Debug)]
struct Entry {
    iova: u64,
    size: u64,
    /// An address of QEMU's own.
    qemu: u64,
    permission: u8,
}

/// Guest memory, and where it is in QEMU.
#[derive(Clone, Copy, Debug)]
struct Region {
    guest: u64,
    size: u64,
    qemu: u64,
}

#[derive(Debug, Default)]
struct State {
    active: bool,
    regions: Vec<Region>,
    entries: Vec<Entry>,
    rings: BTreeMap<u32, Rings>,
    channel: Option<Arc<UnixStream>>,
    /// Misses, and those that QEMU has answered.
    missed: u64,
    answered: u64,
    /// QEMU's requests that the server has not answered yet.
    owed: u64,
}

/// The translations of one device.
#[derive(Debug, Default)]
pub(crate) struct Iotlb {
    state: Mutex<State>,
    changed: Condvar,
}

fn bad() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// The part of `[start, start + size)` from `at` on.
fn rest(at: u64, start: u64, size: u64) -> Option<(u64, u64)> {
    let offset = at.checked_sub(start)?;
    Some((offset, size.checked_sub(offset).filter(|left| *left > 0)?))
}

impl State {
    fn find(&self, iova: u64, permission: u8) -> Option<Reach> {
        let fits = |entry: &&Entry| entry.permission & permission == permission;
        let (entry, (offset, left)) = self
            .entries
            .iter()
            .filter(fits)
            .find_map(|entry| Some((entry, rest(iova, entry.iova, entry.size)?)))?;
        let at = entry.qemu.wrapping_add(offset);
        let region =
            self.regions.iter().find_map(|region| Some((region, rest(at, region.qemu, region.size)?)));
        Some(region.map_or(Reach::Nowhere, |(region, (offset, there))| {
            Reach::Memory(region.guest + offset, left.min(there))
        }))
    }

    fn invalidate(&mut self, iova: u64, size: u64) {
        let end = iova.saturating_add(size);
        self.entries.retain(|entry| entry.iova >= end || entry.iova.saturating_add(entry.size) <= iova);
    }

    fn set_regions(&mut self, message: &Message) -> io::Result<()> {
        let count = message.doubleword(0).ok_or_else(bad)? as u32;
        let region = |number: usize| {
            let word = |index: usize| message.doubleword(1 + 4 * number + index).ok_or_else(bad);
            Ok(Region { guest: word(0)?, size: word(1)?, qemu: word(2)? })
        };
        self.regions = (0..count as usize).map(region).collect::<io::Result<_>>()?;
        Ok(())
    }

    /// Keeps the rings' I/O addresses, and leaves addresses that exist in the message.
    fn set_rings(&mut self, message: &mut Message) -> io::Result<()> {
        let word = |index: usize| message.doubleword(index).ok_or_else(bad);
        let (index, descriptors, used, available) = (word(0)? as u32, word(1)?, word(2)?, word(3)?);
        let rings = self.rings.entry(index).or_default();
        *rings = Rings { descriptors, available, used, set: rings.set + 1 };
        let there = self.regions.first().map_or(0, |region| region.qemu);
        (1..=3).for_each(|index| message.set_doubleword(index, there));
        Ok(())
    }

    fn translation(&mut self, message: &Message) -> io::Result<()> {
        let word = |index: usize| message.doubleword(index).ok_or_else(bad);
        let (iova, size, qemu) = (word(0)?, word(1)?, word(2)?);
        let [permission, kind] =
            message.payload().get(24..).and_then(<[u8]>::first_chunk).copied().ok_or_else(bad)?;
        match kind {
            UPDATE => {
                self.invalidate(iova, size);
                self.entries.push(Entry { iova, size, qemu, permission });
            }
            INVALIDATE => self.invalidate(iova, size),
            _ => return Err(bad()),
        }
        Ok(())
    }
}

impl Iotlb {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// QEMU sends a message to the server. True if it is answered here and does not go there.
    pub(crate) fn takes(self: &Arc<Self>, message: &mut Message) -> io::Result<bool> {
        let mut state = self.state();
        match message.request() {
            SET_FEATURES => {
                // The device starts: what was withdrawn while it stood still was not sent.
                state.active = message.doubleword(0).ok_or_else(bad)? & F_ACCESS_PLATFORM != 0;
                state.entries.clear();
            }
            SET_MEM_TABLE => state.set_regions(message)?,
            SET_VRING_ADDR if state.active => state.set_rings(message)?,
            IOTLB_MSG => {
                state.translation(message)?;
                return Ok(true);
            }
            SET_BACKEND_REQ_FD => {
                let channel = Arc::new(UnixStream::from(message.descriptors.pop().ok_or_else(bad)?));
                state.channel = Some(Arc::clone(&channel));
                let iotlb = Arc::clone(self);
                let hear = move || iotlb.hear(&channel);
                std::thread::Builder::new().name("iotlb".to_owned()).spawn(hear)?;
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }

    /// Counts QEMU's answers on the server's channel. QEMU sends the translation before the answer.
    fn hear(&self, channel: &UnixStream) {
        while let Ok(Some(_)) = Message::receive(channel) {
            self.state().answered += 1;
            self.changed.notify_all();
        }
        self.end();
    }

    /// QEMU is gone.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        if let Some(channel) = state.channel.take() {
            drop(channel.shutdown(std::net::Shutdown::Both));
        }
        state.owed = 0;
        self.changed.notify_all();
    }

    /// QEMU sends this message to the server, and may wait for an answer.
    pub(crate) fn server_is_asked(&self, message: &Message) {
        let waits = matches!(
            message.request(),
            GET_FEATURES | GET_VRING_BASE | GET_PROTOCOL_FEATURES | GET_QUEUE_NUM | GET_CONFIG
        );
        if waits || message.flags() & NEED_REPLY != 0 {
            self.state().owed += 1;
            self.changed.notify_all();
        }
    }

    /// The server's answer was sent.
    pub(crate) fn server_answered(&self) {
        let mut state = self.state();
        state.owed = state.owed.saturating_sub(1);
        self.changed.notify_all();
    }

    /// Waits until QEMU has no question to the server.
    pub(crate) fn wait_for_quiet(&self) {
        let state = self.state();
        drop(self.changed.wait_timeout_while(state, BUSY, |state| state.owed > 0));
    }

    /// Where the rings of a queue are, if they have I/O addresses.
    pub(crate) fn rings(&self, queue: usize) -> Option<Rings> {
        let state = self.state();
        state.rings.get(&u32::try_from(queue).ok()?).filter(|_| state.active).copied()
    }

    /// Whether addresses are I/O addresses.
    pub(crate) fn is_active(&self) -> bool {
        self.state().active
    }

    /// Translates an address, with QEMU's help if need be. Not called with anything locked that the relay needs.
    pub(crate) fn translate(&self, iova: u64, write: bool) -> Reach {
        let permission = if write { WRITE } else { READ };
        let mut state = self.state();
        if let Some(reach) = state.find(iova, permission) {
            return reach;
        }
        if state.owed > 0 {
            return Reach::Later;
        }
        let Some(channel) = state.channel.clone() else { return Reach::Nowhere };
        let mut payload = [0; 32];
        payload[..8].copy_from_slice(&iova.to_ne_bytes());
        payload[8..16].copy_from_slice(&1_u64.to_ne_bytes());
        payload[24..26].copy_from_slice(&[permission, MISS]);
        if Message::new(BACKEND_IOTLB_MSG, VERSION | NEED_REPLY, &payload).send(&channel).is_err() {
            return Reach::Nowhere;
        }
        state.missed += 1;
        let (mine, mut end) = (state.missed, Instant::now() + LONGEST);
        while state.answered < mine && state.channel.is_some() {
            let now = Instant::now();
            if state.owed > 0 {
                end = end.min(now + BUSY);
            }
            let Some(left) = end.checked_duration_since(now).filter(|left| !left.is_zero()) else {
                return Reach::Later;
            };
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.find(iova, permission).unwrap_or(Reach::Nowhere)
    }
}

#[cfg(test)]
#[path = "iotlb/tests.rs"]
mod tests;
