//! What the hypervisor offers: hcalls, RTAS, a console, time, power. Closed enums in, typed results out.

pub mod clock;
pub mod console;
pub mod entropy;
mod init;
pub mod interrupts;
pub mod lock;
pub mod logger;
mod memory;
pub mod mmio;
pub mod power;
pub mod pseries;
pub mod rtas;
pub mod uart;

pub use init::init;
