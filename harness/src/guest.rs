//! A guest's output: its console, and the facts and the exit status in it.

pub mod console;
pub mod firmware;
pub mod report;
pub mod tap;
pub mod tiny;
