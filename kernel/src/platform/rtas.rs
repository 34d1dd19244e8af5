//! RTAS by H_RTAS: the argument block, retries, and the tokens of this machine.

use crate::arch::cpu_table;
use crate::memory::device::DeviceBytes;
use crate::platform::pseries::{Pseries, gpa};
use core::ffi::CStr;
use papr::addr::{Gpa, GpaRange};
use papr::lock::Lock;
use papr::platform::Rtas;
use papr::rtas::busy::StillBusy;
use papr::rtas::{self, BLOCK_WORDS, RtasError, Service};
use pseries_tree::rtas::{OS_TERM, POWER_OFF};
use spin::Once;

static SERVICES: Once<pseries_tree::Rtas> = Once::new();

/// Sets the services' tokens, from the device tree.
pub fn set_tokens(services: pseries_tree::Rtas) {
    SERVICES.call_once(|| services);
}

/// Number of CPUs; the boot CPU is number 0.
const CPUS: usize = cpu_table::MOST;

/// An argument block of RTAS (PAPR+ 7.2.1).
#[repr(C, align(128))]
#[derive(Clone, Copy)]
struct Block([u32; BLOCK_WORDS]);

/// A block for each CPU, all in one 64 KiB frame, because the ultravisor copies a block from one frame. A CPU that the
/// hypervisor stops in the middle of a call keeps its own block, and no other CPU's call changes.
#[repr(C, align(1024))]
struct Blocks([Block; CPUS]);

static mut BLOCKS: Blocks = Blocks([Block([0; BLOCK_WORDS]); CPUS]);

/// Firmware serves one call at a time (PAPR+ 7.2.1).
static CALLING: Lock<()> = Lock::new("RTAS call", ());

/// Remembers a service that stayed busy, so that nobody waits for it again.
static STILL_BUSY: StillBusy = StillBusy::new();

/// Calls the service with this token once; `rets` receives the return words after the status.
///
/// # Safety
/// What the service does with these arguments harms nothing that Rust code relies on.
unsafe fn call_token(token: u32, args: &[u32], rets: &mut [u32]) -> Result<(), RtasError> {
    let blocks = (&raw mut BLOCKS).expose_provenance() as u64 & 0x0fff_ffff_ffff_ffff;
    let offset = cpu_table::number_here().saturating_mul(size_of::<Block>());
    let range = GpaRange { start: Gpa(blocks.saturating_add(offset as u64)), len: size_of::<Block>() as u64 };
    // SAFETY: the block is RAM for the kernel's life, as a CPU's number is below CPUS. Only this function uses it, on
    // the CPU that runs this: a call in the middle of which this CPU reports a failure is not gone back to. No
    // reference to the block exists.
    let block = unsafe { DeviceBytes::new(range) };
    // SAFETY: the block is this CPU's alone, and the caller promises the rest.
    unsafe { rtas::call(&Pseries, &block, token, args, rets) }
}

/// Asks the host to power the machine off. Returns if the host does not do it.
pub fn power_off() {
    call_to_end_the_run("power-off", POWER_OFF, &[0, 0]);
}

/// Tells the host that the guest has failed, and why: `text` ends with 0. Returns when the host lets the guest go on.
pub fn os_term(text: &'static CStr) {
    call_to_end_the_run("ibm,os-term", OS_TERM, &[pointer_argument(text)]);
}

/// A call that ends the run: by the service's token, or by QEMU's `number` if the tree was not read or lacks the service.
/// A stopped CPU does not block it.
fn call_to_end_the_run(service: &str, number: u32, args: &[u32]) {
    let token = token(service).unwrap_or(number);
    // A CPU that failed in the middle of a call does not come back to it.
    let _guard = (!CALLING.is_held_here(&Pseries)).then(|| CALLING.take_to_end_the_run(&Pseries));
    // There is nothing left to be done about one that fails.
    // SAFETY: the services that end a run write to no memory but the block; `ibm,os-term` reads a text.
    let _ = STILL_BUSY.ask(&Pseries, token, || unsafe { call_token(token, args, &mut []) });
}

/// The token of a service, once the tree was read.
fn token(service: &str) -> Option<u32> {
    SERVICES.get().and_then(|services| services.token(service))
}

impl Rtas for Pseries {
    fn rtas(&self, service: Service, args: &[u32], rets: &mut [u32]) -> Result<(), RtasError> {
        if args.len() != service.arguments() {
            return Err(RtasError::Arguments(service, args.len()));
        }
        // SAFETY: no such service takes an address.
        unsafe { call_service(service.name(), args, rets) }
    }
}

/// Starts the CPU `server` at the real address `entry` with `argument` in r3 (PAPR+ 7.3.10).
///
/// # Errors
/// The status, or why no call was made.
///
/// # Safety
/// The code at `entry` works in any state of a CPU, and `argument` is what that code expects.
pub unsafe fn start_cpu(server: u32, entry: u32, argument: u32) -> Result<(), RtasError> {
    // SAFETY: the caller's promise is what the service asks for.
    unsafe { call_service("start-cpu", &[server, entry, argument], &mut []) }
}

/// Names the real addresses that the hypervisor enters at a system reset and at a machine check (PAPR+ 7.3.14).
///
/// # Errors
/// The status, or why no call was made.
///
/// # Safety
/// At both addresses are handlers that may interrupt anything.
pub unsafe fn nmi_register(reset: u32, check: u32) -> Result<(), RtasError> {
    // SAFETY: the caller's promise is what the service asks for.
    unsafe { call_service("ibm,nmi-register", &[reset, check], &mut []) }
}

/// Calls a service by name, and repeats the call while the service is busy.
///
/// # Safety
/// What the service does with these arguments harms nothing that Rust code relies on.
unsafe fn call_service(service: &'static str, args: &[u32], rets: &mut [u32]) -> Result<(), RtasError> {
    let token = token(service).ok_or(RtasError::NotThere(service))?;
    STILL_BUSY.ask(&Pseries, token, || {
        let _guard = CALLING.take(&Pseries)?;
        // SAFETY: a token means one service, as the tree's are distinct, and the caller promises the rest.
        unsafe { call_token(token, args, rets) }
    })
}

/// The address of a text as an argument of RTAS, which has 32 bits. For an image above 4 GiB it is 0: RTAS then reads the
/// vectors' code.
fn pointer_argument(text: &'static CStr) -> u32 {
    u32::try_from(gpa(text.as_ptr().cast()).0).unwrap_or(0)
}
