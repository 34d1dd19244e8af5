//! Pauses vCPUs while the others run.

use super::attacker::Attacker;
use super::attacks::Place;
use super::frozen::Frozen;
use super::{Server, msr};
use crate::UvError;
use crate::inject::{Act, Moment, Pauses, Place as Where, Weakness};
use crate::locks;
use crate::tap::Call;
use std::time::{Duration, Instant};

/// Bytes of an RTAS argument block: token, counts, 16 words.
const BLOCK: u64 = 4 * (3 + 16);
/// Instructions within which a CPU that starts turns its translation on.
const LATE_STEPS: u32 = 400;

impl Server {
    /// Resumes all vCPUs that are not paused.
    pub(crate) fn resume(&mut self) -> Result<(), UvError> {
        let Some(frozen) = &self.frozen else { return Ok(self.client.resume()?) };
        let frozen = frozen.thread.clone();
        let others: Vec<_> = self.client.threads()?.into_iter().filter(|thread| *thread != frozen).collect();
        Ok(self.client.resume_only(&others)?)
    }

    /// Time that is left of the pause.
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

    /// A vCPU is about to make an RTAS call. True if it is paused there from now on.
    pub(super) fn freeze_at_call(&mut self, call: &Call, pc: u64, thread: &str) -> Result<bool, UvError> {
        let Some(address) = call.block_address().filter(|_| self.frozen.is_none()) else { return Ok(false) };
        let Some(attacker) = &self.attacker else { return Ok(false) };
        let Act::Pause(pauses) = attacker.attack.act else { return Ok(false) };
        let threads = self.client.threads()?;
        let Some(victim) = threads.get(pauses.cpu) else { return Ok(false) };
        if pauses.place == Where::Start && self.tap.started(call).is_some() {
            self.freeze_here(victim, pc, pauses);
            return Ok(false);
        }
        let victim = victim == thread;
        let Some(attacker) = self.attacker.as_mut().filter(|_| victim && pauses.place == Where::Rtas) else {
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

    /// For an attack on a vCPU that holds a lock: the vCPU, the lock's name, and the number of the taking, from 1.
    pub(super) fn wanted_lock(&self) -> Option<(usize, &'static str, u32)> {
        self.attacker.as_ref()?.attack.act.lock()
    }

    /// A vCPU may have just taken a lock. Attacks it if it is the wanted vCPU and lock.
    pub(super) fn meet_with_lock(&mut self, pc: u64, thread: &str) -> Result<(), UvError> {
        let Some((site, (cpu, name, nth))) = self.locks.get(&pc).copied().zip(self.wanted_lock()) else {
            return Ok(());
        };
        let pulled = self.attacker.as_ref().is_some_and(|attacker| attacker.attack.trigger.is_pulled());
        let general = self.general()?;
        let victim = self.client.threads()?.get(cpu).is_some_and(|victim| victim == thread);
        let taken =
            pulled && victim && locks::taken(&self.ram, &general, site, name).map_err(UvError::Ram)?;
        self.takings += u32::from(taken);
        if !taken || self.takings < nth || !self.attack_holder(thread, pc)? {
            return self.step_here(thread);
        }
        for (at, _) in std::mem::take(&mut self.locks) {
            self.client.clear_breakpoint(at)?;
        }
        Ok(())
    }

    /// False if the attack is not possible here.
    fn attack_holder(&mut self, thread: &str, pc: u64) -> Result<bool, UvError> {
        match self.attacker.as_ref().map(|attacker| attacker.attack.act.clone()) {
            Some(Act::Pause(pauses)) => {
                self.freeze_here(thread, pc, pauses);
                Ok(true)
            }
            Some(Act::Reset(reset)) => self.reset_holder(reset, thread),
            _ => Ok(true),
        }
    }

    /// The guest is about to end. Lets a CPU that it counted as missing run now, as far as it gets. If that CPU turns
    /// translation on, the guest let it in.
    pub(super) fn look_at_missing(&mut self, thread: &str) -> Result<(), UvError> {
        let Some(Act::Pause(Pauses { cpu, place: Where::Start, .. })) =
            self.attacker.as_ref().map(|attacker| attacker.attack.act.clone())
        else {
            return Ok(());
        };
        let Some(missing) = self.client.threads()?.get(cpu).cloned() else { return Ok(()) };
        for _ in 0..LATE_STEPS {
            self.step_here(&missing)?;
        }
        self.client.select_thread(&missing)?;
        let general = self.general()?;
        self.client.select_thread(thread)?;
        if let Some(attacker) = self.attacker.as_mut().filter(|_| general.msr() & msr::IR != 0) {
            attacker.seen.weaknesses.push(Weakness::LetIn(general.pc()));
        }
        Ok(())
    }

    fn freeze_here(&mut self, thread: &str, pc: u64, pauses: Pauses) {
        let Some(attacker) = self.attacker.as_mut().filter(|_| self.frozen.is_none()) else { return };
        if attacker.take_turn() {
            attacker.seen.moments.push(Moment { pc, slot: pc, gpr: Vec::new() });
            let until = pauses.length.map(|length| Instant::now() + length);
            self.frozen = Some(Frozen { thread: thread.to_owned(), until, request: None });
        }
    }

    /// Ends the pause: the vCPU runs with the others.
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
