//! The network driver against a device in memory: in every cell, with every violation on its control queue.

mod control;
mod driver;
