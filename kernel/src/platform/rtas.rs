//! RTAS by H_RTAS: the argument block, retries, and the tokens of this machine.

use crate::memory::device::DeviceBytes;
use crate::platform::pseries::Pseries;
use crate::platform::turns::Turns;
use core::time::Duration;
use postern_core::addr::{Gpa, GpaRange};
use postern_core::clock::Deadline;
use postern_core::fdt::machine;
use postern_core::rtas::{self, BLOCK_WORDS, RtasError};
use postern_core::seam::{Platform, Rtas};
use spin::Once;

/// How long a service that answers "busy" is asked again.
const PATIENCE: Duration = Duration::from_secs(2);

static SERVICES: Once<machine::Rtas> = Once::new();

/// Takes the services' tokens, from the device tree.
pub fn set_tokens(services: machine::Rtas) {
    SERVICES.call_once(|| services);
}

/// The argument block. In the image, so below 4 GiB; an ultravisor copies it to a shared page of its own.
#[repr(C, align(128))]
struct Block([u32; BLOCK_WORDS]);

static mut BLOCK: Block = Block([0; BLOCK_WORDS]);
/// Who uses the block.
static BLOCK_TURNS: Turns = Turns::new();

/// Calls the service with this token once; `rets` receives the return words after the status.
pub fn call_token(token: u32, args: &[u32], rets: &mut [u32]) -> Result<(), RtasError> {
    let _turn = BLOCK_TURNS.take();
    let at = Gpa((&raw mut BLOCK).expose_provenance() as u64 & 0x0fff_ffff_ffff_ffff);
    // SAFETY: BLOCK is RAM for the kernel's life, and only this function uses it, one call at a time but for
    // one that never goes on, or that no firmware ever answered: no reference to it exists.
    let block = unsafe { DeviceBytes::new(GpaRange { start: at, len: size_of::<Block>() as u64 }) };
    // SAFETY: the block is this CPU's for as long as it has its turn. Services that write to memory are given the
    // addresses of memory that is theirs to write.
    unsafe { rtas::call(&Pseries, &block, token, args, rets) }
}

impl Rtas for Pseries {
    fn rtas(&self, service: &'static str, args: &[u32], rets: &mut [u32]) -> Result<(), RtasError> {
        let token = SERVICES.get().and_then(|services| services.token(service));
        let token = token.ok_or(RtasError::NotThere(service))?;
        let mut deadline = Deadline::after(self, PATIENCE);
        loop {
            match call_token(token, args, rets) {
                Err(busy @ RtasError::Busy(_)) => {
                    if deadline.expired(self) {
                        return Err(busy);
                    }
                }
                other => return other,
            }
        }
    }
}

/// Where an argument for RTAS that is a pointer lies.
pub fn pointer_argument(text: &'static [u8]) -> u32 {
    Pseries.gpa_of(text).0 as u32
}
