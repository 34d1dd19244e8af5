//! System resets of one vCPU at chosen moments, while another one works.

use super::Server;
use crate::UvError;
use crate::host::H_SIGNAL_SYS_RESET;
use crate::inject::{Act, Moment, Reset, When};
use crate::tap::Call;

/// Vector of a system reset.
const SYSTEM_RESET: u64 = 0x100;

impl Server {
    /// A vCPU is about to make a call: resets the other one now, or returns true if the reset comes after the call.
    pub(super) fn reset_before(&mut self, call: &Call, pc: u64, thread: &str) -> Result<bool, UvError> {
        let Some(reset) = self.wanted_reset() else { return Ok(false) };
        if self.thread_of(reset)?.is_none_or(|victim| victim == thread) {
            return Ok(false);
        }
        match reset.when {
            When::Before(of, nth) if self.tap.fits(of, call) && self.is_pulled() => {
                self.takings += 1;
                if self.takings == nth {
                    self.reset(reset, pc, thread)?;
                }
                Ok(false)
            }
            When::After(of, _) => Ok(self.tap.fits(of, call) && self.is_pulled()),
            When::Before(..) | When::Lock(_) => Ok(false),
        }
    }

    /// The vCPU has made the call and is at `pc`: resets the other one.
    pub(super) fn reset_after(&mut self, pc: u64, thread: &str) -> Result<(), UvError> {
        let Some(reset) = self.wanted_reset() else { return Ok(()) };
        let Some(victim) = self.thread_of(reset)? else { return Ok(()) };
        if let When::After(_, steps) = reset.when {
            for _ in 0..steps {
                self.step_here(&victim)?;
            }
            self.client.select_thread(thread)?;
            self.reset(reset, pc, thread)?;
        }
        Ok(())
    }

    /// `holder` has just taken a lock: resets it by a call of another vCPU. False if no other vCPU can make a call now.
    pub(super) fn reset_holder(&mut self, reset: Reset, holder: &str) -> Result<bool, UvError> {
        let helper = self.client.threads()?.into_iter().find(|thread| thread != holder);
        let Some((helper, site)) = helper.zip(self.call_site) else { return Ok(false) };
        self.client.select_thread(&helper)?;
        let free = self.finish_call(&helper)?;
        if free {
            self.reset(reset, site, &helper)?;
        }
        self.client.select_thread(holder)?;
        Ok(free)
    }

    fn wanted_reset(&self) -> Option<Reset> {
        match self.attacker.as_ref()?.attack.act {
            Act::Reset(reset) => Some(reset),
            _ => None,
        }
    }

    pub(super) fn is_pulled(&self) -> bool {
        self.attacker.as_ref().is_some_and(|attacker| attacker.attack.trigger.is_pulled())
    }

    fn thread_of(&mut self, reset: Reset) -> Result<Option<String>, UvError> {
        Ok(self.client.threads()?.get(reset.cpu).cloned())
    }

    /// Makes the selected vCPU `thread` issue the reset at `site`, and restores its registers.
    fn reset(&mut self, reset: Reset, site: u64, thread: &str) -> Result<(), UvError> {
        let Some(mut attacker) = self.attacker.take() else { return Ok(()) };
        if attacker.take_turn() {
            let own = self.general()?;
            if let Some(victim) = self.thread_of(reset)? {
                self.client.select_thread(&victim)?;
                let general = self.general()?;
                let (pc, gpr) = (general.pc(), general.gprs());
                self.client.select_thread(thread)?;
                let mut asks = own.clone();
                asks.set_pc(site);
                asks.set_gpr(3, H_SIGNAL_SYS_RESET);
                asks.set_gpr(4, reset.cpu as u64);
                self.client.write_general(asks.bytes())?;
                // The call waits for the victim's thread.
                self.client.rest();
                self.step_here(thread)?;
                if self.general()?.gpr(3) == 0 {
                    attacker.seen.entries += 1;
                    attacker.seen.moments.push(Moment { pc, slot: SYSTEM_RESET, gpr });
                }
            }
            self.client.write_general(own.bytes())?;
        }
        self.attacker = Some(attacker);
        Ok(())
    }
}
