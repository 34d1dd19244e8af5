//! The report of a run: a summary for a person, facts for a script.

pub mod boot;
mod devices;
pub mod live;
mod summary;

pub use summary::Report;
