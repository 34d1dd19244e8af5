//! RTAS by H_RTAS: the argument block, retries, and the tokens of this machine.

use crate::arch::cpus;
use crate::memory::device::DeviceBytes;
use crate::platform::pseries::{Pseries, gpa};
use postern_core::addr::{Gpa, GpaRange};
use postern_core::fdt;
use postern_core::lock::Lock;
use postern_core::rtas::busy::InVain;
use postern_core::rtas::{self, BLOCK_WORDS, RtasError};
use postern_core::seam::Rtas;
use spin::Once;

static SERVICES: Once<fdt::Rtas> = Once::new();

/// Takes the services' tokens, from the device tree.
pub fn set_tokens(services: fdt::Rtas) {
    SERVICES.call_once(|| services);
}

/// CPUs, the one that booted first.
const CPUS: usize = cpus::MOST;

/// An argument block.
#[repr(C, align(128))]
#[derive(Clone, Copy)]
struct Block([u32; BLOCK_WORDS]);

/// A block for each CPU, all in one 64 KiB frame: an ultravisor that copies one must not meet a frame's end. A CPU that
/// the hypervisor stops in the middle of a call keeps its own block, and nobody else's call changes.
#[repr(C, align(1024))]
struct Blocks([Block; CPUS]);

static mut BLOCKS: Blocks = Blocks([Block([0; BLOCK_WORDS]); CPUS]);

/// Firmware serves one call at a time (PAPR+ 7.2.1).
static CALLING: Lock<()> = Lock::new("RTAS call", ());

/// The service that answers nothing but "busy".
static IN_VAIN: InVain = InVain::new();

/// Calls the service with this token once; `rets` receives the return words after the status.
fn call_token(token: u32, args: &[u32], rets: &mut [u32]) -> Result<(), RtasError> {
    let blocks = (&raw mut BLOCKS).expose_provenance() as u64 & 0x0fff_ffff_ffff_ffff;
    let offset = cpus::number_here().saturating_mul(size_of::<Block>());
    let range = GpaRange { start: Gpa(blocks.saturating_add(offset as u64)), len: size_of::<Block>() as u64 };
    // SAFETY: the block is RAM for the kernel's life, as a CPU's number is below CPUS. Only this function uses it, on
    // the CPU that runs this: a call in the middle of which this CPU reports a failure is not gone back to. No
    // reference to the block exists.
    let block = unsafe { DeviceBytes::new(range) };
    // SAFETY: the block is this CPU's alone. A token means one service, as the tree's are distinct. Those that write to
    // memory are given the addresses of memory that is theirs to write.
    unsafe { rtas::call(&Pseries, &block, token, args, rets) }
}

/// A call that ends the run, by token: it does not wait for a CPU that stands still.
pub fn call_to_end_the_run(token: u32, args: &[u32]) {
    // A CPU that failed in the middle of a call does not come back to it.
    let _guard = (!CALLING.is_held_here(&Pseries)).then(|| CALLING.take_to_end_the_run(&Pseries));
    // There is nothing left to be done about one that fails.
    let _ = IN_VAIN.ask(&Pseries, token, || call_token(token, args, &mut []));
}

/// The token of a service, once the tree was read.
pub fn token(service: &str) -> Option<u32> {
    SERVICES.get().and_then(|services| services.token(service))
}

impl Rtas for Pseries {
    fn rtas(&self, service: &'static str, args: &[u32], rets: &mut [u32]) -> Result<(), RtasError> {
        let token = token(service).ok_or(RtasError::NotThere(service))?;
        IN_VAIN.ask(self, token, || {
            let _guard = CALLING.take(self)?;
            call_token(token, args, rets)
        })
    }
}

/// Where an argument for RTAS that is a pointer lies; of an image above 4 GiB, where an argument cannot name it, address
/// 0, which the vectors' code lies at.
pub fn pointer_argument(text: &'static [u8]) -> u32 {
    u32::try_from(gpa(text.as_ptr()).0).unwrap_or(0)
}
