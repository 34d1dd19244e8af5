//! What a run has to say: the summary for a person, facts for a script.

pub mod boot;
mod devices;
pub mod live;
mod summary;

pub use summary::Report;
