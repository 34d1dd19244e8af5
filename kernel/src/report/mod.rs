//! What a run has to say: the summary for a person, facts for a script.

pub mod boot;
mod devices;
mod summary;

pub use summary::Report;
