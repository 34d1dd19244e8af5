//! Stops a secure guest before its hypercalls, and applies the host's rules to them.

use super::Server;
use super::order::Order;
use crate::UvError;
use crate::esm::{read_tree, servers};
use crate::gdb::{GdbError, Stop};
use crate::host::{Value, What};
use crate::tap::Call;
use crate::{locks, sites};

impl Server {
    /// After UV_ESM: sets breakpoints at the calls that rules are about.
    pub(super) fn watch_hypercalls(&mut self, kernel_base: u64, fdt: u64) -> Result<(), UvError> {
        let image = self.find_locks(kernel_base)?;
        let victim = self.wanted_lock().filter(|_| self.is_pulled()).map(|(cpu, ..)| cpu);
        match victim {
            Some(0) => _ = self.arm()?,
            // Before that CPU is started, stops at locks would be useless, and there are hundreds.
            Some(_) => self.arm_at_start(),
            None => {}
        }
        let sites = sites::find(kernel_base, &image);
        self.call_site = sites.first().map(|site| site.at);
        if let Some(discipline) = &mut self.discipline {
            discipline.sites = sites.iter().map(|site| site.at).collect();
            for site in sites {
                self.client.set_breakpoint(site.at)?;
            }
            return Ok(());
        }
        let tree = read_tree(&self.ram, fdt).map_err(UvError::Ram)?;
        let max = self.machine.esm.last().map_or(0, |report| report.max_cpus);
        // Watch for a start that fails an assertion of the ultravisor, if the tree has such a server number.
        if tree.as_ref().is_ok_and(|tree| servers(tree).iter().any(|server| *server >= max)) {
            self.tap.follow_starts();
        }
        let sites = self.tap.watch(&sites);
        if let Ok(tree) = tree {
            self.tap.learn(|name| tree.node("/rtas").and_then(|rtas| rtas.cell(name)));
        }
        for site in sites {
            self.client.set_breakpoint(site)?;
        }
        Ok(())
    }

    /// Finds where the image at this address takes locks, if the attack needs one. Returns the image.
    pub(super) fn find_locks(&mut self, kernel_base: u64) -> Result<Vec<u8>, UvError> {
        let image = self.ram.read(kernel_base, self.machine.image_span()).map_err(UvError::Ram)?;
        let image = image.unwrap_or_default();
        if self.wanted_lock().is_some() {
            self.locks = locks::find(kernel_base, &image).into_iter().collect();
        }
        Ok(image)
    }

    /// A vCPU is about to make a watched hypercall. False if something else stopped the guest meanwhile.
    pub(super) fn hypercall(&mut self, order: Order, pc: u64, thread: &str) -> Result<bool, UvError> {
        let number = self.read(order, self.registers.gpr[0])?;
        let mut registers = [0; 4];
        for (index, value) in registers.iter_mut().enumerate() {
            *value = self.read(order, self.registers.gpr[index + 1])?;
        }
        let call = self.tap.read(&self.ram, number, registers).map_err(UvError::Ram)?;
        if let Some(server) = self.tap.started(&call)
            && self.machine.start_cpu(server).is_err()
        {
            self.end_machine()?;
        }
        if self.tap.started(&call).is_some() && self.waits_for_start() {
            self.arm()?;
        }
        if call.is_end() {
            self.look_at_missing(thread)?;
        }
        if self.freeze_at_call(&call, pc, thread)? {
            return Ok(true);
        }
        self.start_stray(&call, pc, thread)?;
        let resets = self.reset_before(&call, pc, thread)?;
        let hits = self.tap.judge(&call);
        let what = hits.first().map_or(What::Record, |(_, _, what)| *what);
        self.handle_rtas(&call)?;
        if let What::Noise(seed) = what
            && let Some((_, nth, _)) = hits.first()
            && self.answer_noise(&call, seed, *nth, pc)?
        {
            let (status, value) = self.result(order, &call)?;
            self.tap.note(&call, &hits, status, value);
        } else if let What::Answer { status, value } = what {
            let status = status.cast_unsigned();
            self.put_result(order, &call, Some(status), Some(call.changed(Value::Is(value), 0)))?;
            self.write(order, self.registers.pc, pc + 4)?;
            self.tap.note(&call, &hits, status, value);
        } else {
            if let What::Argument(index, value) = what {
                self.change_argument(order, &call, index, value)?;
            }
            match self.client.step(thread)? {
                Stop::Trap { .. } => {}
                Stop::Other { .. } => return Ok(false),
                Stop::Exited => return Err(GdbError::Gone.into()),
            }
            if !hits.is_empty() {
                let (status, value) = self.result(order, &call)?;
                match what {
                    What::Result(new) => {
                        self.put_result(order, &call, None, Some(call.changed(new, value)))?
                    }
                    What::R3(new) => self.write(order, self.registers.gpr[0], new)?,
                    What::Record | What::Argument(..) | What::Answer { .. } | What::Noise(_) => {}
                }
                let (_, value) = self.result(order, &call)?;
                let value = if call.is_device() { call.swapped(value) } else { value };
                self.tap.note(&call, &hits, status, value);
            }
        }
        if resets {
            self.reset_after(pc, thread)?;
        }
        let mut over = self.tap.finished();
        if hits.is_empty() && self.tap.dismiss(pc) {
            over.push(pc);
        }
        for site in over {
            self.client.clear_breakpoint(site)?;
        }
        Ok(true)
    }

    /// r3 and r4, or RTAS's status and first word.
    fn result(&mut self, order: Order, call: &Call) -> Result<(u64, u64), UvError> {
        match &call.block {
            Some(block) => {
                let bytes = self.ram.read(block.status(), 8).map_err(UvError::Ram)?.unwrap_or_default();
                let words = bytes.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
                Ok((words >> 32, words & 0xffff_ffff))
            }
            None => {
                let [r3, r4, ..] = self.registers.gpr;
                Ok((self.read(order, r3)?, self.read(order, r4)?))
            }
        }
    }

    fn put_result(
        &mut self,
        order: Order,
        call: &Call,
        status: Option<u64>,
        value: Option<u64>,
    ) -> Result<(), UvError> {
        let [r3, r4, ..] = self.registers.gpr;
        match &call.block {
            Some(block) => {
                for (at, word) in [(block.status(), status), (block.status() + 4, value)] {
                    if let Some(word) = word {
                        self.ram.write(at, &(word as u32).to_be_bytes()).map_err(UvError::Ram)?;
                    }
                }
                if status.is_some() {
                    self.write(order, r3, 0)?;
                }
            }
            None => {
                for (register, word) in [(r3, status), (r4, value)] {
                    if let Some(word) = word {
                        self.write(order, register, word)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn change_argument(
        &mut self,
        order: Order,
        call: &Call,
        index: usize,
        value: Value,
    ) -> Result<(), UvError> {
        match &call.block {
            Some(block) => {
                let at = block.argument(index);
                let bytes = self.ram.read(at, 4).map_err(UvError::Ram)?.unwrap_or_default();
                let word = bytes.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
                let word = value.of(word.into()) as u32;
                self.ram.write(at, &word.to_be_bytes()).map_err(UvError::Ram)?;
                Ok(())
            }
            None => {
                let word = call.registers.get(index).copied().unwrap_or_default();
                Ok(self.write(order, self.registers.gpr[index + 1], call.changed(value, word))?)
            }
        }
    }
}
