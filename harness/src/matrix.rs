//! The boot tests: each boots guests in QEMU and judges them from outside.

pub mod bus;
pub mod cells;
pub mod device_tree;
pub mod faults;
pub mod host;
pub mod input;
pub mod interrupts;
pub mod leak_hunt;
pub mod lies;
pub mod malformed_tree;
pub mod measured;
pub mod memory;
pub mod negotiation;
pub mod network;
pub mod nmi;
pub mod noise;
pub mod ranges;
pub mod refusing;
pub mod reserved;
pub mod runner;
pub mod sabotage;
pub mod scene;
pub mod smp;
pub mod soak;
pub mod strict;
pub mod strings;
