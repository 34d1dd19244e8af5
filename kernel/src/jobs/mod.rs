//! The steps of `run=`.

mod background;
pub mod blk;
mod ending;
mod map;
mod monitor;
pub mod net;
mod page;
mod run;
mod smp;

pub use crate::stop::Failed;
pub use ending::{ended, worst};
pub use run::run;
