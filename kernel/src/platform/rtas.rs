//! RTAS by H_RTAS: the argument block, retries, and the tokens of this machine.

use crate::platform::pseries::Pseries;
use core::time::Duration;
use postern_core::addr::Gpa;
use postern_core::clock::Deadline;
use postern_core::fdt::machine;
use postern_core::hcall::Hcall;
use postern_core::rtas::{MAX_WORDS, RtasError, judge};
use postern_core::seam::{Hypervisor, Platform, Rtas};
use spin::{Mutex, Once};

/// How long a service that answers "busy" is asked again.
const PATIENCE: Duration = Duration::from_secs(2);

static SERVICES: Once<machine::Rtas> = Once::new();

/// Takes the services' tokens, from the device tree.
pub fn set_tokens(services: machine::Rtas) {
    SERVICES.call_once(|| services);
}

/// The argument block: token, nargs, nret, then the words, all big-endian (PAPR+ 7.2.1). In the image, so
/// below 4 GiB; an ultravisor copies it to a shared page of its own.
#[repr(C, align(128))]
struct Block([u32; 3 + 2 * MAX_WORDS + 1]);

static BLOCK: Mutex<Block> = Mutex::new(Block([0; 3 + 2 * MAX_WORDS + 1]));

/// Calls the service with this token once; `rets` receives the return words after the status.
pub fn call_token(token: u32, args: &[u32], rets: &mut [u32]) -> Result<(), RtasError> {
    let words = args.len().max(rets.len());
    if words > MAX_WORDS {
        return Err(RtasError::TooManyWords(words));
    }
    let mut block = BLOCK.lock();
    let status_at = 3 + args.len();
    block.0.fill(0);
    block.0[0] = token.to_be();
    block.0[1] = (args.len() as u32).to_be();
    block.0[2] = (rets.len() as u32 + 1).to_be();
    for (slot, arg) in block.0[3..].iter_mut().zip(args) {
        *slot = arg.to_be();
    }
    // A status that no service answers with: it stays when the call is refused before it begins.
    block.0[status_at] = (i32::MIN as u32).to_be();
    let at = Gpa(block.0.as_mut_ptr().expose_provenance() as u64 & 0x0fff_ffff_ffff_ffff);
    // r3 says nothing in a secure VM, where it still holds the opcode; the status word decides.
    let _ = Pseries.hcall(Hcall::Rtas, [at.0, 0, 0, 0]);
    let word = |index: usize| {
        // SAFETY: `index` is below the array's length (at most 3 + MAX_WORDS + MAX_WORDS). Volatile: the
        // hypervisor wrote it behind the compiler's back.
        u32::from_be(unsafe { block.0.as_ptr().add(index).read_volatile() })
    };
    judge(word(status_at) as i32)?;
    for (index, ret) in rets.iter_mut().enumerate() {
        *ret = word(status_at + 1 + index);
    }
    Ok(())
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
