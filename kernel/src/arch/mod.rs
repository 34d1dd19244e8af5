//! What is particular to the CPU: exception vectors and their report, memory barriers, time.

pub mod backtrace;
mod bulk;
pub(crate) mod cpu_table;
mod cpu_work;
pub mod cpus;
pub mod disclosure;
pub mod exceptions;
pub mod nmi;
mod panic;
