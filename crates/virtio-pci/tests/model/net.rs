//! The network driver against a device in memory: in every combination, with every violation on its control queue.

mod control;
mod driver;
