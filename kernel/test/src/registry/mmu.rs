//! Tests of the rights of pages, each by an access that must raise an interrupt.

use super::faults::{self, Fault};
use super::guest::Guest;
use super::not_ok::NotOk;
use postern_kernel::memory::layout;

/// `blr`: code that would return at once, if it could be executed.
const RETURN: u32 = 0x4e80_0020;

static DATA: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(RETURN);

/// Checks for a data storage interrupt at this address.
fn refused_data(what: &'static str, at: u64, fault: Option<Fault>) -> Result<(), NotOk> {
    let fault = fault.ok_or(NotOk::NoInterrupt(what))?;
    if fault.vector == 0x300 && fault.dar == at { Ok(()) } else { Err(NotOk::OtherInterrupt(what, fault)) }
}

/// Checks for an instruction storage interrupt at this address.
fn refused_code(what: &'static str, at: u64, fault: Option<Fault>) -> Result<(), NotOk> {
    let fault = fault.ok_or(NotOk::NoInterrupt(what))?;
    if fault.vector == 0x400 && fault.srr0 == at { Ok(()) } else { Err(NotOk::OtherInterrupt(what, fault)) }
}

/// Instructions are read only.
pub fn text_write() -> Result<(), NotOk> {
    let at = text_write as *const () as u64;
    // SAFETY: an aligned word of the image's text, which is mapped for reading.
    let word = unsafe {
        core::ptr::with_exposed_provenance::<u32>(text_write as *const () as usize).read_volatile()
    };
    // SAFETY: the word is the one that is there.
    refused_data("a store to instructions", at, unsafe { faults::store(at, word) })
}

/// Data is not executed.
pub fn data_execute() -> Result<(), NotOk> {
    let at = DATA.as_ptr().expose_provenance() as u64;
    // SAFETY: there is a return.
    refused_code("a jump into data", at, unsafe { faults::jump(at) })
}

/// The stack is not executed.
pub fn stack_execute() -> Result<(), NotOk> {
    let mut local = core::hint::black_box(RETURN);
    let at = (&raw mut local).expose_provenance() as u64;
    // SAFETY: there is a return.
    refused_code("a jump into the stack", at, unsafe { faults::jump(at) })
}

/// The pool, which the host writes to, is not executed.
pub fn pool_execute(guest: &Guest<'_>) -> Result<(), NotOk> {
    let at = guest.devices.pool.ok_or(NotOk::Missing("pool"))?.start.0;
    // SAFETY: the fetch is refused by the MMU. Were it not, what the host has there would be executed, in a test of
    // whether that can be.
    refused_code("a jump into the pool", at, unsafe { faults::jump(at) })
}

/// Frame 0 is not mapped.
pub fn null_read() -> Result<(), NotOk> {
    const NULL: u64 = 8;
    refused_data("a load near address 0", NULL, faults::load(NULL))
}

/// The frame below the stack is not mapped.
pub fn guard_write() -> Result<(), NotOk> {
    let at = layout::stack().start.0.wrapping_sub(8);
    // SAFETY: the frame below the stack is the guard, and holds nothing.
    refused_data("a store below the stack", at, unsafe { faults::store(at, 0) })
}
