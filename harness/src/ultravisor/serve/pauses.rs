//! vCPUs that stand still while the others run.

use super::Server;
use super::attacks::{Attacker, Place};
use crate::ultravisor::UvError;
use crate::ultravisor::inject::{Act, Moment, Pauses, Weakness};
use crate::ultravisor::tap::Call;
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

    /// A vCPU is about to make an RTAS call. True when it stands still there from now on.
    pub(super) fn freeze_at_call(&mut self, call: &Call, pc: u64, thread: &str) -> Result<bool, UvError> {
        let Some(address) = call.block_address().filter(|_| self.frozen.is_none()) else { return Ok(false) };
        let Some(attacker) = &self.attacker else { return Ok(false) };
        let Act::Pause(pauses) = attacker.attack.act else { return Ok(false) };
        let victim = self.client.threads()?.get(pauses.cpu).is_some_and(|victim| victim == thread);
        let Some(attacker) = self.attacker.as_mut().filter(|_| victim && pauses.in_rtas) else {
            return Ok(false);
        };
        if !attacker.take_turn() {
            return Ok(false);
        }
        let bytes = self.ram.read(address, BLOCK).map_err(UvError::Ram)?.unwrap_or_default();
        attacker.seen.moments.push(Moment { pc, slot: pc, gpr: Vec::new() });
        let until = pauses.length.map(|length| Instant::now() + length);
        self.frozen = Some(Frozen { thread: thread.to_owned(), until, request: Some((address, bytes)) });
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
