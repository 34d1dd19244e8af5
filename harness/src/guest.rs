//! What a guest said: its console, and the facts and the exit status found in it.

pub mod console;
pub mod firmware;
pub mod report;
pub mod tap;
pub mod tiny;
