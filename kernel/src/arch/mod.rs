//! What is particular to the CPU: exception vectors and their report, memory barriers, time.

pub mod backtrace;
pub mod cpus;
pub mod exceptions;
mod memcpy;
pub mod nmi;
mod panic;
