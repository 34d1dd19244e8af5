//! Serves a guest of which nothing is known: stops it at its ultracalls, and makes it see that it is secure.

use super::order::Order;
use super::{Server, msr};
use crate::UvError;
use crate::call::Number;
use crate::gdb::Stop;
use crate::guest::Guest;
use crate::secure_bit::{self, SecureBit};
use crate::ultracalls::{SC_2, addresses, forgotten, offsets};
use std::time::Instant;

/// Frames of a back-trace, at most.
const DEPTH: usize = 6;

impl Server {
    /// Called after a UV_ESM that succeeded: from here on the guest is not stopped at its vectors.
    pub(super) fn enter_any(&mut self, kernel_base: u64, msr: u64, patch: bool) -> Result<(), UvError> {
        let image = self.ram.read(kernel_base, self.machine.image_span()).map_err(UvError::Ram)?;
        let image = image.unwrap_or_default();
        (self.secure_bit, self.patched) = self.adapt(kernel_base, &image, msr & msr::LE != 0, patch)?;
        Ok(())
    }

    /// A kernel is about to be entered: it is made to see that it is secure, and stopped at its own ultracalls from here
    /// on. Gives its tests of MSR\[S\], and the names of those that were changed.
    pub(super) fn adapt(
        &mut self,
        base: u64,
        image: &[u8],
        little: bool,
        patch: bool,
    ) -> Result<(SecureBit, Vec<String>), UvError> {
        let secure_bit = secure_bit::find(image, little);
        let mut patched = Vec::new();
        for (offset, word) in secure_bit.tests.iter().filter(|_| patch) {
            let bytes = if little { word.to_le_bytes() } else { word.to_be_bytes() };
            self.ram.write(base + offset, &bytes).map_err(UvError::Ram)?;
            patched.push(self.symbols.name(*offset, 0));
        }
        for vector in super::VECTORS {
            self.client.clear_breakpoint(vector)?;
        }
        let places = offsets(image, little, SC_2).into_iter().flat_map(|offset| addresses(base, offset));
        self.ultracalls = places.collect();
        for at in self.ultracalls.keys().copied().collect::<Vec<_>>() {
            self.client.set_breakpoint(at)?;
        }
        self.watch_all_hypercalls(base, image, little)?;
        Ok((secure_bit, patched))
    }

    /// A vCPU is at the address of a `sc 2` of the kernel, in the kernel or in a program with the same address. Returns
    /// false if something else stopped the guest meanwhile.
    pub(super) fn meet_at_call(
        &mut self,
        order: Order,
        pc: u64,
        thread: &str,
        stopped: Instant,
    ) -> Result<bool, UvError> {
        let msr = self.read(order, self.registers.msr)?;
        if self.word(pc, msr)? == Some(SC_2) {
            self.serve(order, pc.wrapping_add(4), msr, thread, stopped)?;
            for at in forgotten(&self.ultracalls, pc) {
                self.ultracalls.remove(&at);
                self.client.clear_breakpoint(at)?;
            }
            return Ok(true);
        }
        match self.client.step(thread)? {
            Stop::Trap { .. } => Ok(true),
            Stop::Other { .. } => Ok(false),
            Stop::Exited => Err(crate::gdb::GdbError::Gone.into()),
        }
    }

    /// The instruction there, as a vCPU with this MSR would read it.
    pub(super) fn word(&mut self, pc: u64, msr: u64) -> Result<Option<u32>, UvError> {
        let word = self.client.read_memory(pc, 4)?.and_then(|bytes| bytes.try_into().ok());
        let little = msr & msr::LE != 0;
        Ok(word.map(|word| if little { u32::from_le_bytes(word) } else { u32::from_be_bytes(word) }))
    }

    /// A program makes system calls, so no UV_ESM will come. Stops watching the vectors, or each call would stop the guest.
    pub(super) fn see_program(&mut self, srr1: u64) -> Result<(), UvError> {
        if matches!(self.guest, Guest::Any { .. })
            && srr1 & msr::PR != 0
            && !self.machine.is_secure()
            && !self.ordinary
        {
            self.ordinary = true;
            for vector in super::VECTORS {
                self.client.clear_breakpoint(vector)?;
            }
        }
        Ok(())
    }

    /// The callers of an ultracall, innermost first.
    pub(super) fn callers(&mut self, order: Order, number: Option<Number>) -> Result<Vec<String>, UvError> {
        if self.guest == Guest::Strict {
            return Ok(Vec::new());
        }
        // Until UV_ESM the kernel is where firmware loaded it.
        let base = match number {
            Some(Number::Esm) => self.read(order, self.registers.gpr[1])?,
            _ => {
                let pc = self.read(order, self.registers.pc)?;
                self.ultracalls.get(&pc).copied().unwrap_or(0)
            }
        };
        // Where another kernel is has nothing to do with the names of this one.
        if number != Some(Number::Esm) && self.next_kernels.iter().all(|next| next.same) {
            self.kernel = base;
        }
        self.back_trace(order, base)
    }

    /// The callers, innermost first: the link register, then those saved in stack frames (ELF ABI v2,
    /// 2.2.2).
    pub(super) fn back_trace(&mut self, order: Order, base: u64) -> Result<Vec<String>, UvError> {
        let (link, stack) = (self.client.register("lr")?, self.client.register("r1")?);
        let mut callers = vec![self.read(order, link)?];
        let mut frame = self.read(order, stack)?;
        while callers.len() < DEPTH {
            let Some(next) = self.doubleword(order, frame)?.filter(|next| *next > frame) else { break };
            let Some(caller) = self.doubleword(order, next.wrapping_add(16))?.filter(|caller| *caller != 0)
            else {
                break;
            };
            callers.push(caller);
            frame = next;
        }
        // A leaf function has its caller in both places.
        callers.dedup();
        Ok(callers.into_iter().map(|caller| self.symbols.name(caller, base)).collect())
    }

    fn doubleword(&mut self, order: Order, address: u64) -> Result<Option<u64>, UvError> {
        Ok(self.client.read_memory(address, 8)?.map(|bytes| order.decode(&bytes)))
    }
}
