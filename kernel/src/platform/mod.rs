//! What the hypervisor offers: hcalls, RTAS, a console, time, power. Closed enums in, typed results out.

mod adopt;
pub mod console;
pub mod entropy;
pub mod interrupts;
pub mod lock;
pub mod logger;
pub mod mmio;
pub mod power;
pub mod pseries;
pub mod rtas;
pub mod uart;

pub use adopt::adopt;
