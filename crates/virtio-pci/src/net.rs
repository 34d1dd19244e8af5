//! virtio-net (virtio 1.2, 5.1): the driver, and [`link::Link`], the trait through which a network stack (`netstack`)
//! uses it or any other device.

mod control;
pub mod driver;
pub mod error;
pub mod features;
mod in_flight;
pub mod link;
mod queue;
mod rx;
pub mod statistics;
mod tx;
