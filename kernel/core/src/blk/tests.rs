//! The driver against a device in memory: in every cell, with every lie.

mod batches;
mod bench;
mod honest;
mod interrupts;
mod jobs;
mod lies;
mod noise;
mod queues;
mod soak;
