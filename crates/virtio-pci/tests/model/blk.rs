//! The driver against a device in memory: in every cell, with every lie.

mod honest;
mod interrupts;
mod noise;
mod ranges;
mod violations;
