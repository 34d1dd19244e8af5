//! Finds out why the guest stopped, and calls the code that handles it.

use super::leaving::Leaving;
use super::{Server, VECTORS};
use crate::UvError;
use crate::gdb::Stop;
use std::time::Instant;

impl Server {
    /// Waits for a stop and handles it. False if QEMU says that it ends.
    pub(super) fn next_call(&mut self) -> Result<bool, UvError> {
        let Some(stop) = self.stop()? else { return Ok(true) };
        let thread = match stop {
            Stop::Trap { thread } => thread,
            // Whatever stopped the guest resumes it.
            Stop::Other { .. } => return Ok(true),
            Stop::Exited => return Ok(false),
        };
        let stopped = Instant::now();
        self.client.select_thread(&thread)?;
        let order = self.order()?;
        let pc = self.read(order, self.registers.pc)?;
        if self.ultracalls.contains_key(&pc) {
            if !self.meet_at_call(order, pc, &thread, stopped)? {
                return Ok(true);
            }
        } else if self.live.as_ref().is_some_and(|live| live.is_site(pc)) {
            if !self.meet_at_hypercall(order, pc, &thread)? {
                return Ok(true);
            }
        } else if VECTORS.contains(&pc) {
            let (srr0, srr1) = self.save_restore(order, &thread)?;
            if self.is_ultracall(order, srr0, srr1)? {
                self.serve(order, srr0, srr1, &thread, stopped)?;
            } else {
                self.see_program(srr1)?;
                // An exception of the guest's own: let its handler run, past the breakpoint.
                match self.client.step(&thread)? {
                    Stop::Trap { .. } => {}
                    Stop::Other { .. } => return Ok(true),
                    Stop::Exited => return Ok(false),
                }
            }
        } else if matches!(&self.leaving, Leaving::Enters(places) if places.contains(&pc)) {
            if !self.enter_next(order, pc, &thread)? {
                return Ok(true);
            }
        } else if self.exits.contains(&pc) {
            self.first_exit(order, &thread)?;
        } else if self.discipline.as_ref().is_some_and(|kept| kept.sites.contains(&pc)) {
            if !self.disciplined(pc, &thread)? {
                return Ok(true);
            }
        } else if self.locks.contains_key(&pc) {
            self.meet_with_lock(pc, &thread)?;
        } else if self.leaving == Leaving::Copies {
            self.find_next()?;
        } else if self.tap.is_watched(pc) && !self.hypercall(order, pc, &thread)? {
            return Ok(true);
        }
        self.resume()?;
        Ok(true)
    }
}
