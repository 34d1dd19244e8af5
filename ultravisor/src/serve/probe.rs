//! Enters every vector from one place, and follows each until its outcome is clear; then restores the state.

use super::Server;
use super::attacker::Attacker;
use super::attacks::{FRAME_0, Place, RED_ZONE, STACK, is_call, is_handlers, kept};
use super::order::Order;
use crate::UvError;
use crate::gdb::target::Register;
use crate::general::General;
use crate::inject::{Moment, SLOT, SLOTS_END, Weakness};

/// Instructions within which a handler must return, if it returns.
const MOST: u32 = 20;
/// The same for a handler that interrupted a handler.
const MOST_NESTED: u32 = 200;
/// Handlers that are interrupted: those that return, and two that report.
const NESTED: [u64; 5] = [0x500, 0x900, 0xc00, 0x100, 0x300];
/// Special purpose registers that handlers use.
const SPECIAL: [&str; 6] = ["srr0", "srr1", "sprg0", "sprg1", "sprg2", "sprg3"];

/// The outcome of an entry.
enum Outcome {
    Returned,
    /// It stays in the handlers or in the report, and does not return.
    Stays,
    Weak(Weakness),
}

/// The state that is restored after each entry.
struct Before {
    general: General,
    special: Vec<(Register, u64)>,
    stack: Vec<u8>,
    /// Frame 0, which has the handlers' code.
    handlers: Vec<u8>,
}

impl Before {
    fn stack_at(&self) -> u64 {
        self.general.gpr(1).wrapping_sub(RED_ZONE)
    }
}

impl Server {
    /// A place of the boot vCPU to enter vectors from; `None` if there is none now.
    fn place(&mut self, attacker: &mut Attacker, thread: &str) -> Result<Option<Before>, UvError> {
        let Place::Free(general) = self.somewhere(&mut attacker.random, thread)? else { return Ok(None) };
        let mut special = Vec::new();
        for name in SPECIAL {
            let register = self.client.register(name)?;
            special.push((register, self.read(Order::Little, register)?));
        }
        let stack_at = general.gpr(1).wrapping_sub(RED_ZONE);
        let Some(stack) = self.ram.read(stack_at, STACK).map_err(UvError::Ram)? else { return Ok(None) };
        let handlers = self.ram.read(0, FRAME_0).map_err(UvError::Ram)?.unwrap_or_default();
        attacker.seen.moments.push(Moment { pc: general.pc(), slot: 0, gpr: general.gprs() });
        Ok(Some(Before { general, special, stack, handlers }))
    }

    /// Ends an entry: counts it, and restores the state.
    fn settle(
        &mut self,
        attacker: &mut Attacker,
        before: &Before,
        slot: u64,
        outcome: Outcome,
    ) -> Result<(), UvError> {
        attacker.seen.entries += 1;
        let returned = matches!(outcome, Outcome::Returned);
        match outcome {
            Outcome::Returned => attacker.seen.returned += 1,
            Outcome::Stays => {}
            Outcome::Weak(weakness) => attacker.seen.weaknesses.push(weakness),
        }
        self.restore(&before.general, &before.special)?;
        // A handler that reports claims the run's last line (a word of frame 0); one that returns must change nothing there.
        if self.put_handlers_back(before)? && returned {
            attacker.seen.weaknesses.push(Weakness::Memory { slot, pc: before.general.pc() });
        }
        let stack_at = before.stack_at();
        if self.ram.read(stack_at, STACK).map_err(UvError::Ram)?.as_ref() != Some(&before.stack) {
            attacker.seen.weaknesses.push(Weakness::Memory { slot, pc: before.general.pc() });
            self.ram.write(stack_at, &before.stack).map_err(UvError::Ram)?;
        }
        Ok(())
    }

    /// Restores frame 0. True if it had changed.
    fn put_handlers_back(&mut self, before: &Before) -> Result<bool, UvError> {
        let now = self.ram.read(0, FRAME_0).map_err(UvError::Ram)?.unwrap_or_default();
        let changed = now != before.handlers;
        if changed {
            self.ram.write(0, &before.handlers).map_err(UvError::Ram)?;
        }
        Ok(changed)
    }

    pub(super) fn probe(&mut self, attacker: &mut Attacker) -> Result<bool, UvError> {
        let thread = self.boot_thread()?;
        let Some(before) = self.place(attacker, &thread)? else { return Ok(false) };
        for slot in (0..SLOTS_END).step_by(SLOT as usize) {
            let mut general = before.general.clone();
            self.deliver(&mut general, slot, &mut attacker.random)?;
            self.follow(&thread, &before.handlers, MOST)?;
            let outcome = self.outcome(&before.general, slot)?;
            self.settle(attacker, &before, slot, outcome)?;
        }
        Ok(true)
    }

    /// Interrupts each handler of [`NESTED`] after each number of its instructions.
    pub(super) fn nest(&mut self, attacker: &mut Attacker) -> Result<bool, UvError> {
        let thread = self.boot_thread()?;
        let Some(before) = self.place(attacker, &thread)? else { return Ok(false) };
        for slot in NESTED {
            for after in 0..MOST {
                let mut general = before.general.clone();
                self.deliver(&mut general, slot, &mut attacker.random)?;
                if !self.follow(&thread, &before.handlers, after)? {
                    // The handler has returned, or reports, before that instruction.
                    self.restore(&before.general, &before.special)?;
                    self.put_handlers_back(&before)?;
                    break;
                }
                let mut now = self.general()?;
                let second = match attacker.random.below(4) {
                    0 => attacker.random.below(SLOTS_END / SLOT) * SLOT,
                    n => NESTED[n as usize % NESTED.len()],
                };
                self.deliver(&mut now, second, &mut attacker.random)?;
                let stuck = self.follow(&thread, &before.handlers, MOST_NESTED)?;
                let outcome = match self.outcome(&before.general, second)? {
                    Outcome::Stays if stuck => {
                        let at = self.read(Order::Little, self.registers.pc)?;
                        Outcome::Weak(Weakness::Stuck { slot, after, second, at })
                    }
                    outcome => outcome,
                };
                self.settle(attacker, &before, slot, outcome)?;
            }
        }
        Ok(true)
    }

    /// Follows the handlers for so many instructions. False if execution leaves them, or is about to call the host.
    fn follow(&mut self, thread: &str, handlers: &[u8], most: u32) -> Result<bool, UvError> {
        for step in 0..=most {
            let pc = self.read(Order::Little, self.registers.pc)?;
            // A report calls the host, and does not return.
            let word = usize::try_from(pc).ok().and_then(|at| handlers.get(at..)?.first_chunk());
            if word.is_none_or(|word| is_call(u32::from_le_bytes(*word))) {
                return Ok(false);
            }
            if step < most {
                self.step_here(thread)?;
            }
        }
        Ok(true)
    }

    /// The outcome of an entry so far.
    fn outcome(&mut self, before: &General, slot: u64) -> Result<Outcome, UvError> {
        // In another byte order than the guest's, the registers' bytes mean nothing here.
        if !matches!(self.order()?, Order::Little) {
            let big = self.client.read_register(self.registers.msr)?;
            let pc = self.client.read_register(self.registers.pc)?;
            let (to, msr) = (Order::Big.decode(&pc), Order::Big.decode(&big));
            return Ok(Outcome::Weak(Weakness::Astray { slot, pc: before.pc(), to, msr }));
        }
        let now = self.general()?;
        Ok(judge(before, &now, slot))
    }

    fn restore(&mut self, before: &General, special: &[(Register, u64)]) -> Result<(), UvError> {
        // In the byte order of the moment, so that MSR is the guest's before anything else is written.
        let order = self.order()?;
        self.write(order, self.registers.msr, before.msr())?;
        for (register, value) in special {
            self.write(Order::Little, *register, *value)?;
        }
        Ok(self.client.write_general(before.bytes())?)
    }
}

fn judge(before: &General, now: &General, slot: u64) -> Outcome {
    let (pc, to, msr) = (before.pc(), now.pc(), now.msr());
    if to == pc && kept(msr) == kept(before.msr()) {
        return match before.difference(now) {
            None => Outcome::Returned,
            Some(register) => Outcome::Weak(Weakness::Changed { slot, pc, register }),
        };
    }
    if is_handlers(msr) { Outcome::Stays } else { Outcome::Weak(Weakness::Astray { slot, pc, to, msr }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PC: u64 = 0x40_1000;
    /// 64-bit, translated, machine checks and interrupts enabled, little-endian.
    const MSR: u64 = 0x8000_0000_0000_9031;

    fn registers(pc: u64, msr: u64) -> General {
        let mut general = General::new(vec![0; 296]).expect("registers");
        general.set_pc(pc);
        general.set_msr(msr);
        general
    }

    #[test]
    fn a_return_is_one_with_every_register_as_it_was() {
        let before = registers(PC, MSR);
        assert!(matches!(judge(&before, &before, 0x500), Outcome::Returned));
        // A wait is over with interrupts off.
        assert!(matches!(judge(&before, &registers(PC, MSR & !0x8000), 0x900), Outcome::Returned));
        let mut changed = before.clone();
        changed.set_gpr(3, u64::MAX - 1);
        let Outcome::Weak(weakness) = judge(&before, &changed, 0xc00) else { panic!("not found") };
        assert_eq!(weakness, Weakness::Changed { slot: 0xc00, pc: PC, register: "r3".to_owned() });
    }

    #[test]
    fn whoever_does_not_return_is_in_a_handlers_state() {
        let before = registers(PC, MSR);
        for pc in [0x2040, 0x40_8000] {
            assert!(matches!(judge(&before, &registers(pc, 0x8000_0000_0000_1001), 0x100), Outcome::Stays));
        }
        for (pc, msr) in [(PC, 0), (PC + 4, MSR), (0x2040, 0x8000_0000_0000_1000)] {
            let outcome = judge(&before, &registers(pc, msr), 0x920);
            assert!(matches!(outcome, Outcome::Weak(Weakness::Astray { .. })), "{pc:#x} {msr:#x}");
        }
    }
}
