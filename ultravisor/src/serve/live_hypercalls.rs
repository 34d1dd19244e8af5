//! Checks each hypercall of a guest of any kind before it is made: the first wrong one ends the machine, as with the
//! published ultravisor, so that its callers are still on the stack.

use super::order::Order;
use super::{Server, msr};
use crate::UvError;
use crate::cut_short::CutShort;
use crate::frames::{FRAME_SIZE, Shared};
use crate::gdb::{GdbError, Stop};
use crate::hcalls::{self, Hands};
use crate::requests::Hcall;
use crate::sites::SC_1;
use crate::strict::{Breach, Memory, at_once};
use crate::ultracalls::{addresses, offsets};

impl Server {
    /// UV_ESM succeeded: stops the kernel at each of its hypercalls.
    pub(super) fn watch_all_hypercalls(
        &mut self,
        base: u64,
        image: &[u8],
        little: bool,
    ) -> Result<(), UvError> {
        let Some(live) = &mut self.live else { return Ok(()) };
        let places = offsets(image, little, SC_1).into_iter().flat_map(|offset| addresses(base, offset));
        live.sites = places.collect();
        for at in live.sites.keys() {
            self.client.set_breakpoint(*at)?;
        }
        Ok(())
    }

    /// The kernel is no more.
    pub(super) fn forget_hypercalls(&mut self) -> Result<(), UvError> {
        let sites = self.live.as_mut().map(|live| std::mem::take(&mut live.sites)).unwrap_or_default();
        for at in sites.into_keys() {
            self.client.clear_breakpoint(at)?;
        }
        Ok(())
    }

    /// A vCPU is at the address of the kernel's `sc 1`, in the kernel or in a program with the same address. False if the
    /// guest was stopped for another reason meanwhile.
    pub(super) fn meet_at_hypercall(&mut self, order: Order, pc: u64, thread: &str) -> Result<bool, UvError> {
        let msr = self.read(order, self.registers.msr)?;
        if msr & msr::PR == 0
            && self.word(pc, msr)? == Some(SC_1)
            && let Some(breach) = self.wrong_call(order, pc)?
        {
            let base = self.live.as_ref().and_then(|live| live.sites.get(&pc)).copied().unwrap_or(0);
            let mut by = vec![self.symbols.name(pc, base)];
            by.extend(self.back_trace(order, base)?);
            if let Some(live) = &mut self.live {
                live.cut_short = Some(CutShort { what: breach.to_string(), by });
            }
            self.end_machine()?;
            return Err(GdbError::Gone.into());
        }
        match self.client.step(thread)? {
            Stop::Trap { .. } => Ok(true),
            Stop::Other { .. } => Ok(false),
            Stop::Exited => Err(GdbError::Gone.into()),
        }
    }

    /// The fault of the call that the guest is about to make.
    fn wrong_call(&mut self, order: Order, nip: u64) -> Result<Option<Breach>, UvError> {
        let number = self.read(order, self.registers.gpr[0])?;
        // Only needed registers are read: most calls pass plain numbers, and each register needs a query.
        if hcalls::listed(number).is_some_and(|listed| listed.hands == Hands::Values) {
            return Ok(None);
        }
        let mut arguments = [0; 4];
        for (index, argument) in arguments.iter_mut().enumerate() {
            *argument = self.read(order, self.registers.gpr[index + 1])?;
        }
        let reserved = self.map.reserved_ranges().into_iter().flatten().map(|gfn| gfn * FRAME_SIZE);
        let memory = Memory {
            bytes: self.map.len() * FRAME_SIZE,
            shared: Shared { now: self.map.shared_ranges(), ever: self.map.ever_shared_ranges() },
            reserved: reserved.collect(),
        };
        Ok(at_once(&Hcall { number, arguments, nip, excess: false }, &memory))
    }
}
