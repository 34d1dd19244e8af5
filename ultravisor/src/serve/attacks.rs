//! The moments of an attack: stops the guest somewhere, attacks it, and resumes it.

use super::attacker::Attacker;
use super::order::Order;
use super::{Server, VECTORS, msr};
use crate::UvError;
use crate::gdb::{GdbError, Stop};
use crate::general::General;
use crate::inject::{Act, Interrupts, Moment, Random, STATUS_BITS};
use crate::random::splitmix64;
use std::time::Duration;

const MSR_DR: u64 = 1 << 4;
/// Handlers run in the first frame.
pub(super) const FRAME_0: u64 = 0x1_0000;
/// The MSR after `uv_return`, apart from LE, which stays: 64-bit, machine checks enabled.
pub(super) const HANDLER_MSR: u64 = 1 << 63 | 1 << 12;
/// `sc`, at any level.
const SC: u32 = 0x4400_0002;
/// Most random steps after a stop, because QEMU stops only at the start of a translated block.
const STEPS: u64 = 12;
/// Bytes around the stack pointer that belong to the interrupted code: its red zone, and its frames.
pub(super) const RED_ZONE: u64 = 288;
pub(super) const STACK: u64 = 1024;
/// Longest that the host waits for a vCPU to come back from a call.
const CALL_TIME: Duration = Duration::from_secs(20);
/// Number of a canary's words that registers can hold.
const SECRETS: u64 = 512;

/// Where a vCPU is, and whether an attack there would hide a stop that the ultravisor waits for.
pub(super) enum Place {
    Free(General),
    /// The next instruction is an ultracall, or a hypercall that is inspected.
    Taken,
}

impl Server {
    /// Waits for the guest to stop, and attacks it meanwhile. `None` if something else stopped it, or a moment is over.
    pub(super) fn stop(&mut self) -> Result<Option<Stop>, UvError> {
        // The locks of an ordinary guest are known from the start.
        let begins = self.machine.is_secure() || !self.locks.is_empty();
        let wait = match &mut self.attacker {
            Some(attacker) if begins => attacker.wait(),
            _ => None,
        };
        let pause = self.frozen_for();
        let Some(wait) = [wait, pause].into_iter().flatten().min() else {
            return Ok(Some(self.client.wait_for_stop()?));
        };
        if let Some(stop) = self.client.wait_within(wait)? {
            return Ok(Some(stop));
        }
        let due = pause.is_some() && self.frozen_for() == Some(Duration::ZERO);
        let pulled = self.attacker.as_ref().is_some_and(|attacker| attacker.attack.trigger.is_pulled());
        if !due && !pulled {
            return Ok(None);
        }
        match self.client.interrupt()? {
            Stop::Other { .. } => {}
            stop => return Ok(Some(stop)),
        }
        if due {
            self.thaw()?;
        } else {
            self.moment()?;
        }
        self.resume()?;
        Ok(None)
    }

    fn moment(&mut self) -> Result<(), UvError> {
        if self.arm()? {
            return Ok(());
        }
        let Some(mut attacker) = self.attacker.take() else { return Ok(()) };
        attacker.next = None;
        let done = match attacker.attack.act.clone() {
            Act::Interrupt(interrupts) => self.enter(&mut attacker, &interrupts),
            Act::Probe(_) => self.probe(&mut attacker),
            Act::Nest(_) => self.nest(&mut attacker),
            Act::Pause(pauses) => self.freeze(&mut attacker, pauses),
            Act::Stray(_) => self.compare_stacks(&mut attacker),
            Act::Reset(_) => Ok(false),
        };
        if matches!(done, Ok(true)) {
            attacker.left -= 1;
            attacker.attack.trigger.count();
        }
        self.attacker = Some(attacker);
        done.map(drop)
    }

    /// Sets breakpoints where the guest takes locks, if the attack needs a lock. False if they are set already.
    pub(super) fn arm(&mut self) -> Result<bool, UvError> {
        let Some(attacker) = self.attacker.as_mut().filter(|attacker| !attacker.armed) else {
            return Ok(false);
        };
        attacker.armed = true;
        for at in self.locks.keys() {
            self.client.set_breakpoint(*at)?;
        }
        Ok(true)
    }

    /// As [`Self::arm`], but once another CPU is about to be started.
    pub(super) fn arm_at_start(&mut self) {
        self.tap.follow_starts();
        if let Some(attacker) = &mut self.attacker {
            attacker.at_start = true;
        }
    }

    pub(super) fn waits_for_start(&self) -> bool {
        self.attacker.as_ref().is_some_and(|attacker| attacker.at_start && !attacker.armed)
    }

    /// Brings the boot vCPU to a random instruction. QEMU stops it at the start of a translated block only.
    pub(super) fn somewhere(&mut self, random: &mut Random, thread: &str) -> Result<Place, UvError> {
        self.client.select_thread(thread)?;
        if !matches!(self.order()?, Order::Little) {
            return Ok(Place::Taken);
        }
        let mut general = self.general()?;
        let steps = if random.below(4) == 0 { random.below(STEPS) } else { 0 };
        for _ in 0..steps {
            if self.is_taken(general.pc()) {
                return Ok(Place::Taken);
            }
            // Do not step a call: it may wait for other vCPUs or for time to pass.
            if self.near_call(general.pc())? {
                break;
            }
            self.step_here(thread)?;
            general = self.general()?;
        }
        Ok(if self.is_taken(general.pc()) { Place::Taken } else { Place::Free(general) })
    }

    fn is_taken(&self, pc: u64) -> bool {
        VECTORS.contains(&pc) || self.tap.is_watched(pc)
    }

    /// Whether the next instruction is a call, or the last one was: the vCPU may still be in it.
    pub(super) fn near_call(&mut self, pc: u64) -> Result<bool, UvError> {
        let bytes = self.client.read_memory(pc.wrapping_sub(4), 8)?.unwrap_or_default();
        let words = bytes.as_chunks::<4>().0;
        Ok(words.is_empty() || words.iter().any(|word| is_call(u32::from_le_bytes(*word))))
    }

    /// Lets only the selected vCPU run until it has returned from its call, if it is at or in one. False if it does not
    /// return, or cannot be inspected.
    pub(super) fn finish_call(&mut self, thread: &str) -> Result<bool, UvError> {
        let pc = self.general()?.pc();
        let bytes = self.client.read_memory(pc.wrapping_sub(4), 8)?.unwrap_or_default();
        let after = match bytes.as_chunks::<4>().0 {
            [_, next] if is_call(u32::from_le_bytes(*next)) => pc + 4,
            [last, _] if is_call(u32::from_le_bytes(*last)) => pc,
            [_, _] => return Ok(true),
            _ => return Ok(false),
        };
        self.client.set_breakpoint(after)?;
        self.client.resume_only(&[thread.to_owned()])?;
        let stop = match self.client.wait_within(CALL_TIME)? {
            Some(stop) => stop,
            None => self.client.interrupt()?,
        };
        if stop == Stop::Exited {
            return Err(GdbError::Gone.into());
        }
        self.client.clear_breakpoint(after)?;
        self.client.select_thread(thread)?;
        Ok(self.general()?.pc() == after)
    }

    pub(super) fn step_here(&mut self, thread: &str) -> Result<(), UvError> {
        match self.client.step(thread)? {
            Stop::Exited => Err(GdbError::Gone.into()),
            Stop::Trap { .. } | Stop::Other { .. } => Ok(()),
        }
    }

    pub(super) fn general(&mut self) -> Result<General, UvError> {
        let bytes = self.client.read_general()?;
        let answer = format!("{} bytes", bytes.len());
        General::new(bytes).ok_or_else(|| GdbError::Unexpected { command: "g".to_owned(), answer }.into())
    }

    /// Enters a vector as `uv_return` does. False if the vCPU was at no place for it.
    fn enter(&mut self, attacker: &mut Attacker, interrupts: &Interrupts) -> Result<bool, UvError> {
        let thread = self.boot_thread()?;
        let Attacker { random, seen, .. } = attacker;
        let Place::Free(mut general) = self.somewhere(random, &thread)? else { return Ok(false) };
        if general.pc() < FRAME_0 {
            // Still in the handler of the previous interrupt.
            return Ok(false);
        }
        if let Some(seed) = interrupts.secret {
            let mut word = || splitmix64(seed.wrapping_add(random.below(SECRETS)));
            // The stack pointer and the TOC pointer must stay valid.
            (0..32).filter(|number| ![1, 2].contains(number)).for_each(|n| general.set_gpr(n, word()));
            general.set_lr_ctr(word(), word());
            self.client.write_general(general.bytes())?;
            let stack: Vec<u8> = (0..STACK / 8).flat_map(|_| word().to_le_bytes()).collect();
            let at = general.gpr(1).wrapping_sub(RED_ZONE);
            self.ram.write(at, &stack).map_err(UvError::Ram)?;
        }
        let slot = interrupts.slots.get(random.below(interrupts.slots.len() as u64) as usize);
        let slot = slot.copied().unwrap_or_default();
        seen.moments.push(Moment { pc: general.pc(), slot, gpr: general.gprs() });
        seen.entries += 1;
        self.deliver(&mut general, slot, random)?;
        if let Some(most) = interrupts.nested {
            for _ in 0..most {
                let now = self.general()?;
                if self.near_call(now.pc())? {
                    break;
                }
                self.step_here(&thread)?;
            }
            let mut now = self.general()?;
            if !self.is_taken(now.pc()) {
                seen.moments.push(Moment { pc: now.pc(), slot, gpr: now.gprs() });
                self.deliver(&mut now, slot, random)?;
            }
        }
        Ok(true)
    }

    /// Makes the selected vCPU, whose registers are `general`, enter `slot`.
    pub(super) fn deliver(
        &mut self,
        general: &mut General,
        slot: u64,
        random: &mut Random,
    ) -> Result<(), UvError> {
        let (pc, msr) = (general.pc(), general.msr());
        let (srr0, srr1) = (self.registers.srr0, self.registers.srr1);
        self.write(Order::Little, srr0, pc)?;
        self.write(Order::Little, srr1, msr & !STATUS_BITS | random.word() & STATUS_BITS)?;
        general.set_pc(slot);
        general.set_msr(HANDLER_MSR | msr & msr::LE);
        Ok(self.client.write_general(general.bytes())?)
    }

    /// The only vCPU whose SRR0 and SRR1 QEMU 7.2's gdb server can write.
    pub(super) fn boot_thread(&mut self) -> Result<String, UvError> {
        let threads = self.client.threads()?;
        Ok(threads.into_iter().next().unwrap_or_else(|| "1".to_owned()))
    }
}

/// Whether an instruction is a system call, of any level.
pub(super) fn is_call(word: u32) -> bool {
    word & !0x60 == SC
}

/// Whether an MSR is that of a handler that has just been entered, translation aside.
pub(super) fn is_handlers(msr: u64) -> bool {
    msr & !(msr::IR | MSR_DR) == HANDLER_MSR | msr::LE
}

/// The bits of MSR that a handler must restore when it returns. It may leave MSR\[EE\] off, which only a wait turns on.
pub(super) fn kept(msr: u64) -> u64 {
    msr & !msr::EE
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn calls_of_every_level_are_no_place_to_step() {
        for word in [0x4400_0002, 0x4400_0022, 0x4400_0042] {
            assert!(is_call(word), "{word:#x}");
        }
        // rfid, isync
        assert!(!is_call(0x4c00_0024) && !is_call(0x4c00_012c));
    }
}
