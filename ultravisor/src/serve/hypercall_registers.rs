//! Treats registers at hypercalls as the published ultravisor does (`core/hcall.c`): the host gets r3, the arguments and
//! random numbers in all other registers; the guest gets r3 and the results back.

use super::order::Order;
use super::{Server, msr};
use crate::UvError;
use crate::call::Number;
use crate::counts::{Counts, counts};
use crate::gdb::{GdbError, Stop};
use crate::general::General;
use crate::host::H_RTAS;
use crate::inject::Random;
use crate::machine::{Call, Violation};

const H_CEDE: u64 = 0xe0;
const H_RANDOM: u64 = 0x300;
const H_FUNCTION: i64 = -2;
/// Registers that a call may lose besides those (PAPR+ 14.5.3).
const VOLATILE: [usize; 11] = [0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

impl Server {
    /// A vCPU is about to make any hypercall. False if something else stopped the guest meanwhile.
    pub(super) fn disciplined(&mut self, pc: u64, thread: &str) -> Result<bool, UvError> {
        let Some(mut discipline) = self.discipline.take() else { return Ok(true) };
        discipline.calls += 1;
        let done = self.call(&mut discipline.random, pc, thread);
        self.discipline = Some(discipline);
        done
    }

    /// Checks that registers beyond the arguments are zero, and that interrupts are off.
    pub(super) fn check_scrubbed(
        &mut self,
        order: Order,
        call: &Call,
        number: Option<Number>,
    ) -> Result<(), UvError> {
        let first = 1 + number.map_or(9, Number::arguments);
        for (index, register) in self.registers.gpr.into_iter().enumerate().skip(first) {
            if self.read(order, register)? != 0 {
                let (opcode, register) = (call.opcode, index + 3);
                self.machine.accuse(Violation::Unscrubbed { opcode, register });
            }
        }
        if call.msr & msr::EE != 0 {
            self.machine.violations.push(Violation::Interruptible(call.opcode));
        }
        Ok(())
    }

    fn call(&mut self, random: &mut Random, pc: u64, thread: &str) -> Result<bool, UvError> {
        let own = self.general()?;
        let number = own.gpr(3);
        let Some(Counts { passed, returned }) = counts(number) else {
            // The ultravisor aborts, and the machine with it.
            self.machine.violations.push(Violation::UnlistedHypercall(number));
            self.client.kill()?;
            return Err(GdbError::Gone.into());
        };
        let beyond = VOLATILE.into_iter().filter(|n| !(3..3 + passed).contains(n));
        if let Some(register) = beyond.clone().find(|n| own.gpr(*n) != 0) {
            self.machine.accuse(Violation::Unscrubbed { opcode: number, register });
        }
        let mut after = own.clone();
        after.set_pc(pc + 4);
        match number {
            // The wait may end at once. H_CEDE turns interrupts on as it returns.
            H_CEDE => {
                after.set_gpr(3, 0);
                after.set_msr(own.msr() | msr::EE);
            }
            // The published source does not pass this call on.
            H_RANDOM => after.set_gpr(3, H_FUNCTION.cast_unsigned()),
            _ => {
                let Some(result) = self.made(random, &own, passed, thread)? else { return Ok(false) };
                if number != H_RTAS {
                    (3..3 + returned).for_each(|n| after.set_gpr(n, result.gpr(n)));
                }
            }
        }
        // The published ultravisor restores volatile registers, PAPR says that they are lost. A guest must work with both.
        if random.below(2) == 0 {
            let results = if number == H_RTAS { 3..4 } else { 3..3 + returned };
            for n in VOLATILE.into_iter().filter(|n| !results.contains(n)) {
                after.set_gpr(n, random.word());
            }
        }
        self.client.write_general(after.bytes())?;
        Ok(true)
    }

    /// Makes the call with the registers that the host may see. Returns the registers afterwards.
    fn made(
        &mut self,
        random: &mut Random,
        own: &General,
        passed: usize,
        thread: &str,
    ) -> Result<Option<General>, UvError> {
        let mut shown = own.clone();
        (0..32).filter(|n| !(3..3 + passed).contains(n)).for_each(|n| shown.set_gpr(n, random.word()));
        self.client.write_general(shown.bytes())?;
        match self.client.step(thread)? {
            Stop::Trap { .. } => self.general().map(Some),
            Stop::Other { .. } => {
                self.client.write_general(own.bytes())?;
                Ok(None)
            }
            Stop::Exited => Err(GdbError::Gone.into()),
        }
    }
}
