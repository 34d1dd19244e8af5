//! RTAS with a hostile host: the published handlers, chosen by the token alone, and arbitrary answers.

use super::Server;
use super::order::Order;
use crate::UvError;
use crate::frames::{FRAME_SHIFT, FrameState};
use crate::inject::Random;
use crate::machine::Violation;
use crate::rtas::{BUFFER, HANDLERS};
use crate::tap::Call;

/// Statuses with a meaning (PAPR+ 7.3) and similar ones: done, failures, busy, extended delays.
const STATUSES: [u32; 8] = [0, 1, 0xffff_ffff, 0xffff_fffe, 0xffff_fffd, 9900, 9902, 0x8000_0000];
/// One answer of so many is made up.
const RARELY: u64 = 8;

impl Server {
    /// Does what the handler that the token chooses does to the guest's memory, if there is one.
    pub(super) fn handle_rtas(&mut self, call: &Call) -> Result<(), UvError> {
        if let Some((address, argument)) = self.tap.start_address(call).zip(self.tap.start_argument(call))
            && !self.machine.is_kernels(address)
        {
            self.machine.accuse(Violation::Rtas("start-cpu", address.max(argument)));
        }
        let Some((service, address)) = self.tap.handled(call) else { return Ok(()) };
        if self.map.state(address >> FRAME_SHIFT) != Some(FrameState::Shared) {
            self.machine.accuse(Violation::Rtas(service, address));
        }
        if HANDLERS.iter().any(|handler| handler.service == service && handler.comes_in) {
            let noise: Vec<u8> = (0..BUFFER).map(|n| n as u8 ^ 0xa5).collect();
            self.ram.write(address, &noise).map_err(UvError::Ram)?;
        }
        Ok(())
    }

    /// Now and then answers with random words instead of making the call; never for a service that ends the machine. False
    /// if the call is to be made.
    pub(super) fn answer_noise(
        &mut self,
        call: &Call,
        seed: u64,
        nth: u64,
        pc: u64,
    ) -> Result<bool, UvError> {
        let mut random = Random::new(seed ^ nth << 32);
        let Some(status) = call.status_address().filter(|_| random.below(RARELY) == 0 && !call.is_end())
        else {
            return Ok(false);
        };
        let count = call.block_address().map_or(0, |block| block + 8);
        let words = self.ram.read(count, 4).map_err(UvError::Ram)?.unwrap_or_default();
        let words = words.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes)).min(16);
        for index in 0..words {
            let word = match (index, random.below(2)) {
                (0, _) | (_, 0) => STATUSES[random.below(STATUSES.len() as u64) as usize],
                _ => random.word() as u32,
            };
            self.ram.write(status + 4 * u64::from(index), &word.to_be_bytes()).map_err(UvError::Ram)?;
        }
        self.write(Order::Little, self.registers.gpr[0], 0)?;
        self.write(Order::Little, self.registers.pc, pc + 4)?;
        Ok(true)
    }
}
