//! A machine for tests: memory, TCE tables, an ultravisor's share map, and devices that reach only what a real host
//! would let them reach. It keeps its own record of everything, independent of the guest's.

mod device;
mod firmware;
mod guest;
mod machine;
mod memory;

pub use device::{ModelDevice, Refused};
pub use guest::Combination;
pub use machine::{Model, POOL_BASE, UvBehaviour};
pub use memory::ModelMemory;
