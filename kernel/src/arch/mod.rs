//! CPUs: starting and parking them, work for them, and the reports of exceptions and panics.

pub mod backtrace;
mod bulk;
pub(crate) mod cpu_table;
mod cpu_work;
pub mod cpus;
pub mod disclosure;
pub mod exceptions;
pub mod nmi;
mod panic;
