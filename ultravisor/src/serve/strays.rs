//! Starts vCPUs that the guest did not ask for, at the guest's own entry for CPUs.

use super::Server;
use super::attacker::Attacker;
use super::order::Order;
use crate::UvError;
use crate::inject::{Act, Moment, Stray, Weakness};
use crate::tap::Call;

/// start-cpu's block: token, three arguments, one result, server, address, argument, status.
const BLOCK: u64 = 4 * 7;
/// Stacks are this far apart at least.
const STACK: u64 = 0x1_0000;

impl Server {
    /// Before the guest starts a CPU, starts the last one at the same address: with the guest's own `sc 1`, and a changed
    /// argument block that is restored afterwards.
    pub(super) fn start_stray(&mut self, call: &Call, pc: u64, thread: &str) -> Result<(), UvError> {
        let Some((argument, block)) = self.tap.start_argument(call).zip(call.block_address()) else {
            return Ok(());
        };
        let Some(mut attacker) = self.attacker.take() else { return Ok(()) };
        if let Act::Stray(stray) = attacker.attack.act
            && attacker.stray.is_none()
        {
            let earlier = attacker.earlier.replace(argument);
            let chosen = match stray {
                Stray::Same => Some(argument),
                Stray::Earlier => earlier,
                Stray::Random => Some(attacker.random.word() & 0xffff_ffff),
                Stray::Address(address) => Some(address),
            };
            if let Some(chosen) = chosen {
                attacker.stray = Some(self.start(&mut attacker, block, chosen, pc, thread)?);
            }
        }
        self.attacker = Some(attacker);
        Ok(())
    }

    /// Returns the thread of the CPU that was started.
    fn start(
        &mut self,
        attacker: &mut Attacker,
        block: u64,
        argument: u64,
        pc: u64,
        thread: &str,
    ) -> Result<String, UvError> {
        let threads = self.client.threads()?;
        let last = threads.len().saturating_sub(1);
        let stray = threads.get(last).cloned().unwrap_or_default();
        let (own, general) = (self.ram.read(block, BLOCK).map_err(UvError::Ram)?, self.general()?);
        for (index, word) in [(3, last as u32), (5, argument as u32)] {
            self.ram.write(block + 4 * index, &word.to_be_bytes()).map_err(UvError::Ram)?;
        }
        self.step_here(thread)?;
        self.ram.write(block, &own.unwrap_or_default()).map_err(UvError::Ram)?;
        self.client.write_general(general.bytes())?;
        // The host chooses all its registers but r3.
        self.client.select_thread(&stray)?;
        for name in ["r1", "r2", "r13", "r30", "r31"] {
            let register = self.client.register(name)?;
            let value = attacker.random.word();
            self.write(Order::Big, register, value)?;
        }
        self.client.select_thread(thread)?;
        attacker.seen.entries += 1;
        attacker.seen.moments.push(Moment { pc, slot: argument, gpr: Vec::new() });
        Ok(stray)
    }

    /// Checks that no two CPUs use one stack.
    pub(super) fn compare_stacks(&mut self, attacker: &mut Attacker) -> Result<bool, UvError> {
        if attacker.stray.is_none() {
            return Ok(false);
        }
        let mut pointers = Vec::new();
        let register = self.client.register("r1")?;
        for thread in self.client.threads()? {
            self.client.select_thread(&thread)?;
            let order = self.order()?;
            pointers.push(self.read(order, register)?);
        }
        let near = |a: u64, b: u64| a.abs_diff(b) < STACK;
        for (index, pointer) in pointers.iter().enumerate() {
            let other = pointers.iter().take(index).any(|other| near(*pointer, *other));
            let weakness = Weakness::Stack(*pointer & !(STACK - 1));
            if other && self.machine.is_kernels(*pointer) && !attacker.seen.weaknesses.contains(&weakness) {
                attacker.seen.weaknesses.push(weakness);
            }
        }
        Ok(true)
    }
}
