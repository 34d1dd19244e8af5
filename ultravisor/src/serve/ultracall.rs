//! One ultracall: reads it from the registers, has the machine serve it, answers and logs it.

use super::order::Order;
use super::{REAL_MODE_BITS, Server, msr};
use crate::UvError;
use crate::call::Number;
use crate::guest::Guest;
use crate::log::CallRecord;
use crate::machine::{Call, Resume};
use crate::ultracalls::SC_2;
use std::io;
use std::time::{Instant, SystemTime};

impl Server {
    /// Whether the instruction before SRR0 is `sc 2`, in the byte order and address space of SRR1.
    pub(super) fn is_ultracall(&mut self, order: Order, srr0: u64, srr1: u64) -> Result<bool, UvError> {
        let address = srr0.wrapping_sub(4);
        let bytes = if srr1 & msr::IR == 0 {
            self.ram.read(address & REAL_MODE_BITS, 4).map_err(UvError::Ram)?
        } else {
            // The gdb server translates by the current MSR, so set the caller's MSR for one read.
            let msr = self.client.read_register(self.registers.msr)?;
            let now = order.decode(&msr);
            self.client.write_register(self.registers.msr, &order.encode(srr1))?;
            let bytes = self.client.read_memory(address, 4);
            let order = if srr1 & msr::LE != 0 { Order::Little } else { Order::Big };
            self.client.write_register(self.registers.msr, &order.encode(now))?;
            bytes?
        };
        let word = bytes.and_then(|bytes| bytes.try_into().ok());
        Ok(match word {
            Some(word) if srr1 & msr::LE != 0 => u32::from_le_bytes(word) == SC_2,
            Some(word) => u32::from_be_bytes(word) == SC_2,
            None => false,
        })
    }

    pub(super) fn serve(
        &mut self,
        order: Order,
        srr0: u64,
        srr1: u64,
        thread: &str,
        stopped: Instant,
    ) -> Result<(), UvError> {
        let opcode = self.read(order, self.registers.gpr[0])?;
        let number = Number::from_opcode(opcode);
        let mut arguments = [0; 9];
        for index in 0..number.map_or(0, Number::arguments) {
            arguments[index] = self.read(order, self.registers.gpr[index + 1])?;
        }
        let pidr = if number == Some(Number::EsmbGetFile) { self.process(order)? } else { 0 };
        let call = Call { opcode, arguments, msr: srr1, pidr };
        if self.guest == Guest::Strict {
            self.check_scrubbed(order, &call, number)?;
        }
        let callers = self.callers(order, number)?;
        let n = self.calls.len() as u64 + 1;
        let place = self.count(number);
        let fault = self.faults.effect(number, place, n);

        if number == Some(Number::Esm) {
            self.change_boot_cpu(call.arguments[1])?;
        }
        let entries = self.machine.esm.len();
        let verdict = self.machine.serve(&self.ram, &call, fault).map_err(UvError::Ram)?;
        let (pc, msr) = match verdict.resume {
            Resume::Answer(code) => {
                self.write(order, self.registers.gpr[0], code.register())?;
                (srr0, srr1)
            }
            Resume::Data(code) => {
                self.write(order, self.registers.gpr[0], code.register())?;
                for (register, value) in (1..).zip(self.machine.take_data().unwrap_or_default()) {
                    self.write(order, self.registers.gpr[register], value)?;
                }
                (srr0, srr1)
            }
            Resume::Untouched | Resume::Never => (srr0, srr1),
            Resume::Reenter { kernel_base, fdt } => {
                if let Guest::Any { patch_msr } = self.guest {
                    self.enter_any(kernel_base, srr1, patch_msr)?;
                }
                self.kernel = kernel_base;
                let pc = self.prepare_entry(order, kernel_base)?;
                let tree = self.faults.conditions.enter_with.unwrap_or(fdt);
                for (register, value) in (0..).zip([tree, kernel_base, 0]) {
                    self.write(order, self.registers.gpr[register], value)?;
                }
                if self.guest == Guest::Strict {
                    self.watch_hypercalls(kernel_base, fdt)?;
                }
                (pc, srr1 & !msr::EE)
            }
        };
        self.write(order, self.registers.pc, pc)?;
        // Last, because it changes the byte order of all that follows.
        self.write(order, self.registers.msr, msr)?;
        if number == Some(Number::UnshareAllPages) {
            self.may_leave(srr0)?;
        }

        let faulted = fault.is_some();
        let duration = stopped.elapsed();
        let (at, thread) = (SystemTime::now(), thread.to_owned());
        let record = CallRecord { n, call, verdict, faulted, at, duration, thread, callers };
        self.note(&record, entries).map_err(UvError::Log)?;
        self.calls.push(record);
        if verdict.resume == Resume::Never {
            self.end_machine()?;
        }
        Ok(())
    }

    fn note(&mut self, record: &CallRecord, entries: usize) -> io::Result<()> {
        self.log.call(record)?;
        for report in &self.machine.esm[entries..] {
            self.log.esm(report)?;
        }
        self.log_violations()
    }

    /// Logs the violations that are not in the log yet.
    pub(super) fn log_violations(&mut self) -> io::Result<()> {
        for violation in self.machine.violations.iter().skip(self.logged) {
            self.log.violation(violation)?;
            self.logged += 1;
        }
        Ok(())
    }

    /// Counts a call. Returns its position among the calls of its number, from 1.
    fn count(&mut self, number: Option<Number>) -> u64 {
        let place = Number::ALL.iter().position(|known| Some(*known) == number);
        place.map_or(0, |place| {
            self.counts[place] += 1;
            self.counts[place]
        })
    }
}
