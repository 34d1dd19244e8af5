//! The tests of `test=`: each shows one thing of the machine, or says what it found instead.

mod blk;
mod blk_ranges;
mod blk_shape;
mod clock;
mod console;
mod dma;
mod exceptions;
mod faults;
mod guest;
mod hcalls;
mod irq;
mod memory;
mod mmu;
mod net;
mod not_ok;
mod pci;
mod pool;
mod requirements;
mod rng;
mod rtas;
mod run;
mod smp;

pub use run::run;
