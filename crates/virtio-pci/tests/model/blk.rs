//! The driver against a device in memory: in every combination, with every violation.

mod honest;
mod interrupts;
mod noise;
mod ranges;
mod violations;
