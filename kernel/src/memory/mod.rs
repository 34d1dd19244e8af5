//! The guest's memory: where the image lies, the private heap, and memory that devices see.

pub mod accept;
pub mod device;
pub mod heap;
pub mod layout;
pub mod mmu;
pub mod open;
