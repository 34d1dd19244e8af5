//! vCPUs that stand still while the others run.

use super::Server;
use super::attacks::{Attacker, Place};
use crate::ultravisor::UvError;
use crate::ultravisor::inject::{Moment, Pauses, Weakness};
use std::time::{Duration, Instant};

/// Bytes of an RTAS argument block: token, counts, 16 words.
const BLOCK: u64 = 4 * (3 + 16);

/// A vCPU that stands still.
pub(super) struct Frozen {
    thread: String,
    until: Option<Instant>,
    /// Its request, and what that held when it stopped.
    request: Option<(u64, Vec<u8>)>,
}

impl Server {
    /// Lets the guest go on, all of it that may.
    pub(in crate::ultravisor) fn resume(&mut self) -> Result<(), UvError> {
        let Some(frozen) = &self.frozen else { return Ok(self.client.resume()?) };
        let frozen = frozen.thread.clone();
        let others: Vec<_> = self.client.threads()?.into_iter().filter(|thread| *thread != frozen).collect();
        Ok(self.client.resume_only(&others)?)
    }

    /// How long the vCPU that stands still still has to.
    pub(super) fn frozen_for(&self) -> Option<Duration> {
        let until = self.frozen.as_ref()?.until?;
        Some(until.saturating_duration_since(Instant::now()))
    }

    pub(super) fn freeze(&mut self, attacker: &mut Attacker, pauses: Pauses) -> Result<bool, UvError> {
        let threads = self.client.threads()?;
        let Some(thread) = threads.get(pauses.cpu).filter(|_| self.frozen.is_none()) else {
            return Ok(false);
        };
        let Place::Free(general) = self.somewhere(&mut attacker.random, thread)? else { return Ok(false) };
        let pc = general.pc();
        attacker.seen.moments.push(Moment { pc, slot: pc, gpr: general.gprs() });
        let until = pauses.length.map(|length| Instant::now() + length);
        self.frozen = Some(Frozen { thread: thread.clone(), until, request: None });
        Ok(true)
    }

    /// The vCPU goes on with the others.
    pub(super) fn thaw(&mut self) -> Result<(), UvError> {
        let Some(frozen) = self.frozen.take() else { return Ok(()) };
        if let Some((address, bytes)) = frozen.request {
            let now = self.ram.read(address, BLOCK).map_err(UvError::Ram)?.unwrap_or_default();
            if let Some(attacker) = self.attacker.as_mut().filter(|_| now != bytes) {
                attacker.seen.weaknesses.push(Weakness::Request(address));
            }
        }
        Ok(())
    }
}
